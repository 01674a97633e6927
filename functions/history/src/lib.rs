//! `GET /chat/history`: reads a conversation page by page.
//!
//! - [`query`]: the parameters
//! - [`page`]: the body and its `Link` header

pub mod page;
pub mod query;

use std::convert::Infallible;

use chat::store::{Member, Page, RateLimit, ReaderView, View};
use chat::{Code, Deadline, Entry, Rejection, Result, Store, UserId};
use chat_lambda::config::{Auth, DatabaseConfig};
use chat_lambda::http_event::{HttpEvent, HttpResponse};
use chat_lambda::rate_limiter::{self, RateLimiter};
use chat_lambda::{deadline, problem, query_string};
use chrono::Utc;
use lambda_runtime::LambdaEvent;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use page::Body;
use query::{Query, Subject};

/// Settings from environment variables.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: DatabaseConfig,
    /// `AUTH`: whether callers read only conversations of their own.
    pub auth: Auth,
    /// `HISTORY_RATE`, `HISTORY_BURST`: the limit of what a user reads, in pages of 100 messages.
    pub rate: RateLimit,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](chat::Error::Config): a variable is missing or malformed.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            database: DatabaseConfig::from_env()?,
            auth: Auth::from_env()?,
            rate: rate_limiter::limit_from_env(("HISTORY_RATE", 50.0), ("HISTORY_BURST", 100))?,
        })
    }
}

/// The dependencies of the handler.
pub struct Deps {
    /// The database.
    pub store: Store,
    /// Whether callers read only conversations of their own.
    pub auth: Auth,
    /// The limit of what users read.
    pub rate_limiter: RateLimiter,
}

/// Handles one request: 200 with a JSON array, oldest message first, or a problem document with
/// 400, 403, 429 or 503.
pub async fn handle(
    event: LambdaEvent<HttpEvent>,
    deps: &'static Deps,
) -> Result<HttpResponse, Infallible> {
    let deadline = deadline::from(&event.context);
    let span = tracing::info_span!("history", conversation_id = Empty);
    let response = async {
        respond(&event.payload, deadline, deps)
            .await
            .unwrap_or_else(|error| problem::response(error, "history failed"))
    };
    Ok(response.instrument(span).await)
}

async fn respond(event: &HttpEvent, deadline: Deadline, deps: &Deps) -> Result<HttpResponse> {
    let (query, reader) = permitted_query(event, deps.auth)?;
    Span::current().record("conversation_id", query.subject.conversation_id().as_str());
    let reading = read(&query, &reader, deadline, deps);
    deps.rate_limiter
        .limit(
            &deps.store,
            reader.as_str(),
            query.cost(),
            deadline,
            reading,
        )
        .await
}

async fn read(
    query: &Query,
    reader: &UserId,
    deadline: Deadline,
    deps: &Deps,
) -> Result<HttpResponse> {
    let page = complete_page(query, reader, deadline, deps).await?;
    let links = page::links(query, &page);
    let json = deadline.run("writing of a page", page::json(page.entries));
    let response = HttpResponse::new(200)
        .header("content-type", "application/json")
        // Messages of two people: no cache on the way keeps them.
        .header("cache-control", "no-store")
        .text(json.await?);
    Ok(match links {
        Some(links) => response.header("link", links),
        None => response,
    })
}

/// Reads a page, and completes what the senders of its entries may have left undone: to a client whose entry it has, the
/// page is the ack.
async fn complete_page(
    query: &Query,
    reader: &UserId,
    deadline: Deadline,
    deps: &Deps,
) -> Result<Page> {
    let store = &deps.store;
    let id = query.subject.conversation_id();
    let member = match &query.subject {
        Subject::Users(_) | Subject::Direct(..) => store.member(&id, reader, deadline).await?,
        Subject::Group(..) => None,
    };
    let view = view(&query.subject, reader, member.as_ref(), deadline, deps).await?;
    let read = || {
        let mut body = Body::default();
        let fits = move |entry: &Entry| body.has_room_for(entry);
        store.page(&id, view.clone(), query.range, query.limit, fits, deadline)
    };
    let page = read().await?;
    store
        .complete_members(reader, member.as_ref(), &page.entries, Utc::now(), deadline)
        .await?;
    let changed = store.complete_changes(&id, &page.entries, deadline);
    if changed.await? {
        return read().await;
    }
    Ok(page)
}

/// Returns what a reader may see of a conversation, in which `member` is the reader's document.
///
/// # Errors
///
/// [`Code::Forbidden`]: a group in which the reader never was.
async fn view(
    subject: &Subject,
    reader: &UserId,
    member: Option<&Member>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<ReaderView> {
    let view = match subject {
        Subject::Users(_) => View::Texts,
        Subject::Direct(..) => View::Log,
        Subject::Group(id, _) => {
            let group = deps.store.group_of(id, reader, deadline).await?;
            let (first, last) = group.readable(reader).ok_or_else(forbidden)?;
            View::Part { first, last }
        }
    };
    Ok(view.hiding(member.and_then(Member::hidden_texts)))
}

/// Returns the query of a request and its reader, if the reader may read a conversation of these users. Who is in a
/// group is not known here. The rejection is the same whether or not the conversation exists, so it does not reveal
/// whether two others talk.
///
/// Without authorization nobody is verified: `user` names the reader of a conversation that is named by its id, and else
/// the first of two users is taken for the reader.
///
/// # Errors
///
/// As [`Query::parse`], and [`Code::Forbidden`].
pub fn permitted_query(event: &HttpEvent, auth: Auth) -> Result<(Query, UserId), Rejection> {
    let query = Query::parse(event.query())?;
    let caller = event.identity().map(|caller| caller.user_id);
    let named = match &query.subject {
        Subject::Users(users) | Subject::Direct(_, users) => &users[..],
        Subject::Group(_, reader) => reader.as_slice(),
    };
    let reader = match (auth, caller) {
        (Auth::Open, caller) => match caller.as_ref().or(named.first()) {
            Some(reader) => reader.clone(),
            None => return Err(query_string::invalid("`user` is missing.")),
        },
        (Auth::Jwt, Some(caller)) if named.is_empty() || named.contains(&caller) => caller,
        (Auth::Jwt, _) => return Err(forbidden()),
    };
    Ok((query, reader))
}

fn forbidden() -> Rejection {
    Rejection::new(
        Code::Forbidden,
        "You can read only conversations of your own.",
    )
}

//! `GET /chat/history`: reads a conversation page by page.
//!
//! - [`query`]: the parameters
//! - [`page`]: the body and its `Link` header
//! - [`problem`]: errors as `application/problem+json`

pub mod page;
pub mod problem;
pub mod query;

use std::convert::Infallible;

use chat::store::Page;
use chat::{Code, Deadline, Identity, Message, Rejection, Result, Store, UserId};
use chat_lambda::config::{Auth, DatabaseConfig};
use chat_lambda::deadline;
use lambda_http::http::StatusCode;
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt, Response};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use page::Body;
use query::Query;

/// Settings from environment variables.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: DatabaseConfig,
    /// `AUTH`: whether callers read only conversations of their own.
    pub auth: Auth,
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
        })
    }
}

/// The dependencies of the handler.
pub struct Deps {
    /// The database.
    pub store: Store,
    /// Whether callers read only conversations of their own.
    pub auth: Auth,
}

/// Handles one request: 200 with a JSON array, oldest message first, or a problem document with
/// 400, 403 or 503.
pub async fn handle(request: Request, deps: &'static Deps) -> Result<Response<String>, Infallible> {
    let deadline = deadline::from(&request.lambda_context());
    let span = tracing::info_span!("history", conversation_id = Empty);
    let response = async {
        respond(request, deadline, deps)
            .await
            .unwrap_or_else(problem::response)
    };
    Ok(response.instrument(span).await)
}

async fn respond(request: Request, deadline: Deadline, deps: &Deps) -> Result<Response<String>> {
    let query = Query::parse(request.uri().query().unwrap_or_default())?;
    if deps.auth == Auth::Jwt {
        check_caller(&query, caller(&request).as_ref())?;
    }
    Span::current().record("conversation_id", query.conversation_id().as_str());
    let mut body = Body::default();
    let fits = move |message: &Message| body.has_room_for(message);
    let page = deps
        .store
        .page(
            &query.conversation_id(),
            query.range,
            query.limit,
            fits,
            deadline,
        )
        .await?;
    Ok(response(&query, &page))
}

/// Returns the user whom the authorizer has verified.
fn caller(request: &Request) -> Option<UserId> {
    let RequestContext::ApiGatewayV2(context) = request.request_context_ref()? else {
        return None;
    };
    let fields = &context.authorizer.as_ref()?.fields;
    let identity = Identity::read(|name| fields.get(name))?;
    Some(identity.user_id)
}

/// Checks that the caller is one of the two users of the conversation. The rejection is the same whether
/// or not the conversation exists, so it does not reveal whether two others talk.
fn check_caller(query: &Query, caller: Option<&UserId>) -> Result<(), Rejection> {
    match caller {
        Some(caller) if [&query.user1, &query.user2].contains(&caller) => Ok(()),
        _ => Err(Rejection::new(
            Code::Forbidden,
            "You can read only conversations of your own.",
        )),
    }
}

fn response(query: &Query, page: &Page) -> Response<String> {
    let mut response = Response::builder()
        .status(StatusCode::OK)
        .header("content-type", "application/json")
        // Messages of two people: no cache on the way keeps them.
        .header("cache-control", "no-store");
    if let Some(links) = page::links(query, page) {
        response = response.header("link", links);
    }
    response
        .body(page::json(&page.messages))
        .expect("all headers are valid: links are percent-encoded")
}

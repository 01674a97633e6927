//! What a user's chat shows: the list of conversations, who is there, and the user's settings.
//!
//! - [`list`]: `GET /chat/conversations`
//! - [`change`]: `PUT /chat/conversations`
//! - [`presence`]: `GET /chat/presence`
//! - [`settings`]: `GET` and `PUT /chat/settings`
//!
//! All of them are about the caller, whom `user` names in the query: with authorization that has to be the user of
//! the token. Errors are `application/problem+json`.

pub mod change;
pub mod list;
pub mod members;
pub mod presence;
pub mod settings;

use std::convert::Infallible;

use chat::store::RateLimit;
use chat::{Code, ConversationId, Deadline, Delivery, Rejection, Result, Store, UserId};
use chat_lambda::config::{Auth, DatabaseConfig, PushConfig};
use chat_lambda::http_event::{HttpEvent, HttpResponse};
use chat_lambda::query_string::{QueryString, invalid};
use chat_lambda::rate_limiter::{self, RateLimiter};
use chat_lambda::{deadline, problem};
use lambda_runtime::LambdaEvent;
use serde::Serialize;
use tracing::Instrument;

/// Settings from environment variables.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: DatabaseConfig,
    /// The management API, by which a user's devices hear of changed settings.
    pub push: PushConfig,
    /// `AUTH`: whether callers have to be the user that they name.
    pub auth: Auth,
    /// `HISTORY_RATE`, `HISTORY_BURST`: the limit of what a user reads, history included.
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
            push: PushConfig::from_env()?,
            auth: Auth::from_env()?,
            rate: rate_limiter::limit_from_env(("HISTORY_RATE", 50.0), ("HISTORY_BURST", 100))?,
        })
    }
}

/// The dependencies of the handler.
pub struct Deps {
    /// The database.
    pub store: Store,
    /// The delivery of frames.
    pub delivery: Delivery,
    /// Whether callers have to be the user that they name.
    pub auth: Auth,
    /// The limit of what users read.
    pub rate_limiter: RateLimiter,
}

/// A valid request.
#[derive(Debug)]
enum Request {
    List(list::Query),
    Change(change::Change),
    Members(ConversationId),
    Presence(Vec<UserId>),
    Settings,
    ChangeSettings(chat::settings::SettingsChange),
}

/// Handles one request: 200 with JSON, or a problem document with 400, 403, 404, 429 or 503.
pub async fn handle(
    event: LambdaEvent<HttpEvent>,
    deps: &'static Deps,
) -> Result<HttpResponse, Infallible> {
    let deadline = deadline::from(&event.context);
    let response = async {
        respond(&event.payload, deadline, deps)
            .await
            .unwrap_or_else(|error| problem::response(error, "conversations failed"))
    };
    Ok(response
        .instrument(tracing::info_span!("conversations"))
        .await)
}

async fn respond(event: &HttpEvent, deadline: Deadline, deps: &Deps) -> Result<HttpResponse> {
    let query = QueryString::new(event.query())?;
    let user = caller(event, query, deps.auth)?;
    let request = request(event, query)?;
    let serving = async {
        match request {
            Request::List(query) => list::respond(&user, query, deadline, deps).await,
            Request::Change(change) => change::respond(&user, change, deadline, deps).await,
            Request::Members(id) => members::respond(&user, &id, deadline, deps).await,
            Request::Presence(of) => presence::respond(&user, &of, deadline, deps).await,
            Request::Settings => settings::respond(&user, deadline, deps).await,
            Request::ChangeSettings(change) => {
                settings::change(&user, change, deadline, deps).await
            }
        }
    };
    deps.rate_limiter
        .limit(&deps.store, user.as_str(), 1, deadline, serving)
        .await
}

/// Returns the user who asks, whom the query names.
fn caller(event: &HttpEvent, query: QueryString, auth: Auth) -> Result<UserId, Rejection> {
    let user = query.user("user")?;
    let is_permitted = match (auth, event.identity()) {
        (Auth::Open, _) => true,
        (Auth::Jwt, Some(caller)) => caller.user_id == user,
        (Auth::Jwt, None) => false,
    };
    if is_permitted {
        Ok(user)
    } else {
        Err(Rejection::new(
            Code::Forbidden,
            "You can see only conversations of your own.",
        ))
    }
}

fn request(event: &HttpEvent, query: QueryString) -> Result<Request, Rejection> {
    match event.route_key() {
        "GET /chat/conversations" => Ok(Request::List(list::Query::read(query)?)),
        "PUT /chat/conversations" => Ok(Request::Change(change::read(&event.body())?)),
        "GET /chat/members" => Ok(Request::Members(members::group(query)?)),
        "GET /chat/presence" => Ok(Request::Presence(presence::users(query)?)),
        "GET /chat/settings" => Ok(Request::Settings),
        "PUT /chat/settings" => Ok(Request::ChangeSettings(settings::read(&event.body())?)),
        _ => Err(invalid("There is nothing at this address.")),
    }
}

/// Returns a response that no cache on the way keeps: it is one person's.
fn json(body: &impl Serialize) -> HttpResponse {
    let body = serde_json::to_string(body).expect("it has string keys and no fallible field");
    HttpResponse::new(200)
        .header("content-type", "application/json")
        .header("cache-control", "no-store")
        .text(body)
}

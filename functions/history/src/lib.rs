//! `GET /chat/history`: reads a conversation page by page.
//!
//! - [`query`]: the parameters
//! - [`page`]: the body and its `Link` header
//! - [`problem`]: errors as `application/problem+json`

pub mod page;
pub mod problem;
pub mod query;

use std::sync::Arc;

use chat::config::DatabaseConfig;
use chat::{Deadline, Result, Store};
use lambda_http::http::StatusCode;
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
        })
    }
}

/// What the handler works with.
pub struct Deps {
    /// The database.
    pub store: Store,
}

/// Answers one request: 200 with a JSON array, oldest message first, or a problem document with
/// 400 or 503.
///
/// # Errors
///
/// None: a failure is an HTTP status.
pub async fn handle(request: Request, deps: Arc<Deps>) -> Result<Response<String>> {
    let deadline = Deadline::of(&request.lambda_context());
    let span = tracing::info_span!("history", conversation_id = Empty);
    let response = async {
        let answer = answer(request, deadline, deps).await;
        answer.unwrap_or_else(problem::response)
    };
    Ok(response.instrument(span).await)
}

async fn answer(request: Request, deadline: Deadline, deps: Arc<Deps>) -> Result<Response<String>> {
    let query = Query::parse(request.uri().query().unwrap_or_default())?;
    Span::current().record("conversation_id", query.conversation_id().as_str());
    deadline
        .bound("history", async move { read(&query, &deps.store).await })
        .await
}

async fn read(query: &Query, store: &Store) -> Result<Response<String>> {
    let mut body = Body::default();
    let conversation_id = query.conversation_id();
    let page = store
        .page(&conversation_id, query.range, query.limit, |message| {
            body.has_room_for(message)
        })
        .await?;
    let mut response = Response::builder()
        .status(StatusCode::OK)
        .header("content-type", "application/json")
        // Messages of two people: no cache on the way keeps them.
        .header("cache-control", "no-store");
    if let Some(links) = page::links(query, &page) {
        response = response.header("link", links);
    }
    Ok(response
        .body(page::json(&page.messages))
        .expect("all headers are valid: links are percent-encoded"))
}

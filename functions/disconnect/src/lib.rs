//! `$disconnect`: deletes a closed connection, and records when its user was last seen.
//!
//! API Gateway runs it at best effort, so a row may also be deleted by a push that finds the
//! connection gone, or when it expires.

use chat::{Deadline, Result, Store, UserId};
use chat_lambda::config::DatabaseConfig;
use chat_lambda::event::{WebSocketEvent, WebSocketResponse};
use chat_lambda::{HandlerError, deadline};
use chrono::Utc;
use lambda_runtime::LambdaEvent;
use tracing::Instrument;

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

/// The dependencies of the handler.
pub struct Deps {
    /// The database.
    pub store: Store,
}

/// Deletes the connection of the event, and records that its user was here until now.
///
/// # Errors
///
/// [`Error::Unavailable`](chat::Error::Unavailable): the row stays until a push or its expiry removes
/// it. Nobody reads the response, but the failure shows in the function's error count.
pub async fn handle(
    event: LambdaEvent<WebSocketEvent>,
    deps: &'static Deps,
) -> Result<WebSocketResponse, HandlerError> {
    let deadline = deadline::from(&event.context);
    let context = event.payload.request_context;
    let connection_id = context.connection_id()?;
    let user_id = context.identity().map(|identity| identity.user_id);
    let span = tracing::info_span!("disconnect", connection_id = connection_id.as_str());
    let work = async {
        let delete = deps
            .store
            .delete_connection(connection_id, user_id.as_ref(), deadline);
        let (deleted, ()) = tokio::join!(delete, record_seen(user_id.clone(), deadline, deps));
        deleted
            .inspect(|()| log_disconnect(context.disconnect_status_code))
            .inspect_err(log_failure)
    };
    work.instrument(span).await?;
    Ok(WebSocketResponse::new(200))
}

/// Records that the user was here until now. A failure is logged: the user seems to have left earlier.
async fn record_seen(user_id: Option<UserId>, deadline: Deadline, deps: &Deps) {
    let seen = user_id.map(|user| (user, Utc::now()));
    if let Some(seen) = seen
        && let Err(error) = deps.store.record_seen(vec![seen], deadline).await
    {
        tracing::warn!(cause = error.chain(), "time seen not recorded");
    }
}

fn log_disconnect(close_code: Option<i64>) {
    tracing::info!(
        close_code,
        monotonic_counter.Disconnects = 1,
        "disconnected"
    );
}

fn log_failure(error: &chat::Error) {
    tracing::error!(
        cause = error.chain(),
        monotonic_counter.Failures = 1,
        "disconnect failed"
    );
}

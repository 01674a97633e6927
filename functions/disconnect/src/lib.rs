//! `$disconnect`: forgets a closed socket.
//!
//! API Gateway runs it at best effort, so a socket may also be forgotten by a push that finds it
//! gone, or when its row expires.

use std::sync::Arc;

use aws_lambda_events::apigw::{ApiGatewayProxyResponse, ApiGatewayWebsocketProxyRequest};
use chat::{ConnectionId, Deadline, Result, Store, UserId};
use chat_lambda::config::DatabaseConfig;
use chat_lambda::{HandlerError, deadline, event};
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

/// What the handler works with.
pub struct Deps {
    /// The database.
    pub store: Store,
}

/// Forgets the socket of the event.
///
/// # Errors
///
/// [`Error::Unavailable`](chat::Error::Unavailable): the row stays until a push or its expiry removes it. Nobody reads the
/// answer, but the failure shows in the function's error count.
pub async fn handle(
    event: LambdaEvent<ApiGatewayWebsocketProxyRequest>,
    deps: Arc<Deps>,
) -> Result<ApiGatewayProxyResponse, HandlerError> {
    let deadline = deadline::from(&event.context);
    let context = event.payload.request_context;
    let connection_id = event::connection_id(&context)?;
    let span = tracing::info_span!("disconnect", connection_id = connection_id.as_str());
    let close_code = context.disconnect_status_code;
    let user_id = event::identity(&context).map(|identity| identity.user_id);
    disconnect(connection_id, user_id, close_code, deadline, deps)
        .instrument(span)
        .await?;
    let mut response = ApiGatewayProxyResponse::default();
    response.status_code = 200;
    Ok(response)
}

async fn disconnect(
    connection_id: ConnectionId,
    user_id: Option<UserId>,
    close_code: Option<i64>,
    deadline: Deadline,
    deps: Arc<Deps>,
) -> Result<()> {
    let work = async move {
        let store = &deps.store;
        store.disconnect(&connection_id, user_id.as_ref()).await
    };
    let outcome = deadline.bound("disconnect", work).await;
    match &outcome {
        Ok(()) => tracing::info!(
            close_code,
            monotonic_counter.Disconnects = 1,
            "disconnected"
        ),
        Err(error) => tracing::error!(
            cause = error.chain(),
            monotonic_counter.Failures = 1,
            "disconnect failed"
        ),
    }
    outcome
}

//! `$disconnect`: deletes a closed connection.
//!
//! API Gateway runs it at best effort, so a row may also be deleted by a push that finds the
//! connection gone, or when it expires.

use aws_lambda_events::apigw::{ApiGatewayProxyResponse, ApiGatewayWebsocketProxyRequest};
use chat::{Result, Store};
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

/// The dependencies of the handler.
pub struct Deps {
    /// The database.
    pub store: Store,
}

/// Deletes the connection of the event.
///
/// # Errors
///
/// [`Error::Unavailable`](chat::Error::Unavailable): the row stays until a push or its expiry removes
/// it. Nobody reads the response, but the failure shows in the function's error count.
pub async fn handle(
    event: LambdaEvent<ApiGatewayWebsocketProxyRequest>,
    deps: &'static Deps,
) -> Result<ApiGatewayProxyResponse, HandlerError> {
    let deadline = deadline::from(&event.context);
    let context = event.payload.request_context;
    let connection_id = event::connection_id(&context)?;
    let user_id = event::identity(&context).map(|identity| identity.user_id);
    let span = tracing::info_span!("disconnect", connection_id = connection_id.as_str());
    let delete = async {
        deps.store
            .delete_connection(&connection_id, user_id.as_ref(), deadline)
            .await
            .inspect(|()| log_disconnect(context.disconnect_status_code))
            .inspect_err(log_failure)
    };
    delete.instrument(span).await?;
    let mut response = ApiGatewayProxyResponse::default();
    response.status_code = 200;
    Ok(response)
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

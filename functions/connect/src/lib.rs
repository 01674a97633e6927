//! `$connect`: records the open socket of a user.
//!
//! The user is `?user_id=` of the WebSocket URL. The handshake succeeds with 200 and fails with 400
//! (no user id, or not a valid one) or 503 (the database did not answer).

use std::sync::Arc;

use aws_lambda_events::apigw::{ApiGatewayProxyResponse, ApiGatewayWebsocketProxyRequest};
use chat::config::{DatabaseConfig, management_endpoint};
use chat::{Code, Connection, Deadline, Error, Rejection, Result, Store, UserId};
use chrono::{DateTime, Utc};
use lambda_runtime::LambdaEvent;
use tracing::Instrument;

/// Settings from environment variables.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: DatabaseConfig,
    /// `MANAGEMENT_ENDPOINT`: recorded with the socket, for pushes to it.
    pub endpoint: String,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: a variable is missing or malformed.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            database: DatabaseConfig::from_env()?,
            endpoint: management_endpoint()?,
        })
    }
}

/// What the handler works with.
pub struct Deps {
    /// The database.
    pub store: Store,
    /// The management endpoint of our API.
    pub endpoint: String,
}

/// Answers one handshake.
///
/// # Errors
///
/// None: a failure is an HTTP status of the handshake.
pub async fn handle(
    event: LambdaEvent<ApiGatewayWebsocketProxyRequest>,
    deps: Arc<Deps>,
) -> Result<ApiGatewayProxyResponse> {
    let deadline = Deadline::of(&event.context);
    let connection_id = event.payload.request_context.connection_id.as_deref();
    let span = tracing::info_span!("connect", connection_id);
    let status = answer(&event.payload, deadline, deps).instrument(span);
    let mut response = ApiGatewayProxyResponse::default();
    response.status_code = status.await;
    Ok(response)
}

async fn answer(
    event: &ApiGatewayWebsocketProxyRequest,
    deadline: Deadline,
    deps: Arc<Deps>,
) -> i64 {
    match connect(event, Utc::now(), deadline, deps).await {
        Ok(()) => {
            tracing::info!(monotonic_counter.Connects = 1, "connected");
            200
        }
        Err(Error::Rejected(rejection)) => {
            tracing::info!(
                code = ?rejection.code,
                monotonic_counter.Refusals = 1,
                "handshake refused"
            );
            400
        }
        Err(error) => {
            tracing::error!(
                cause = error.chain(),
                monotonic_counter.Failures = 1,
                "handshake failed"
            );
            503
        }
    }
}

async fn connect(
    event: &ApiGatewayWebsocketProxyRequest,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: Arc<Deps>,
) -> Result<()> {
    let user_id = user_id(event)?;
    let connection_id = event.request_context.connection_id.clone().ok_or_else(|| {
        Error::unavailable("reading of the event")("it has no requestContext.connectionId")
    })?;
    let connection = Connection::new(connection_id.into(), user_id, deps.endpoint.clone(), now);
    deadline
        .bound(
            "connect",
            async move { deps.store.connect(&connection).await },
        )
        .await
}

/// The user who opens the socket.
fn user_id(event: &ApiGatewayWebsocketProxyRequest) -> Result<UserId, Rejection> {
    let values = event.multi_value_query_string_parameters.all("user_id");
    match values.as_deref() {
        Some([user_id]) => UserId::try_from((*user_id).to_owned()),
        None | Some([]) => Err(Rejection::new(
            Code::InvalidUserId,
            "Connect with ?user_id= and your user id.",
        )),
        Some(_) => Err(Rejection::new(
            Code::InvalidUserId,
            "Connect with one user_id only.",
        )),
    }
}

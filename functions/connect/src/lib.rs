//! `$connect`: records the open connection of a user.
//!
//! The user is the one whom the authorizer has verified. The handshake succeeds with 200, and with the
//! subprotocol `chat.v1` if the client offers it. It fails with 400 (no user) or 503 (the database
//! failed).
//!
//! - [`eviction`]: closes the user's oldest connections beyond the limit

pub mod eviction;

use std::convert::Infallible;
use std::time::Duration;

use aws_lambda_events::apigw::{ApiGatewayProxyResponse, ApiGatewayWebsocketProxyRequest};
use chat::protocol::subprotocol::{SUBPROTOCOL, subprotocols};
use chat::{Code, Connection, Deadline, Error, Push, Rejection, Result, Store};
use chat_lambda::config::{DatabaseConfig, PushConfig};
use chat_lambda::{deadline, event};
use chrono::{DateTime, Utc};
use http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use lambda_runtime::LambdaEvent;
use tracing::Instrument;

/// Time left for the response after eviction: the handshake of a connection that is recorded must
/// succeed.
const HANDSHAKE_RESERVE: Duration = Duration::from_millis(500);

/// Settings from environment variables.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: DatabaseConfig,
    /// The management API; its endpoint is recorded with the connection, for pushes to it.
    pub push: PushConfig,
    /// `SOCKETS_PER_USER`: the open connections that a user may have.
    pub connections_per_user: usize,
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
            push: PushConfig::from_env()?,
            connections_per_user: eviction::limit_from_env()?,
        })
    }
}

/// The dependencies of the handler.
pub struct Deps {
    /// The database.
    pub store: Store,
    /// The management API.
    pub push: Push,
    /// The open connections that a user may have.
    pub connections_per_user: usize,
}

/// Handles one handshake. A failure is an HTTP status of the handshake.
pub async fn handle(
    event: LambdaEvent<ApiGatewayWebsocketProxyRequest>,
    deps: &'static Deps,
) -> Result<ApiGatewayProxyResponse, Infallible> {
    let deadline = deadline::from(&event.context);
    let connection_id = event.payload.request_context.connection_id.as_deref();
    let span = tracing::info_span!("connect", connection_id);
    let mut response = ApiGatewayProxyResponse::default();
    response.status_code = status(&event.payload, deadline, deps)
        .instrument(span)
        .await;
    if response.status_code == 200 && offers_ours(&event.payload) {
        let subprotocol = HeaderValue::from_static(SUBPROTOCOL);
        response.headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    Ok(response)
}

/// Records the connection and returns the status of the handshake.
async fn status(event: &ApiGatewayWebsocketProxyRequest, deadline: Deadline, deps: &Deps) -> i64 {
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
    deps: &Deps,
) -> Result<()> {
    let identity = event::identity(&event.request_context).ok_or_else(|| {
        Rejection::new(
            Code::InvalidUserId,
            "Connect with ?user_id= and one valid user id.",
        )
    })?;
    let connection_id = event::connection_id(&event.request_context)?;
    let endpoint = deps.push.endpoint().to_owned();
    let connection = Connection::new(connection_id, identity, endpoint, now);
    deps.store
        .insert_connection(connection.clone(), deadline)
        .await?;
    let deadline = deadline.earlier_by(HANDSHAKE_RESERVE);
    eviction::evict(&connection, now, deadline, deps).await;
    Ok(())
}

/// Returns whether the client speaks our subprotocol. A client that offers any insists on one in the
/// response; a client that offers none must not get one.
fn offers_ours(event: &ApiGatewayWebsocketProxyRequest) -> bool {
    let headers = &event.multi_value_headers;
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    let values = values.filter_map(|value| value.to_str().ok());
    subprotocols(values).any(|offered| offered == SUBPROTOCOL)
}

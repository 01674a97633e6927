//! `$connect`: records the open connection of a user.
//!
//! The user is the one whom the authorizer has verified. The handshake succeeds with 200, and with the
//! subprotocol `chat.v1` if the client offers it. It fails with 400 (no user), 429 (the user connects too
//! often) or 503 (the database failed).
//!
//! - [`eviction`]: closes the user's oldest connections beyond the limit

pub mod eviction;

use std::convert::Infallible;
use std::time::Duration;

use chat::protocol::subprotocol::{SUBPROTOCOL, subprotocols};
use chat::store::RateLimit;
use chat::{Code, Connection, ConnectionId, Deadline, Error, Push, Rejection, Result, Store};
use chat_lambda::config::{DatabaseConfig, PushConfig};
use chat_lambda::deadline;
use chat_lambda::event::{WebSocketEvent, WebSocketResponse};
use chat_lambda::rate_limiter::{self, RateLimiter};
use chrono::{DateTime, Utc};
use lambda_runtime::LambdaEvent;
use tracing::Instrument;

/// Time left for the response after eviction: the handshake of a connection that is recorded must
/// succeed.
const HANDSHAKE_RESERVE: Duration = Duration::from_millis(500);

/// The header of the subprotocols: those that the client offers, and the one that the response selects.
const SUBPROTOCOL_HEADER: &str = "sec-websocket-protocol";

/// Settings from environment variables.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: DatabaseConfig,
    /// The management API; its endpoint is recorded with the connection, for pushes to it.
    pub push: PushConfig,
    /// `SOCKETS_PER_USER`: the open connections that a user may have.
    pub connections_per_user: usize,
    /// `HANDSHAKE_RATE`, `HANDSHAKE_BURST`: the limit of a user's handshakes.
    pub rate: RateLimit,
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
            rate: rate_limiter::limit_from_env(("HANDSHAKE_RATE", 2.0), ("HANDSHAKE_BURST", 60))?,
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
    /// The limit of users' handshakes.
    pub rate_limiter: RateLimiter,
}

/// Handles one handshake. A failure is an HTTP status of the handshake.
pub async fn handle(
    event: LambdaEvent<WebSocketEvent>,
    deps: &'static Deps,
) -> Result<WebSocketResponse, Infallible> {
    let deadline = deadline::from(&event.context);
    let connection_id = event.payload.request_context.connection_id().ok();
    let connection_id = connection_id.map(ConnectionId::as_str);
    let span = tracing::info_span!("connect", connection_id);
    let status = status(&event.payload, deadline, deps);
    let mut response = WebSocketResponse::new(status.instrument(span).await);
    if response.status_code == 200 && offers_ours(&event.payload) {
        response.headers.insert(SUBPROTOCOL_HEADER, SUBPROTOCOL);
    }
    Ok(response)
}

/// Records the connection and returns the status of the handshake.
async fn status(event: &WebSocketEvent, deadline: Deadline, deps: &Deps) -> u16 {
    match connect(event, Utc::now(), deadline, deps).await {
        Ok(()) => {
            tracing::info!(monotonic_counter.Connects = 1, "connected");
            200
        }
        Err(Error::Rejected(rejection)) => {
            tracing::info!(
                code = ?rejection.code,
                monotonic_counter.Refusals = 1,
                monotonic_counter.RateLimited = u64::from(rejection.code == Code::RateLimited),
                "handshake refused"
            );
            match rejection.code {
                Code::RateLimited => 429,
                _ => 400,
            }
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
    event: &WebSocketEvent,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<()> {
    let identity = event.request_context.identity().ok_or_else(|| {
        Rejection::new(
            Code::InvalidUserId,
            "Connect with ?user_id= and one valid user id.",
        )
    })?;
    let connection_id = event.request_context.connection_id()?.clone();
    let endpoint = deps.push.endpoint().to_owned();
    let mut connection = Connection::new(connection_id, identity, endpoint, now);
    connection.modern = offers_ours(event);
    let counted_by = deadline.earlier_by(HANDSHAKE_RESERVE);
    let recording = record(&connection, now, deadline, deps);
    deps.rate_limiter
        .limit(
            &deps.store,
            connection.user_id.as_str(),
            1,
            counted_by,
            recording,
        )
        .await
}

async fn record(
    connection: &Connection,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<()> {
    deps.store
        .insert_connection(connection.clone(), deadline)
        .await?;
    let deadline = deadline.earlier_by(HANDSHAKE_RESERVE);
    eviction::evict(connection, now, deadline, deps).await;
    Ok(())
}

/// Returns whether the client speaks our subprotocol: then it is modern, and ignores frames and fields that it
/// does not know. A client that offers any subprotocol insists on one in the response; a client that offers
/// none must not get one.
fn offers_ours(event: &WebSocketEvent) -> bool {
    let values = event.header_values(SUBPROTOCOL_HEADER);
    subprotocols(values).any(|offered| offered == SUBPROTOCOL)
}

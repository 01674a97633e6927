//! `sendMessage`, `ping` and `$default`: stores a message and delivers it.
//!
//! - [`identity`]: the user of a socket
//! - [`send`]: one message, from a valid frame to its ack
//!
//! `sendMessage` and `ping` are two-way routes: the answer is the body of the reply. `$default` is
//! one-way and takes the frames of old clients: a good one is answered with silence, a bad one with
//! an error frame through `@connections`.

pub mod identity;
pub mod send;

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::apigw::{ApiGatewayProxyResponse, ApiGatewayWebsocketProxyRequest};
use aws_lambda_events::encodings::Body;
use chat::config::{DatabaseConfig, PushConfig};
use chat::frame::{ClientFrame, ServerFrame};
use chat::{ConnectionId, Deadline, Error, Push, Rejection, Result, Store, time};
use chrono::Utc;
use lambda_runtime::LambdaEvent;
use tracing::Instrument;
use tracing::field::Empty;

use identity::Identities;

/// Time kept back on `$default`, where an error leaves by a push: a send that has run out of time
/// must not end in silence, which means success there.
const ERROR_FRAME_RESERVE: Duration = Duration::from_secs(1);

/// Settings from environment variables.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: DatabaseConfig,
    /// The management API.
    pub push: PushConfig,
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
        })
    }
}

/// What the handler works with.
pub struct Deps {
    /// The database.
    pub store: Store,
    /// The management API.
    pub push: Push,
    /// Users of sockets seen before.
    pub identities: Identities,
}

/// A frame, as API Gateway hands it over.
#[derive(Debug)]
pub struct Request {
    connection_id: ConnectionId,
    /// Whether the answer is the body of the reply.
    two_way: bool,
    body: String,
}

impl TryFrom<ApiGatewayWebsocketProxyRequest> for Request {
    type Error = Error;

    fn try_from(event: ApiGatewayWebsocketProxyRequest) -> Result<Self> {
        const READING: &str = "reading of the event";
        let context = event.request_context;
        Ok(Self {
            connection_id: context
                .connection_id
                .ok_or_else(|| Error::unavailable(READING)("it has no connection id"))?
                .into(),
            two_way: context.route_key.as_deref() != Some("$default"),
            body: event.body.unwrap_or_default(),
        })
    }
}

/// Answers one frame.
///
/// # Errors
///
/// [`Error::Unavailable`]: the event is not one of a WebSocket route. Every other failure is an
/// error frame.
pub async fn handle(
    event: LambdaEvent<ApiGatewayWebsocketProxyRequest>,
    deps: Arc<Deps>,
) -> Result<ApiGatewayProxyResponse> {
    let deadline = Deadline::of(&event.context);
    let request = Request::try_from(event.payload)?;
    let span = tracing::info_span!(
        "frame",
        connection_id = request.connection_id.as_str(),
        conversation_id = Empty,
    );
    Ok(respond(request, deadline, deps).instrument(span).await)
}

async fn respond(request: Request, deadline: Deadline, deps: Arc<Deps>) -> ApiGatewayProxyResponse {
    let work_deadline = match request.two_way {
        true => deadline,
        false => deadline.sooner(ERROR_FRAME_RESERVE),
    };
    let answer = answer(&request, work_deadline, Arc::clone(&deps)).await;
    if request.two_way {
        return reply(Some(answer.to_json()));
    }
    if let ServerFrame::Error(_) = answer {
        let sent = deps
            .push
            .reply(&request.connection_id, &answer.to_json(), deadline)
            .await;
        if let Err(error) = sent {
            tracing::warn!(cause = error.chain(), "error frame not delivered");
        }
    }
    reply(None)
}

async fn answer(request: &Request, deadline: Deadline, deps: Arc<Deps>) -> ServerFrame {
    let now = Utc::now();
    let frame = match ClientFrame::parse(&request.body) {
        Ok(ClientFrame::Ping) => {
            return ServerFrame::Pong {
                timestamp: time::format(now),
            };
        }
        Ok(ClientFrame::Send(frame)) => frame,
        Err(bad) => {
            refused(&bad.rejection);
            return ServerFrame::from(bad);
        }
    };
    let connection_id = request.connection_id.clone();
    let client_message_id = frame.client_message_id.clone();
    let sent = deadline
        .bound("send", async move {
            send::send(frame, connection_id, now, deadline, deps).await
        })
        .await;
    match sent {
        Ok(ack) => ServerFrame::Ack(ack),
        Err(error) => {
            match &error {
                Error::Rejected(rejection) => refused(rejection),
                _ => tracing::error!(
                    cause = error.chain(),
                    monotonic_counter.Failures = 1,
                    "send failed"
                ),
            }
            ServerFrame::error(error, client_message_id)
        }
    }
}

fn refused(rejection: &Rejection) {
    tracing::info!(
        code = ?rejection.code,
        monotonic_counter.Refusals = 1,
        "frame refused"
    );
}

/// API Gateway discards the body of a one-way route, but other emulators send it: leave it out.
fn reply(body: Option<String>) -> ApiGatewayProxyResponse {
    let mut response = ApiGatewayProxyResponse::default();
    response.status_code = 200;
    response.body = body.map(Body::Text);
    response
}

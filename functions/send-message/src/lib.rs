//! Every frame of a client: stores an entry and delivers it, or tells others of marks and typing.
//!
//! - [`send`]: one message, from a valid frame to its ack
//! - [`deliver`]: the delivery of a stored entry, within the request or by a queue
//! - [`change`]: the edit or the deletion of one
//! - [`group`]: what begins or changes a group
//! - [`mark`]: how far a user has a conversation
//! - [`typing`]: the news that a user writes a message
//! - [`refusals`]: the limit of refused frames of a connection
//!
//! The sender of a frame is the user whom the authorizer verified when the connection opened: API
//! Gateway puts it into each event.
//!
//! Most are two-way routes: the reply is the body of the response. `mark`, `typing` and `$default`, which takes
//! the frames of old clients, are one-way: a good frame gets no reply, a bad one an error frame through
//! `@connections`.

pub mod change;
pub mod deliver;
pub mod group;
pub mod mark;
pub mod refusals;
pub mod send;
pub mod typing;

use std::time::Duration;

use chat::protocol::{ClientFrame, ErrorFrame, ParsedFrame, ServerFrame};
use chat::store::{DEFAULT_GROUP_SIZE, RateLimit};
use chat::{
    Code, ConnectionId, Deadline, Delivery, Error, Identity, Rejection, Result, Store, UserId,
    timestamp,
};
use chat_lambda::config::{Auth, DatabaseConfig, PushConfig};
use chat_lambda::event::{WebSocketEvent, WebSocketResponse};
use chat_lambda::offline::OfflineTopic;
use chat_lambda::queue::Queue;
use chat_lambda::rate_limiter::{self, RateLimiter};
use chat_lambda::{HandlerError, deadline, env};
use chrono::{DateTime, Utc};
use lambda_runtime::LambdaEvent;
use tracing::Instrument;
use tracing::field::Empty;

use change::Windows;
use refusals::Refusals;
use typing::Typing;

/// Time kept back on `$default`, where no reply means success: a timed-out send still needs time to
/// push an error frame.
const ERROR_FRAME_RESERVE: Duration = Duration::from_secs(1);

/// Settings from environment variables.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: DatabaseConfig,
    /// The management API.
    pub push: PushConfig,
    /// `DELIVERY_QUEUE_URL`: the queue of pushes to large groups. Not set: they are made within the request.
    pub queue: Option<Queue>,
    /// `OFFLINE_TOPIC_ARN`, `OFFLINE_TOPIC_TEXTS`: the topic for texts that no connection has got, if there is one.
    pub offline: Option<OfflineTopic>,
    /// `AUTH`: whether senders have to have a token.
    pub auth: Auth,
    /// `MESSAGE_RATE`, `MESSAGE_BURST`: the rate limit of a user.
    pub rate: RateLimit,
    /// `MARK_RATE`, `MARK_BURST`: the same for marks.
    pub mark_rate: RateLimit,
    /// `GROUP_RATE`, `GROUP_BURST`: the same for the entries of a group.
    pub group_rate: RateLimit,
    /// `GROUP_SIZE`: the members that a group may have.
    pub group_size: usize,
    /// `EDIT_WINDOW`, `DELETE_WINDOW`: the time in which a message can be changed.
    pub windows: Windows,
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
            queue: Queue::from_env("DELIVERY_QUEUE_URL")?,
            offline: OfflineTopic::from_env()?,
            auth: Auth::from_env()?,
            rate: rate_limiter::limit_from_env(("MESSAGE_RATE", 5.0), ("MESSAGE_BURST", 20))?,
            mark_rate: rate_limiter::limit_from_env(("MARK_RATE", 5.0), ("MARK_BURST", 100))?,
            group_rate: rate_limiter::limit_from_env(("GROUP_RATE", 10.0), ("GROUP_BURST", 20))?,
            group_size: env::number("GROUP_SIZE", DEFAULT_GROUP_SIZE)?,
            windows: Windows::from_env()?,
        })
    }
}

/// The dependencies of the handler.
pub struct Deps {
    /// The database.
    pub store: Store,
    /// The delivery of frames.
    pub delivery: Delivery,
    /// The queue of pushes to large groups, if there is one.
    pub queue: Option<Queue>,
    /// The topic for texts that no connection has got, if there is one.
    pub offline: Option<OfflineTopic>,
    /// Whether senders have to have a token.
    pub auth: Auth,
    /// The rate limit of users.
    pub rate_limiter: RateLimiter,
    /// The limit of their marks.
    pub mark_limiter: RateLimiter,
    /// The rate limit of groups.
    pub group_limiter: RateLimiter,
    /// The time in which a message can be changed.
    pub windows: Windows,
    /// The limit of refused frames.
    pub refusals: Refusals,
    /// The typing users that were passed on.
    pub typing: Typing,
}

/// A frame, as API Gateway hands it over.
#[derive(Debug)]
pub struct Request {
    connection_id: ConnectionId,
    /// The user of the connection; `None` for one that is older than the authorizer.
    identity: Option<Identity>,
    /// Whether the reply is the body of the response.
    two_way: bool,
    body: String,
}

impl TryFrom<WebSocketEvent> for Request {
    type Error = Error;

    fn try_from(event: WebSocketEvent) -> Result<Self> {
        let context = event.request_context;
        Ok(Self {
            connection_id: context.connection_id()?.clone(),
            identity: context.identity(),
            two_way: is_two_way(context.route_key.as_deref().unwrap_or_default()),
            body: event.body.unwrap_or_default(),
        })
    }
}

/// Returns whether the body of the response of a route is its reply.
fn is_two_way(route_key: &str) -> bool {
    !["$default", "mark", "typing"].contains(&route_key)
}

/// Handles one frame.
///
/// # Errors
///
/// [`Error::Unavailable`]: the event is not one of a WebSocket route. Every other failure is an
/// error frame.
pub async fn handle(
    event: LambdaEvent<WebSocketEvent>,
    deps: &'static Deps,
) -> Result<WebSocketResponse, HandlerError> {
    let deadline = deadline::from(&event.context);
    let request = Request::try_from(event.payload)?;
    let span = tracing::info_span!(
        "frame",
        connection_id = request.connection_id.as_str(),
        conversation_id = Empty,
    );
    Ok(reply(request, deadline, deps).instrument(span).await)
}

/// Processes a frame and sends the reply: as the response of a two-way route, else by a push. Closes
/// the connection if the user's token has expired, or too many of its frames were refused.
async fn reply(request: Request, deadline: Deadline, deps: &Deps) -> WebSocketResponse {
    let work_deadline = if request.two_way {
        deadline
    } else {
        deadline.earlier_by(ERROR_FRAME_RESERVE)
    };
    let Some(reply) = process(&request, work_deadline, deps).await else {
        return response(None);
    };
    let closes = closes(&reply, &request.connection_id, deps);
    if request.two_way && !closes {
        return response(Some(reply.to_json()));
    }
    let (delivery, connection_id) = (&deps.delivery, &request.connection_id);
    if let ServerFrame::Error(_) = reply {
        let frame = reply.to_json().into();
        if let Err(error) = delivery.reply(connection_id, frame, deadline).await {
            tracing::warn!(cause = error.chain(), "error frame not delivered");
        }
    }
    if closes {
        match delivery.close(connection_id, deadline).await {
            Ok(()) => tracing::info!(monotonic_counter.SocketsClosed = 1, "connection closed"),
            Err(error) => tracing::warn!(cause = error.chain(), "connection not closed"),
        }
    }
    response(None)
}

/// Returns whether the connection is to be closed after this reply.
fn closes(reply: &ServerFrame, connection_id: &ConnectionId, deps: &Deps) -> bool {
    match reply {
        ServerFrame::Error(ErrorFrame { code, .. }) => match code {
            Code::TokenExpired => true,
            // Our fault, not the client's.
            Code::Unavailable => false,
            _ => deps.refusals.are_too_many(connection_id, Utc::now()),
        },
        _ => false,
    }
}

/// Returns the reply to a frame, if it has one. Logs a failure, whatever it is.
async fn process(request: &Request, deadline: Deadline, deps: &Deps) -> Option<ServerFrame> {
    let parsed = ParsedFrame::parse(&request.body);
    let client_message_id = parsed.client_message_id.clone();
    dispatch(parsed, request, deadline, deps)
        .await
        .unwrap_or_else(|error| {
            log_failure(&error);
            Some(ServerFrame::error(error, client_message_id))
        })
}

fn log_failure(error: &Error) {
    match error {
        Error::Rejected(rejection) => tracing::info!(
            code = ?rejection.code,
            monotonic_counter.Refusals = 1,
            monotonic_counter.RateLimited = u64::from(rejection.code == Code::RateLimited),
            "frame refused"
        ),
        _ => tracing::error!(
            cause = error.chain(),
            monotonic_counter.Failures = 1,
            "send failed"
        ),
    }
}

/// Verifies the sender, then runs the action of the frame.
async fn dispatch(
    parsed: ParsedFrame,
    request: &Request,
    deadline: Deadline,
    deps: &Deps,
) -> Result<Option<ServerFrame>> {
    let now = Utc::now();
    let sender_id = sender(request.identity.clone(), deps.auth, now)?;
    match parsed.frame? {
        ClientFrame::Ping => Ok(Some(ServerFrame::Pong {
            timestamp: timestamp::format(now),
        })),
        ClientFrame::Typing(target) => {
            let origin = &request.connection_id;
            typing::pass_on(target, sender_id, origin, now, deadline, deps).await?;
            Ok(None)
        }
        ClientFrame::Mark(frame) => {
            let origin = &request.connection_id;
            mark::mark(frame, sender_id, origin, now, deadline, deps).await?;
            Ok(None)
        }
        ClientFrame::Send(frame) => {
            let draft = send::draft(frame, sender_id, parsed.client_message_id)?;
            let origin = &request.connection_id;
            let ack = send::send(draft, origin, now, deadline, deps).await?;
            Ok(Some(ServerFrame::Ack(ack)))
        }
        ClientFrame::Group(frame) => {
            let draft = group::draft(frame, sender_id, parsed.client_message_id)?;
            let origin = &request.connection_id;
            let ack = send::send(draft, origin, now, deadline, deps).await?;
            Ok(Some(ServerFrame::Ack(ack)))
        }
        ClientFrame::Change(frame) => {
            let draft = change::draft(frame, sender_id, parsed.client_message_id)?;
            let origin = &request.connection_id;
            let ack = change::change(draft, origin, now, deadline, deps).await?;
            Ok(Some(ServerFrame::Ack(ack)))
        }
    }
}

/// Returns the user of the connection, whose token must not have expired. An identity without
/// `expires_at` has no token behind it: its connection is from before authorization was turned on.
fn sender(identity: Option<Identity>, auth: Auth, now: DateTime<Utc>) -> Result<UserId, Rejection> {
    let is_verified = |identity: &Identity| auth == Auth::Open || identity.expires_at.is_some();
    let identity = identity.filter(is_verified).ok_or_else(|| {
        Rejection::new(
            Code::NotConnected,
            "This connection has no user. Please connect again.",
        )
    })?;
    if identity.has_expired(now) {
        return Err(Rejection::new(
            Code::TokenExpired,
            "Your sign-in has expired. Please sign in and connect again.",
        ));
    }
    Ok(identity.user_id)
}

/// API Gateway discards the body of a one-way route, but other emulators send it: leave it out.
fn response(body: Option<String>) -> WebSocketResponse {
    WebSocketResponse {
        body,
        ..WebSocketResponse::new(200)
    }
}

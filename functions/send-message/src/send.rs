//! One message, from a valid frame to its ack.

use std::time::{Duration, Instant};

use chat::delivery::push::Deliveries;
use chat::protocol::{Ack, SendFrame, ServerFrame, Status};
use chat::{ClientMessageId, Code, ConnectionId, Deadline, Draft, Rejection, Result, UserId};
use chrono::{DateTime, Utc};
use tracing::Span;

use crate::Deps;

/// Time kept back from the delivery and the rate limit: a message whose pushes hang is stored all the
/// same, and its ack must leave in time.
const ACK_RESERVE: Duration = Duration::from_millis(500);

/// Returns the message of a frame that came from `sender_id`.
///
/// # Errors
///
/// [`Code::SenderMismatch`]: the frame names another sender.
pub fn draft(
    frame: SendFrame,
    sender_id: UserId,
    client_message_id: Option<ClientMessageId>,
) -> Result<Draft, Rejection> {
    if frame.sender_id.is_some_and(|claimed| claimed != sender_id) {
        return Err(Rejection::new(
            Code::SenderMismatch,
            "`sender_id` is not the user of this connection.",
        ));
    }
    let draft = Draft::new(
        sender_id,
        frame.receiver_id,
        frame.message,
        client_message_id,
    );
    Ok(Draft {
        after: frame.after,
        ..draft
    })
}

/// Stores a message that came on the connection `origin`, then delivers it to the receiver's
/// connections and the sender's other ones, within the user's rate limit. No failure of a delivery fails the
/// send.
///
/// # Errors
///
/// - [`Code::RateLimited`], [`Code::IdConflict`]: nothing is stored.
/// - [`Error::Unavailable`](chat::Error::Unavailable): the message may or may not be stored.
pub async fn send(
    draft: Draft,
    origin: &ConnectionId,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<Ack> {
    Span::current().record("conversation_id", draft.conversation_id.as_str());
    // Boxed: the type of its future is deep, and would be part of every caller's.
    let sending = Box::pin(store_and_deliver(&draft, origin, now, deadline, deps));
    let counted_by = deadline.earlier_by(ACK_RESERVE);
    deps.rate_limiter
        .limit(&deps.store, &draft.sender_id, 1, counted_by, sending)
        .await
}

async fn store_and_deliver(
    draft: &Draft,
    origin: &ConnectionId,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<Ack> {
    let start = Instant::now();
    let appended = deps.store.append(draft, now, deadline).await?;
    let message = appended.message;
    // A resend is pushed again: the first attempt may have ended between the insert and the push.
    let frame = ServerFrame::Message(message.clone()).to_json().into();
    // A message to oneself goes to every connection, as in the old system.
    let except = (draft.sender_id != draft.receiver_id).then_some(origin);
    let deadline = deadline.earlier_by(ACK_RESERVE);
    let members = draft.members();
    let (deliveries, (), recorded) = tokio::join!(
        deps.delivery
            .deliver(&members, frame, except, now, deadline),
        deps.store.record_reached(&message, deadline),
        deps.store.record_members(&message, now, deadline),
    );
    // Else the message might be in nobody's list: the sender gets `unavailable`, and the resend records it.
    recorded?;
    tracing::info!(
        seq = message.seq,
        duration_ms = start.elapsed().as_millis() as u64,
        monotonic_counter.Sends = u64::from(!appended.duplicate),
        monotonic_counter.Duplicates = u64::from(appended.duplicate),
        monotonic_counter.NumberConflicts = appended.conflicts,
        monotonic_counter.PushesDelivered = deliveries.delivered.len(),
        monotonic_counter.PushesGone = deliveries.gone.len(),
        monotonic_counter.PushesFailed = deliveries.failed,
        "message stored"
    );
    Ok(Ack {
        client_message_id: message.client_message_id,
        message_id: message.message_id,
        conversation_id: message.conversation_id,
        seq: message.seq,
        timestamp: message.timestamp,
        status: status(&deliveries, &draft.receiver_id),
        duplicate: appended.duplicate,
    })
}

fn status(deliveries: &Deliveries, receiver_id: &UserId) -> Status {
    let mut delivered = deliveries.delivered.iter();
    if delivered.any(|connection| connection.user_id == *receiver_id) {
        Status::Delivered
    } else {
        Status::Stored
    }
}

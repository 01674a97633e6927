//! One message, from a valid frame to its ack.

use std::time::Duration;

use chat::delivery::Audience;
use chat::delivery::push::Deliveries;
use chat::protocol::{Ack, SendFrame, ServerFrame, Status};
use chat::store::Appended;
use chat::{
    ClientMessageId, Code, ConnectionId, Content, ConversationId, Deadline, Draft, Rejection,
    Result, UserId,
};
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
/// [`Code::SenderMismatch`]: the frame names another sender. [`Code::Forbidden`]: the conversation is not the user's.
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
    let recipient = frame.target.recipient(&sender_id)?;
    let content = Content::Text(frame.message);
    Ok(Draft {
        client_message_id,
        after: frame.after,
        ..Draft::new(sender_id, recipient, content)
    })
}

/// Stores an entry that came on the connection `origin`, then delivers it to the others' connections and the
/// sender's other ones, within the user's rate limit. No failure of a delivery fails the send.
///
/// # Errors
///
/// - [`Code::RateLimited`], and those of [`Store::append`](chat::Store::append): nothing is stored.
/// - [`Error::Unavailable`](chat::Error::Unavailable): the message may or may not be stored.
pub async fn send(
    draft: Draft,
    origin: &ConnectionId,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<Ack> {
    let sending = async {
        let appended = deps.store.append(&draft, now, deadline).await?;
        deliver(&draft, appended, origin, now, deadline, deps).await
    };
    limited(
        &draft.sender_id,
        &draft.conversation_id,
        deadline,
        deps,
        sending,
    )
    .await
}

/// Runs what stores and delivers an entry, within the rate limit of its sender.
///
/// # Errors
///
/// [`Code::RateLimited`], and those of `sending`.
pub async fn limited(
    sender_id: &UserId,
    conversation_id: &ConversationId,
    deadline: Deadline,
    deps: &Deps,
    sending: impl Future<Output = Result<Ack>>,
) -> Result<Ack> {
    Span::current().record("conversation_id", conversation_id.as_str());
    // Boxed: the type of its future is deep, and would be part of every caller's.
    let sending = Box::pin(sending);
    let counted_by = deadline.earlier_by(ACK_RESERVE);
    deps.rate_limiter
        .limit(&deps.store, sender_id, 1, counted_by, sending)
        .await
}

/// Delivers a stored entry, and returns its ack. Old clients get texts of direct conversations only.
///
/// # Errors
///
/// [`Error::Unavailable`](chat::Error::Unavailable): the conversation may be missing in the lists of its users.
pub async fn deliver(
    draft: &Draft,
    appended: Appended,
    origin: &ConnectionId,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<Ack> {
    let entry = appended.entry;
    let audience = if entry.is_visible_text() && entry.receiver_id.is_some() {
        Audience::All
    } else {
        Audience::Modern
    };
    // A resend is pushed again: the first attempt may have ended between the insert and the push.
    let frame = ServerFrame::entry(entry.clone()).to_json().into();
    // A message to oneself goes to every connection, as in the old system.
    let is_own = draft.receiver_id.as_ref() == Some(&draft.sender_id);
    let except = (!is_own).then_some(origin);
    let deadline = deadline.earlier_by(ACK_RESERVE);
    let (deliveries, (), recorded) = tokio::join!(
        deps.delivery
            .deliver(&appended.recipients, audience, frame, except, now, deadline),
        deps.store.record_reached(&entry, deadline),
        deps.store.record_members(&entry, now, deadline),
    );
    // Else the message might be in nobody's list: the sender gets `unavailable`, and the resend records it.
    recorded?;
    tracing::info!(
        kind = ?entry.kind,
        seq = entry.seq,
        duration_ms = (Utc::now() - now).num_milliseconds(),
        monotonic_counter.Sends = u64::from(!appended.duplicate),
        monotonic_counter.Duplicates = u64::from(appended.duplicate),
        monotonic_counter.NumberConflicts = appended.conflicts,
        monotonic_counter.PushesDelivered = deliveries.delivered.len(),
        monotonic_counter.PushesGone = deliveries.gone.len(),
        monotonic_counter.PushesFailed = deliveries.failed,
        "message stored"
    );
    Ok(Ack {
        client_message_id: entry.client_message_id,
        message_id: entry.message_id,
        conversation_id: entry.conversation_id,
        seq: entry.seq,
        timestamp: entry.timestamp,
        status: status(&deliveries, |user| is_own || *user != draft.sender_id),
        duplicate: appended.duplicate,
    })
}

fn status(deliveries: &Deliveries, is_receiver: impl Fn(&UserId) -> bool) -> Status {
    let mut delivered = deliveries.delivered.iter();
    if delivered.any(|connection| is_receiver(&connection.user_id)) {
        Status::Delivered
    } else {
        Status::Stored
    }
}

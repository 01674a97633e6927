//! The delivery of a stored entry, up to its ack.
//!
//! Up to a hundred connections get the entry within the request. A Lambda is frozen after its response,
//! so the sender waits for these pushes. An entry of a group that is for more connections goes to a
//! queue, whose consumer is the function `deliver`, and the sender waits for the queue alone.
//!
//! The connections of more than so many members are not counted: most members of a group that is in use have one,
//! and to read them all would hold the ack for nothing. Those of fewer members are read as ever, and this read counts
//! them. So no entry takes an operation more than before, and one for many members takes one less.

use chat::delivery::push::Deliveries;
use chat::delivery::slice::Slice;
use chat::delivery::{Audience, Recipients};
use chat::protocol::{Ack, ServerFrame, Status};
use chat::store::Appended;
use chat::{ConnectionId, Deadline, Draft, Entry, Result, UserId};
use chat_lambda::queue::Queue;
use chrono::{DateTime, Utc};

use crate::Deps;
use crate::send::ACK_RESERVE;

/// The connections that get an entry within the request: 75 ms if a push takes 15 and 32 are on their way at once.
const MAX_CONNECTIONS: usize = 100;

/// Delivers a stored entry, and returns its ack.
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
    let mut users = appended.recipients;
    let deadline = deadline.earlier_by(ACK_RESERVE);
    if appended.duplicate && draft.receiver_id.is_some() {
        // The first attempt may have come while a block was in force that has ended.
        users = deps.store.not_withheld(&entry, users, deadline).await?;
    }
    // A message to oneself goes to every connection, as in the old system.
    let is_own = draft.receiver_id.as_ref() == Some(&draft.sender_id);
    let to = Recipients {
        users: &users,
        audience: Audience::of(&entry),
        except: (!is_own).then_some(origin),
        sender: draft.receiver_id.as_ref().map(|_| &draft.sender_id),
    };
    // A resend is pushed again: the first attempt may have ended between the insert and the push.
    let (pushed, (), recorded) = tokio::join!(
        push(&entry, to, now, deadline, deps),
        deps.store.record_reached(&entry, deadline),
        deps.store.record_members(&entry, now, deadline),
    );
    // Else the message might be in nobody's list: the sender gets `unavailable`, and the resend records it.
    recorded?;
    if !appended.duplicate
        && let (Some(topic), Some(deliveries)) = (&deps.offline, &pushed)
    {
        let announcing = topic.announce(&deps.store, &entry, &users, deliveries, deadline);
        announcing.await;
    }
    let deliveries = pushed.unwrap_or_default();
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

/// Pushes an entry, or queues it if it is for too many connections. Returns the outcome of its pushes; `None` if they
/// are queued.
async fn push(
    entry: &Entry,
    to: Recipients<'_>,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Option<Deliveries> {
    // A user has few connections, so only a group can be too large.
    let queue = deps
        .queue
        .as_ref()
        .filter(|_| entry.conversation_id.is_group());
    let limit = queue.map(|_| MAX_CONNECTIONS);
    if limit.is_none_or(|limit| to.users.len() <= limit) {
        let frame = ServerFrame::entry(entry.clone()).to_json().into();
        let delivered = deps.delivery.deliver(to, frame, limit, now, deadline);
        if let Some(deliveries) = delivered.await {
            return Some(deliveries);
        }
    }
    if let Some(queue) = queue {
        enqueue(entry, to, queue, deadline).await;
    }
    None
}

/// Sends an entry to the queue, in slices of its recipients. A failure is logged: the log is the truth, and clients
/// find the entry there.
async fn enqueue(entry: &Entry, to: Recipients<'_>, queue: &Queue, deadline: Deadline) {
    let slices = Slice::all(entry, to.users, to.except);
    let messages: Vec<String> = slices.map(|slice| slice.to_json()).collect();
    let count = messages.len();
    match queue.send(messages, deadline).await {
        Ok(()) => tracing::info!(monotonic_counter.SlicesQueued = count, "pushes queued"),
        Err(error) => tracing::error!(
            cause = error.chain(),
            monotonic_counter.PushesFailed = to.users.len(),
            "pushes not queued"
        ),
    }
}

fn status(deliveries: &Deliveries, is_receiver: impl Fn(&UserId) -> bool) -> Status {
    let mut delivered = deliveries.delivered.iter();
    if delivered.any(|connection| is_receiver(&connection.user_id)) {
        Status::Delivered
    } else {
        Status::Stored
    }
}

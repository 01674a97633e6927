//! One message, from a valid frame to its ack.

use std::time::Instant;

use chat::frame::{Ack, SendFrame, ServerFrame, Status};
use chat::push::Deliveries;
use chat::{Code, ConnectionId, Deadline, Draft, Message, Rejection, Result, UserId};
use chrono::{DateTime, Utc};

use crate::Deps;

/// Stores the message of `frame`, then delivers it to the receiver's sockets and the sender's other
/// ones. No failure of a delivery fails the send: the log is the truth, and a push only saves the
/// client from asking.
///
/// # Errors
///
/// - [`Code::SenderMismatch`], [`Code::NotConnected`]: nothing is stored.
/// - [`Error::Unavailable`](chat::Error::Unavailable): the message may or may not be stored.
pub async fn send(
    frame: SendFrame,
    connection_id: &ConnectionId,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<Ack> {
    let start = Instant::now();
    let user_id = deps
        .identities
        .user_of(connection_id, now, &deps.store)
        .await?;
    let draft = draft(frame, user_id)?;
    let appended = deps.store.append(&draft, now, deadline).await?;
    let message = appended.message;
    // A resend is pushed again: the first try may have ended between the insert and the push.
    let deliveries = deliver(message.clone(), &draft, connection_id, now, deadline, deps).await;
    let status = status(&deliveries, &draft.receiver_id);
    tracing::info!(
        connection_id = connection_id.as_str(),
        conversation_id = message.conversation_id.as_str(),
        seq = message.seq,
        duplicate = appended.duplicate,
        delivered = deliveries.delivered.len(),
        gone = deliveries.gone.len(),
        failed = deliveries.failed,
        duration_ms = start.elapsed().as_millis() as u64,
        "message stored"
    );
    Ok(Ack {
        client_message_id: message.client_message_id,
        message_id: message.message_id,
        conversation_id: message.conversation_id,
        seq: message.seq,
        timestamp: message.timestamp,
        status,
        duplicate: appended.duplicate,
    })
}

fn draft(frame: SendFrame, sender_id: UserId) -> Result<Draft, Rejection> {
    if frame.sender_id.is_some_and(|claimed| claimed != sender_id) {
        return Err(Rejection::new(
            Code::SenderMismatch,
            "`sender_id` is not the user of this connection.",
        ));
    }
    Ok(Draft {
        sender_id,
        receiver_id: frame.receiver_id,
        message: frame.message,
        client_message_id: frame.client_message_id,
    })
}

/// Sockets are looked up after the insert: a receiver who connects later finds the message in the
/// history, one who has connected before is found here.
async fn deliver(
    message: Message,
    draft: &Draft,
    origin: &ConnectionId,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Deliveries {
    let users = [&draft.receiver_id, &draft.sender_id];
    let mut sockets = match deps.store.sockets_of(users, now).await {
        Ok(sockets) => sockets,
        Err(error) => {
            tracing::error!(cause = error.chain(), "message stored but not delivered");
            return Deliveries::default();
        }
    };
    // Who writes to themselves gets the message on every socket, as in the old system.
    if draft.receiver_id != draft.sender_id {
        sockets.retain(|socket| socket.connection_id != *origin);
    }
    let frame = ServerFrame::Message(message).to_json();
    let deliveries = deps.push.fan_out(sockets, &frame, now, deadline).await;
    if !deliveries.gone.is_empty()
        && let Err(error) = deps.store.disconnect(&deliveries.gone).await
    {
        tracing::warn!(cause = error.chain(), "rows of gone sockets stay for now");
    }
    deliveries
}

fn status(deliveries: &Deliveries, receiver_id: &UserId) -> Status {
    let taken = &deliveries.delivered;
    if taken.iter().any(|socket| socket.user_id == *receiver_id) {
        Status::Delivered
    } else {
        Status::Stored
    }
}

//! One message, from a valid frame to its ack.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chat::protocol::{Ack, SendFrame, ServerFrame, Status};
use chat::push::Deliveries;
use chat::{
    ClientMessageId, Code, Connection, ConnectionId, Deadline, Draft, Rejection, Result, UserId,
};
use chrono::{DateTime, Utc};
use tracing::Span;

use crate::{Deps, limits};

/// Time kept back from the delivery and the counting: a message whose pushes hang is stored all the
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
    Ok(Draft::new(
        sender_id,
        frame.receiver_id,
        frame.message,
        client_message_id,
    ))
}

/// Stores the message of `draft`, which came on the connection `origin`, then delivers it
/// to the receiver's sockets and the sender's other ones, and counts it for
/// the user's limit beside that. No failure of a
/// delivery fails the send: the log is the truth, and a push only saves the client from asking.
///
/// # Errors
///
/// - [`Code::RateLimited`]: nothing is stored.
/// - [`Error::Unavailable`](chat::Error::Unavailable): the message may or may not be stored.
pub async fn send(
    draft: Draft,
    origin: ConnectionId,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: Arc<Deps>,
) -> Result<Ack> {
    Span::current().record("conversation_id", draft.conversation_id.as_str());
    let messages = deps.limits.admit(&draft.sender_id, now)?;
    let counting = limits::debit(
        draft.sender_id.clone(),
        messages,
        deadline.sooner(ACK_RESERVE),
        Arc::clone(&deps),
    );
    let sending = store_and_deliver(draft, origin, now, deadline, deps);
    let (ack, ()) = tokio::join!(sending, counting);
    ack
}

async fn store_and_deliver(
    draft: Draft,
    origin: ConnectionId,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: Arc<Deps>,
) -> Result<Ack> {
    let start = Instant::now();
    let appended = deps.store.append(&draft, now, deadline).await?;
    let message = appended.message;
    let receiver_id = draft.receiver_id.clone();
    // A resend is pushed again: the first try may have ended between the insert and the push.
    let delivery = Delivery {
        users: [draft.receiver_id, draft.sender_id],
        frame: ServerFrame::Message(message.clone()).to_json().into(),
        origin,
        now,
        deadline: deadline.sooner(ACK_RESERVE),
        deps,
    };
    let deliveries = Arc::new(delivery).run().await;
    let status = status(&deliveries, &receiver_id);
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
        status,
        duplicate: appended.duplicate,
    })
}

/// A stored message on its way to its sockets.
struct Delivery {
    /// The receiver and the sender.
    users: [UserId; 2],
    frame: Bytes,
    origin: ConnectionId,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: Arc<Deps>,
}

impl Delivery {
    /// Delivers, within the deadline; what has not been delivered by then waits in the history. Goes
    /// to the sockets that this process knows at once, and to the others when the database has named
    /// them.
    async fn run(self: Arc<Self>) -> Deliveries {
        let known = self.addressed(self.deps.sockets.of(self.users(), self.now));
        let to_others = Arc::clone(&self).deliver_to_others(known.clone());
        // Pushes end by themselves when the time is over, a look-up does not.
        let (mut deliveries, others) =
            tokio::join!(self.push(known), self.deadline.bound("delivery", to_others),);
        match others {
            Ok(others) => deliveries.extend(others),
            Err(error) => tracing::error!(
                cause = error.chain(),
                monotonic_counter.PushesFailed = 1,
                "message stored but not delivered to all"
            ),
        }
        if !deliveries.gone.is_empty() {
            self.forget(deliveries.gone.clone()).await;
        }
        deliveries
    }

    /// Sockets are looked up after the insert: a receiver who connects later finds the message in
    /// the history, one who has connected before is found here.
    async fn deliver_to_others(self: Arc<Self>, known: Vec<Connection>) -> Result<Deliveries> {
        let sockets = self.deps.store.sockets_of(self.users(), self.now).await?;
        self.deps.sockets.remember(self.users(), &sockets);
        let mut others = self.addressed(sockets);
        others.retain(|socket| !known.iter().any(|known| known.is_same(socket)));
        Ok(self.push(others).await)
    }

    async fn push(&self, sockets: Vec<Connection>) -> Deliveries {
        let push = &self.deps.push;
        push.fan_out(sockets, self.frame.clone(), self.now, self.deadline)
            .await
    }

    async fn forget(&self, gone: Vec<Connection>) {
        self.deps.sockets.forget(&gone);
        let deps = Arc::clone(&self.deps);
        let forget = async move { deps.store.forget(&gone).await };
        if let Err(error) = self.deadline.bound("forget", forget).await {
            tracing::warn!(cause = error.chain(), "rows of gone sockets stay for now");
        }
    }

    fn users(&self) -> [&UserId; 2] {
        self.users.each_ref()
    }

    /// Those that the message is for: who writes to themselves gets it on every socket, as in the
    /// old system.
    fn addressed(&self, mut sockets: Vec<Connection>) -> Vec<Connection> {
        let [receiver_id, sender_id] = &self.users;
        if receiver_id != sender_id {
            sockets.retain(|socket| socket.connection_id != self.origin);
        }
        sockets
    }
}

fn status(deliveries: &Deliveries, receiver_id: &UserId) -> Status {
    let taken = &deliveries.delivered;
    if taken.iter().any(|socket| socket.user_id == *receiver_id) {
        Status::Delivered
    } else {
        Status::Stored
    }
}

//! One message, from a valid frame to its ack.

use std::time::Duration;

use chat::protocol::{Ack, SendFrame};
use chat::store::Appended;
use chat::{
    ClientMessageId, Code, ConnectionId, Content, ConversationId, Deadline, Draft, Error, Kind,
    Rejection, Result, UserId,
};
use chrono::{DateTime, Utc};
use tracing::Span;

use crate::Deps;
use crate::deliver::deliver;

/// Time kept back from the delivery and the rate limit: a message whose pushes hang is stored all the
/// same, and its ack must leave in time.
pub const ACK_RESERVE: Duration = Duration::from_millis(500);

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
/// sender's other ones, within the rate limits of the user and of the group. No failure of a delivery fails the send.
///
/// # Errors
///
/// - [`Code::RateLimited`], and those of [`Store::append`](chat::Store::append): nothing is stored.
/// - [`Error::Unavailable`]: the message may or may not be stored.
pub async fn send(
    draft: Draft,
    origin: &ConnectionId,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<Ack> {
    let sending = async {
        let storing = deps.store.append(&draft, now, deadline);
        let appended = store_in_group(&draft, deadline, deps, storing).await?;
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
        .limit(&deps.store, sender_id.as_str(), 1, counted_by, sending)
        .await
}

/// Stores an entry within the rate limit of its group, if it is one of a group. An entry of another conversation, and
/// that which begins a group, has no such limit.
///
/// Beyond the limit, an entry that an earlier send has stored still gets its ack, and no further push. What comes from
/// nobody in the group is refused without being counted: else strangers could use up what its members may write.
///
/// # Errors
///
/// [`Code::RateLimited`], and those of `storing`.
pub async fn store_in_group(
    draft: &Draft,
    deadline: Deadline,
    deps: &Deps,
    storing: impl Future<Output = Result<Appended>>,
) -> Result<Appended> {
    let id = &draft.conversation_id;
    if !id.is_group() || draft.content.kind() == Kind::Create {
        return storing.await;
    }
    let checked = deps.store.check_member(id, &draft.sender_id, deadline);
    match checked.await {
        Ok(()) => {}
        // It may be the resend of one who has left, by this very entry.
        Err(Error::Rejected(_)) => return storing.await,
        Err(error) => return Err(error),
    }
    let limiter = &deps.group_limiter;
    let stored = limiter.limit(&deps.store, id.as_str(), 1, deadline, storing);
    match stored.await {
        Err(Error::Rejected(rejection)) if rejection.code == Code::RateLimited => {
            let earlier = deps.store.earlier(draft, deadline).await?;
            let mut earlier = earlier.ok_or(rejection)?;
            earlier.recipients.clear();
            Ok(earlier)
        }
        outcome => outcome,
    }
}

//! How far a user has a conversation.

use std::time::Duration;

use chat::protocol::{MarkFrame, Receipt};
use chat::{ConnectionId, ConversationId, Deadline, Result, UserId, timestamp};
use chrono::{DateTime, Utc};

use crate::Deps;

/// Time kept back from the pushes: the mark is stored, and they may get lost.
const RESPONSE_RESERVE: Duration = Duration::from_millis(500);

/// Moves the marks of `user_id` forward, then tells the user's other connections and the other user, within the
/// user's limit.
///
/// # Errors
///
/// - [`Code::Forbidden`](chat::Code::Forbidden), [`Code::RateLimited`](chat::Code::RateLimited): nothing is stored.
/// - [`Error::Unavailable`](chat::Error::Unavailable): they may or may not have moved.
pub async fn mark(
    frame: MarkFrame,
    user_id: UserId,
    origin: &ConnectionId,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<()> {
    let peer = frame.target.peer_of(&user_id)?;
    let conversation_id = ConversationId::direct(&user_id, &peer);
    let marking = deps
        .store
        .mark(&conversation_id, &user_id, frame.marks, now, deadline);
    let limiter = &deps.mark_limiter;
    let moved = limiter.limit(&deps.store, &user_id, 1, deadline, marking);
    let Some(marks) = moved.await? else {
        return Ok(());
    };
    let receipt = Receipt {
        conversation_id,
        user_id,
        marks,
        at: timestamp::format(now),
    };
    let deadline = deadline.earlier_by(RESPONSE_RESERVE);
    let telling = deps
        .delivery
        .send_receipt(receipt, &peer, origin, now, deadline);
    telling.await;
    Ok(())
}

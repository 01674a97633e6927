//! How far a user has a conversation.

use std::time::Duration;

use chat::protocol::{MarkFrame, Receipt};
use chat::{ConnectionId, Deadline, Recipient, Result, UserId, timestamp};
use chrono::{DateTime, Utc};

use crate::Deps;

/// Time kept back from the pushes: the mark is stored, and they may get lost.
const RESPONSE_RESERVE: Duration = Duration::from_millis(500);

/// The members of a group up to which they are told of each other's marks and typing.
const MAX_TOLD: usize = 20;

/// Moves the marks of `user_id` forward, then tells the user's other connections and the other users, within the
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
    let recipient = frame.target.recipient(&user_id)?;
    let conversation_id = recipient.conversation_id(&user_id);
    let marking = async {
        let others = others(recipient, &user_id, deadline, deps).await?;
        let marking = deps
            .store
            .mark(&conversation_id, &user_id, frame.marks, now, deadline);
        Ok(marking.await?.map(|moved| {
            let others = if moved.is_secret { Vec::new() } else { others };
            (moved.marks, others)
        }))
    };
    let limiter = &deps.mark_limiter;
    let moved = limiter.limit(&deps.store, user_id.as_str(), 1, deadline, marking);
    let Some((marks, others)) = moved.await? else {
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
        .send_receipt(receipt, &others, origin, now, deadline);
    telling.await;
    Ok(())
}

/// Returns the users beside `user_id` to whom marks and typing are told: nobody in a large group.
///
/// # Errors
///
/// [`Code::Forbidden`](chat::Code::Forbidden): it is a group in which the user is not.
pub async fn others(
    recipient: Recipient,
    user_id: &UserId,
    deadline: Deadline,
    deps: &Deps,
) -> Result<Vec<UserId>> {
    let mut others = match recipient {
        Recipient::User(peer) => vec![peer],
        Recipient::Group(id) => deps.store.members_of(&id, user_id, deadline).await?,
    };
    if others.len() > MAX_TOLD {
        others.clear();
    }
    others.retain(|other| other != user_id);
    Ok(others)
}

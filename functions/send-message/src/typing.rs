//! The news that a user writes a message. It is stored nowhere, and may get lost.

use std::num::NonZeroUsize;
use std::time::Duration;

use chat::delivery::Recipients;
use chat::protocol::{ServerFrame, Target};
use chat::{ConnectionId, ConversationId, Deadline, Result, UserId, timestamp};
use chrono::{DateTime, TimeDelta, Utc};
use lru::LruCache;
use parking_lot::Mutex;

use crate::{Deps, mark};

/// The time in which a connection is heard once about a conversation. A client sends every ten seconds.
const PAUSE: TimeDelta = TimeDelta::seconds(5);

/// The same, about any conversation: a person writes in one at a time.
const ANY_PAUSE: TimeDelta = TimeDelta::seconds(1);

/// Connections that a process remembers.
const REMEMBERED_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// The time after which the news is old: no process is held for it any longer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// When a process has last passed on that the user of a connection writes, and in which conversation.
pub struct Typing(Mutex<LruCache<ConnectionId, (ConversationId, DateTime<Utc>)>>);

impl Default for Typing {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED_CONNECTIONS)))
    }
}

impl Typing {
    /// Returns whether the news is passed on, and remembers it if so.
    fn is_news(
        &self,
        connection_id: &ConnectionId,
        conversation_id: &ConversationId,
        now: DateTime<Utc>,
    ) -> bool {
        let mut passed = self.0.lock();
        if let Some((last, time)) = passed.get(connection_id) {
            let pause = if last == conversation_id {
                PAUSE
            } else {
                ANY_PAUSE
            };
            if timestamp::is_recent(*time, now, pause) {
                return false;
            }
        }
        passed.put(connection_id.clone(), (conversation_id.clone(), now));
        true
    }
}

/// Tells the other users of a conversation that `sender_id` writes.
///
/// # Errors
///
/// As [`mark::others`], and [`Target::recipient`].
pub async fn pass_on(
    target: Target,
    sender_id: UserId,
    origin: &ConnectionId,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<()> {
    let recipient = target.recipient(&sender_id)?;
    let conversation_id = recipient.conversation_id(&sender_id);
    let others = mark::others(recipient, &sender_id, deadline, deps).await?;
    if others.is_empty() || !deps.typing.is_news(origin, &conversation_id, now) {
        return Ok(());
    }
    let is_direct = !conversation_id.is_group();
    let frame = ServerFrame::Typing {
        conversation_id,
        user_id: sender_id.clone(),
    };
    let deadline = deadline.within(TIMEOUT);
    let frame = frame.to_json().into();
    let to = Recipients {
        sender: is_direct.then_some(&sender_id),
        ..Recipients::modern(&others)
    };
    deps.delivery.hint(to, frame, now, deadline).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_heard_once_in_a_while() {
        let (typing, start) = (Typing::default(), Utc::now());
        let is_news = |connection: &str, conversation: &str, milliseconds| {
            let now = start + TimeDelta::milliseconds(milliseconds);
            typing.is_news(
                &connection.to_owned().into(),
                &conversation.to_owned().into(),
                now,
            )
        };
        assert!(is_news("1", "a", 0));
        assert!(!is_news("1", "a", 4_999));
        assert!(is_news("1", "a", 5_000));
        assert!(!is_news("1", "b", 5_999), "another conversation");
        assert!(is_news("1", "b", 6_000));
        assert!(is_news("2", "b", 6_000), "another connection");
        assert!(is_news("1", "b", -3_600_000), "the clock was set back");
    }
}

//! The sockets that a new one takes the place of.
//!
//! The newest socket of a user wins: `$disconnect` is best effort, and refusing the newest would
//! lock out a user whose old sockets are long gone and only their rows are left.

use std::sync::Arc;

use chat::{Connection, Deadline, Result};
use chat_lambda::config::{invalid, number};
use chrono::{DateTime, Utc};

use crate::Deps;

/// Sockets that one handshake closes at most. It has to close one; the others are left over from
/// handshakes that could not.
const MOST_CLOSED: usize = 4;

/// Reads `SOCKETS_PER_USER`: the open sockets that a user may have, default 10.
///
/// # Errors
///
/// [`Error::Config`](chat::Error::Config): it is not a whole number from 1.
pub fn limit_from_env() -> Result<usize> {
    const VARIABLE: &str = "SOCKETS_PER_USER";
    match number(VARIABLE, 10)? {
        0 => Err(invalid(VARIABLE, "is not a whole number from 1")),
        limit => Ok(limit),
    }
}

/// Closes the user's sockets that are too many with `new`, and forgets them. None of its failures
/// fails the handshake: the next one closes what is left.
pub async fn close(new: Connection, now: DateTime<Utc>, deadline: Deadline, deps: Arc<Deps>) {
    let closing = async move {
        let user_id = &new.user_id;
        let sockets = deps.store.sockets_of([user_id, user_id], now).await?;
        let surplus = surplus(sockets, &new, deps.sockets_per_user);
        if surplus.is_empty() {
            return Ok(());
        }
        let closed = deps.push.close_all(surplus, now, deadline).await;
        tracing::info!(
            monotonic_counter.SocketsClosed = closed.len(),
            "sockets beyond the limit closed"
        );
        deps.store.forget(&closed).await
    };
    if let Err(error) = deadline.bound("closing of sockets", closing).await {
        tracing::warn!(
            cause = error.chain(),
            "sockets beyond the limit stay for now"
        );
    }
}

/// Which of a user's sockets are too many: older than the `limit - 1` that opened last before `new`.
///
/// By that rule each of several handshakes at once closes another socket.
fn surplus(mut sockets: Vec<Connection>, new: &Connection, limit: usize) -> Vec<Connection> {
    sockets.retain(|socket| socket.is_older_than(new));
    sockets.sort_by(|a, b| b.opened().cmp(&a.opened()));
    sockets
        .into_iter()
        .skip(limit - 1)
        .take(MOST_CLOSED)
        .collect()
}

#[cfg(test)]
mod tests {
    use chat::{Identity, UserId};
    use chrono::TimeDelta;

    use super::*;

    /// Sockets that opened one after another, the first one first.
    fn sockets(count: usize) -> Vec<Connection> {
        let user = Identity {
            user_id: UserId::try_from("a".to_owned()).expect("a valid id"),
            expires_at: None,
        };
        let start = Utc::now();
        let socket = |number: usize| {
            let opened = start + TimeDelta::milliseconds(number as i64);
            let id = format!("{number}=").into();
            Connection::new(id, user.clone(), "https://x".to_owned(), opened)
        };
        (0..count).map(socket).collect()
    }

    /// Of so many sockets, the places of those that go for the one in the place `new`.
    fn gone(count: usize, new: usize, limit: usize) -> Vec<String> {
        let sockets = sockets(count);
        let new = sockets[new].clone();
        let gone = surplus(sockets, &new, limit).into_iter();
        gone.map(|socket| socket.connection_id.to_string())
            .collect()
    }

    #[test]
    fn the_oldest_goes_for_the_newest() {
        assert!(gone(10, 9, 10).is_empty());
        assert_eq!(gone(11, 10, 10), ["0="]);
        assert_eq!(gone(2, 1, 1), ["0="]);
    }

    #[test]
    fn what_earlier_handshakes_left_goes_too_a_few_at_a_time() {
        assert_eq!(gone(12, 11, 10), ["1=", "0="]);
        assert_eq!(gone(30, 29, 10), ["19=", "18=", "17=", "16="]);
    }

    #[test]
    fn of_handshakes_at_once_each_closes_another_one() {
        assert_eq!(gone(12, 10, 10), ["0="]);
        assert_eq!(gone(12, 11, 10)[0], "1=");
    }
}

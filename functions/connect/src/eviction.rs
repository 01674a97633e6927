//! Closes a user's connections whose token has expired, and the oldest ones beyond the limit.
//!
//! The newest connection of a user wins: `$disconnect` is best effort, and rejecting the newest would
//! lock out a user whose old connections are long closed and only their rows are left.

use std::slice;

use chat::{Connection, Deadline, Push, Result};
use chat_lambda::env::{invalid, number};
use chrono::{DateTime, Utc};

use crate::Deps;

/// Connections that one handshake closes at most. It has to close one; the others are expired, or left
/// over from handshakes that could not.
const MAX_EVICTED: usize = 4;

/// Reads `SOCKETS_PER_USER`: the open connections that a user may have, default 10.
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

/// Closes the user's connections that are expired or too many with `new`, and deletes their rows. A
/// failure does not fail the handshake: the next one closes what is left.
pub async fn evict(new: &Connection, now: DateTime<Utc>, deadline: Deadline, deps: &Deps) {
    if let Err(error) = try_to_evict(new, now, deadline, deps).await {
        tracing::warn!(
            cause = error.chain(),
            "connections beyond the limit stay for now"
        );
    }
}

async fn try_to_evict(
    new: &Connection,
    now: DateTime<Utc>,
    deadline: Deadline,
    deps: &Deps,
) -> Result<()> {
    let users = slice::from_ref(&new.user_id);
    let connections = deps.store.open_connections_of(users, deadline).await?;
    let (mut live, expired) = older_than(new, connections, now);
    let limit = deps.connections_per_user;
    let mut gone = Vec::new();
    if live.len() >= limit {
        (live, gone) = existing(live, now, deadline, &deps.push).await;
    }
    let surplus = surplus(live, expired, limit);
    if surplus.is_empty() && gone.is_empty() {
        return Ok(());
    }
    let closed = deps.push.close_all(surplus, now, deadline).await;
    tracing::info!(
        monotonic_counter.SocketsClosed = closed.len(),
        gone = gone.len(),
        "connections beyond the limit closed"
    );
    let ended = [closed, gone].concat();
    deps.store.delete_connections(&ended, deadline).await
}

/// Returns those of `connections` that opened before `new`: the live ones, and those whose token has expired.
///
/// So concurrent handshakes close different connections.
fn older_than(
    new: &Connection,
    connections: Vec<Connection>,
    now: DateTime<Utc>,
) -> (Vec<Connection>, Vec<Connection>) {
    let connections = connections.into_iter();
    let older = connections.filter(|connection| connection.is_older_than(new));
    older.partition(|connection| connection.is_live(now))
}

/// Returns those of `connections` that are not gone, and those that are. The young ones are looked up: the
/// row of a handshake that was given up must not close a connection that is open.
async fn existing(
    connections: Vec<Connection>,
    now: DateTime<Utc>,
    deadline: Deadline,
    push: &Push,
) -> (Vec<Connection>, Vec<Connection>) {
    let (unseen, mut existing): (Vec<_>, Vec<_>) = connections
        .into_iter()
        .partition(|connection| connection.is_unseen(now));
    let (seen, gone) = push.look_up_all(unseen, now, deadline).await;
    existing.extend(seen);
    (existing, gone)
}

/// Returns the connections of a user that are to be closed for a new one: those whose token has expired,
/// then of the `live` ones all but the `limit - 1` that opened last.
fn surplus(mut live: Vec<Connection>, expired: Vec<Connection>, limit: usize) -> Vec<Connection> {
    live.sort_by(|a, b| b.age_key().cmp(&a.age_key()));
    let too_many = live.into_iter().skip(limit - 1);
    expired
        .into_iter()
        .chain(too_many)
        .take(MAX_EVICTED)
        .collect()
}

#[cfg(test)]
mod tests {
    use chat::{Identity, UserId};
    use chrono::TimeDelta;

    use super::*;

    /// Returns connections that opened one after another, the first one first.
    fn connections(count: usize) -> Vec<Connection> {
        let user = Identity {
            user_id: UserId::try_from("a".to_owned()).expect("a valid id"),
            expires_at: None,
        };
        let start = Utc::now();
        let connection = |number: usize| {
            let opened = start + TimeDelta::milliseconds(number as i64);
            let id = format!("{number}=").into();
            Connection::new(id, user.clone(), "https://x".to_owned(), opened)
        };
        (0..count).map(connection).collect()
    }

    /// Returns the ids of those of `connections` that are closed when `new` connects.
    fn closed(new: &Connection, connections: Vec<Connection>, limit: usize) -> Vec<String> {
        let now = Utc::now();
        let (live, expired) = older_than(new, connections, now);
        let surplus = surplus(live, expired, limit).into_iter();
        let ids = surplus.map(|connection| connection.connection_id.to_string());
        ids.collect()
    }

    /// Opens `count` connections; returns the ids evicted when connection `new` connects.
    fn evicted(count: usize, new: usize, limit: usize) -> Vec<String> {
        let connections = connections(count);
        closed(&connections[new].clone(), connections, limit)
    }

    #[test]
    fn the_oldest_connection_is_closed_for_the_newest() {
        assert!(evicted(10, 9, 10).is_empty());
        assert_eq!(evicted(11, 10, 10), ["0="]);
        assert_eq!(evicted(2, 1, 1), ["0="]);
    }

    #[test]
    fn connections_left_by_earlier_handshakes_are_closed_a_few_at_a_time() {
        assert_eq!(evicted(12, 11, 10), ["1=", "0="]);
        assert_eq!(evicted(30, 29, 10), ["19=", "18=", "17=", "16="]);
    }

    #[test]
    fn each_of_several_handshakes_at_once_closes_another_connection() {
        assert_eq!(evicted(12, 10, 10), ["0="]);
        assert_eq!(evicted(12, 11, 10)[0], "1=");
    }

    #[test]
    fn connections_whose_token_has_expired_are_closed_first() {
        let mut connections = connections(3);
        let new = connections[2].clone();
        let user = Identity {
            user_id: new.user_id.clone(),
            expires_at: Some(Utc::now() - TimeDelta::seconds(1)),
        };
        let opened = Utc::now() - TimeDelta::hours(1);
        let (id, endpoint) = ("e=".to_owned().into(), "https://x".to_owned());
        connections.push(Connection::new(id, user, endpoint, opened));
        let closed = |limit| closed(&new, connections.clone(), limit);
        assert_eq!(closed(10), ["e="], "although the limit is not reached");
        assert_eq!(closed(2), ["e=", "0="]);
    }
}

//! Closes a user's connections whose token has expired, and the oldest ones beyond the limit.
//!
//! The newest connection of a user wins: `$disconnect` is best effort, and rejecting the newest would
//! lock out a user whose old connections are long closed and only their rows are left.

use std::slice;

use chat::{Connection, Deadline, Result};
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
    let surplus = surplus(connections, new, deps.connections_per_user, now);
    if surplus.is_empty() {
        return Ok(());
    }
    let closed = deps.push.close_all(surplus, now, deadline).await;
    tracing::info!(
        monotonic_counter.SocketsClosed = closed.len(),
        "connections beyond the limit closed"
    );
    deps.store.delete_connections(&closed, deadline).await
}

/// Returns the connections of a user that are to be closed: those whose token has expired, then those
/// older than the `limit - 1` live ones that opened last before `new`.
///
/// So concurrent handshakes close different connections.
fn surplus(
    mut connections: Vec<Connection>,
    new: &Connection,
    limit: usize,
    now: DateTime<Utc>,
) -> Vec<Connection> {
    connections.retain(|connection| connection.is_older_than(new));
    connections.sort_by(|a, b| b.age_key().cmp(&a.age_key()));
    let (live, expired): (Vec<_>, Vec<_>) = connections
        .into_iter()
        .partition(|connection| connection.is_live(now));
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

    /// Opens `count` connections; returns the ids evicted when connection `new` connects.
    fn evicted(count: usize, new: usize, limit: usize) -> Vec<String> {
        let connections = connections(count);
        let new = connections[new].clone();
        surplus(connections, &new, limit, Utc::now())
            .into_iter()
            .map(|connection| connection.connection_id.to_string())
            .collect()
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
    fn connections_whose_token_has_expired_are_closed_first() {
        let mut connections = connections(3);
        let user = Identity {
            user_id: connections[0].user_id.clone(),
            expires_at: Some(Utc::now() - TimeDelta::seconds(1)),
        };
        let opened = Utc::now() - TimeDelta::hours(1);
        let endpoint = "https://x".to_owned();
        connections.push(Connection::new(
            "e=".to_owned().into(),
            user,
            endpoint,
            opened,
        ));
        let new = connections[2].clone();
        let ids = |limit| -> Vec<String> {
            let closed = surplus(connections.clone(), &new, limit, Utc::now());
            let ids = closed.iter().map(|closed| closed.connection_id.to_string());
            ids.collect()
        };
        assert_eq!(ids(10), ["e="], "although the limit is not reached");
        assert_eq!(ids(2), ["e=", "0="]);
    }

    #[test]
    fn each_of_several_handshakes_at_once_closes_another_connection() {
        assert_eq!(evicted(12, 10, 10), ["0="]);
        assert_eq!(evicted(12, 11, 10)[0], "1=");
    }
}

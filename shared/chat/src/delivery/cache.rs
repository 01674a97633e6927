//! Cache of users' connections.

use std::num::NonZeroUsize;

use chrono::{DateTime, TimeDelta, Utc};
use lru::LruCache;
use parking_lot::Mutex;

use crate::{Connection, UserId, timestamp};

/// Users whose connections a warm process remembers.
const REMEMBERED_USERS: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// The connections of users as this process has last read them from the store.
///
/// Frames go to cached connections at once, while the store is read. A connection that is missing here
/// gets its frame after that read; a closed one costs one call, which gets a 410.
pub struct ConnectionCache(Mutex<LruCache<UserId, Cached>>);

/// The connections of a user.
#[derive(Clone, Default)]
struct Cached {
    connections: Vec<Connection>,
    read_at: DateTime<Utc>,
}

impl Cached {
    /// The age up to which cached connections are taken for all of a user's.
    const RECENT: TimeDelta = TimeDelta::seconds(60);

    fn is_recent(&self, now: DateTime<Utc>) -> bool {
        timestamp::is_recent(self.read_at, now, Self::RECENT)
    }
}

impl Default for ConnectionCache {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED_USERS)))
    }
}

impl ConnectionCache {
    /// Returns the remembered connections of users that may get messages at `now`.
    pub fn get(&self, users: &[UserId], now: DateTime<Utc>) -> Vec<Connection> {
        let mut cache = self.0.lock();
        users
            .iter()
            .flat_map(|user| cache.get(user).cloned().unwrap_or_default().connections)
            .filter(|connection| connection.is_live(now))
            .collect()
    }

    /// Returns whether the connections of all `users` are remembered, however old that is.
    pub fn has_all(&self, users: &[UserId]) -> bool {
        let cache = self.0.lock();
        users.iter().all(|user| cache.contains(user))
    }

    /// Returns all connections of those of `users` that were read a short while before `now`, and the other users.
    pub fn get_recent(
        &self,
        users: &[UserId],
        now: DateTime<Utc>,
    ) -> (Vec<Connection>, Vec<UserId>) {
        let mut cache = self.0.lock();
        let (mut connections, mut unknown) = (Vec::new(), Vec::new());
        for user in users {
            match cache.get(user).filter(|cached| cached.is_recent(now)) {
                Some(cached) => connections.extend_from_slice(&cached.connections),
                None => unknown.push(user.clone()),
            }
        }
        (connections, unknown)
    }

    /// Replaces the cached connections of `users`; `connections` must be all of theirs, read at `now`.
    pub fn put(&self, users: &[UserId], connections: &[Connection], now: DateTime<Utc>) {
        let mut cache = self.0.lock();
        for user in users {
            let of_user = connections
                .iter()
                .filter(|connection| connection.user_id == *user);
            let cached = Cached {
                connections: of_user.cloned().collect(),
                read_at: now,
            };
            cache.put(user.clone(), cached);
        }
    }

    /// Removes connections that are closed.
    pub fn remove(&self, closed: &[Connection]) {
        let mut cache = self.0.lock();
        for connection in closed {
            if let Some(cached) = cache.get_mut(&connection.user_id) {
                let connections = &mut cached.connections;
                connections.retain(|other| other.connection_id != connection.connection_id);
            }
        }
    }
}

//! Cache of users' connections.

use std::num::NonZeroUsize;

use chrono::{DateTime, Utc};
use lru::LruCache;
use parking_lot::Mutex;

use crate::{Connection, UserId};

/// Users whose connections a warm process remembers.
const REMEMBERED_USERS: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// The connections of users as this process has last read them from the store.
///
/// Frames go to cached connections at once, while the store is read. A connection that is missing here
/// gets its frame after that read; a closed one costs one call, which gets a 410.
pub struct ConnectionCache(Mutex<LruCache<UserId, Vec<Connection>>>);

impl Default for ConnectionCache {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED_USERS)))
    }
}

impl ConnectionCache {
    /// Returns the remembered connections of users that may get messages at `now`. Leaves out those
    /// that may still be opening: their 410 does not tell whether they are closed, so the store has to
    /// confirm them.
    pub fn get(&self, users: &[UserId], now: DateTime<Utc>) -> Vec<Connection> {
        let mut cache = self.0.lock();
        users
            .iter()
            .flat_map(|user| cache.get(user).cloned().unwrap_or_default())
            .filter(|connection| connection.is_live(now) && !connection.is_opening(now))
            .collect()
    }

    /// Replaces the cached connections of `users`; `connections` must be all of theirs.
    pub fn put(&self, users: &[UserId], connections: &[Connection]) {
        let mut cache = self.0.lock();
        for user in users {
            let of_user = connections
                .iter()
                .filter(|connection| connection.user_id == *user);
            cache.put(user.clone(), of_user.cloned().collect());
        }
    }

    /// Removes connections that are closed.
    pub fn remove(&self, closed: &[Connection]) {
        let mut cache = self.0.lock();
        for connection in closed {
            if let Some(connections) = cache.get_mut(&connection.user_id) {
                connections.retain(|other| other.connection_id != connection.connection_id);
            }
        }
    }
}

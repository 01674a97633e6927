//! The sockets that users had last.

use std::num::NonZeroUsize;
use std::sync::Mutex;

use chat::{Connection, UserId};
use chrono::{DateTime, Utc};
use lru::LruCache;

/// Users whose sockets a warm process remembers.
const REMEMBERED_USERS: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// What the database has last told this process of users' sockets.
///
/// A message is pushed to these at once, while the database is asked which sockets there are now: so
/// a receiver need not wait for that answer. A memory that is out of date misses nothing, since the
/// others get the message after the answer, and costs a call that is answered with 410.
pub struct Sockets(Mutex<LruCache<UserId, Vec<Connection>>>);

impl Default for Sockets {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED_USERS)))
    }
}

impl Sockets {
    /// The remembered sockets of users, as far as they may get messages at `now` and are up for sure:
    /// the database has to confirm a younger one, since its 410 does not tell whether it is closed.
    pub fn of(&self, users: [&UserId; 2], now: DateTime<Utc>) -> Vec<Connection> {
        let mut remembered = self.lock();
        let [a, b] = users;
        // Who writes to themselves is one user.
        let users = [Some(a), (a != b).then_some(b)].into_iter().flatten();
        let sockets = users.flat_map(|user| remembered.get(user).cloned().unwrap_or_default());
        let usable = |socket: &Connection| socket.is_live(now) && !socket.is_settling(now);
        sockets.filter(usable).collect()
    }

    /// Remembers that users have these sockets and no others.
    pub fn remember(&self, users: [&UserId; 2], sockets: &[Connection]) {
        let mut remembered = self.lock();
        for user in users {
            let of_user = sockets.iter().filter(|socket| socket.user_id == *user);
            remembered.put(user.clone(), of_user.cloned().collect());
        }
    }

    /// Forgets sockets that are closed.
    pub fn forget(&self, gone: &[Connection]) {
        let mut remembered = self.lock();
        for socket in gone {
            if let Some(sockets) = remembered.get_mut(&socket.user_id) {
                sockets.retain(|other| !other.is_same(socket));
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<UserId, Vec<Connection>>> {
        self.0.lock().expect("no holder panics")
    }
}

//! The user of a socket.

use std::num::NonZeroUsize;
use std::sync::Mutex;

use chat::{Code, ConnectionId, Rejection, Result, Store, UserId};
use chrono::{DateTime, Utc};
use lru::LruCache;

/// Sockets that a warm process remembers.
const REMEMBERED_SOCKETS: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Users of the sockets that this process has seen.
///
/// A connection id belongs to one user for ever, so what is remembered cannot become wrong. This is
/// the one place that says who a frame comes from.
pub struct Identities(Mutex<LruCache<ConnectionId, UserId>>);

impl Default for Identities {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED_SOCKETS)))
    }
}

impl Identities {
    /// The user who connected the socket.
    ///
    /// # Errors
    ///
    /// - [`Code::NotConnected`]: `$connect` has not recorded the socket, or it has expired.
    /// - [`Error::Unavailable`](chat::Error::Unavailable): the database did not answer.
    pub async fn user_of(
        &self,
        connection_id: &ConnectionId,
        now: DateTime<Utc>,
        store: &Store,
    ) -> Result<UserId> {
        if let Some(user_id) = self.remembered(connection_id) {
            return Ok(user_id);
        }
        let user_id = store.user_of(connection_id, now).await?.ok_or_else(|| {
            Rejection::new(
                Code::NotConnected,
                "This connection is not known. Please connect again.",
            )
        })?;
        let mut users = self.0.lock().expect("no holder panics");
        users.put(connection_id.clone(), user_id.clone());
        Ok(user_id)
    }

    fn remembered(&self, connection_id: &ConnectionId) -> Option<UserId> {
        let mut users = self.0.lock().expect("no holder panics");
        users.get(connection_id).cloned()
    }
}

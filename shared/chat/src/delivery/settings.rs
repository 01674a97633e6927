//! Cache of users' settings.

use std::num::NonZeroUsize;

use chrono::{DateTime, TimeDelta, Utc};
use lru::LruCache;
use parking_lot::Mutex;

use crate::settings::Settings;
use crate::{Deadline, Result, Store, UserId, timestamp};

/// Users whose settings a warm process remembers.
const REMEMBERED_USERS: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// The age up to which they are used: a change is in force everywhere after it.
const RECENT: TimeDelta = TimeDelta::seconds(60);

/// The settings of users, as this process has last read them from the store.
pub struct SettingsCache(Mutex<LruCache<UserId, (Settings, DateTime<Utc>)>>);

impl Default for SettingsCache {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED_USERS)))
    }
}

impl SettingsCache {
    /// Returns the settings of two users, at most a minute old.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn of(
        &self,
        store: &Store,
        users: [&UserId; 2],
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<[Settings; 2]> {
        if let [Some(a), Some(b)] = users.map(|user| self.get(user, now)) {
            return Ok([a, b]);
        }
        let read = store
            .settings_of(&users.map(UserId::clone), deadline)
            .await?;
        let mut cache = self.0.lock();
        Ok(users.map(|user| {
            let settings = read[user];
            cache.put(user.clone(), (settings, now));
            settings
        }))
    }

    fn get(&self, user: &UserId, now: DateTime<Utc>) -> Option<Settings> {
        let mut cache = self.0.lock();
        let (settings, read_at) = cache.get(user)?;
        timestamp::is_recent(*read_at, now, RECENT).then_some(*settings)
    }
}

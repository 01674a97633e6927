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
    /// Returns the settings of users in their order, at most a minute old.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn of(
        &self,
        store: &Store,
        users: &[UserId],
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Vec<Settings>> {
        let known: Option<Vec<Settings>> = users.iter().map(|user| self.get(user, now)).collect();
        if let Some(known) = known {
            return Ok(known);
        }
        let read = store.settings_of(users, deadline).await?;
        let mut cache = self.0.lock();
        let settings = users.iter().map(|user| {
            let settings = read[user];
            cache.put(user.clone(), (settings, now));
            settings
        });
        Ok(settings.collect())
    }

    fn get(&self, user: &UserId, now: DateTime<Utc>) -> Option<Settings> {
        let mut cache = self.0.lock();
        let (settings, read_at) = cache.get(user)?;
        timestamp::is_recent(*read_at, now, RECENT).then_some(*settings)
    }
}

//! One document per user who has been here: settings, and when the user was last seen.
//!
//! ```json
//! {"_id": "prof@example.com", "last_seen": {"$date": "…"}, "receipts": false, "presence": true,
//!  "blocks": ["student@example.com"]}
//! ```
//!
//! A user without a document, or a document without one of the settings, has it on.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use futures_util::TryStreamExt;
use mongodb::bson::{self, Document, doc};
use mongodb::options::ReturnDocument;
use serde::{Deserialize, Serialize};

use super::updates::upsert_all;
use super::{OPERATION_TIMEOUT, Store, USERS, date, perform, time};
use crate::settings::{Settings, SettingsChange};
use crate::{Deadline, Result, UserId};

/// The document of a user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct User {
    _id: UserId,
    pub(super) last_seen: Option<bson::DateTime>,
    #[serde(flatten)]
    pub(super) settings: Settings,
    /// The users whom the user blocks.
    #[serde(default)]
    pub(super) blocks: Vec<UserId>,
}

/// Whether a user is here, as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The user has a connection, or had one a moment ago.
    Online,
    /// The user was here at this time, which is rounded down.
    LastSeen(DateTime<Utc>),
    /// Nothing is told: the user is unknown, hides it, or is a stranger.
    Unknown,
}

impl Presence {
    /// The time between two connections of a user who stays: that of a reconnect.
    const RECONNECTING: Duration = Duration::from_secs(30);

    /// Returns that of a user without a connection who was last seen at `last_seen`.
    fn away(last_seen: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let age = now - last_seen;
        let step = if age <= TimeDelta::from_std(Self::RECONNECTING).expect("in range") {
            return Self::Online;
        } else if age < TimeDelta::hours(1) {
            TimeDelta::minutes(1)
        } else if age < TimeDelta::days(1) {
            TimeDelta::hours(1)
        } else {
            TimeDelta::days(1)
        };
        last_seen
            .duration_trunc(step)
            .map_or(Self::Unknown, Self::LastSeen)
    }
}

impl Store {
    /// Returns the settings of users. Those of a user who has set none are the default.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn settings_of(
        &self,
        users: &[UserId],
        deadline: Deadline,
    ) -> Result<HashMap<UserId, Settings>> {
        let found = self.find_users(users, deadline).await?;
        let of = |user: &UserId| {
            found
                .get(user)
                .map(|user| user.settings)
                .unwrap_or_default()
        };
        Ok(users.iter().map(|user| (user.clone(), of(user))).collect())
    }

    /// Changes settings of a user, and returns all of them.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): they may or may not be changed.
    pub async fn change_settings(
        &self,
        user_id: &UserId,
        change: SettingsChange,
        deadline: Deadline,
    ) -> Result<Settings> {
        if change == SettingsChange::default() {
            let settings = self
                .settings_of(std::slice::from_ref(user_id), deadline)
                .await?;
            return Ok(settings[user_id]);
        }
        let users = self.users.clone();
        let filter = doc! {"_id": user_id.as_str()};
        let set = mongodb::bson::serialize_to_document(&change).expect("two booleans");
        let update = async move {
            users
                .find_one_and_update(filter, doc! {"$set": set})
                .upsert(true)
                .return_document(ReturnDocument::After)
                .max_time(OPERATION_TIMEOUT)
                .await
        };
        let user = perform("change of settings", deadline, update).await?;
        Ok(user.map(|user| user.settings).unwrap_or_default())
    }

    /// Records that the users of closed connections were here: at `at`, or if that is unknown when the
    /// connections opened. Losing such a record harms nobody.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn record_seen(
        &self,
        seen: Vec<(UserId, DateTime<Utc>)>,
        deadline: Deadline,
    ) -> Result<()> {
        let updates = seen.into_iter().map(|(user, at)| {
            doc! {
                "q": {"_id": user.as_str()},
                "u": {"$max": {"last_seen": date(at)}},
                "upsert": true,
            }
        });
        let updates: Vec<Document> = updates.collect();
        let database = self.database.clone();
        let record = async move { upsert_all(&database, USERS, updates).await };
        perform("record of the time seen", deadline, record).await
    }

    /// Returns the presence of `others`, in their order, as `user_id` may see it. Told are those who have written to
    /// the user and to whom the user has written, if both sides tell it.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn presence_of(
        &self,
        user_id: &UserId,
        others: &[UserId],
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Vec<Presence>> {
        let all = [std::slice::from_ref(user_id), others].concat();
        let (acquaintances, users, connections) = tokio::try_join!(
            self.acquaintances(user_id, others, deadline),
            self.find_users(&all, deadline),
            self.connections_of(others, now, deadline),
        )?;
        let tells = |user: &UserId| users.get(user).is_none_or(|user| user.settings.presence);
        let presence = |other: &UserId| {
            let last_seen = users.get(other).and_then(|user| user.last_seen);
            let is_told = tells(user_id) && tells(other) && acquaintances.contains(other);
            let mut connections = connections.iter();
            if !is_told {
                Presence::Unknown
            } else if connections.any(|connection| connection.user_id == *other) {
                Presence::Online
            } else {
                last_seen.map_or(Presence::Unknown, |at| Presence::away(time(at), now))
            }
        };
        Ok(others.iter().map(presence).collect())
    }

    pub(super) async fn find_users(
        &self,
        users: &[UserId],
        deadline: Deadline,
    ) -> Result<HashMap<UserId, User>> {
        let ids: Vec<&str> = users.iter().map(UserId::as_str).collect();
        let filter = doc! {"_id": {"$in": ids}};
        let users = self.users.clone();
        let find = async move {
            let found = users.find(filter).max_time(OPERATION_TIMEOUT).await?;
            found
                .map_ok(|user| (user._id.clone(), user))
                .try_collect()
                .await
        };
        perform("look-up of users", deadline, find).await
    }
}

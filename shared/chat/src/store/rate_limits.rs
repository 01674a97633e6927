//! One document per limited kind of request and user, or group, of those that have made some lately: a token bucket.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mongodb::Collection;
use mongodb::bson::{self, Bson, Document, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::{Acknowledgment, ReturnDocument, WriteConcern};
use serde::{Deserialize, Serialize};

use super::token_bucket::{RateLimit, TokensLeft};
use super::{OPERATION_TIMEOUT, Store, is_duplicate_key, perform, time};
use crate::{Deadline, Result};

/// A kind of request that is limited for each user, or for each group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limited {
    /// Messages.
    Messages,
    /// Entries of a group, of all its members together.
    Entries,
    /// Marks.
    Marks,
    /// Pages of the history; a token for every 100 messages.
    Pages,
    /// Handshakes of connections.
    Handshakes,
}

impl Limited {
    /// The kinds that are limited for each user.
    pub const OF_USERS: [Self; 4] = [Self::Messages, Self::Marks, Self::Pages, Self::Handshakes];

    /// Returns the id of the bucket of a user or a group. Messages came first, and have the user's id; no string can
    /// be equal to the documents of the others.
    fn bucket_id(self, of_id: &str) -> Bson {
        let (of, name) = match self {
            Self::Messages => return of_id.into(),
            Self::Entries => ("entries", "conversation_id"),
            Self::Marks => ("marks", "user_id"),
            Self::Pages => ("pages", "user_id"),
            Self::Handshakes => ("handshakes", "user_id"),
        };
        doc! {"of": of, name: of_id}.into()
    }
}

impl RateLimit {
    /// Returns the update of a document that takes tokens, on the server's clock.
    fn take(self, tokens: u32) -> Document {
        // A bucket without a document is full: `$max` leaves out a field that is missing.
        let since = doc! {"$max": ["$full_at", "$$NOW"]};
        let farthest = later("$$NOW", self.filling + Self::MAX_EXCESS);
        let full_at = doc! {"$min": [later(since, self.interval * tokens), farthest]};
        doc! {"$set": {"full_at": full_at, "debited_at": "$$NOW"}}
    }
}

/// Returns the expression of a time that is `duration` after another one.
fn later(time: impl Into<Bson>, duration: Duration) -> Document {
    let amount = duration.as_millis() as i64;
    doc! {"$dateAdd": {"startDate": time.into(), "unit": "millisecond", "amount": amount}}
}

/// The document of a user, or of a group.
///
/// ```json
/// {"_id": "prof@example.com", "full_at": {"$date": "…"}, "debited_at": {"$date": "…"}}
/// {"_id": {"of": "pages", "user_id": "prof@example.com"}, "full_at": {"$date": "…"}, "debited_at": …}
/// {"_id": {"of": "entries", "conversation_id": "group:kB0yXW7Xw1yJ0QyYb8fN0A"}, "full_at": …, "debited_at": …}
/// ```
///
/// An index removes it some time after `full_at`, since a full bucket is the same as no document.
#[derive(Deserialize)]
pub(super) struct TokenBucket {
    /// When it is full again.
    full_at: bson::DateTime,
    /// The server's time at which tokens were last taken, so waits need no local clock.
    debited_at: bson::DateTime,
}

impl TokenBucket {
    fn full_in(&self) -> Duration {
        let millis = self.full_at.timestamp_millis() - self.debited_at.timestamp_millis();
        Duration::from_millis(millis.try_into().unwrap_or(0))
    }
}

impl Store {
    /// Takes tokens for requests of a user, or of a group, in one operation. Returns what is left.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): they may or may not be taken.
    pub async fn take_tokens(
        &self,
        of: Limited,
        of_id: &str,
        tokens: u32,
        limit: RateLimit,
        deadline: Deadline,
    ) -> Result<TokensLeft> {
        let rate_limits = self.rate_limits.clone();
        let (bucket_id, update) = (of.bucket_id(of_id), limit.take(tokens));
        let take = async move {
            match take_once(&rate_limits, &bucket_id, update.clone()).await {
                // Two first requests of a user at once: the other one has inserted the document.
                Err(error) if is_duplicate_key(&error) => {
                    take_once(&rate_limits, &bucket_id, update).await
                }
                outcome => outcome,
            }
        };
        let bucket = perform("debit of tokens", deadline, take).await?;
        // MongoDB always returns a document. The embedded server returns none if another first update
        // comes between, and has counted this one all the same.
        let unknown = TokensLeft {
            tokens: 0,
            wait: Duration::ZERO,
        };
        Ok(bucket.map_or(unknown, |bucket| limit.tokens_left(bucket.full_in())))
    }
}

impl Store {
    /// Returns when a limit of a user, or of a group, is used up no longer at all; `None` if it is not used.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn full_at(
        &self,
        of: Limited,
        of_id: &str,
        deadline: Deadline,
    ) -> Result<Option<DateTime<Utc>>> {
        let rate_limits = self.rate_limits.clone();
        let filter = doc! {"_id": of.bucket_id(of_id)};
        let find = async move { rate_limits.find_one(filter).await };
        let bucket = perform("look-up of a limit", deadline, find).await?;
        Ok(bucket.map(|bucket| time(bucket.full_at)))
    }

    /// Fills a limit of a user, or of a group. Processes that have counted lately go on counting from there for a
    /// moment.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn fill_limit(&self, of: Limited, of_id: &str, deadline: Deadline) -> Result<()> {
        let rate_limits = self.rate_limits.clone();
        let filter = doc! {"_id": of.bucket_id(of_id)};
        let delete = async move { rate_limits.delete_one(filter).await };
        perform("reset of a limit", deadline, delete).await?;
        Ok(())
    }
}

/// An update that a failover loses harms nobody, so it does not wait for the majority.
async fn take_once(
    rate_limits: &Collection<TokenBucket>,
    bucket_id: &Bson,
    update: Document,
) -> Result<Option<TokenBucket>, DriverError> {
    let primary = WriteConcern::builder().w(Acknowledgment::Nodes(1)).build();
    rate_limits
        .find_one_and_update(doc! {"_id": bucket_id}, vec![update])
        .upsert(true)
        .return_document(ReturnDocument::After)
        .write_concern(primary)
        .max_time(OPERATION_TIMEOUT)
        .await
}

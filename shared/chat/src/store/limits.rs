//! One document per user who has sent lately: their token bucket.

use std::time::Duration;

use mongodb::Collection;
use mongodb::bson::{self, Bson, Document, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::{Acknowledgment, ReturnDocument, WriteConcern};
use serde::Deserialize;

use super::{OPERATION_TIME, Store, is_duplicate_key, perform};
use crate::{Result, UserId};

/// How fast a user may send: some messages at once, and from then on one after each interval.
///
/// It is a [token bucket] that is told by one moment, at which it is full again: each message moves
/// that moment by an interval. The user has to wait while it lies so far ahead that the bucket is
/// empty, and what is sent all the same is a debt: the wait grows with it, up to a minute.
///
/// [token bucket]: https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// In which the bucket gets one more message.
    interval: Duration,
    /// In which an empty bucket becomes full.
    filling: Duration,
}

impl RateLimit {
    /// The least rate: a message in a quarter of an hour.
    pub const MIN_RATE: f64 = 0.001;

    /// The largest rate, since times are stored in whole milliseconds.
    pub const MAX_RATE: f64 = 1_000.0;

    /// The largest burst.
    pub const MAX_BURST: u32 = 1_000_000;

    /// The debt that a user can have at most, as the time that pays it off.
    const LARGEST_DEBT: Duration = Duration::from_secs(60);

    /// `rate` messages a second, which is rounded to whole milliseconds a message, and `burst`
    /// messages at once. `None` if one of them is out of bounds.
    pub fn new(rate: f64, burst: u32) -> Option<Self> {
        let in_bounds = (Self::MIN_RATE..=Self::MAX_RATE).contains(&rate)
            && (1..=Self::MAX_BURST).contains(&burst);
        let interval = || Duration::from_millis((1_000.0 / rate).round() as u64);
        in_bounds.then(interval).map(|interval| Self {
            interval,
            filling: interval * burst,
        })
    }

    /// What is left to a user whose bucket is full again in `full_in`.
    fn balance(self, full_in: Duration) -> Balance {
        let left = self.filling.saturating_sub(full_in).as_millis() / self.interval.as_millis();
        Balance {
            left: left as u32,
            wait: (full_in + self.interval).saturating_sub(self.filling),
        }
    }

    /// The longest time that a user can have to wait.
    pub fn longest_wait(self) -> Duration {
        Self::LARGEST_DEBT + self.interval
    }

    /// The change of a document by so many messages, on the server's clock.
    fn debit(self, messages: u32) -> Document {
        // A bucket without a document is full: `$max` leaves out a field that is missing.
        let since = doc! {"$max": ["$full_at", "$$NOW"]};
        let farthest = later("$$NOW", self.filling + Self::LARGEST_DEBT);
        let full_at = doc! {"$min": [later(since, self.interval * messages), farthest]};
        doc! {"$set": {"full_at": full_at, "debited_at": "$$NOW"}}
    }
}

/// What a user has left after a debit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Messages that may follow at once.
    pub left: u32,
    /// Time before the next message; zero if that may follow at once.
    pub wait: Duration,
}

/// The expression of a moment so long after another one.
fn later(moment: impl Into<Bson>, time: Duration) -> Document {
    let amount = time.as_millis() as i64;
    doc! {"$dateAdd": {"startDate": moment.into(), "unit": "millisecond", "amount": amount}}
}

/// The document of a user.
///
/// ```json
/// {"_id": "prof@example.com", "full_at": {"$date": "…"}, "debited_at": {"$date": "…"}}
/// ```
///
/// An index removes it some time after `full_at`, when it says no more than its absence would.
#[derive(Deserialize)]
pub(super) struct Bucket {
    /// When it is full again.
    full_at: bson::DateTime,
    /// The server's time of the last debit: with it, no other clock matters.
    debited_at: bson::DateTime,
}

impl Bucket {
    fn full_in(&self) -> Duration {
        let millis = self.full_at.timestamp_millis() - self.debited_at.timestamp_millis();
        Duration::from_millis(millis.try_into().unwrap_or(0))
    }
}

impl Store {
    /// Counts messages of a user, in one operation. Gives what is left to them.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): they may or may not be counted.
    pub async fn debit(
        &self,
        user_id: &UserId,
        messages: u32,
        limit: RateLimit,
    ) -> Result<Balance> {
        let debit = || debit_once(&self.rate_limits, user_id, limit.debit(messages));
        let debit = async {
            match debit().await {
                // The first two debits of a user at once: the other one has made the document.
                Err(error) if is_duplicate_key(&error) => debit().await,
                outcome => outcome,
            }
        };
        let bucket = perform("debit of messages", debit).await?;
        // MongoDB always has a document to give back. The embedded server has none if another first
        // debit comes between, and has counted this one all the same.
        let unknown = Balance {
            left: 0,
            wait: Duration::ZERO,
        };
        Ok(bucket.map_or(unknown, |bucket| limit.balance(bucket.full_in())))
    }
}

/// A debit that a failover loses harms nobody, so it does not wait for the majority.
async fn debit_once(
    rate_limits: &Collection<Bucket>,
    user_id: &UserId,
    debit: Document,
) -> Result<Option<Bucket>, DriverError> {
    let primary = WriteConcern::builder().w(Acknowledgment::Nodes(1)).build();
    rate_limits
        .find_one_and_update(doc! {"_id": user_id.as_str()}, vec![debit])
        .upsert(true)
        .return_document(ReturnDocument::After)
        .write_concern(primary)
        .max_time(OPERATION_TIME)
        .await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_or_a_burst_out_of_bounds_is_none() {
        for (rate, burst) in [
            (0.0, 20),
            (-5.0, 20),
            (f64::NAN, 20),
            (f64::INFINITY, 20),
            (1_001.0, 20),
            (0.000_9, 20),
            (5.0, 0),
            (5.0, 1_000_001),
        ] {
            assert_eq!(RateLimit::new(rate, burst), None, "{rate} {burst}");
        }
    }

    #[test]
    fn the_next_message_waits_once_the_bucket_is_empty() {
        let limit = RateLimit::new(5.0, 20).expect("a limit");
        let balance = |full_in_ms| {
            let Balance { left, wait } = limit.balance(Duration::from_millis(full_in_ms));
            (left, wait.as_millis())
        };
        assert_eq!(balance(0), (20, 0));
        assert_eq!(balance(200), (19, 0), "one is gone");
        assert_eq!(balance(3_800), (1, 0), "one is left");
        assert_eq!(balance(4_000), (0, 200), "none is left");
        assert_eq!(balance(4_600), (0, 800), "three too many");
    }

    /// What the server makes of `full_at` at `now`, both in milliseconds.
    fn debited(limit: RateLimit, full_at: u64, now: u64) -> u64 {
        let interval = limit.interval.as_millis() as u64;
        let farthest = (limit.filling + RateLimit::LARGEST_DEBT).as_millis() as u64;
        (full_at.max(now) + interval).min(now + farthest)
    }

    proptest! {
        /// Who keeps to the wait never gets more than the burst and the rate allow, however they
        /// space their messages; nor less: after the wait the next one passes.
        #[test]
        fn the_wait_holds_the_rate(
            rate in 0.01..1_000.0_f64,
            burst in 1..50_u32,
            pauses in proptest::collection::vec(0..3_000_u64, 1..200),
        ) {
            let limit = RateLimit::new(rate, burst).expect("a limit");
            let interval = limit.interval.as_millis() as u64;
            let (mut now, mut full_at, mut sent) = (0, 0, 0);
            for pause in pauses {
                now += pause;
                full_at = debited(limit, full_at, now);
                sent += 1;
                let allowed = u64::from(burst) + now / interval;
                prop_assert!(sent <= allowed, "{sent} of {allowed} at {now}");
                let wait = limit.balance(Duration::from_millis(full_at - now)).wait;
                prop_assert!(wait <= limit.interval);
                now += wait.as_millis() as u64;
            }
        }

        /// Whatever is sent beyond the limit, no wait is longer than the longest.
        #[test]
        fn a_debt_is_bounded(rate in 0.01..1_000.0_f64, burst in 1..50_u32, debits in 1..1_000) {
            let limit = RateLimit::new(rate, burst).expect("a limit");
            let full_at = (0..debits).fold(0, |full_at, _| debited(limit, full_at, 0));
            let balance = limit.balance(Duration::from_millis(full_at));
            prop_assert!(balance.wait <= limit.longest_wait());
        }
    }
}

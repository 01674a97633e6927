//! How fast a user may send.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use chat::config::{invalid, number};
use chat::store::RateLimit;
use chat::{Deadline, Rejection, Result, UserId};
use chrono::{DateTime, Utc};
use lru::LruCache;

use crate::Deps;

/// Users of whom a warm process remembers that they have to wait.
const REMEMBERED_USERS: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Reads `MESSAGE_RATE` (messages a second, default 5) and `MESSAGE_BURST` (messages at once,
/// default 20).
///
/// # Errors
///
/// [`Error::Config`](chat::Error::Config): one of them is not a number, or out of bounds.
pub fn from_env() -> Result<RateLimit> {
    const RATE: &str = "MESSAGE_RATE";
    const BURST: &str = "MESSAGE_BURST";
    let (rate, burst) = (number(RATE, 5.0)?, number(BURST, 20)?);
    RateLimit::new(rate, burst).ok_or_else(|| {
        let (min, max) = (RateLimit::MIN_RATE, RateLimit::MAX_RATE);
        match (min..=max).contains(&rate) {
            true => invalid(BURST, format!("is not from 1 to {}", RateLimit::MAX_BURST)),
            false => invalid(RATE, format!("is not from {min} to {max}")),
        }
    })
}

/// The limit, and who has reached it.
///
/// Each message is counted in the database beside its insert and delivery, which costs no time: the
/// message that finds the bucket empty is on its way already. It passes, and this process refuses
/// the user's further ones by itself until the wait is over. What passed is a debt that makes the
/// wait longer, for all processes. So a user who floods gets through, in any time, what burst and
/// rate allow and one message more for each execution at once.
pub struct Limits {
    rate: RateLimit,
    /// Until when a user has to wait.
    waits: Mutex<LruCache<UserId, DateTime<Utc>>>,
}

impl Limits {
    /// With nobody known who has to wait.
    pub fn new(rate: RateLimit) -> Self {
        Self {
            rate,
            waits: Mutex::new(LruCache::new(REMEMBERED_USERS)),
        }
    }

    /// Lets a user send who does not have to wait, as far as this process knows.
    ///
    /// # Errors
    ///
    /// [`Code::RateLimited`](chat::Code::RateLimited), with the rest of the wait.
    pub fn check(&self, user_id: &UserId, now: DateTime<Utc>) -> Result<(), Rejection> {
        let mut waits = self.waits.lock().expect("no holder panics");
        let Some(until) = waits.get(user_id) else {
            return Ok(());
        };
        match (*until - now).to_std() {
            // Longer than the longest wait: the clock has been set back.
            Ok(wait) if !wait.is_zero() && wait <= self.rate.longest_wait() => {
                Err(Rejection::rate_limited(wait))
            }
            _ => {
                waits.pop(user_id);
                Ok(())
            }
        }
    }

    /// Remembers that a user has to wait until a moment. Answers to debits at once may arrive in any
    /// order, and the longest wait is that of the last one.
    fn remember(&self, user_id: UserId, until: DateTime<Utc>) {
        let mut waits = self.waits.lock().expect("no holder panics");
        let known = waits.get_or_insert_mut(user_id, || until);
        *known = until.max(*known);
    }
}

/// Counts one message of a user. A message that cannot be counted is sent all the same.
pub async fn debit(user_id: UserId, deadline: Deadline, deps: Arc<Deps>) {
    let debit = async move {
        let limits = &deps.limits;
        let wait = deps.store.debit(&user_id, limits.rate).await?;
        if !wait.is_zero() {
            limits.remember(user_id, Utc::now() + wait);
        }
        Ok(())
    };
    if let Err(error) = deadline.bound("debit", debit).await {
        tracing::warn!(cause = error.chain(), "message not counted");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;

    use super::*;

    fn user(id: &str) -> UserId {
        UserId::try_from(id.to_owned()).expect("a valid id")
    }

    fn limits() -> Limits {
        Limits::new(RateLimit::new(5.0, 20).expect("a limit"))
    }

    fn after(now: DateTime<Utc>, milliseconds: i64) -> DateTime<Utc> {
        now + TimeDelta::milliseconds(milliseconds)
    }

    #[test]
    fn a_user_waits_until_the_last_known_moment_and_no_longer() {
        let (limits, now) = (limits(), Utc::now());
        limits.remember(user("a"), after(now, 400));
        limits.remember(user("a"), after(now, 200));
        let refused = |milliseconds| limits.check(&user("a"), after(now, milliseconds));
        let wait = Duration::from_millis(400);
        assert_eq!(refused(0), Err(Rejection::rate_limited(wait)));
        let wait = Duration::from_millis(1);
        assert_eq!(refused(399), Err(Rejection::rate_limited(wait)));
        assert_eq!(limits.check(&user("b"), now), Ok(()));
        assert_eq!(refused(400), Ok(()));
        assert_eq!(refused(0), Ok(()), "it is forgotten");
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let (limits, now) = (limits(), Utc::now());
        limits.remember(user("a"), after(now, 400));
        assert_eq!(limits.check(&user("a"), after(now, -3_600_000)), Ok(()));
    }
}

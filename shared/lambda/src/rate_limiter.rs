//! The rate limit of a user, or of a group.

use std::num::NonZeroUsize;
use std::time::Duration;

use chat::store::{Limited, RateLimit, TokensLeft};
use chat::{Deadline, Rejection, Result, Store};
use chrono::{DateTime, Utc};
use lru::LruCache;
use parking_lot::Mutex;

use crate::env::{invalid, number};

/// Users, or groups, whose bucket a warm process remembers.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Tokens of a bucket that a process spends, at most, before it takes them in the database.
const MAX_UNCOUNTED: u32 = 4;

/// Reads the rate a second and the burst of a limit from the variables `rate` and `burst`, each with its
/// default.
///
/// # Errors
///
/// [`Error::Config`](chat::Error::Config): one of them is not a number, or out of bounds.
pub fn limit_from_env(rate: (&'static str, f64), burst: (&'static str, u32)) -> Result<RateLimit> {
    let ((rate_variable, rate), (burst_variable, burst)) = (rate, burst);
    let (rate, burst) = (number(rate_variable, rate)?, number(burst_variable, burst)?);
    RateLimit::new(rate, burst).ok_or_else(|| {
        let (min, max) = (RateLimit::MIN_RATE, RateLimit::MAX_RATE);
        if (min..=max).contains(&rate) {
            let problem = format!("is not from 1 to {}", RateLimit::MAX_BURST);
            invalid(burst_variable, problem)
        } else {
            invalid(rate_variable, format!("is not from {min} to {max}"))
        }
    })
}

/// A rate limit, with the buckets of users as far as this process knows them. All that is said of users holds for
/// groups, where it is a limit of these.
///
/// The first request of a user who is new to the process is counted in the database before it is served:
/// a burst reaches many processes at once, and each of them would let its first request through. Later
/// requests are counted while they are served, so counting adds no latency. The one that empties the bucket
/// still passes; later ones are rejected here until the wait ends. The excess makes the wait longer, in
/// all processes.
///
/// While the bucket is far from empty, several requests are counted with one write. Each process can so
/// let five extra tokens through.
pub struct RateLimiter {
    of: Limited,
    limit: RateLimit,
    /// The buckets, by the id of the user.
    buckets: Mutex<LruCache<String, Bucket>>,
}

/// The bucket of a user, as far as this process knows it. That of a user who is new to it is empty, so
/// the first request is counted at once.
#[derive(Default)]
struct Bucket {
    /// The time until which the user has to wait.
    wait_until: Option<DateTime<Utc>>,
    /// Tokens that are spent and not yet taken in the database.
    uncounted: u32,
    /// Tokens that may stay uncounted.
    allowance: u32,
    /// Whether the database has said how many tokens are left.
    is_known: bool,
}

/// Tokens to take from the store for a request, and for earlier ones that are not counted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Debit {
    /// The tokens; none if the request can be counted with the next ones.
    tokens: u32,
    /// Whether the request may be served only once they are taken.
    first: bool,
}

impl Bucket {
    /// Returns the rest of the wait, if there is one.
    fn wait(&self, now: DateTime<Utc>, max: Duration) -> Option<Duration> {
        let wait = (self.wait_until? - now).to_std().ok()?;
        // Longer than the longest wait: the clock has been set back.
        (!wait.is_zero() && wait <= max).then_some(wait)
    }
}

impl RateLimiter {
    /// Returns a limiter that knows no user yet.
    pub fn new(of: Limited, limit: RateLimit) -> Self {
        Self {
            of,
            limit,
            buckets: Mutex::new(LruCache::new(REMEMBERED)),
        }
    }

    /// Serves a request of a user that costs `cost` tokens. Counts it beside that, or before it if this
    /// process does not know the user. Where counting fails, the request is served all the same.
    ///
    /// # Errors
    ///
    /// - [`Code::RateLimited`](chat::Code::RateLimited), with the wait: the request is not served.
    /// - Those of `request`.
    pub async fn limit<T>(
        &self,
        store: &Store,
        user_id: &str,
        cost: u32,
        deadline: Deadline,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let debit = self.take(user_id, cost, Utc::now())?;
        let counting = self.count(store, user_id, debit.tokens, deadline);
        if debit.first {
            counting.await?;
            return request.await;
        }
        // A request that empties the bucket passes: it is served by the time its count is known.
        let (outcome, _) = tokio::join!(request, counting);
        outcome
    }

    /// Takes the tokens of one request of a user. Returns those that are to be taken from the store now,
    /// for earlier requests included.
    ///
    /// # Errors
    ///
    /// [`Code::RateLimited`](chat::Code::RateLimited), with the rest of the wait: the user has to wait,
    /// as far as this process knows.
    fn take(&self, user_id: &str, cost: u32, now: DateTime<Utc>) -> Result<Debit, Rejection> {
        let mut buckets = self.buckets.lock();
        let bucket = buckets.get_or_insert_mut_ref(user_id, Bucket::default);
        if let Some(wait) = bucket.wait(now, self.limit.max_wait()) {
            return Err(Rejection::rate_limited(wait));
        }
        bucket.wait_until = None;
        bucket.uncounted = bucket.uncounted.saturating_add(cost);
        let tokens = if bucket.uncounted <= bucket.allowance {
            0
        } else {
            std::mem::take(&mut bucket.uncounted)
        };
        let first = !bucket.is_known;
        Ok(Debit { tokens, first })
    }

    /// Takes tokens from the user's bucket in the store, if there are any to take, and remembers what
    /// is left.
    ///
    /// # Errors
    ///
    /// [`Code::RateLimited`](chat::Code::RateLimited), with the wait: the bucket was empty before.
    async fn count(
        &self,
        store: &Store,
        user_id: &str,
        tokens: u32,
        deadline: Deadline,
    ) -> Result<(), Rejection> {
        if tokens == 0 {
            return Ok(());
        }
        let taken = store.take_tokens(self.of, user_id, tokens, self.limit, deadline);
        match taken.await {
            Ok(left) => {
                self.remember(user_id, left, Utc::now());
                let checked = self.limit.check(left, tokens);
                checked.map_err(Rejection::rate_limited)
            }
            Err(error) => {
                tracing::warn!(tokens, cause = error.chain(), "requests not counted");
                Ok(())
            }
        }
    }

    /// Remembers the tokens left to a user. Responses to writes at once may arrive in any order, and the
    /// longest wait is that of the last one.
    fn remember(&self, user_id: &str, left: TokensLeft, now: DateTime<Utc>) {
        let mut buckets = self.buckets.lock();
        let bucket = buckets.get_or_insert_mut_ref(user_id, Bucket::default);
        bucket.is_known = true;
        bucket.allowance = (left.tokens / 4).min(MAX_UNCOUNTED);
        if !left.wait.is_zero() {
            bucket.wait_until = bucket.wait_until.max(Some(now + left.wait));
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn limiter() -> RateLimiter {
        let limit = RateLimit::new(5.0, 20).expect("a limit");
        RateLimiter::new(Limited::Messages, limit)
    }

    fn after(now: DateTime<Utc>, milliseconds: i64) -> DateTime<Utc> {
        now + TimeDelta::milliseconds(milliseconds)
    }

    /// The debit of a request of a user whom the process knows.
    const ONE: Debit = Debit {
        tokens: 1,
        first: false,
    };

    fn wait(milliseconds: u64) -> TokensLeft {
        let wait = Duration::from_millis(milliseconds);
        TokensLeft { tokens: 0, wait }
    }

    #[test]
    fn a_user_waits_until_the_last_known_time_and_no_longer() {
        let (limiter, now) = (limiter(), Utc::now());
        limiter.remember("a", wait(400), now);
        limiter.remember("a", wait(200), now);
        let taken = |milliseconds| limiter.take("a", 1, after(now, milliseconds));
        let rejected = |milliseconds| {
            let wait = Duration::from_millis(milliseconds);
            Err(Rejection::rate_limited(wait))
        };
        assert_eq!(taken(0), rejected(400));
        assert_eq!(taken(399), rejected(1));
        assert!(limiter.take("b", 1, now).is_ok());
        assert_eq!(taken(400), Ok(ONE));
        assert_eq!(taken(0), Ok(ONE), "the wait is forgotten");
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let (limiter, now) = (limiter(), Utc::now());
        limiter.remember("a", wait(400), now);
        assert_eq!(limiter.take("a", 1, after(now, -3_600_000)), Ok(ONE));
    }

    #[test]
    fn several_messages_are_counted_at_once_while_many_tokens_are_left() {
        for (tokens, expected) in [
            (1_000, [0, 0, 0, 0, 5, 0, 0, 0, 0, 5]),
            (19, [0, 0, 0, 0, 5, 0, 0, 0, 0, 5]),
            (11, [0, 0, 3, 0, 0, 3, 0, 0, 3, 0]),
            (4, [0, 2, 0, 2, 0, 2, 0, 2, 0, 2]),
            (3, [1; 10]),
            (0, [1; 10]),
        ] {
            let (limiter, now) = (limiter(), Utc::now());
            let first = limiter.take("a", 1, now);
            let new = Debit {
                tokens: 1,
                first: true,
            };
            assert_eq!(first, Ok(new), "the user is new");
            let wait = Duration::ZERO;
            limiter.remember("a", TokensLeft { tokens, wait }, now);
            let counted = [(); 10].map(|()| limiter.take("a", 1, now).expect("no wait").tokens);
            assert_eq!(counted, expected, "{tokens} left");
        }
    }
}

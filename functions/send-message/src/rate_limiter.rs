//! The rate limit of a user.

use std::num::NonZeroUsize;
use std::time::Duration;

use chat::store::{RateLimit, TokensLeft};
use chat::{Deadline, Rejection, Result, Store, UserId};
use chat_lambda::env::{invalid, number};
use chrono::{DateTime, Utc};
use lru::LruCache;
use parking_lot::Mutex;

/// Users whose bucket a warm process remembers.
const REMEMBERED_USERS: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Messages of a user that a process sends, at most, before it counts them in the database.
const MAX_UNCOUNTED: u32 = 4;

/// Reads `MESSAGE_RATE` (messages a second, default 5) and `MESSAGE_BURST` (messages at once,
/// default 20).
///
/// # Errors
///
/// [`Error::Config`](chat::Error::Config): one of them is not a number, or out of bounds.
pub fn limit_from_env() -> Result<RateLimit> {
    const RATE: &str = "MESSAGE_RATE";
    const BURST: &str = "MESSAGE_BURST";
    let (rate, burst) = (number(RATE, 5.0)?, number(BURST, 20)?);
    RateLimit::new(rate, burst).ok_or_else(|| {
        let (min, max) = (RateLimit::MIN_RATE, RateLimit::MAX_RATE);
        if (min..=max).contains(&rate) {
            invalid(BURST, format!("is not from 1 to {}", RateLimit::MAX_BURST))
        } else {
            invalid(RATE, format!("is not from {min} to {max}"))
        }
    })
}

/// The rate limit, with the buckets of users as far as this process knows them.
///
/// The first message of a user who is new to the process is counted in the database before it is stored:
/// a burst reaches many processes at once, and each of them would let its first message through. Later
/// messages are counted while they are sent, so counting adds no latency. The one that empties the bucket
/// still passes; later ones are rejected here until the wait ends. The excess makes the wait longer, in
/// all processes.
///
/// While the bucket is far from empty, several messages are counted with one write. Each process can so
/// let five extra messages through.
pub struct RateLimiter {
    limit: RateLimit,
    buckets: Mutex<LruCache<UserId, Bucket>>,
}

/// The bucket of a user, as far as this process knows it. That of a user who is new to it is empty, so
/// the first message is counted at once.
#[derive(Default)]
struct Bucket {
    /// The time until which the user has to wait.
    wait_until: Option<DateTime<Utc>>,
    /// Messages that are not yet counted in the database.
    uncounted: u32,
    /// Messages that may stay uncounted.
    allowance: u32,
    /// Whether the database has said how many tokens are left.
    is_known: bool,
}

/// Tokens to take from the store for a message, and for earlier ones that are not counted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debit {
    /// The tokens; none if the message can be counted with the next ones.
    pub tokens: u32,
    /// Whether the message may be stored only once they are taken.
    pub first: bool,
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
    pub fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            buckets: Mutex::new(LruCache::new(REMEMBERED_USERS)),
        }
    }

    /// Takes a token for one message of a user. Returns the tokens that are to be taken from the store
    /// now, those for earlier messages included.
    ///
    /// # Errors
    ///
    /// [`Code::RateLimited`](chat::Code::RateLimited), with the rest of the wait: the user has to wait,
    /// as far as this process knows.
    pub fn take(&self, user_id: &UserId, now: DateTime<Utc>) -> Result<Debit, Rejection> {
        let mut buckets = self.buckets.lock();
        let bucket = buckets.get_or_insert_mut_ref(user_id, Bucket::default);
        if let Some(wait) = bucket.wait(now, self.limit.max_wait()) {
            return Err(Rejection::rate_limited(wait));
        }
        bucket.wait_until = None;
        bucket.uncounted += 1;
        let tokens = if bucket.uncounted <= bucket.allowance {
            0
        } else {
            std::mem::take(&mut bucket.uncounted)
        };
        let first = !bucket.is_known;
        Ok(Debit { tokens, first })
    }

    /// Takes tokens from the user's bucket in the store, if there are any to take, and remembers what
    /// is left. Where that fails, the messages are sent all the same.
    ///
    /// # Errors
    ///
    /// [`Code::RateLimited`](chat::Code::RateLimited), with the wait: the bucket was empty before.
    pub async fn count(
        &self,
        store: &Store,
        user_id: &UserId,
        tokens: u32,
        deadline: Deadline,
    ) -> Result<(), Rejection> {
        if tokens == 0 {
            return Ok(());
        }
        let taken = store.take_tokens(user_id, tokens, self.limit, deadline);
        match taken.await {
            Ok(left) => {
                self.remember(user_id, left, Utc::now());
                self.limit.check(left).map_err(Rejection::rate_limited)
            }
            Err(error) => {
                tracing::warn!(
                    messages = tokens,
                    cause = error.chain(),
                    "messages not counted"
                );
                Ok(())
            }
        }
    }

    /// Remembers the tokens left to a user. Responses to writes at once may arrive in any order, and the
    /// longest wait is that of the last one.
    fn remember(&self, user_id: &UserId, left: TokensLeft, now: DateTime<Utc>) {
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

    fn user(id: &str) -> UserId {
        UserId::try_from(id.to_owned()).expect("a valid id")
    }

    fn limiter() -> RateLimiter {
        RateLimiter::new(RateLimit::new(5.0, 20).expect("a limit"))
    }

    fn after(now: DateTime<Utc>, milliseconds: i64) -> DateTime<Utc> {
        now + TimeDelta::milliseconds(milliseconds)
    }

    /// A debit of one token for a user whom the process knows.
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
        limiter.remember(&user("a"), wait(400), now);
        limiter.remember(&user("a"), wait(200), now);
        let taken = |milliseconds| limiter.take(&user("a"), after(now, milliseconds));
        let rejected = |milliseconds| {
            let wait = Duration::from_millis(milliseconds);
            Err(Rejection::rate_limited(wait))
        };
        assert_eq!(taken(0), rejected(400));
        assert_eq!(taken(399), rejected(1));
        assert!(limiter.take(&user("b"), now).is_ok());
        assert_eq!(taken(400), Ok(ONE));
        assert_eq!(taken(0), Ok(ONE), "the wait is forgotten");
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let (limiter, now) = (limiter(), Utc::now());
        limiter.remember(&user("a"), wait(400), now);
        assert_eq!(limiter.take(&user("a"), after(now, -3_600_000)), Ok(ONE));
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
            let first = limiter.take(&user("a"), now);
            let new = Debit {
                tokens: 1,
                first: true,
            };
            assert_eq!(first, Ok(new), "the user is new");
            let wait = Duration::ZERO;
            limiter.remember(&user("a"), TokensLeft { tokens, wait }, now);
            let counted = [(); 10].map(|()| limiter.take(&user("a"), now).expect("no wait").tokens);
            assert_eq!(counted, expected, "{tokens} left");
        }
    }
}

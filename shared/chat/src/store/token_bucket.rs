//! The rate limit of a user, as a token bucket.

use std::time::Duration;

/// The rate limit of a user: a burst of requests at once, and from then on one after each interval.
///
/// It is a token bucket stored as one timestamp, `full_at`, at which it will be full again ([GCRA]).
/// Each token taken moves `full_at` one `interval` later. While it is more than `filling` ahead, the bucket
/// is empty and the user must wait. Requests that slip through move it further, by a minute at most.
///
/// [GCRA]: https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// The time in which the bucket gets one more token.
    pub(super) interval: Duration,
    /// The time in which an empty bucket becomes full.
    pub(super) filling: Duration,
}

impl RateLimit {
    /// The lowest rate: a token in a quarter of an hour.
    pub const MIN_RATE: f64 = 0.001;

    /// The highest rate, since times are stored in whole milliseconds.
    pub const MAX_RATE: f64 = 1_000.0;

    /// The largest burst.
    pub const MAX_BURST: u32 = 1_000_000;

    /// How far below empty a bucket may go, as refill time.
    pub(super) const MAX_EXCESS: Duration = Duration::from_secs(60);

    /// Returns the limit of `rate` tokens a second, which is rounded to whole milliseconds a token, and
    /// `burst` tokens at once. `None` if one of them is out of bounds.
    pub fn new(rate: f64, burst: u32) -> Option<Self> {
        let in_bounds = (Self::MIN_RATE..=Self::MAX_RATE).contains(&rate)
            && (1..=Self::MAX_BURST).contains(&burst);
        let interval = || Duration::from_millis((1_000.0 / rate).round() as u64);
        in_bounds.then(interval).map(|interval| Self {
            interval,
            filling: interval * burst,
        })
    }

    /// Returns the tokens left in a bucket that is full again in `full_in`.
    pub(super) fn tokens_left(self, full_in: Duration) -> TokensLeft {
        let left = self.filling.saturating_sub(full_in).as_millis() / self.interval.as_millis();
        TokensLeft {
            tokens: left as u32,
            wait: (full_in + self.interval).saturating_sub(self.filling),
        }
    }

    /// Returns whether there was a token for the request that took `tokens` and has left `left`.
    ///
    /// # Errors
    ///
    /// The time after which there is one: the bucket was empty before.
    pub fn check(self, left: TokensLeft, tokens: u32) -> Result<(), Duration> {
        if left.wait > self.interval * tokens {
            Err(left.wait)
        } else {
            Ok(())
        }
    }

    /// Returns the longest time that a user can have to wait.
    pub fn max_wait(self) -> Duration {
        Self::MAX_EXCESS + self.interval
    }
}

/// The tokens of a user after some were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokensLeft {
    /// Tokens that may be taken at once.
    pub tokens: u32,
    /// Time before the next one may be taken; zero if that may be at once.
    pub wait: Duration,
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
        let left = |full_in_ms| {
            let TokensLeft { tokens, wait } = limit.tokens_left(Duration::from_millis(full_in_ms));
            (tokens, wait.as_millis())
        };
        assert_eq!(left(0), (20, 0));
        assert_eq!(left(200), (19, 0), "one is gone");
        assert_eq!(left(3_800), (1, 0), "one is left");
        assert_eq!(left(4_000), (0, 200), "none is left");
        assert_eq!(left(4_600), (0, 800), "three too many");
        let check = |full_in_ms, tokens| {
            let left = limit.tokens_left(Duration::from_millis(full_in_ms));
            limit.check(left, tokens).map_err(|wait| wait.as_millis())
        };
        assert_eq!(check(0, 1), Ok(()));
        assert_eq!(check(4_000, 1), Ok(()), "it took the last one");
        assert_eq!(check(4_200, 1), Err(400), "it took none");
        assert_eq!(check(4_200, 2), Ok(()), "it took the last one");
        assert_eq!(check(4_400, 2), Err(600), "it took none");
    }

    /// Returns `full_at` after the server has taken a token at `now`, both in milliseconds.
    fn take_token(limit: RateLimit, full_at: u64, now: u64) -> u64 {
        let interval = limit.interval.as_millis() as u64;
        let farthest = (limit.filling + RateLimit::MAX_EXCESS).as_millis() as u64;
        (full_at.max(now) + interval).min(now + farthest)
    }

    proptest! {
        /// A user who keeps to the wait never gets more than the burst and the rate allow, however
        /// the messages are spaced; nor less: after the wait the next one passes.
        #[test]
        fn a_user_who_waits_gets_exactly_the_rate(
            rate in 0.01..1_000.0_f64,
            burst in 1..50_u32,
            pauses in proptest::collection::vec(0..3_000_u64, 1..200),
        ) {
            let limit = RateLimit::new(rate, burst).expect("a limit");
            let interval = limit.interval.as_millis() as u64;
            let (mut now, mut full_at, mut sent) = (0, 0, 0);
            for pause in pauses {
                now += pause;
                full_at = take_token(limit, full_at, now);
                sent += 1;
                let allowed = u64::from(burst) + now / interval;
                prop_assert!(sent <= allowed, "{sent} of {allowed} at {now}");
                let wait = limit.tokens_left(Duration::from_millis(full_at - now)).wait;
                prop_assert!(wait <= limit.interval);
                now += wait.as_millis() as u64;
            }
        }

        #[test]
        fn no_excess_makes_a_wait_longer_than_the_maximum(
            rate in 0.01..1_000.0_f64,
            burst in 1..50_u32,
            messages in 1..1_000,
        ) {
            let limit = RateLimit::new(rate, burst).expect("a limit");
            let full_at = (0..messages).fold(0, |full_at, _| take_token(limit, full_at, 0));
            let left = limit.tokens_left(Duration::from_millis(full_at));
            prop_assert!(left.wait <= limit.max_wait());
        }
    }
}

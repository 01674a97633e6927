//! How fast a user may send.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat::store::{Balance, RateLimit};
use chat::{Deadline, Rejection, Result, UserId};
use chat_lambda::config::{invalid, number};
use chrono::{DateTime, Utc};
use lru::LruCache;

use crate::Deps;

/// Users of whom a warm process remembers how near to the limit they are.
const REMEMBERED_USERS: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Messages of a user that a process sends, at most, before it tells the database of them.
const MOST_UNCOUNTED: u32 = 4;

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

/// The limit, and what this process knows of who is how near to it.
///
/// Messages are counted in the database beside their insert and delivery, which costs no time: the
/// message that finds the bucket empty is on its way already. It passes, and this process refuses
/// the user's further ones by itself until the wait is over. What passed is a debt that makes the
/// wait longer, for all processes.
///
/// While the bucket is far from empty, several messages are counted at once, which costs the database
/// one write instead of several. So a user who floods gets through what burst and rate allow
/// and five messages more for each execution.
pub struct Limits {
    rate: RateLimit,
    accounts: Mutex<LruCache<UserId, Account>>,
}

/// What a process knows of a user's bucket; nothing of a user who is new to it, and whose first message
/// is counted at once.
#[derive(Default)]
struct Account {
    /// Until when the user has to wait.
    wait_until: Option<DateTime<Utc>>,
    /// Messages of which the database does not know yet.
    uncounted: u32,
    /// How many there may be of those.
    allowance: u32,
}

impl Account {
    /// The rest of the wait, if there is one.
    fn wait(&self, now: DateTime<Utc>, longest: Duration) -> Option<Duration> {
        let wait = (self.wait_until? - now).to_std().ok()?;
        // Longer than the longest wait: the clock has been set back.
        (!wait.is_zero() && wait <= longest).then_some(wait)
    }
}

impl Limits {
    /// With nobody known.
    pub fn new(rate: RateLimit) -> Self {
        Self {
            rate,
            accounts: Mutex::new(LruCache::new(REMEMBERED_USERS)),
        }
    }

    /// Lets a user send who does not have to wait, as far as this process knows. Gives how many
    /// messages are to be counted with this one and itself: none if it can wait for the next ones.
    ///
    /// # Errors
    ///
    /// [`Code::RateLimited`](chat::Code::RateLimited), with the rest of the wait.
    pub fn admit(&self, user_id: &UserId, now: DateTime<Utc>) -> Result<u32, Rejection> {
        let mut accounts = self.accounts.lock().expect("no holder panics");
        let account = accounts.get_or_insert_mut_ref(user_id, Account::default);
        if let Some(wait) = account.wait(now, self.rate.longest_wait()) {
            return Err(Rejection::rate_limited(wait));
        }
        account.wait_until = None;
        account.uncounted += 1;
        match account.uncounted <= account.allowance {
            true => Ok(0),
            false => Ok(std::mem::take(&mut account.uncounted)),
        }
    }

    /// Remembers what is left to a user. Answers to debits at once may arrive in any order, and the
    /// longest wait is that of the last one.
    fn learn(&self, user_id: &UserId, balance: Balance, now: DateTime<Utc>) {
        let mut accounts = self.accounts.lock().expect("no holder panics");
        let account = accounts.get_or_insert_mut_ref(user_id, Account::default);
        account.allowance = (balance.left / 4).min(MOST_UNCOUNTED);
        if !balance.wait.is_zero() {
            account.wait_until = account.wait_until.max(Some(now + balance.wait));
        }
    }
}

/// Counts messages of a user, if there are any. What cannot be counted is sent all the same.
pub async fn debit(user_id: UserId, messages: u32, deadline: Deadline, deps: Arc<Deps>) {
    if messages == 0 {
        return;
    }
    let debit = async move {
        let limits = &deps.limits;
        let balance = deps.store.debit(&user_id, messages, limits.rate).await?;
        limits.learn(&user_id, balance, Utc::now());
        Ok(())
    };
    if let Err(error) = deadline.bound("debit", debit).await {
        tracing::warn!(messages, cause = error.chain(), "messages not counted");
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

    fn wait(milliseconds: u64) -> Balance {
        let wait = Duration::from_millis(milliseconds);
        Balance { left: 0, wait }
    }

    #[test]
    fn a_user_waits_until_the_last_known_moment_and_no_longer() {
        let (limits, now) = (limits(), Utc::now());
        limits.learn(&user("a"), wait(400), now);
        limits.learn(&user("a"), wait(200), now);
        let admitted = |milliseconds| limits.admit(&user("a"), after(now, milliseconds));
        let refused = |milliseconds| {
            let wait = Duration::from_millis(milliseconds);
            Err(Rejection::rate_limited(wait))
        };
        assert_eq!(admitted(0), refused(400));
        assert_eq!(admitted(399), refused(1));
        assert_eq!(limits.admit(&user("b"), now), Ok(1));
        assert_eq!(admitted(400), Ok(1));
        assert_eq!(admitted(0), Ok(1), "it is forgotten");
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let (limits, now) = (limits(), Utc::now());
        limits.learn(&user("a"), wait(400), now);
        assert_eq!(limits.admit(&user("a"), after(now, -3_600_000)), Ok(1));
    }

    #[test]
    fn messages_are_counted_several_at_once_while_many_are_left() {
        for (left, expected) in [
            (1_000, [0, 0, 0, 0, 5, 0, 0, 0, 0, 5]),
            (19, [0, 0, 0, 0, 5, 0, 0, 0, 0, 5]),
            (11, [0, 0, 3, 0, 0, 3, 0, 0, 3, 0]),
            (4, [0, 2, 0, 2, 0, 2, 0, 2, 0, 2]),
            (3, [1; 10]),
            (0, [1; 10]),
        ] {
            let (limits, now) = (limits(), Utc::now());
            let first = limits.admit(&user("a"), now);
            assert_eq!(first, Ok(1), "nothing is known yet");
            let wait = Duration::ZERO;
            limits.learn(&user("a"), Balance { left, wait }, now);
            let counted = [(); 10].map(|()| limits.admit(&user("a"), now).expect("no wait"));
            assert_eq!(counted, expected, "{left} left");
        }
    }
}

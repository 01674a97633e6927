//! The limit of refused frames of a connection.
//!
//! A refused frame costs its connection nothing, but the throttle of a route is shared by all users: a
//! connection that sends nothing else is closed.

use std::num::NonZeroUsize;

use chat::ConnectionId;
use chrono::{DateTime, TimeDelta, Utc};
use lru::LruCache;
use parking_lot::Mutex;

/// Refused frames that a process takes from a connection in a [`WINDOW`]. A client that heeds its error
/// frames stays far below.
const MAX_REFUSALS: u32 = 100;

/// The time in which refusals are counted together.
const WINDOW: TimeDelta = TimeDelta::seconds(10);

/// Connections whose refusals a process counts.
const REMEMBERED_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Counts of refused frames by connection, as far as this process has seen them. They need no database:
/// a process that is busy with a flood soon sees enough of it.
pub struct Refusals(Mutex<LruCache<ConnectionId, Count>>);

/// The refusals of a connection since a time.
struct Count {
    since: DateTime<Utc>,
    refusals: u32,
}

impl Default for Refusals {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED_CONNECTIONS)))
    }
}

impl Refusals {
    /// Counts a refused frame. Returns whether it is the first one beyond the limit: the connection is
    /// closed once, however many of its frames are still on their way.
    pub fn are_too_many(&self, connection_id: &ConnectionId, now: DateTime<Utc>) -> bool {
        let mut counts = self.0.lock();
        let start = || Count {
            since: now,
            refusals: 0,
        };
        let count = counts.get_or_insert_mut_ref(connection_id, start);
        // Before the start: the clock has been set back.
        if now < count.since || now - count.since >= WINDOW {
            *count = start();
        }
        count.refusals += 1;
        count.refusals == MAX_REFUSALS + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn too_many(refusals: &Refusals, id: &str, now: DateTime<Utc>) -> bool {
        refusals.are_too_many(&id.to_owned().into(), now)
    }

    #[test]
    fn a_connection_is_closed_once_and_others_are_not() {
        let (refusals, now) = (Refusals::default(), Utc::now());
        for _ in 0..MAX_REFUSALS {
            assert!(!too_many(&refusals, "a", now));
        }
        assert!(!too_many(&refusals, "b", now));
        assert!(too_many(&refusals, "a", now));
        assert!(!too_many(&refusals, "a", now));
    }

    #[test]
    fn refusals_are_forgotten_after_a_while_and_when_the_clock_is_set_back() {
        for later in [WINDOW, -TimeDelta::hours(1)] {
            let (refusals, now) = (Refusals::default(), Utc::now());
            for _ in 0..MAX_REFUSALS {
                assert!(!too_many(&refusals, "a", now));
            }
            for _ in 0..MAX_REFUSALS {
                assert!(!too_many(&refusals, "a", now + later));
            }
        }
    }
}

//! Rate limits of routes: a token bucket for each.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-protect.html>

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

use crate::model::Throttle;

/// The buckets of an API by route key.
#[derive(Default)]
pub struct Buckets(Mutex<HashMap<String, Bucket>>);

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Buckets {
    /// Takes a token for a request to a route at `now`; false if there is none.
    pub fn admit(&self, route_key: &str, throttle: Option<Throttle>, now: Instant) -> bool {
        let Some(throttle) = throttle else {
            return true;
        };
        let mut buckets = self.0.lock();
        let bucket = buckets.entry(route_key.to_owned()).or_insert(Bucket {
            tokens: throttle.burst,
            filled: now,
        });
        let gained = now.duration_since(bucket.filled).as_secs_f64() * throttle.rate;
        bucket.tokens = (bucket.tokens + gained).min(throttle.burst);
        bucket.filled = now;
        let has_one = bucket.tokens >= 1.0;
        bucket.tokens -= f64::from(u8::from(has_one));
        has_one
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let throttle = Some(Throttle {
            rate: 10.0,
            burst: 3.0,
        });
        let (buckets, start) = (Buckets::default(), Instant::now());
        let admitted = |after: u64, count: usize| {
            let now = start + Duration::from_millis(after);
            (0..count)
                .filter(|_| buckets.admit("ping", throttle, now))
                .count()
        };
        assert_eq!(admitted(0, 5), 3);
        assert_eq!(admitted(50, 5), 0);
        assert_eq!(admitted(100, 5), 1);
        assert_eq!(admitted(10_000, 5), 3);
        assert!(
            buckets.admit("other", throttle, start),
            "each route has its own"
        );
        assert!(buckets.admit("ping", None, start));
    }
}

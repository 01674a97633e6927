//! The deadline of an invocation.

use std::time::{Duration, SystemTime};

use chat::Deadline;
use lambda_runtime::Context;

/// Time kept back for writing the response, before Lambda stops the function.
const RESPONSE_RESERVE: Duration = Duration::from_millis(500);

/// The timeout where the runtime's deadline cannot be used. Only `cargo lambda watch` needs it: it
/// reports a constant deadline that lies in 1970.
const FALLBACK_TIMEOUT: Duration = Duration::from_secs(8);

/// Longer than any function may run, which is 15 minutes, and clocks may differ: a deadline beyond it
/// is not a real one.
const MAX_TIMEOUT: Duration = Duration::from_secs(16 * 60);

/// Returns the deadline of the invocation that `context` describes.
pub fn from(context: &Context) -> Deadline {
    if_known(context).unwrap_or_else(|| Deadline::after(FALLBACK_TIMEOUT))
}

/// Returns the same for work that may take long: `None` where the runtime's deadline cannot be used.
pub fn if_known(context: &Context) -> Option<Deadline> {
    time_left(context.deadline(), SystemTime::now()).map(Deadline::after)
}

fn time_left(deadline: SystemTime, now: SystemTime) -> Option<Duration> {
    match deadline.duration_since(now) {
        Ok(left) if left <= MAX_TIMEOUT => Some(left.saturating_sub(RESPONSE_RESERVE)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_in_1970_or_in_the_far_future_is_not_used() {
        let now = SystemTime::now();
        let in_1970 = SystemTime::UNIX_EPOCH + Duration::from_secs(600);
        assert_eq!(time_left(in_1970, now), None);
        let never = now + Duration::from_secs(1_000_000);
        assert_eq!(time_left(never, now), None);
        let usual = now + Duration::from_secs(10);
        assert_eq!(
            time_left(usual, now),
            Some(Duration::from_secs(10) - RESPONSE_RESERVE)
        );
    }
}

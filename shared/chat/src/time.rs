//! The one form of a timestamp, and the time that a request has left.

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, SubsecRound, Utc};
use tokio::time::Instant;
use tracing::Instrument;

use crate::{Error, Result};

/// Writes a time as it is stored and sent: ISO 8601, UTC, milliseconds, fixed width
/// (`2026-11-22T11:15:03.123Z`).
pub fn format(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Reads a stored time: our own form, or one that the old system wrote
/// (`2024-05-01T12:00:00.123456`, with or without an offset; UTC where none is given).
///
/// The result is rounded up to whole milliseconds, so that a message that follows is not earlier
/// when it is written in our form.
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).map_or_else(
        |_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|time| time.and_utc()),
        |time| Ok(time.to_utc()),
    );
    let time = time.ok()?;
    let floor = time.trunc_subsecs(3);
    let up = if floor < time { 1 } else { 0 };
    Some(floor + Duration::from_millis(up))
}

/// The moment at which a reply must leave, a little before Lambda stops the function.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// Returns a deadline `time` from now.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// A moment `time` before this one, so that something can still follow.
    pub fn sooner(self, time: Duration) -> Self {
        Self(self.0.checked_sub(time).unwrap_or(self.0))
    }

    /// The time left; zero once it has passed.
    pub fn remaining(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Runs `work` until it is done or the deadline has passed, whichever comes first.
    ///
    /// The work is a task of its own and is never dropped half-way: the MongoDB driver asks that
    /// its futures be allowed to finish. What it logs belongs to the caller's span all the same.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: the time is over, and whether the work will still be done is unknown.
    pub async fn bound<T: Send + 'static>(
        self,
        operation: &'static str,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let work = tokio::spawn(work.in_current_span());
        match tokio::time::timeout_at(self.0, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
            Err(elapsed) => Err(Error::unavailable(operation)(elapsed)),
        }
    }

    /// Goes on if there is time left.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: the deadline has passed.
    pub fn check(self, operation: &'static str) -> Result<()> {
        match self.remaining() {
            Duration::ZERO => Err(Error::unavailable(operation)("the deadline has passed")),
            _ => Ok(()),
        }
    }

    /// Waits for `pause`, which may be zero, if that leaves any time for what comes after it.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: the deadline would pass first.
    pub async fn pause(self, operation: &'static str, pause: Duration) -> Result<()> {
        if pause >= self.remaining() {
            return Err(Error::unavailable(operation)("no time left to retry"));
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_fixed_width() {
        let time = DateTime::from_timestamp_millis(1_795_346_103_120).expect("a time");
        assert_eq!(format(time), "2026-11-22T11:15:03.120Z");
    }

    #[test]
    fn times_of_the_old_system_are_read_and_rounded_up() {
        for (old, ours) in [
            ("2024-05-01T12:00:00.123456", "2024-05-01T12:00:00.124Z"),
            ("2024-05-01T12:00:00", "2024-05-01T12:00:00.000Z"),
            ("2024-05-01T14:00:00.5+02:00", "2024-05-01T12:00:00.500Z"),
            ("2024-05-01T12:00:00.123Z", "2024-05-01T12:00:00.123Z"),
        ] {
            assert_eq!(parse(old).map(format).as_deref(), Some(ours), "{old}");
        }
        assert_eq!(parse("yesterday"), None);
    }
}

//! The one form in which a time is stored and sent, and the age of one.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, SubsecRound, TimeDelta, Utc};

/// Writes a time in the form in which it is stored and sent: ISO 8601, UTC, milliseconds, fixed width
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
    let milliseconds_up = u64::from(floor < time);
    Some(floor + Duration::from_millis(milliseconds_up))
}

/// Returns whether `now` is less than `age` after a time. Before it, the clock has been set back, and nothing is
/// known.
pub fn is_recent(time: DateTime<Utc>, now: DateTime<Utc>, age: TimeDelta) -> bool {
    (TimeDelta::zero()..age).contains(&(now - time))
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

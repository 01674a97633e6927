//! Schedules of EventBridge.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// A function that is invoked at times.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The logical id of the rule or the schedule.
    pub id: String,
    /// The function, by logical id.
    pub function: String,
    /// The times.
    pub times: Times,
    /// Whether it runs by itself.
    pub is_enabled: bool,
    /// The event, if the template gives it.
    pub input: Option<String>,
    /// The service: `events` of a rule, `scheduler` of a schedule.
    pub service: &'static str,
}

/// The times of a schedule, in UTC.
#[derive(Debug, Clone)]
pub enum Times {
    /// Again and again after this time, from the start on.
    Every(Duration),
    /// The minutes that a pattern names.
    At(Box<Cron>),
}

impl Times {
    /// Reads a [schedule expression]: `rate(5 minutes)` or `cron(0 12 * * ? *)`.
    ///
    /// # Errors
    ///
    /// EventBridge would not accept it, or it is for one time only.
    ///
    /// [schedule expression]: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
    pub fn parse(expression: &str) -> Result<Self> {
        let inside = |name: &str| {
            let rest = expression.strip_prefix(name)?.strip_prefix('(')?;
            rest.strip_suffix(')')
        };
        if let Some(rate) = inside("rate") {
            return Ok(Self::Every(interval(rate)?));
        }
        let pattern = inside("cron").context("only rate(…) and cron(…) are served")?;
        let fields = pattern.split_whitespace().count();
        ensure!(
            fields == 6,
            "cron has the 6 fields minutes, hours, day of month, month, day of week and year, and not {fields}"
        );
        let parser = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Required)
            // Sunday is 1.
            .alternative_weekdays(true)
            // `0/15` is each quarter of an hour.
            .sloppy_ranges(true)
            .build();
        let cron = parser.parse(&format!("0 {pattern}"));
        let cron = cron.with_context(|| format!("cron({pattern})"))?;
        Ok(Self::At(Box::new(cron)))
    }

    /// Returns the next time; `None` if there is none.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Every(interval) => {
                after.checked_add_signed(chrono::TimeDelta::from_std(*interval).ok()?)
            }
            Self::At(cron) => cron.find_next_occurrence(&after, false).ok(),
        }
    }
}

fn interval(rate: &str) -> Result<Duration> {
    let (number, unit) = rate
        .split_once(' ')
        .context("rate has a number and a unit, as in rate(5 minutes)")?;
    let number: u32 = number.parse().context("rate has a whole number")?;
    ensure!(number > 0, "the number of a rate is more than 0");
    let minutes = match unit.trim() {
        "minute" | "minutes" => 1,
        "hour" | "hours" => 60,
        "day" | "days" => 24 * 60,
        other => bail!("a rate is in minutes, hours or days, and not in {other:?}"),
    };
    Ok(Duration::from_secs(60) * minutes * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, after: &str) -> String {
        let times = Times::parse(expression).expect(expression);
        let next = times.next(after.parse().expect("a time"));
        next.expect("there is one").to_rfc3339()
    }

    #[test]
    fn a_rate_counts_from_the_last_time() {
        let noon = "2026-11-29T12:00:30Z";
        assert_eq!(next("rate(1 minute)", noon), "2026-11-29T12:01:30+00:00");
        assert_eq!(next("rate(5 hours)", noon), "2026-11-29T17:00:30+00:00");
        assert_eq!(next("rate(7 days)", noon), "2026-12-06T12:00:30+00:00");
    }

    #[test]
    fn a_pattern_is_read_as_that_of_aws() {
        // A Sunday.
        let noon = "2026-11-29T12:00:30Z";
        for (pattern, expected) in [
            ("cron(0 3 * * ? *)", "2026-11-30T03:00:00+00:00"),
            ("cron(0/15 * * * ? *)", "2026-11-29T12:15:00+00:00"),
            ("cron(0 18 ? * MON-FRI *)", "2026-11-30T18:00:00+00:00"),
            ("cron(0 18 ? * 1 *)", "2026-11-29T18:00:00+00:00"),
            ("cron(0 9 ? * 2#1 *)", "2026-12-07T09:00:00+00:00"),
            ("cron(0 8 L * ? *)", "2026-11-30T08:00:00+00:00"),
            ("cron(0 8 1 1 ? 2030)", "2030-01-01T08:00:00+00:00"),
        ] {
            assert_eq!(next(pattern, noon), expected, "{pattern}");
        }
        let over = Times::parse("cron(0 8 1 1 ? 2020)").expect("valid");
        assert_eq!(over.next(noon.parse().expect("a time")), None);
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_the_reason() {
        for (expression, expected) in [
            ("rate(0 minutes)", "more than 0"),
            ("rate(5 seconds)", "minutes, hours or days"),
            ("rate(5)", "a unit"),
            ("rate(x days)", "whole number"),
            ("cron(0 3 * * ?)", "6 fields"),
            ("cron(0 25 * * ? *)", "cron(0 25"),
            ("at(2026-11-29T12:00:00)", "rate(…) and cron(…)"),
            ("", "rate(…) and cron(…)"),
        ] {
            let error = format!("{:#}", Times::parse(expression).expect_err(expression));
            assert!(error.contains(expected), "{expression}: {error}");
        }
    }
}

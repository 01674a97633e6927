//! Medians and percentiles, and the rows in which figures are printed.

use std::fmt::Display;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Durations of one operation, in nanoseconds with three significant digits.
pub struct Samples(Histogram<u64>);

impl Default for Samples {
    fn default() -> Self {
        Self(Histogram::new(3).expect("three digits are supported"))
    }
}

impl Samples {
    /// Adds a duration.
    pub fn add(&mut self, sample: Duration) {
        self.0 += sample.as_nanos() as u64;
    }

    /// Adds all durations of another set.
    pub fn merge(&mut self, other: Self) {
        self.0 += other.0;
    }

    /// Returns the number of durations.
    pub fn len(&self) -> usize {
        self.0.len() as usize
    }

    /// Returns the duration that `percent` of the samples do not exceed, in milliseconds.
    pub fn percentile_ms(&self, percent: u32) -> f64 {
        self.0.value_at_percentile(percent.into()) as f64 / 1e6
    }

    /// Returns the median in milliseconds.
    pub fn median_ms(&self) -> f64 {
        self.percentile_ms(50)
    }

    /// Returns `p50 1.23 ms, p99 4.56 ms`.
    pub fn summary(&self) -> String {
        let (p50, p99) = (self.median_ms(), self.percentile_ms(99));
        format!("p50 {p50:.2} ms, p99 {p99:.2} ms")
    }
}

/// Prints figures as rows of a table in Markdown, as `tests/FIGURES.md` has them. Each row begins with the
/// mode of its figure.
#[derive(Clone, Copy)]
pub struct Report {
    mode: &'static str,
}

impl Report {
    /// For figures that do not depend on the mode.
    pub const EITHER_MODE: Self = Self::of("either mode");

    /// For figures of a mode.
    pub const fn of(mode: &'static str) -> Self {
        Self { mode }
    }

    /// Prints the head of a table. Its first two columns are the mode and the figure.
    pub fn heading(self, columns: &[&str]) {
        println!("\n| mode | figure | {} |", columns.join(" | "));
        println!("|---|---|{}", "---|".repeat(columns.len()));
    }

    /// Prints a row with one value.
    pub fn row(self, figure: impl Display, value: impl Display) {
        println!("| {} | {figure} | {value} |", self.mode);
    }
}

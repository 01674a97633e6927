//! Medians and percentiles.

use std::time::Duration;

/// Durations of one thing, measured again and again.
#[derive(Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Adds a duration.
    pub fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// Adds all durations of another set.
    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that `percent` of the samples do not exceed, in milliseconds.
    pub fn percentile_ms(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * percent / 100).min(sorted.len() - 1);
        sorted[index].as_secs_f64() * 1e3
    }

    /// The median in milliseconds.
    pub fn median_ms(&self) -> f64 {
        self.percentile_ms(50)
    }

    /// `p50 1.23 ms, p99 4.56 ms`
    pub fn summary(&self) -> String {
        let (p50, p99) = (self.median_ms(), self.percentile_ms(99));
        format!("p50 {p50:.2} ms, p99 {p99:.2} ms")
    }
}

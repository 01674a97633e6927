//! Pauses before the next attempt, to send or to connect.

use std::time::Duration;

use fastrand::Rng;

/// Exponential backoff with full jitter.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Upper bound of the pause after the first failure. It doubles with each further failure.
    pub first: Duration,
    /// Largest upper bound.
    pub longest: Duration,
}

impl Backoff {
    /// Returns the pause after so many failures in a row, of which there is at least one.
    pub fn pause(&self, failures: u32, rng: &mut Rng) -> Duration {
        let doubled = self.first * (1 << failures.saturating_sub(1).min(16));
        doubled.min(self.longest).mul_f64(rng.f64())
    }
}

//! The time that a request has left.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use crate::{Error, Result};

/// The time at which the response of a request must leave.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// Returns a deadline `time` from now.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// Returns a deadline earlier by `time`, the reserve for what follows.
    pub fn earlier_by(self, time: Duration) -> Self {
        Self(self.0.checked_sub(time).unwrap_or(self.0))
    }

    /// Returns this deadline, or `time` from now if that is earlier.
    pub fn within(self, time: Duration) -> Self {
        Self(self.0.min(Instant::now() + time))
    }

    /// Returns the time left; zero once it has passed.
    pub fn remaining(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Runs `work` until it is done or the deadline has passed, whichever comes first.
    ///
    /// The work is a task of its own and is never dropped half-way. Its log lines belong to the caller's
    /// span all the same.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: the deadline has passed, and it is unknown whether the work will still be
    /// done.
    pub async fn run<T: Send + 'static>(
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

    /// Returns an error if the deadline has passed.
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

    /// Waits for `pause`, which may be zero, if that leaves any time.
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

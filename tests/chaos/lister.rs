//! A reader that requests a user's list of conversations again and again, with groups or without.

use std::sync::Arc;
use std::time::Duration;

use tests::client::List;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::history::{Listed, Outcome};
use crate::outbox::BACKOFF;
use crate::recorder::Recorder;
use crate::session::REQUEST_TIMEOUT;
use crate::workload::{Phase, SETTLE_TIMEOUT, until_end};

/// Pause after a list.
const PAUSE_MS: std::ops::Range<u64> = 1_000..3_000;

/// A lister.
pub struct Lister {
    user_id: String,
    list: List,
    rng: fastrand::Rng,
    phase: watch::Receiver<Phase>,
    recorder: Arc<Recorder>,
}

impl Lister {
    /// A reader of a user's list at an origin.
    pub fn new(
        user_id: String,
        base: &str,
        rng: fastrand::Rng,
        phase: watch::Receiver<Phase>,
        recorder: Arc<Recorder>,
    ) -> Self {
        Self {
            user_id,
            list: List::new(format!("{base}/chat/conversations"), REQUEST_TIMEOUT),
            rng,
            phase,
            recorder,
        }
    }

    /// Reads until the run ends, and then once more.
    pub async fn run(mut self) {
        let phase = self.phase.clone();
        until_end(phase, self.poll()).await;
        let end = Instant::now() + SETTLE_TIMEOUT;
        let mut failures = 0;
        // A list that does not come breaks no promise: the history records it.
        while !self.read().await && Instant::now() < end {
            failures += 1;
            sleep(BACKOFF.pause(failures, &mut self.rng)).await;
        }
    }

    async fn poll(&mut self) {
        loop {
            self.read().await;
            sleep(Duration::from_millis(self.rng.u64(PAUSE_MS))).await;
        }
    }

    /// Reads and records the list; returns whether it came.
    async fn read(&mut self) -> bool {
        let groups = self.rng.bool();
        let start = self.recorder.now();
        let (outcome, rows) = match self.list.first_page(&self.user_id, groups).await {
            Ok(rows) => (Outcome::Ok, rows),
            Err(error) => (error.into(), Vec::new()),
        };
        let listed = Listed {
            user_id: self.user_id.clone(),
            groups,
            start,
            end: self.recorder.now(),
            outcome,
            rows,
        };
        let is_read = listed.outcome == Outcome::Ok;
        self.recorder.record(|history| history.lists.push(listed));
        is_read
    }
}

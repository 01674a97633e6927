//! A reader with an old client, that requests the texts after the last number it has, again and again. Now and then, and
//! in the end, it reads all of them anew: an old client knows of changes only so.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::outbox::BACKOFF;
use crate::pages::{Conversation, Pages};
use crate::workload::{Phase, SETTLE_TIMEOUT, until_end};

/// Limits of pages: small ones make it stop in the middle of new messages.
const LIMITS: [usize; 4] = [1, 3, 50, 1_000];

/// Pause after a page that was not full.
const PAUSE_MS: std::ops::Range<u64> = 50..250;

/// One of this number of times, all is read anew.
const READS_PER_RESTART: u8 = 20;

/// A poller.
pub struct Poller {
    /// The conversation that it reads.
    pub conversation: Conversation,
    /// Reads and records pages.
    pub pages: Pages,
    /// Its random numbers.
    pub rng: fastrand::Rng,
    /// The phase of the run.
    pub phase: watch::Receiver<Phase>,
}

impl Poller {
    /// Reads until the run ends, and then all texts.
    pub async fn run(mut self) {
        let mut last = 0;
        let phase = self.phase.clone();
        until_end(phase, self.poll(&mut last)).await;
        last = 0;
        // Pages that do not come break no promise: the history records them.
        let _ = timeout(SETTLE_TIMEOUT, self.read_on(&mut last)).await;
    }

    async fn poll(&mut self, last: &mut i64) {
        loop {
            self.read_on(last).await;
            if self.rng.u8(..READS_PER_RESTART) == 0 {
                *last = 0;
            }
            let pause_ms = self.rng.u64(PAUSE_MS);
            sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    /// Reads the texts after the last number, up to a page that is not full.
    async fn read_on(&mut self, last: &mut i64) {
        let mut failures = 0;
        loop {
            let limit = LIMITS[self.rng.usize(..LIMITS.len())];
            let Some(page) = self.pages.read(&self.conversation, *last, limit).await else {
                failures += 1;
                sleep(BACKOFF.pause(failures, &mut self.rng)).await;
                continue;
            };
            *last = page.last().map_or(*last, |message| message.seq);
            failures = 0;
            if page.len() < limit {
                return;
            }
        }
    }
}

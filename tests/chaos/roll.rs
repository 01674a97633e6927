//! A reader that requests the members of a group again and again, as one of those who may be in it, or as a stranger.

use std::sync::Arc;
use std::time::Duration;

use tests::client::Members;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::history::{Outcome, Roll};
use crate::outbox::BACKOFF;
use crate::pages::{Conversation, Pages};
use crate::recorder::Recorder;
use crate::session::REQUEST_TIMEOUT;
use crate::workload::{Phase, SETTLE_TIMEOUT, until_end};

/// Pause after a request.
const PAUSE_MS: std::ops::Range<u64> = 500..1_500;

/// Entries of a page that a stranger asks for.
const PAGE: usize = 3;

/// A reader of the members of a group.
pub struct RollReader {
    group: Conversation,
    /// The user who is never in it.
    stranger: String,
    members: Members,
    /// Pages for the stranger.
    pages: Pages,
    rng: fastrand::Rng,
    phase: watch::Receiver<Phase>,
    recorder: Arc<Recorder>,
}

impl RollReader {
    /// A reader of a group at an origin, whose `pages` a user reads who is never in it.
    pub fn new(
        (group, stranger, pages): (Conversation, &str, Pages),
        base: &str,
        rng: fastrand::Rng,
        phase: watch::Receiver<Phase>,
        recorder: Arc<Recorder>,
    ) -> Self {
        Self {
            group,
            stranger: stranger.to_owned(),
            members: Members::new(format!("{base}/chat/members"), REQUEST_TIMEOUT),
            pages,
            rng,
            phase,
            recorder,
        }
    }

    /// Reads until the run ends, and then once more as each user.
    pub async fn run(mut self) {
        let phase = self.phase.clone();
        until_end(phase, self.poll()).await;
        let end = Instant::now() + SETTLE_TIMEOUT;
        for user_id in self.readers() {
            let mut failures = 0;
            // What does not come breaks no promise: the history records it.
            while !self.read(&user_id).await && Instant::now() < end {
                failures += 1;
                sleep(BACKOFF.pause(failures, &mut self.rng)).await;
            }
        }
    }

    fn readers(&self) -> Vec<String> {
        let mut readers = self.group.users.clone();
        readers.push(self.stranger.clone());
        readers
    }

    async fn poll(&mut self) {
        loop {
            let user_id = self.rng.choice(self.readers()).expect("there are some");
            self.read(&user_id).await;
            if user_id == self.stranger {
                self.pages.read(&self.group, 0, PAGE).await;
            }
            sleep(Duration::from_millis(self.rng.u64(PAUSE_MS))).await;
        }
    }

    /// Reads and records the members, as a user sees them; returns whether there was a response.
    async fn read(&self, user_id: &str) -> bool {
        let start = self.recorder.now();
        let (outcome, members) = match self.members.read(&self.group.id, user_id).await {
            Ok(members) => (Outcome::Ok, members),
            Err(error) => (error.into(), Vec::new()),
        };
        let roll = Roll {
            user_id: user_id.to_owned(),
            conversation_id: self.group.id.clone(),
            start,
            end: self.recorder.now(),
            outcome,
            members,
        };
        let has_come = roll.outcome == Outcome::Ok || roll.outcome.is_forbidden();
        self.recorder.record(|history| history.rolls.push(roll));
        has_come
    }
}

//! What became of each message: its ack, and its pushes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::sleep;

use crate::figures::Samples;

/// Time between two looks at the record.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Time after which nothing more is expected.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A frame to a client, as far as it is looked at.
#[derive(Deserialize)]
pub struct Received {
    /// `ack`, `error`, `entry`, …
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The message.
    pub client_message_id: Option<String>,
    /// The conversation.
    pub conversation_id: Option<String>,
}

impl Received {
    /// Reads a frame.
    ///
    /// # Panics
    ///
    /// It is no frame.
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).expect("a frame is JSON")
    }
}

/// A message.
struct Message {
    sent: Instant,
    acked: Option<Instant>,
    pushes: usize,
    last_push: Option<Instant>,
}

/// The messages of a measurement, by their ids.
#[derive(Default)]
pub struct Record(Mutex<HashMap<String, Message>>);

impl Record {
    /// Adds a message.
    pub fn sent(&self, id: String, now: Instant) {
        let message = Message {
            sent: now,
            acked: None,
            pushes: 0,
            last_push: None,
        };
        self.0.lock().insert(id, message);
    }

    /// Adds what has come on a connection; returns whether the sender has to send the message again.
    pub fn received(&self, received: Received, now: Instant) -> bool {
        let mut messages = self.0.lock();
        let id = received.client_message_id.unwrap_or_default();
        let Some(message) = messages.get_mut(&id) else {
            return false;
        };
        match received.kind.as_str() {
            "ack" => message.acked = Some(message.acked.unwrap_or(now)),
            "entry" => {
                message.pushes += 1;
                message.last_push = Some(now);
            }
            _ => return true,
        }
        false
    }

    /// Waits until so many messages are acknowledged and pushes have come, or nothing more comes.
    pub async fn settle(&self, acks: usize, pushes: usize) {
        let mut last = (0, 0);
        let mut changed = Instant::now();
        while last < (acks, pushes) && changed.elapsed() < STALL_TIMEOUT {
            sleep(POLL_INTERVAL).await;
            let now = (self.acks().len(), self.pushes());
            if now != last {
                (last, changed) = (now, Instant::now());
            }
        }
    }

    /// Returns what was recorded, and begins anew.
    pub fn take(&self) -> Self {
        Self(Mutex::new(std::mem::take(&mut *self.0.lock())))
    }

    /// Returns the number of pushes.
    pub fn pushes(&self) -> usize {
        self.0.lock().values().map(|message| message.pushes).sum()
    }

    /// Returns the times from a send to its ack.
    pub fn acks(&self) -> Samples {
        self.samples(|message| message.acked)
    }

    /// Returns the times from a send to its last push.
    pub fn last_pushes(&self) -> Samples {
        self.samples(|message| message.last_push)
    }

    fn samples(&self, of: impl Fn(&Message) -> Option<Instant>) -> Samples {
        let mut samples = Samples::default();
        for message in self.0.lock().values() {
            if let Some(time) = of(message) {
                samples.add(time - message.sent);
            }
        }
        samples
    }
}

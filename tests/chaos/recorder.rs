//! The state that all clients of a run share: the clock, the growing history, and counts of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tests::client::{Frame, Message};

use crate::history::History;

/// Time between two beats.
const BEAT: Duration = Duration::from_millis(500);

/// Records everything that clients do and see.
pub struct Recorder {
    start: Instant,
    history: Mutex<History>,
    /// All messages that have come in, each once: they come in again and again.
    messages: Mutex<HashSet<Arc<Message>>>,
    connections: AtomicU64,
    /// Counts so far.
    pub counts: Counts,
}

/// Counts so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages sent, resends not counted.
    pub sent: AtomicU64,
    /// Attempts to send a message.
    pub attempts: AtomicU64,
    /// Messages acknowledged.
    pub acked: AtomicU64,
    /// Pages read.
    pub reads: AtomicU64,
}

impl Recorder {
    /// Returns an empty history, whose clock starts now.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            history: Mutex::default(),
            messages: Mutex::default(),
            connections: AtomicU64::new(0),
            counts: Counts::default(),
        }
    }

    /// Returns the time since the start of the run.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Returns the moment next to a time at which several devices send at once.
    pub fn nearest_beat(&self, time: Instant) -> Instant {
        let past = time.saturating_duration_since(self.start);
        self.start + BEAT.mul_f64(past.div_duration_f64(BEAT).round())
    }

    /// Returns a number for a connection.
    pub fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Relaxed)
    }

    /// Returns how many connections have been opened.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Adds to the history.
    pub fn record(&self, add: impl FnOnce(&mut History)) {
        add(&mut self.history.lock());
    }

    /// Returns the one copy of a message in memory.
    pub fn share(&self, message: Message) -> Arc<Message> {
        let mut messages = self.messages.lock();
        if let Some(known) = messages.get(&message) {
            return Arc::clone(known);
        }
        let message = Arc::new(message);
        messages.insert(Arc::clone(&message));
        message
    }

    /// Returns a frame, with its message shared.
    pub fn share_frame(&self, frame: Frame) -> Frame {
        match frame {
            Frame::Message(message) => Frame::Message(self.share(Arc::unwrap_or_clone(message))),
            Frame::Entry(entry) => Frame::Entry(self.share(Arc::unwrap_or_clone(entry))),
            other => other,
        }
    }

    /// Returns the whole history. Later additions are in none.
    pub fn take(&self) -> History {
        std::mem::take(&mut self.history.lock())
    }
}

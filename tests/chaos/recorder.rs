//! What all clients of a run share: the clock, the history in the making, and counts of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tests::client::{Frame, Message};

use crate::history::History;

/// Writes down what clients do and see.
pub struct Recorder {
    start: Instant,
    history: Mutex<History>,
    /// Each message once, of all that have come in: they come in again and again.
    messages: Mutex<HashSet<Arc<Message>>>,
    sockets: AtomicU64,
    /// What has been done so far.
    pub counts: Counts,
}

/// How often things were done so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages that were sent.
    pub sent: AtomicU64,
    /// Times that they were.
    pub attempts: AtomicU64,
    /// Messages that were acknowledged.
    pub acked: AtomicU64,
    /// Pages that were read.
    pub reads: AtomicU64,
}

impl Recorder {
    /// An empty history, whose clock begins now.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            history: Mutex::default(),
            messages: Mutex::default(),
            sockets: AtomicU64::new(0),
            counts: Counts::default(),
        }
    }

    /// The time since the start of the run.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// A number for a socket.
    pub fn next_socket(&self) -> u64 {
        self.sockets.fetch_add(1, Relaxed)
    }

    /// How many sockets have been opened.
    pub fn sockets(&self) -> u64 {
        self.sockets.load(Relaxed)
    }

    /// Adds to the history.
    pub fn record(&self, add: impl FnOnce(&mut History)) {
        add(&mut self.history.lock());
    }

    /// The one copy of a message in memory.
    pub fn share(&self, message: Message) -> Arc<Message> {
        let mut messages = self.messages.lock();
        if let Some(known) = messages.get(&message) {
            return Arc::clone(known);
        }
        let message = Arc::new(message);
        messages.insert(Arc::clone(&message));
        message
    }

    /// A frame, with its message shared.
    pub fn share_frame(&self, frame: Frame) -> Frame {
        match frame {
            Frame::Message(message) => Frame::Message(self.share(Arc::unwrap_or_clone(message))),
            other => other,
        }
    }

    /// The whole history. What is added afterwards is in none.
    pub fn take(&self) -> History {
        std::mem::take(&mut self.history.lock())
    }
}

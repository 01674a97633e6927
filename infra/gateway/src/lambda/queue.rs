//! The queue of a function: events on their way to its processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::FunctionError;

/// Limit of events in a queue.
const QUEUE_EVENTS: usize = 10_000;

/// Limit of the events in a queue, in bytes.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// The result of an invocation.
pub type Outcome = Result<Bytes, FunctionError>;

/// Events on their way to the processes of a function.
pub struct Queue {
    sender: async_channel::Sender<Invocation>,
    receiver: async_channel::Receiver<Invocation>,
    bytes: AtomicUsize,
}

/// An event on its way to a process.
pub struct Invocation {
    /// The request id.
    pub id: String,
    /// The event.
    pub(super) payload: Bytes,
    /// The delay after which its process is killed: a fault on demand.
    pub(super) kill: Option<Duration>,
    /// Is sent when a process has taken the event.
    pub(super) taken: oneshot::Sender<()>,
    /// Takes the result.
    pub(super) reply: oneshot::Sender<Outcome>,
}

/// The two moments that the caller of an invocation waits for.
pub struct Waiting {
    /// Resolves when a process has taken the event; fails if none ever will.
    pub taken: oneshot::Receiver<()>,
    /// Resolves with the result.
    pub outcome: oneshot::Receiver<Outcome>,
}

impl Queue {
    /// Returns an empty queue.
    pub fn new() -> Arc<Self> {
        let (sender, receiver) = async_channel::bounded(QUEUE_EVENTS);
        Arc::new(Self {
            sender,
            receiver,
            bytes: AtomicUsize::new(0),
        })
    }

    /// Adds the event of the invocation `id`; `None` if too many are waiting. Its process is killed
    /// after `kill`.
    pub fn push(&self, id: String, payload: Bytes, kill: Option<Duration>) -> Option<Waiting> {
        let (reply, outcome) = oneshot::channel();
        let (taken, was_taken) = oneshot::channel();
        let bytes = payload.len();
        let invocation = Invocation {
            id,
            payload,
            kill,
            taken,
            reply,
        };
        let queued = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if queued > QUEUE_BYTES || self.sender.try_send(invocation).is_err() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return None;
        }
        Some(Waiting {
            taken: was_taken,
            outcome,
        })
    }

    /// Returns how many events wait.
    pub fn waiting(&self) -> usize {
        self.receiver.len()
    }

    /// Fails the event that has waited longest, if there is one.
    pub fn fail_one(&self, error: FunctionError) {
        if let Ok(invocation) = self.receiver.try_recv() {
            self.has_left(&invocation);
            let _ = invocation.reply.send(Err(error));
        }
    }

    /// Waits for an event whose caller has not given up.
    pub(super) async fn next(&self) -> Option<Invocation> {
        loop {
            let invocation = self.receiver.recv().await.ok()?;
            self.has_left(&invocation);
            if !invocation.reply.is_closed() {
                return Some(invocation);
            }
        }
    }

    fn has_left(&self, invocation: &Invocation) {
        let bytes = invocation.payload.len();
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

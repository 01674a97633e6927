//! The queue of a function: events that wait for a process, and processes that wait for an event.
//!
//! The process that was used last gets the next event, as on Lambda: its memory is warm, and the
//! others may be idle for so long that they could be stopped. Events that wait take turns by connection:
//! a client that sends many does not hold up the others. On Lambda they would not wait.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::FunctionError;
use super::state::{Outcome, ProcessState, Reply};
use super::turns::Turns;

/// Limit of events in a queue.
const QUEUE_EVENTS: usize = 10_000;

/// Limit of the events in a queue, in bytes. The last one may exceed it.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// The events of a function on their way to its processes.
#[derive(Default)]
pub struct Queue(Mutex<State>);

/// One of the two lists is empty, but for polls of processes that get no more events.
#[derive(Default)]
struct State {
    /// By connection; all that belong to none are one source.
    events: Turns<Option<String>, Queued>,
    /// The sum of the events, in bytes.
    bytes: usize,
    /// The most recent one is the last.
    polls: Vec<IdlePoll>,
}

/// An event for a process.
pub struct Event {
    /// The request id.
    pub id: String,
    /// The connection that it is about.
    pub connection_id: Option<String>,
    /// The event itself.
    pub payload: Bytes,
    /// The delay after which its process is killed: a fault on demand.
    pub kill: Option<Duration>,
    /// Cancelled when it is no longer to be queued.
    pub dropped: Option<CancellationToken>,
}

/// An event that waits for a process.
struct Queued {
    event: Event,
    /// Is sent when a process has taken the event.
    taken: Option<oneshot::Sender<()>>,
    reply: Reply,
}

/// A process that waits for an event.
struct IdlePoll {
    process: Arc<ProcessState>,
    sender: oneshot::Sender<Event>,
}

/// What the caller of an invocation waits for.
pub struct Waiting {
    /// Resolves when a process has taken the event; fails if none ever will. `None` if one has
    /// taken it at once.
    pub taken: Option<oneshot::Receiver<()>>,
    /// Resolves with the result; fails if the event is dropped.
    pub outcome: oneshot::Receiver<Outcome>,
}

impl Queue {
    /// Gives an event to a process, or lets it wait for one; `None` if too many are waiting. Drops an
    /// event that is no longer to be queued.
    pub fn push(&self, event: Event) -> Option<Waiting> {
        let (reply, outcome) = oneshot::channel();
        let at_once = Waiting {
            taken: None,
            outcome,
        };
        // Under the lock: an event that comes after [`Queue::drop_events`] must see that it is dropped.
        let mut state = self.0.lock();
        let dropped = event.dropped.as_ref();
        if dropped.is_some_and(CancellationToken::is_cancelled) {
            return Some(at_once);
        }
        let Err((event, reply)) = state.give(event, reply) else {
            return Some(at_once);
        };
        if state.bytes > QUEUE_BYTES || state.events.len() >= QUEUE_EVENTS {
            return None;
        }
        let (sender, taken) = oneshot::channel();
        state.bytes += event.payload.len();
        let queued = Queued {
            event,
            taken: Some(sender),
            reply,
        };
        let source = queued.event.connection_id.clone();
        state.events.push_back(source, queued);
        Some(Waiting {
            taken: Some(taken),
            ..at_once
        })
    }

    /// Returns how many events wait.
    pub fn waiting(&self) -> usize {
        self.0.lock().events.len()
    }

    /// Drops the events of a connection that wait. Its next ones have to be dropped already.
    pub fn drop_events(&self, connection_id: &str) {
        let source = Some(connection_id.to_owned());
        let mut state = self.0.lock();
        for queued in state.events.remove(&source) {
            state.bytes -= queued.event.payload.len();
        }
    }

    /// Fails the event that is due, if there is one.
    pub fn fail_one(&self, error: FunctionError) {
        if let Some(queued) = self.0.lock().pop() {
            let _ = queued.reply.send(Err(error));
        }
    }

    /// Ends the polls of a process that has ended.
    pub(super) fn end_polls(&self, process: &Arc<ProcessState>) {
        let mut state = self.0.lock();
        state
            .polls
            .retain(|poll| !Arc::ptr_eq(&poll.process, process));
    }

    /// Waits for an event for `process`. Returns `None` if it gets no more.
    pub(super) async fn next(&self, process: &Arc<ProcessState>) -> Option<Event> {
        let mut poll = match self.poll(process) {
            Ok(event) => return Some(event),
            Err(poll) => poll,
        };
        let event = poll.receiver.as_mut()?.await.ok();
        poll.receiver = None;
        event
    }

    /// Takes the event that is due and whose caller has not given up. If there is none, joins the
    /// processes that wait.
    fn poll<'a>(&'a self, process: &'a Arc<ProcessState>) -> Result<Event, Poll<'a>> {
        let mut state = self.0.lock();
        process.polls();
        while let Some(Queued {
            event,
            taken,
            reply,
        }) = state.pop()
        {
            if reply.is_closed() {
                continue;
            }
            match process.take(&event.id, reply) {
                Ok(()) => {
                    // The caller may have given up just now.
                    let _ = taken.map(|taken| taken.send(()));
                    return Ok(event);
                }
                Err(reply) => {
                    state.put_first(Queued {
                        event,
                        taken,
                        reply,
                    });
                    break;
                }
            }
        }
        let (sender, receiver) = oneshot::channel();
        state.polls.push(IdlePoll {
            process: Arc::clone(process),
            sender,
        });
        Err(Poll {
            queue: self,
            process,
            receiver: Some(receiver),
        })
    }
}

impl State {
    /// Gives an event to the process that has waited shortest. Returns it if there is none.
    fn give(&mut self, event: Event, mut reply: Reply) -> Result<(), (Event, Reply)> {
        while let Some(IdlePoll { process, sender }) = self.polls.pop() {
            match process.take(&event.id, reply) {
                Ok(()) => {
                    let sent = sender.send(event);
                    assert!(sent.is_ok(), "a poll leaves the list before it ends");
                    return Ok(());
                }
                // It gets no more events, so it waits in vain.
                Err(unused) => reply = unused,
            }
        }
        Err((event, reply))
    }

    fn pop(&mut self) -> Option<Queued> {
        let queued = self.events.pop_front()?;
        self.bytes -= queued.event.payload.len();
        Some(queued)
    }

    fn put_first(&mut self, queued: Queued) {
        self.bytes += queued.event.payload.len();
        let source = queued.event.connection_id.clone();
        self.events.push_front(source, queued);
    }
}

/// A poll that waits for its event. Dropped before, as when its TCP connection breaks, it leaves
/// the list; an event that it has just got goes to another one.
struct Poll<'a> {
    queue: &'a Queue,
    process: &'a Arc<ProcessState>,
    /// `None` once the event has been received.
    receiver: Option<oneshot::Receiver<Event>>,
}

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        let Some(mut receiver) = self.receiver.take() else {
            return;
        };
        let mut state = self.queue.0.lock();
        receiver.close();
        let Ok(event) = receiver.try_recv() else {
            state.polls.retain(|poll| !poll.sender.is_closed());
            return;
        };
        if let Some(reply) = self.process.release(&event.id)
            && let Err((event, reply)) = state.give(event, reply)
        {
            let taken = None;
            state.put_first(Queued {
                event,
                taken,
                reply,
            });
        }
    }
}

#[cfg(test)]
mod tests;

//! All queues, their clock, and those who wait for messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::error::ApiError;
use super::message::{Message, Millis};
use super::queue::{Batch, Counts, Limits, Queue, millis};
use crate::faults::Switches;
use crate::model;

/// Limit of the memory of the messages in all queues, in bytes.
pub const MAX_MEMORY_BYTES: usize = 64 * 1024 * 1024;

/// The queues of a template. What is in them is lost when the gateway ends.
pub struct Queues {
    /// By name. All are behind one lock, since a message moves from one to another.
    queues: Mutex<BTreeMap<String, Queue>>,
    /// Woken, by queue, when there may be more visible messages.
    added: BTreeMap<String, Notify>,
    max_memory_bytes: usize,
    faults: Arc<Switches>,
    start: Instant,
    /// The time of `start`.
    start_at: Millis,
}

impl Queues {
    /// Returns the queues of a template, empty, with a limit of the memory of their messages. `faults`
    /// delay messages and send them twice.
    pub fn new(
        settings: &BTreeMap<String, model::Queue>,
        max_memory_bytes: usize,
        faults: Arc<Switches>,
    ) -> Arc<Self> {
        let names = settings.keys().cloned();
        let queues = settings.values().map(|settings| {
            let queue = Queue::new(settings.clone(), fastrand::u64(..));
            (settings.name.clone(), queue)
        });
        Arc::new(Self {
            queues: Mutex::new(queues.collect()),
            added: names.map(|name| (name, Notify::new())).collect(),
            max_memory_bytes,
            faults,
            start: Instant::now(),
            start_at: Millis::try_from(Utc::now().timestamp_millis()).unwrap_or_default(),
        })
    }

    /// Returns the time. It never goes back.
    pub fn now(&self) -> Millis {
        self.start_at + millis(self.start.elapsed())
    }

    /// Returns the names of all queues.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.added.keys().map(String::as_str)
    }

    /// Returns the settings of a queue, if there is one of that name.
    pub fn settings(&self, name: &str) -> Option<model::Queue> {
        let queues = self.queues.lock();
        queues.get(name).map(|queue| queue.settings.clone())
    }

    /// Adds a message that becomes visible after `delay`.
    ///
    /// # Errors
    ///
    /// There is no such queue, or no room.
    pub fn send(&self, name: &str, message: Message, delay: Duration) -> Result<(), ApiError> {
        let now = self.now();
        let mut queues = self.queues.lock();
        let taken: usize = queues.values().map(Queue::memory_bytes).sum();
        let queue = queues.get_mut(name).ok_or_else(ApiError::no_such_queue)?;
        if taken + message.memory_bytes() > self.max_memory_bytes {
            return Err(ApiError::no_room(self.max_memory_bytes));
        }
        let message = Arc::new(message);
        for fault in self.faults.arrivals() {
            queue.add(Arc::clone(&message), now + millis(delay + fault), now);
        }
        drop(queues);
        // Also for a delayed one: who waits has to know when it becomes visible.
        self.wake(name);
        Ok(())
    }

    /// Receives visible messages, and hides them for a time. Waits for some until `deadline`, or for
    /// as long as it takes.
    pub async fn receive(
        &self,
        name: &str,
        limits: Limits,
        hidden_for: Duration,
        deadline: Option<Instant>,
    ) -> Batch {
        loop {
            let Some(added) = self.added.get(name) else {
                return Batch::default();
            };
            // From here on no message is missed.
            let mut added = std::pin::pin!(added.notified());
            added.as_mut().enable();
            let (batch, next_visible_at) = self.take(name, limits, hidden_for);
            let is_over = deadline.is_some_and(|deadline| deadline <= Instant::now());
            if is_over || batch.is_full || !batch.messages.is_empty() {
                return batch;
            }
            let next = next_visible_at
                .map(|time| self.start + Duration::from_millis(time.saturating_sub(self.start_at)));
            let until = next.into_iter().chain(deadline).min();
            tokio::select! {
                () = added => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// Receives without waiting, and moves dead messages, whose receives are counted anew \[U\]. Returns
    /// also when the next hidden message becomes visible.
    fn take(&self, name: &str, limits: Limits, hidden_for: Duration) -> (Batch, Option<Millis>) {
        let now = self.now();
        let mut queues = self.queues.lock();
        let Some(queue) = queues.get_mut(name) else {
            return Default::default();
        };
        let mut batch = queue.receive(limits, hidden_for, now);
        let next_visible_at = queue.next_visible_at();
        let redrive = queue.settings.redrive.clone();
        let dead = std::mem::take(&mut batch.dead);
        let moved = redrive.filter(|_| !dead.is_empty());
        if let Some(redrive) = moved
            && let Some(target) = queues.get_mut(&redrive.dead_letter_queue)
        {
            for message in dead {
                tracing::warn!(
                    "{name}: the message {} was received {} times and moves to {}",
                    message.id,
                    redrive.max_receive_count,
                    redrive.dead_letter_queue
                );
                target.add(message, now, now);
            }
            drop(queues);
            self.wake(&redrive.dead_letter_queue);
        }
        (batch, next_visible_at)
    }

    /// Deletes a message by its receipt handle.
    ///
    /// # Errors
    ///
    /// There is no such queue, or the handle is malformed.
    pub fn delete(&self, name: &str, receipt_handle: &str) -> Result<(), ApiError> {
        let mut queues = self.queues.lock();
        let queue = queues.get_mut(name).ok_or_else(ApiError::no_such_queue)?;
        match queue.delete(receipt_handle) {
            true => Ok(()),
            false => Err(ApiError::invalid_receipt_handle()),
        }
    }

    /// Deletes all messages of a queue.
    pub fn purge(&self, name: &str) {
        if let Some(queue) = self.queues.lock().get_mut(name) {
            queue.purge();
        }
    }

    /// Returns how many messages a queue has.
    pub fn counts(&self, name: &str) -> Counts {
        let now = self.now();
        let mut queues = self.queues.lock();
        let counts = queues.get_mut(name).map(|queue| queue.counts(now));
        counts.unwrap_or_default()
    }

    /// Logs how many messages of each queue end with the gateway.
    pub fn report_lost(&self) {
        for (name, queue) in self.queues.lock().iter() {
            if !queue.is_empty() {
                tracing::warn!("{name}: {} messages are lost", queue.len());
            }
        }
    }

    fn wake(&self, name: &str) {
        if let Some(added) = self.added.get(name) {
            added.notify_waiters();
        }
    }
}

/// Sleeps until a time, or for ever.
async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

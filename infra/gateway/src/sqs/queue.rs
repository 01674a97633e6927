//! The state of one queue: visible and hidden messages, receive counts, redrive.
//!
//! The rules are pure: each takes the time as an argument.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::message::{Message, Millis};
use crate::model;

/// A message and its state.
struct Entry {
    message: Arc<Message>,
    /// How often it was received.
    receive_count: u32,
    /// When it was received for the first time.
    first_received_at: Option<Millis>,
    /// When it becomes visible; none if it is visible.
    hidden_until: Option<Millis>,
}

/// A message that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The message.
    pub message: Arc<Message>,
    /// The handle with which it can be deleted until it is received again.
    pub receipt_handle: String,
    /// How often it was received, with this time.
    pub receive_count: u32,
    /// When it was received for the first time.
    pub first_received_at: Millis,
}

/// Limits of the messages that one call receives.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Their number.
    pub count: usize,
    /// The size of their records in an event together, in bytes.
    pub record_bytes: usize,
}

/// The result of a receive.
#[derive(Debug, Default)]
pub struct Batch {
    /// The messages.
    pub messages: Vec<Received>,
    /// Whether a limit has left out messages that are visible.
    pub is_full: bool,
    /// Messages that were received too often, and are in the queue no longer: they belong into its
    /// dead-letter queue.
    pub dead: Vec<Arc<Message>>,
}

/// How many messages a queue has, by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that can be received.
    pub visible: usize,
    /// Messages that were received and are hidden.
    pub in_flight: usize,
    /// Messages that nobody has received and that are still delayed.
    pub delayed: usize,
}

/// A queue.
pub struct Queue {
    /// Its settings.
    pub settings: model::Queue,
    /// Part of all receipt handles, so that a handle of another run is of no message.
    salt: u64,
    /// The messages, by a number of their own that grows.
    entries: BTreeMap<u64, Entry>,
    next_number: u64,
    visible: BTreeSet<u64>,
    /// When each of the others becomes visible.
    hidden: BTreeSet<(Millis, u64)>,
    /// When each message has been kept for long enough.
    expiring: BTreeSet<(Millis, u64)>,
    memory_bytes: usize,
}

impl Queue {
    /// Returns an empty queue. `salt` differs between runs.
    pub fn new(settings: model::Queue, salt: u64) -> Self {
        Self {
            settings,
            salt,
            entries: BTreeMap::new(),
            next_number: 0,
            visible: BTreeSet::new(),
            hidden: BTreeSet::new(),
            expiring: BTreeSet::new(),
            memory_bytes: 0,
        }
    }

    /// Adds a message that becomes visible at `visible_at`.
    pub fn add(&mut self, message: Arc<Message>, visible_at: Millis, now: Millis) {
        let number = self.next_number;
        self.next_number += 1;
        let hidden_until = (visible_at > now).then_some(visible_at);
        match hidden_until {
            Some(time) => self.hidden.insert((time, number)),
            None => self.visible.insert(number),
        };
        self.expiring.insert((self.expiry(&message), number));
        self.memory_bytes += message.memory_bytes();
        let entry = Entry {
            message,
            receive_count: 0,
            first_received_at: None,
            hidden_until,
        };
        self.entries.insert(number, entry);
    }

    /// Receives visible messages, the oldest first, and hides them for a time.
    pub fn receive(&mut self, limits: Limits, hidden_for: Duration, now: Millis) -> Batch {
        self.update(now);
        let mut batch = Batch::default();
        let mut record_bytes = 0;
        while let Some(&number) = self.visible.first() {
            if self.is_dead(number) {
                batch.dead.extend(self.remove(number));
                continue;
            }
            let Some(entry) = self.entries.get_mut(&number) else {
                break;
            };
            record_bytes += entry.message.record_bytes();
            if batch.messages.len() == limits.count || record_bytes > limits.record_bytes {
                batch.is_full = true;
                break;
            }
            let hidden_until = now + millis(hidden_for);
            entry.hidden_until = Some(hidden_until);
            entry.receive_count += 1;
            batch.messages.push(Received {
                message: Arc::clone(&entry.message),
                receipt_handle: receipt_handle(self.salt, number, entry.receive_count),
                receive_count: entry.receive_count,
                first_received_at: *entry.first_received_at.get_or_insert(now),
            });
            self.visible.remove(&number);
            self.hidden.insert((hidden_until, number));
        }
        batch
    }

    /// Deletes the message of a receipt handle. Returns false if the handle is malformed. That of an
    /// earlier receive deletes nothing, as it may on AWS:
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html>.
    pub fn delete(&mut self, handle: &str) -> bool {
        let Some((salt, number, receive_count)) = parse_receipt_handle(handle) else {
            return false;
        };
        let entry = self.entries.get(&number);
        if salt == self.salt && entry.is_some_and(|entry| entry.receive_count == receive_count) {
            self.remove(number);
        }
        true
    }

    /// Deletes all messages.
    pub fn purge(&mut self) {
        self.entries.clear();
        self.visible.clear();
        self.hidden.clear();
        self.expiring.clear();
        self.memory_bytes = 0;
    }

    /// Returns how many messages it has.
    pub fn counts(&mut self, now: Millis) -> Counts {
        self.update(now);
        let hidden = self.hidden.iter();
        let in_flight = hidden.filter(|(_, number)| self.entries[number].receive_count > 0);
        let in_flight = in_flight.count();
        Counts {
            visible: self.visible.len(),
            in_flight,
            delayed: self.hidden.len() - in_flight,
        }
    }

    /// Returns when the next hidden message becomes visible.
    pub fn next_visible_at(&self) -> Option<Millis> {
        self.hidden.first().map(|(time, _)| *time)
    }

    /// Returns how many messages it has, in any state.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no messages.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the memory of its messages, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Shows the messages whose time has come, and deletes those that were kept for long enough.
    fn update(&mut self, now: Millis) {
        while let Some(&(time, number)) = self.expiring.first()
            && time <= now
        {
            self.remove(number);
        }
        while let Some(&(time, number)) = self.hidden.first()
            && time <= now
        {
            self.hidden.remove(&(time, number));
            self.visible.insert(number);
            if let Some(entry) = self.entries.get_mut(&number) {
                entry.hidden_until = None;
            }
        }
    }

    /// Whether a message has been received as often as the redrive policy allows.
    ///
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html>
    fn is_dead(&self, number: u64) -> bool {
        let redrive = self.settings.redrive.as_ref();
        redrive
            .is_some_and(|redrive| self.entries[&number].receive_count >= redrive.max_receive_count)
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Message>> {
        let entry = self.entries.remove(&number)?;
        self.visible.remove(&number);
        if let Some(time) = entry.hidden_until {
            self.hidden.remove(&(time, number));
        }
        self.expiring.remove(&(self.expiry(&entry.message), number));
        self.memory_bytes -= entry.message.memory_bytes();
        Some(entry.message)
    }

    /// Returns when a message has been kept for long enough: counted from when it was sent, in a
    /// dead-letter queue too.
    fn expiry(&self, message: &Message) -> Millis {
        message.sent_at + millis(self.settings.retention)
    }
}

/// Returns a duration in milliseconds.
pub fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// Returns the handle of a receive: three numbers in hex.
fn receipt_handle(salt: u64, number: u64, receive_count: u32) -> String {
    format!("{salt:016x}{number:016x}{receive_count:08x}")
}

fn parse_receipt_handle(handle: &str) -> Option<(u64, u64, u32)> {
    let is_hex = handle.len() == 40 && handle.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = |range| u64::from_str_radix(handle.get(range)?, 16).ok();
    let count = u32::from_str_radix(handle.get(32..)?, 16).ok()?;
    is_hex.then_some((number(0..16)?, number(16..32)?, count))
}

#[cfg(test)]
mod tests;

//! SQS queues, and the event sources that send their messages to functions.

use std::time::Duration;

/// A standard queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// `QueueName`, else its logical id.
    pub name: String,
    /// Time for which a message is hidden from others after it was received.
    pub visibility_timeout: Duration,
    /// Time for which a new message is hidden.
    pub delay: Duration,
    /// Time for which `ReceiveMessage` waits for a message.
    pub receive_wait: Duration,
    /// Time after which a message is deleted, counted from when it was sent.
    pub retention: Duration,
    /// Size limit of a message with its attributes, in bytes.
    pub max_message_bytes: usize,
    /// When a message moves to a dead-letter queue.
    pub redrive: Option<Redrive>,
}

/// The redrive policy of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// The name of the dead-letter queue.
    pub dead_letter_queue: String,
    /// The number of receives after which a message moves there instead of being received again.
    pub max_receive_count: u32,
}

/// An event source: a function that consumes a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSource {
    /// The name of the queue.
    pub queue: String,
    /// The function, by logical id.
    pub function: String,
    /// Limit of the messages of an event.
    pub batch_size: usize,
    /// Time for which messages are collected before the function is invoked.
    pub batching_window: Duration,
    /// Limit of the events that the function handles at once, of this source.
    pub max_concurrency: Option<usize>,
    /// Whether the function reports the messages that failed (`ReportBatchItemFailures`).
    pub reports_failures: bool,
}

//! Queues of SQS, in memory.
//!
//! - [`message`]: a message as it was sent, with its attributes and hashes
//! - [`queue`]: the state of one queue: visible and hidden messages, receive counts, redrive
//! - [`queues`]: all queues, their clock, and those who wait for messages
//! - [`api`]: the actions of the API, from JSON to JSON
//! - [`error`]: errors of the API
//! - [`event`]: events for functions, and the responses that name failed messages
//! - [`consumer`]: sends the messages of a queue to its function
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html>

pub mod api;
pub mod consumer;
pub mod error;
pub mod event;
pub mod message;
pub mod queue;
pub mod queues;

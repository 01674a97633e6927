//! A message from its first attempt to its acknowledgement: the same frame is sent again, under the
//! same `client_message_id`, until it is acknowledged or refused for good.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::frame::{Ack, Frame, Rejection};

/// A message whose fate is not known yet.
#[derive(Debug)]
pub struct Pending {
    client_message_id: String,
    frame: String,
    failures: u32,
    is_under_way: bool,
    due: Instant,
}

/// The server's response to a pending message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It is stored.
    Acked(Ack),
    /// It will never be stored.
    Rejected(Rejection),
    /// It has to be sent again, by an error of the chat.
    Retry(Rejection),
    /// It has to be sent again, by an error of the gateway, which names no message: its text.
    GatewayError(String),
}

impl Pending {
    /// A message that has not been sent yet: its id, and the text of its frame.
    pub fn new(client_message_id: String, frame: String) -> Self {
        Self {
            client_message_id,
            frame,
            failures: 0,
            is_under_way: false,
            due: Instant::now(),
        }
    }

    /// A message for `sendMessage` that has not been sent yet.
    pub fn message(client_message_id: &str, receiver_id: &str, text: &str) -> Self {
        let frame = json!({
            "action": "sendMessage",
            "receiver_id": receiver_id,
            "message": text,
            "client_message_id": client_message_id,
        });
        Self::new(client_message_id.to_owned(), frame.to_string())
    }

    /// Returns when the attempt under way times out, or else when the next one is due.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Whether it has been sent and has no response yet.
    pub fn is_under_way(&self) -> bool {
        self.is_under_way
    }

    /// Returns how many attempts have failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Begins an attempt, which times out after `ack_timeout`; returns the text of the frame.
    pub fn attempt(&mut self, ack_timeout: Duration) -> &str {
        self.is_under_way = true;
        self.due = Instant::now() + ack_timeout;
        &self.frame
    }

    /// Ends an attempt that failed; the next one is due after `pause`.
    pub fn fail(&mut self, pause: Duration) {
        self.is_under_way = false;
        self.failures += 1;
        self.due = Instant::now() + pause;
    }

    /// Returns what a frame says about this message, also if it comes late. `None`: it is about
    /// something else.
    pub fn reply(&self, frame: &Frame) -> Option<Reply> {
        let is_mine = |id: &Option<String>| id.as_ref() == Some(&self.client_message_id);
        match frame {
            Frame::Ack(ack) if is_mine(&ack.client_message_id) => Some(Reply::Acked(ack.clone())),
            Frame::Error(error) if is_mine(&error.client_message_id) => {
                let error = error.clone();
                Some(if error.retryable {
                    Reply::Retry(error)
                } else {
                    Reply::Rejected(error)
                })
            }
            Frame::Gateway(text) if self.is_under_way => Some(Reply::GatewayError(text.clone())),
            _ => None,
        }
    }

    /// Makes it due now, as if the time had passed.
    pub fn skip_wait(&mut self) {
        self.due = Instant::now();
    }
}

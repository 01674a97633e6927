//! Two clients of a contender.

use std::ops::Range;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::Client;
use tokio_tungstenite::tungstenite::Message;

use super::contender::Contender;
use crate::figures::Samples;
use crate::messages::TEXT;

/// A sender and a receiver.
pub struct Pair {
    sender: Client,
    receiver: Client,
    frame: String,
    /// Whether messages are acknowledged.
    is_acked: bool,
    /// Number of acks that have not arrived yet.
    acks_due: usize,
}

/// Returns the ids of the sender and the receiver of a pair.
pub fn ids(number: usize) -> [String; 2] {
    ["sender", "receiver"].map(|role| format!("compared-{role}-{number}"))
}

impl Pair {
    /// Connects the pairs with these numbers.
    pub async fn connect(contender: &Contender, numbers: Range<usize>) -> Vec<Self> {
        let mut pairs = Vec::new();
        for number in numbers {
            pairs.push(Self::of(contender, number).await);
        }
        pairs
    }

    /// Connects one pair.
    pub async fn of(contender: &Contender, number: usize) -> Self {
        let [sender_id, receiver_id] = ids(number);
        // The old server does not know the action; the others could do without the sender.
        let frame = json!({
            "action": "sendMessage", "sender_id": sender_id, "receiver_id": receiver_id,
            "message": TEXT,
        });
        Self {
            sender: contender.connect(&sender_id).await,
            receiver: contender.connect(&receiver_id).await,
            frame: frame.to_string(),
            is_acked: contender.has_acks(),
            acks_due: 0,
        }
    }

    /// Sends messages until `end`, each when the last one has been received, and waits for all acks.
    pub async fn chat_until(&mut self, end: Instant) -> Samples {
        let mut samples = Samples::default();
        while Instant::now() < end {
            samples.add(self.message().await);
        }
        self.all_acked().await;
        samples
    }

    /// Sends a message and returns the time until it is received. Reads acks meanwhile.
    pub async fn message(&mut self) -> Duration {
        let start = Instant::now();
        self.sender.send_text(self.frame.clone()).await;
        self.acks_due += usize::from(self.is_acked);
        loop {
            tokio::select! {
                frame = self.receiver.next_raw() => if is_received(&frame) {
                    return start.elapsed();
                },
                frame = self.sender.next_raw() => self.acks_due -= acks(&frame),
            }
        }
    }

    /// Waits for the acks of all messages.
    pub async fn all_acked(&mut self) {
        while self.acks_due > 0 {
            self.acks_due -= acks(&self.sender.next_raw().await);
        }
    }
}

/// Returns whether the frame is the message. The old server also sends WebSocket pings.
fn is_received(frame: &Message) -> bool {
    match frame {
        Message::Text(text) => {
            assert!(text.contains(TEXT), "{text}");
            true
        }
        _ => false,
    }
}

/// Returns the number of acks in a frame to the sender: one or none.
fn acks(frame: &Message) -> usize {
    match frame {
        Message::Text(text) => {
            assert!(text.contains(r#""status":"delivered""#), "{text}");
            1
        }
        _ => 0,
    }
}

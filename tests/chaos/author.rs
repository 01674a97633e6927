//! What a device writes: texts, and edits and deletions of texts of its user; a few of them are such that the chat
//! must refuse them.

use std::sync::Arc;

use chat::Kind;
use serde_json::{Value, json};

use crate::copies::Copies;
use crate::history::{Key, Sent};
use crate::pages::Conversation;
use crate::texts;

/// Share of entries that the chat must refuse.
const BAD: f64 = 0.02;

/// Shares of edits and of deletions.
const EDITS: f64 = 0.15;
const DELETIONS: f64 = 0.1;

/// The user of a device, as who writes.
pub struct Author {
    user_id: String,
    /// Number of the device, which tells the message ids of a user's devices apart.
    device: usize,
    conversations: Vec<Conversation>,
    /// Has the texts that may be changed.
    copies: Arc<Copies>,
    count: u64,
    rng: fastrand::Rng,
}

impl Author {
    /// The author of a device's entries in some conversations.
    pub fn new(
        (user_id, device): (String, usize),
        conversations: Vec<Conversation>,
        copies: Arc<Copies>,
        rng: fastrand::Rng,
    ) -> Self {
        Self {
            user_id,
            device,
            conversations,
            copies,
            count: 0,
            rng,
        }
    }

    /// Whether there is a conversation to write in.
    pub fn writes(&self) -> bool {
        !self.conversations.is_empty()
    }

    /// Writes a new entry; returns its record without attempts, and its frame. The two users' entries have equal ids
    /// on purpose.
    pub fn write(&mut self) -> (Sent, String) {
        let index = self.rng.usize(..self.conversations.len());
        let conversation = self.conversations[index].clone();
        let receiver_id = conversation.peer_of(&self.user_id).to_owned();
        let is_bad = self.rng.f64() < BAD;
        let is_of_peer = is_bad && self.rng.bool();
        let owner = if is_of_peer {
            receiver_id.clone()
        } else {
            self.user_id.clone()
        };
        let (kind, target_seq) = self.pick(&conversation.id, &owner);
        let key = self.key(conversation.id);
        let mut frame = self.frame(&key, &receiver_id, kind, target_seq);
        let refusal = if is_of_peer && !kind.is_text() {
            Some("forbidden")
        } else {
            is_bad.then(|| texts::spoil(&mut frame, kind, &mut self.rng))
        };
        let sent = Sent {
            key,
            receiver_id,
            kind,
            target_seq: frame["seq"].as_i64(),
            message: frame["message"].as_str().unwrap_or_default().to_owned(),
            refusal: refusal.map(str::to_owned),
            attempts: Vec::new(),
        };
        (sent, frame.to_string())
    }

    fn key(&mut self, conversation_id: String) -> Key {
        let client_message_id = format!("{}-{}", self.device, self.count);
        self.count += 1;
        Key {
            conversation_id,
            sender_id: self.user_id.clone(),
            client_message_id,
        }
    }

    /// Returns what to do next: write a text, or change one of the `owner`.
    fn pick(&mut self, conversation_id: &str, owner: &str) -> (Kind, Option<i64>) {
        let kind = match self.rng.f64() {
            share if share < EDITS => Kind::Edit,
            share if share < EDITS + DELETIONS => Kind::Delete,
            _ => return (Kind::Text, None),
        };
        let target = self
            .copies
            .recent_text(conversation_id, owner, &mut self.rng);
        match target {
            Some(seq) => (kind, Some(seq)),
            None => (Kind::Text, None),
        }
    }

    fn frame(&mut self, key: &Key, receiver_id: &str, kind: Kind, seq: Option<i64>) -> Value {
        let action = match kind {
            Kind::Edit => "editMessage",
            Kind::Delete => "deleteMessage",
            _ => "sendMessage",
        };
        let mut frame = json!({"action": action, "client_message_id": key.client_message_id});
        if kind.is_text() || self.rng.bool() {
            frame["receiver_id"] = receiver_id.into();
        } else {
            frame["conversation_id"] = key.conversation_id.clone().into();
        }
        if let Some(seq) = seq {
            frame["seq"] = seq.into();
        }
        if kind != Kind::Delete {
            frame["message"] = texts::marked(key, &mut self.rng).into();
        }
        frame
    }
}

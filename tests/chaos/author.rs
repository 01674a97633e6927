//! What a device writes: texts, and edits and deletions of texts of its user; a few of them are such that the chat
//! must refuse them.
//!
//! - `groups`: what it writes in groups

mod groups;

use std::collections::HashSet;
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

/// Share of times at which a device looks for a group to write in.
const IN_GROUPS: f64 = 0.7;

/// The user of a device, as who writes.
pub struct Author {
    user_id: String,
    /// Number of the device, which tells the message ids of a user's devices apart.
    device: usize,
    conversations: Vec<Conversation>,
    /// Has the texts that may be changed.
    copies: Arc<Copies>,
    /// The groups that the device has created.
    created: HashSet<String>,
    count: u64,
    rng: fastrand::Rng,
}

/// An entry that was written, and its frame.
struct Written {
    key: Key,
    receiver_id: Option<String>,
    kind: Kind,
    frame: Value,
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
            created: HashSet::new(),
            count: 0,
            rng,
        }
    }

    /// Whether there is a conversation to write in.
    pub fn writes(&self) -> bool {
        !self.conversations.is_empty()
    }

    /// Writes a new entry; returns its record without attempts, and its frame. The users' entries have equal ids on
    /// purpose.
    pub fn write(&mut self) -> (Sent, String) {
        let conversation = self.choose();
        let is_bad = self.rng.f64() < BAD;
        let is_of_peer = is_bad && self.rng.bool();
        let mut written = match conversation.peer_of(&self.user_id) {
            Some(peer) => self.write_to(&conversation.id, peer, is_of_peer),
            None => self.write_in_group(&conversation),
        };
        let is_change = matches!(written.kind, Kind::Edit | Kind::Delete);
        let refusal = if is_of_peer && is_change && written.receiver_id.is_some() {
            Some("forbidden")
        } else if is_bad && written.kind != Kind::Create {
            Some(texts::spoil(
                &mut written.frame,
                written.kind,
                &mut self.rng,
            ))
        } else {
            None
        };
        let frame = written.frame.to_string();
        (self.record(written, refusal), frame)
    }

    /// Returns a conversation to write in: a group mostly, as only one of its members may do all that there is to do.
    fn choose(&mut self) -> Conversation {
        loop {
            let is_of_groups = self.rng.f64() < IN_GROUPS;
            let all = self.conversations.iter();
            let some = all.filter(|it| it.is_group() == is_of_groups);
            match self.rng.choice(some.collect::<Vec<_>>()).cloned() {
                Some(group) if group.is_group() && !self.writes_in(&group) => {}
                Some(conversation) => return conversation,
                None => {}
            }
        }
    }

    /// Writes an entry to a peer, which is about a text of the peer if it `is_of_peer` and about any.
    fn write_to(&mut self, conversation_id: &str, peer: &str, is_of_peer: bool) -> Written {
        let writer = if is_of_peer { peer } else { &self.user_id };
        let writer = writer.to_owned();
        let (kind, target_seq) = self.pick(conversation_id, &writer);
        let key = self.key(conversation_id.to_owned());
        let frame = self.frame(&key, peer, kind, target_seq);
        Written {
            key,
            receiver_id: Some(peer.to_owned()),
            kind,
            frame,
        }
    }

    /// Returns the record of an entry that the chat must refuse with a code, if it must.
    fn record(&self, written: Written, refusal: Option<&str>) -> Sent {
        let frame = &written.frame;
        let text = |name: &str| frame[name].as_str().map(str::to_owned);
        let named = frame["users"].as_array().into_iter().flatten();
        let named = named.filter_map(|user| user.as_str().map(str::to_owned));
        let user = match written.kind {
            Kind::Create => Some(self.user_id.clone()),
            Kind::Leave => text("user_id").or(Some(self.user_id.clone())),
            _ => text("user_id"),
        };
        Sent {
            receiver_id: written.receiver_id,
            kind: written.kind,
            target_seq: frame["seq"].as_i64(),
            message: text("message").unwrap_or_default(),
            users: user.into_iter().chain(named).collect(),
            title: text("title"),
            role: text("role"),
            // What is the default is stored nowhere.
            history: text("history").filter(|history| history == "all"),
            refusal: refusal.map(str::to_owned),
            attempts: Vec::new(),
            key: written.key,
        }
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
        let target = self.recent_text(conversation_id, Some(owner));
        match target {
            Some(seq) => (kind, Some(seq)),
            None => (Kind::Text, None),
        }
    }

    /// Returns the number of one of the newest texts of a user, or of any.
    fn recent_text(&mut self, conversation_id: &str, writer: Option<&str>) -> Option<i64> {
        self.copies
            .recent_text(conversation_id, writer, &mut self.rng)
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

//! The frames of the server.

use std::sync::Arc;

use chat::{Kind, Marks};
use serde::{Deserialize, Serialize};
use serde_json::{Value, from_value};

/// A frame of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Frame {
    /// A text of a direct conversation.
    Message(Arc<Message>),
    /// An entry of another kind, or any one of a group.
    Entry(Arc<Message>),
    /// An acknowledgement.
    Ack(Ack),
    /// The chat cannot or will not do what it was asked for.
    Error(Rejection),
    /// The marks of a user have moved.
    Receipt(Receipt),
    /// The response to a ping.
    Pong,
    /// A frame without `type`, which is not the chat's: an error of the gateway itself.
    Gateway(String),
    /// A frame whose fields do not fit its `type`, or that is no JSON object.
    Malformed(String),
}

impl Frame {
    /// Reads the text of a frame.
    pub fn parse(text: &str) -> Self {
        Self::try_parse(text).unwrap_or_else(|| Self::Malformed(text.to_owned()))
    }

    fn try_parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let Some(kind) = value.as_object()?.get("type") else {
            return Some(Self::Gateway(text.to_owned()));
        };
        match kind.as_str()? {
            "message" => entry(value)
                .filter(|it| it.is_direct_text())
                .map(Self::Message),
            "entry" => entry(value)
                .filter(|it| !it.is_direct_text())
                .map(Self::Entry),
            "ack" => from_value(value).ok().map(Self::Ack),
            "error" => from_value(value).ok().map(Self::Error),
            "receipt" => from_value(value).ok().map(Self::Receipt),
            "pong" => Some(Self::Pong),
            _ => None,
        }
    }
}

fn entry(value: Value) -> Option<Arc<Message>> {
    from_value(value).ok()
}

/// An entry of a conversation as it is stored, pushed and read: a text, what changes one, or what changes a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// The id of the stored document.
    pub message_id: String,
    /// The conversation; pages of the history leave it out.
    #[serde(default)]
    pub conversation_id: String,
    /// The place in the conversation.
    pub seq: i64,
    /// The user who sent it.
    pub sender_id: String,
    /// The user it is for; none in a group.
    pub receiver_id: Option<String>,
    /// The kind.
    #[serde(default, skip_serializing_if = "Kind::is_text")]
    pub kind: Kind,
    /// The number of the text that it changes.
    pub target_seq: Option<i64>,
    /// The users who join or leave the group, or get a role in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// The new name of the group.
    pub title: Option<String>,
    /// The new role of the user.
    pub role: Option<String>,
    /// What members of a new group may read of the time before they join.
    pub history: Option<String>,
    /// The member who becomes an owner, where the last one leaves.
    pub new_owner: Option<String>,
    /// The text, in its newest wording; empty if it was deleted.
    pub message: String,
    /// The time at which it was stored.
    pub timestamp: String,
    /// The sender's own id for it.
    pub client_message_id: Option<String>,
    /// The number of the edit whose wording it has.
    pub edited_seq: Option<i64>,
    /// The number of the entry that has deleted it.
    pub deleted_seq: Option<i64>,
}

impl Message {
    /// Whether it is a text that is not deleted.
    pub fn is_visible_text(&self) -> bool {
        self.kind.is_text() && self.deleted_seq.is_none()
    }

    fn is_direct_text(&self) -> bool {
        self.kind.is_text() && self.receiver_id.is_some()
    }
}

/// The fields of an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The sender's own id for the message.
    pub client_message_id: Option<String>,
    /// The id of the stored document.
    pub message_id: String,
    /// The conversation.
    pub conversation_id: String,
    /// The place in the conversation.
    pub seq: i64,
    /// The time at which it was stored.
    pub timestamp: String,
    /// Whether an earlier attempt had stored it.
    pub duplicate: bool,
}

/// The marks of a user in a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The conversation.
    pub conversation_id: String,
    /// The user.
    pub user_id: String,
    /// The marks.
    #[serde(flatten)]
    pub marks: Marks,
}

/// The fields of an error frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The stable code.
    pub code: String,
    /// The sender's own id for the message, if the frame was about one.
    pub client_message_id: Option<String>,
    /// Whether the same frame may succeed later.
    pub retryable: bool,
    /// Milliseconds after which it may.
    pub retry_after_ms: Option<u64>,
}

impl Rejection {
    /// Whether the message may be stored all the same: true of one code alone.
    pub fn may_be_stored(&self) -> bool {
        self.code == "unavailable"
    }
}

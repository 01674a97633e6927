//! The document of an entry.

use mongodb::bson::oid::ObjectId;
use serde::{Deserialize, Serialize};

use crate::entry::Kind;
use crate::group::{History, Role, Title};
use crate::{ClientMessageId, ConversationId, Entry, UserId};

/// The document of an entry.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredEntry {
    pub(super) _id: ObjectId,
    pub(super) conversation_id: ConversationId,
    pub(super) seq: i64,
    pub(super) sender_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) receiver_id: Option<String>,
    #[serde(default, skip_serializing_if = "Kind::is_text")]
    pub(super) kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) target_seq: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) users: Vec<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<Title>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<Role>,
    #[serde(default, skip_serializing_if = "History::is_default")]
    pub(super) history: History,
    pub(super) message: String,
    pub(super) timestamp: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_message_id: Option<ClientMessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) edited_seq: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deleted_seq: Option<i64>,
}

impl StoredEntry {
    /// Returns whether it is a text that is not deleted.
    pub(super) fn is_visible_text(&self) -> bool {
        self.kind.is_text() && self.deleted_seq.is_none()
    }
}

impl From<StoredEntry> for Entry {
    fn from(stored: StoredEntry) -> Self {
        Self {
            message_id: stored._id.to_hex(),
            conversation_id: stored.conversation_id,
            seq: stored.seq,
            sender_id: stored.sender_id,
            receiver_id: stored.receiver_id,
            kind: stored.kind,
            target_seq: stored.target_seq,
            users: stored.users,
            title: stored.title,
            role: stored.role,
            history: stored.history,
            message: stored.message,
            timestamp: stored.timestamp,
            client_message_id: stored.client_message_id,
            edited_seq: stored.edited_seq,
            deleted_seq: stored.deleted_seq,
        }
    }
}

//! The document of a message.

use mongodb::bson::oid::ObjectId;
use serde::{Deserialize, Serialize};

use crate::{ClientMessageId, ConversationId, Message};

/// The document of a message.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredMessage {
    pub(super) _id: ObjectId,
    pub(super) conversation_id: ConversationId,
    pub(super) seq: i64,
    pub(super) sender_id: String,
    pub(super) receiver_id: String,
    pub(super) message: String,
    pub(super) timestamp: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_message_id: Option<ClientMessageId>,
}

impl From<StoredMessage> for Message {
    fn from(stored: StoredMessage) -> Self {
        Self {
            message_id: stored._id.to_hex(),
            conversation_id: stored.conversation_id,
            seq: stored.seq,
            sender_id: stored.sender_id,
            receiver_id: stored.receiver_id,
            message: stored.message,
            timestamp: stored.timestamp,
            client_message_id: stored.client_message_id,
        }
    }
}

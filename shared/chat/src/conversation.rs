//! What a user has set for a conversation. Others never learn of it.

use serde::{Deserialize, Serialize};

use crate::ConversationId;

/// What a user has set for a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConversationSettings {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Whether its messages make no notifications.
    pub muted: bool,
    /// Whether the other user is blocked, in a direct one.
    pub blocked: bool,
}

/// A change of some of a user's [`ConversationSettings`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationChange {
    /// The new value, if it changes.
    pub muted: Option<bool>,
    /// The same.
    pub blocked: Option<bool>,
}

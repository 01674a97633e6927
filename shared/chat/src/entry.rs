//! The entries of a conversation's log. So far each one is a message.

use serde::Serialize;

use crate::{ClientMessageId, Code, ConversationId, Rejection, UserId};

/// A message that is valid but not yet stored.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The conversation of the two users.
    pub conversation_id: ConversationId,
    /// The sender, verified.
    pub sender_id: UserId,
    /// The receiver.
    pub receiver_id: UserId,
    /// The text.
    pub message: Text,
    /// The sender's own id for it, if the frame has one; makes resends safe.
    pub client_message_id: Option<ClientMessageId>,
    /// The number up to which the sender has the conversation, if the frame says so. It tells where to
    /// look for the newest number; a wrong one does no harm.
    pub after: Option<i64>,
}

impl Draft {
    /// Returns the draft of a message from `sender_id` to `receiver_id`, who says nothing of the
    /// conversation.
    pub fn new(
        sender_id: UserId,
        receiver_id: UserId,
        message: Text,
        client_message_id: Option<ClientMessageId>,
    ) -> Self {
        Self {
            conversation_id: ConversationId::direct(&sender_id, &receiver_id),
            sender_id,
            receiver_id,
            message,
            client_message_id,
            after: None,
        }
    }

    /// Checks that the text which is stored under this draft's `client_message_id` is its own: else this is
    /// another message and not a resend, and nobody may be told that it is stored.
    ///
    /// # Errors
    ///
    /// [`Code::IdConflict`].
    pub fn check_resend(&self, stored: &str) -> Result<(), Rejection> {
        if stored == self.message.as_str() {
            return Ok(());
        }
        Err(Rejection::new(
            Code::IdConflict,
            "Another message was sent under the same id. Please write this one again.",
        ))
    }

    /// Returns the receiver, then the sender; one entry if they are the same user.
    pub fn members(&self) -> Vec<UserId> {
        let mut members = vec![self.receiver_id.clone()];
        if self.sender_id != self.receiver_id {
            members.push(self.sender_id.clone());
        }
        members
    }
}

/// The text of a message: 1–[`Text::MAX_BYTES`] bytes of UTF-8, as received.
///
/// `Debug` prints its length only: message text never reaches a log.
#[derive(Clone)]
pub struct Text(String);

impl Text {
    /// Size limit of a text in bytes of UTF-8.
    ///
    /// API Gateway delivers at most 131,072 bytes at once ([quotas]). JSON escapes a byte with at
    /// most 6, so the text takes at most 98,304 of them and leaves room for the other fields.
    ///
    /// [quotas]: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
    pub const MAX_BYTES: usize = 16_384;

    /// Returns the text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

impl TryFrom<String> for Text {
    type Error = Rejection;

    /// # Errors
    ///
    /// [`Code::MessageEmpty`] and [`Code::MessageTooLong`].
    fn try_from(text: String) -> Result<Self, Rejection> {
        if text.is_empty() {
            return Err(Rejection::new(Code::MessageEmpty, "The message is empty."));
        }
        if text.len() > Self::MAX_BYTES {
            return Err(Rejection::new(
                Code::MessageTooLong,
                format!(
                    "The message has {} bytes; at most {} are allowed.",
                    text.len(),
                    Self::MAX_BYTES
                ),
            ));
        }
        Ok(Self(text))
    }
}

/// A stored message, with the fields of the protocol.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The id of the stored document, in hex.
    pub message_id: String,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The number in the conversation: 1, 2, 3, … without holes; 0 and below for messages of the
    /// old system.
    pub seq: i64,
    /// The sender.
    pub sender_id: String,
    /// The receiver.
    pub receiver_id: String,
    /// The text.
    pub message: String,
    /// The time at which it was stored, in the form of [`timestamp::format`](crate::timestamp::format).
    /// Messages of the old system keep their form.
    pub timestamp: String,
    /// The sender's own id for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<ClientMessageId>,
}

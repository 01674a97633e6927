//! Frames from the server.

use serde::Serialize;

use crate::conversation::ConversationSettings;
use crate::settings::Settings;
use crate::{ClientMessageId, Code, ConversationId, Entry, Error, Marks, UserId};

/// A frame to a client.
///
/// ```json
/// {"type":"message","message_id":"…","conversation_id":"…","seq":12,"sender_id":"…",
///  "receiver_id":"…","message":"…","timestamp":"…","client_message_id":"…"}
/// {"type":"entry","kind":"edit","message_id":"…","conversation_id":"…","seq":13,"sender_id":"…",
///  "receiver_id":"…","target_seq":12,"message":"…","timestamp":"…","client_message_id":"…"}
/// {"type":"ack","client_message_id":"…","message_id":"…","conversation_id":"…","seq":12,
///  "timestamp":"…","status":"delivered","duplicate":false}
/// {"type":"pong","timestamp":"…"}
/// {"type":"typing","conversation_id":"…","user_id":"…"}
/// {"type":"receipt","conversation_id":"…","user_id":"…","read":11,"delivered":12,"at":"…"}
/// {"type":"settings","receipts":true,"presence":true}
/// {"type":"conversation","conversation_id":"…","muted":false,"blocked":true}
/// {"type":"error","code":"invalid_frame","message":"…","client_message_id":"…","retryable":false}
/// {"type":"error","code":"rate_limited","message":"…","client_message_id":"…","retryable":true,
///  "retry_after_ms":400}
/// ```
///
/// `client_message_id` is absent where the sender gave none, `retry_after_ms` in any other error.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// A text, to every connection of the receiver and the other ones of the sender.
    Message(Entry),
    /// An entry of another kind, or of a group; to modern clients only.
    Entry(Entry),
    /// The message is stored.
    Ack(Ack),
    /// The reply to a ping.
    Pong {
        /// The time of the server.
        timestamp: String,
    },
    /// A user writes a message at this moment; to modern clients only.
    Typing {
        /// The conversation.
        conversation_id: ConversationId,
        /// The user.
        user_id: UserId,
    },
    /// A user has read, or got, the messages up to a number; to modern clients only.
    Receipt(Receipt),
    /// The user has changed the settings on another device; to modern clients only.
    Settings(Settings),
    /// The user has muted or blocked on another device, or ended that; to modern clients only.
    Conversation(ConversationSettings),
    /// The frame was rejected, or the service cannot process it right now.
    Error(ErrorFrame),
}

/// How far a user has a conversation.
#[derive(Debug, Clone, Serialize)]
pub struct Receipt {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The user.
    pub user_id: UserId,
    /// The numbers up to which the user has it.
    #[serde(flatten)]
    pub marks: Marks,
    /// The time of the server at which they moved.
    pub at: String,
}

/// The reply to the sender of a message, which is stored.
#[derive(Serialize)]
pub struct Ack {
    /// The sender's own id for the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<ClientMessageId>,
    /// The id of the stored message.
    pub message_id: String,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// Its place in the conversation.
    pub seq: i64,
    /// The time at which it was stored.
    pub timestamp: String,
    /// Whether a connection of the receiver got it.
    pub status: Status,
    /// Whether an earlier send under the same `client_message_id` had stored it already.
    pub duplicate: bool,
}

/// The state of a message when its ack leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// At least one connection of the receiver got it.
    Delivered,
    /// It is only in the history so far.
    Stored,
}

/// The reply to a frame that failed.
#[derive(Serialize)]
pub struct ErrorFrame {
    /// The stable code.
    pub code: Code,
    /// A sentence that the user can act on.
    pub message: String,
    /// The `client_message_id` of the rejected frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<ClientMessageId>,
    /// Whether the same frame may succeed later.
    pub retryable: bool,
    /// The milliseconds after which it may, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ServerFrame {
    /// Returns the frame of an entry.
    pub fn entry(entry: Entry) -> Self {
        if entry.kind.is_text() && entry.receiver_id.is_some() {
            Self::Message(entry)
        } else {
            Self::Entry(entry)
        }
    }

    /// Returns the reply to a frame that failed with `error`.
    pub fn error(error: Error, client_message_id: Option<ClientMessageId>) -> Self {
        let rejection = error.rejection();
        Self::Error(ErrorFrame {
            code: rejection.code,
            message: rejection.message,
            client_message_id,
            retryable: rejection.code.retryable(),
            retry_after_ms: rejection.retry_after_ms,
        })
    }

    /// Returns the frame as JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a frame has string keys and no fallible field")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::protocol::ParsedFrame;
    use crate::{History, Kind, Rejection, Text};

    /// The payload limit of API Gateway in bytes, which holds in both directions.
    const GATEWAY_MAX_BYTES: usize = ParsedFrame::MAX_BYTES;

    /// Returns the reply to a frame that is rejected, as text.
    fn error_reply(frame: &str) -> String {
        let parsed = ParsedFrame::parse(frame);
        let rejection = parsed.frame.expect_err(frame);
        ServerFrame::error(rejection.into(), parsed.client_message_id).to_json()
    }

    #[test]
    fn an_error_repeats_nothing_of_a_bad_frame_but_its_id() {
        const MARKER: &str = "xyzzy\u{7}";
        let fields = ["action", "sender_id", "receiver_id", "message", MARKER];
        for field in fields {
            for value in [json!(MARKER), json!([MARKER]), json!({MARKER: MARKER})] {
                let frame = json!({field: value, "client_message_id": "mine"}).to_string();
                let reply = error_reply(&frame);
                assert!(!reply.contains("xyzzy"), "{reply}");
                assert!(reply.contains("mine"), "{reply}");
            }
        }
        for id in [
            json!([MARKER]),
            json!({MARKER: 1}),
            json!(MARKER.repeat(99)),
        ] {
            let frame = json!({"receiver_id": "b", "message": "m", "client_message_id": id});
            let reply = error_reply(&frame.to_string());
            assert!(!reply.contains("xyzzy"), "{reply}");
        }
    }

    #[test]
    fn an_error_names_the_message_that_it_is_about() {
        let frame = r#"{"receiver_id":"b","message":7,"client_message_id":"m-1"}"#;
        let reply: Value = serde_json::from_str(&error_reply(frame)).expect("JSON");
        assert_eq!(reply["client_message_id"], "m-1");
        assert_eq!(reply["retryable"], false);
        assert_eq!(reply.get("retry_after_ms"), None);
    }

    #[test]
    fn an_error_of_the_rate_limit_has_the_time_to_wait() {
        let wait = std::time::Duration::from_micros(199_001);
        let error = Error::Rejected(Rejection::rate_limited(wait));
        let reply = ServerFrame::error(error, None).to_json();
        let reply: Value = serde_json::from_str(&reply).expect("JSON");
        assert_eq!(reply["code"], "rate_limited");
        assert_eq!(reply["retryable"], true);
        assert_eq!(reply["retry_after_ms"], 200);
    }

    /// The longest escape of a byte is `\u0000`; user ids hold no control characters, so theirs is
    /// two bytes.
    fn largest_entry() -> Entry {
        let user = |c: &str| UserId::try_from(c.repeat(UserId::MAX_BYTES)).expect("a valid id");
        let (sender, receiver) = (user("\""), user("\\"));
        Entry {
            message_id: "f".repeat(24),
            conversation_id: ConversationId::direct(&sender, &receiver),
            seq: i64::MIN,
            sender_id: sender.as_str().to_owned(),
            receiver_id: Some(receiver.as_str().to_owned()),
            kind: Kind::Delete,
            target_seq: Some(i64::MIN),
            users: Vec::new(),
            title: None,
            role: None,
            new_owner: None,
            history: History::default(),
            message: "\u{1}".repeat(Text::MAX_BYTES),
            timestamp: "2026-11-22T11:15:03.123Z".to_owned(),
            client_message_id: Some(
                ClientMessageId::try_from("\u{1}".repeat(ClientMessageId::MAX_BYTES))
                    .expect("a valid id"),
            ),
            edited_seq: Some(i64::MIN),
            deleted_seq: Some(i64::MIN),
            withheld: true,
        }
    }

    #[test]
    fn the_largest_accepted_message_fits_into_one_delivery() {
        let bytes = ServerFrame::Entry(largest_entry()).to_json().len();
        assert!(bytes <= GATEWAY_MAX_BYTES, "{bytes}");
    }

    proptest! {
        #[test]
        fn no_accepted_message_is_larger_than_the_largest(
            text in proptest::collection::vec(any::<char>(), 1..2_000),
        ) {
            let text: String = text.into_iter().collect();
            let mut entry = largest_entry();
            let longest = entry.message.len();
            let scaled = serde_json::to_string(&text).expect("JSON").len() as f64
                / text.len() as f64 * longest as f64;
            entry.message.clear();
            let rest = ServerFrame::Entry(entry).to_json().len();
            prop_assert!(rest as f64 + scaled <= GATEWAY_MAX_BYTES as f64);
        }
    }
}

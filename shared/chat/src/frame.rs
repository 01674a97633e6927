//! The JSON frames of both directions.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::message::Text;
use crate::{ClientMessageId, Code, ConversationId, Error, Message, Rejection, UserId};

/// A frame from a client.
///
/// ```json
/// {"action":"sendMessage","receiver_id":"…","message":"…","sender_id":"…","client_message_id":"…"}
/// {"action":"ping"}
/// ```
///
/// `sender_id` and `client_message_id` are optional. A frame without `action` is the old system's
/// and means `sendMessage`. Unknown fields are ignored.
#[derive(Debug)]
pub enum ClientFrame {
    /// Store a message and deliver it.
    Send(SendFrame),
    /// Keep the socket open: the gateway closes one that is idle for ten minutes.
    Ping,
}

/// The fields of a message frame, each one valid by itself.
#[derive(Debug)]
pub struct SendFrame {
    /// Who the client says it is; to be compared with the user of the socket.
    pub sender_id: Option<UserId>,
    /// Who shall get the message.
    pub receiver_id: UserId,
    /// The text.
    pub message: Text,
    /// The sender's own id for the message.
    pub client_message_id: Option<ClientMessageId>,
}

/// A frame that cannot be used, with the id that the answer carries if the frame had one.
#[derive(Debug)]
pub struct BadFrame {
    /// What is wrong.
    pub rejection: Rejection,
    /// The `client_message_id` of the frame, if it has a valid one.
    pub client_message_id: Option<ClientMessageId>,
}

impl ClientFrame {
    /// The longest text of a frame in bytes of UTF-8: what API Gateway takes at once ([quotas]).
    /// Whoever else calls the function gets no more read, either.
    ///
    /// [quotas]: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
    pub const MAX_BYTES: usize = 131_072;

    /// Reads the text of a frame.
    ///
    /// What is longer than [`ClientFrame::MAX_BYTES`] or nested more than 127 levels deep (the limit
    /// of `serde_json`) is refused without being read to its end, so neither memory nor stack grow
    /// with it.
    ///
    /// # Errors
    ///
    /// [`BadFrame`] with [`Code::InvalidFrame`], [`Code::InvalidUserId`], [`Code::MessageEmpty`] or
    /// [`Code::MessageTooLong`].
    pub fn parse(text: &str) -> Result<Self, BadFrame> {
        let mut fields = object(text).map_err(|rejection| BadFrame {
            rejection,
            client_message_id: None,
        })?;
        let client_message_id = take_client_message_id(&mut fields);
        let known_id = client_message_id.as_ref().ok().cloned().flatten();
        Self::from_fields(fields, client_message_id).map_err(|rejection| BadFrame {
            rejection,
            client_message_id: known_id,
        })
    }

    fn from_fields(
        mut fields: Map<String, Value>,
        client_message_id: Result<Option<ClientMessageId>, Rejection>,
    ) -> Result<Self, Rejection> {
        match take_string(&mut fields, "action")?.as_deref() {
            None | Some("sendMessage") => Ok(Self::Send(SendFrame {
                sender_id: take_string(&mut fields, "sender_id")?
                    .map(UserId::try_from)
                    .transpose()?,
                receiver_id: required(&mut fields, "receiver_id")?.try_into()?,
                message: required(&mut fields, "message")?.try_into()?,
                client_message_id: client_message_id?,
            })),
            Some("ping") => Ok(Self::Ping),
            Some(_) => Err(invalid("`action` must be \"sendMessage\" or \"ping\".")),
        }
    }
}

fn object(text: &str) -> Result<Map<String, Value>, Rejection> {
    if text.len() > ClientFrame::MAX_BYTES {
        return Err(invalid("The frame is too long."));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(invalid("The frame must be a JSON object.")),
        Err(_) => Err(invalid("The frame is not valid JSON.")),
    }
}

fn take_client_message_id(
    fields: &mut Map<String, Value>,
) -> Result<Option<ClientMessageId>, Rejection> {
    take_string(fields, "client_message_id")?
        .map(ClientMessageId::try_from)
        .transpose()
}

fn required(fields: &mut Map<String, Value>, name: &str) -> Result<String, Rejection> {
    take_string(fields, name)?.ok_or_else(|| invalid(format!("`{name}` is missing.")))
}

/// Takes an optional string out of the frame. Nothing but a string passes, so no operator object
/// can reach a query.
fn take_string(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Rejection> {
    match fields.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(format!("`{name}` must be a string."))),
    }
}

fn invalid(message: impl Into<String>) -> Rejection {
    Rejection::new(Code::InvalidFrame, message)
}

/// A frame to a client.
///
/// ```json
/// {"type":"message","message_id":"…","conversation_id":"…","seq":12,"sender_id":"…",
///  "receiver_id":"…","message":"…","timestamp":"…","client_message_id":"…"}
/// {"type":"ack","client_message_id":"…","message_id":"…","conversation_id":"…","seq":12,
///  "timestamp":"…","status":"delivered","duplicate":false}
/// {"type":"pong","timestamp":"…"}
/// {"type":"error","code":"invalid_frame","message":"…","client_message_id":"…","retryable":false}
/// {"type":"error","code":"rate_limited","message":"…","client_message_id":"…","retryable":true,
///  "retry_after_ms":400}
/// ```
///
/// `client_message_id` is absent where the sender gave none, `retry_after_ms` in any other error.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// A message, to every socket of the receiver and the sender's other ones.
    Message(Message),
    /// The message is stored.
    Ack(Ack),
    /// The answer to a ping.
    Pong {
        /// The time of the server.
        timestamp: String,
    },
    /// The frame was refused, or nothing can be done right now.
    Error(ErrorFrame),
}

/// Tells the sender that a message is stored, and where.
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
    /// When it was stored.
    pub timestamp: String,
    /// Whether a socket of the receiver took it.
    pub status: Status,
    /// Whether an earlier send under the same `client_message_id` had stored it already.
    pub duplicate: bool,
}

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// At least one socket of the receiver took it.
    Delivered,
    /// It waits in the history.
    Stored,
}

/// A refusal.
#[derive(Serialize)]
pub struct ErrorFrame {
    /// The stable code.
    pub code: Code,
    /// A sentence that the user can act on.
    pub message: String,
    /// The `client_message_id` of the refused frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<ClientMessageId>,
    /// Whether the same frame may succeed later.
    pub retryable: bool,
    /// After how many milliseconds it may, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ServerFrame {
    /// The answer to a frame that failed with `error`.
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

    /// The frame as JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a frame has string keys and no fallible field")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::Draft;

    /// What API Gateway delivers at once, in bytes: as much as it takes.
    const GATEWAY_MAX_BYTES: usize = ClientFrame::MAX_BYTES;

    /// Far less than a level for each of the brackets below would need.
    const SMALL_STACK_BYTES: usize = 512 * 1_024;

    fn code_of(text: &str) -> Code {
        ClientFrame::parse(text)
            .expect_err("a bad frame")
            .rejection
            .code
    }

    #[test]
    fn the_old_frame_is_a_send_frame() {
        let frame = r#"{"sender_id":"a","receiver_id":"b","message":"hi"}"#;
        let Ok(ClientFrame::Send(send)) = ClientFrame::parse(frame) else {
            panic!("not a send frame");
        };
        assert_eq!(send.sender_id.expect("a sender").as_str(), "a");
        assert_eq!(send.receiver_id.as_str(), "b");
        assert_eq!(send.message.as_str(), "hi");
        assert!(send.client_message_id.is_none());
    }

    #[test]
    fn a_bad_frame_has_the_code_of_its_first_fault() {
        for (frame, code) in [
            ("", Code::InvalidFrame),
            ("hello", Code::InvalidFrame),
            ("[]", Code::InvalidFrame),
            (r#"{"message":"hi"}"#, Code::InvalidFrame),
            (r#"{"receiver_id":"b"}"#, Code::InvalidFrame),
            (r#"{"receiver_id":7,"message":"hi"}"#, Code::InvalidFrame),
            (
                r#"{"receiver_id":{"$gt":""},"message":"hi"}"#,
                Code::InvalidFrame,
            ),
            (r#"{"receiver_id":"b","message":null}"#, Code::InvalidFrame),
            (r#"{"action":"dance"}"#, Code::InvalidFrame),
            (r#"{"action":1}"#, Code::InvalidFrame),
            (r#"{"receiver_id":"","message":"hi"}"#, Code::InvalidUserId),
            (r#"{"receiver_id":"b","message":""}"#, Code::MessageEmpty),
            (
                r#"{"receiver_id":"b","message":"m","client_message_id":""}"#,
                Code::InvalidFrame,
            ),
        ] {
            assert_eq!(code_of(frame), code, "{frame}");
        }
        let long = "x".repeat(Draft::MAX_MESSAGE_BYTES + 1);
        let frame = json!({"receiver_id": "b", "message": long}).to_string();
        assert_eq!(code_of(&frame), Code::MessageTooLong);
    }

    #[test]
    fn a_frame_longer_than_the_gateway_takes_is_refused_before_it_is_read() {
        let ping = r#"{"action":"ping"}"#;
        let padded = |bytes: usize| ping.to_owned() + &" ".repeat(bytes - ping.len());
        assert!(ClientFrame::parse(&padded(ClientFrame::MAX_BYTES)).is_ok());
        let bad = ClientFrame::parse(&padded(ClientFrame::MAX_BYTES + 1)).expect_err("too long");
        assert_eq!(bad.rejection.code, Code::InvalidFrame);
        assert_eq!(bad.rejection.message, "The frame is too long.");
    }

    #[test]
    fn a_deeply_nested_frame_is_refused_and_costs_no_stack() {
        let nested = |inner: &str| format!(r#"{{"receiver_id":"b","message":{inner}}}"#);
        let parse = move || {
            for text in [
                "[".repeat(100_000),
                nested(&"[".repeat(100_000)),
                nested(&format!("{}{}", "[".repeat(60_000), "]".repeat(60_000))),
                r#"{"a":"#.repeat(20_000),
                nested(&r#"[{"$and":"#.repeat(10_000)),
            ] {
                assert_eq!(code_of(&text), Code::InvalidFrame);
            }
        };
        let thread = std::thread::Builder::new().stack_size(SMALL_STACK_BYTES);
        let thread = thread.spawn(parse).expect("a thread");
        thread.join().expect("it does not panic");
    }

    #[test]
    fn an_answer_repeats_nothing_of_a_bad_frame_but_its_id() {
        const MARKER: &str = "xyzzy\u{7}";
        let fields = ["action", "sender_id", "receiver_id", "message", MARKER];
        for field in fields {
            for value in [json!(MARKER), json!([MARKER]), json!({MARKER: MARKER})] {
                let frame = json!({field: value, "client_message_id": "mine"}).to_string();
                let bad = ClientFrame::parse(&frame).expect_err(&frame);
                let answer =
                    ServerFrame::error(bad.rejection.into(), bad.client_message_id).to_json();
                assert!(!answer.contains("xyzzy"), "{answer}");
                assert!(answer.contains("mine"), "{answer}");
            }
        }
        for id in [
            json!([MARKER]),
            json!({MARKER: 1}),
            json!(MARKER.repeat(99)),
        ] {
            let frame = json!({"receiver_id": "b", "message": "m", "client_message_id": id});
            let bad = ClientFrame::parse(&frame.to_string()).expect_err("a bad id");
            let answer = ServerFrame::error(bad.rejection.into(), bad.client_message_id).to_json();
            assert!(!answer.contains("xyzzy"), "{answer}");
        }
    }

    #[test]
    fn an_error_names_the_message_that_it_is_about() {
        let frame = r#"{"receiver_id":"b","message":7,"client_message_id":"m-1"}"#;
        let bad = ClientFrame::parse(frame).expect_err("a bad frame");
        let answer = ServerFrame::error(bad.rejection.into(), bad.client_message_id).to_json();
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["client_message_id"], "m-1");
        assert_eq!(answer["retryable"], false);
        assert_eq!(answer.get("retry_after_ms"), None);
    }

    #[test]
    fn who_sends_too_fast_is_told_how_long_to_wait() {
        let wait = std::time::Duration::from_micros(199_001);
        let error = Error::Rejected(Rejection::rate_limited(wait));
        let answer = ServerFrame::error(error, None).to_json();
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["code"], "rate_limited");
        assert_eq!(answer["retryable"], true);
        assert_eq!(answer["retry_after_ms"], 200);
    }

    /// The longest escape of a byte is `\u0000`; user ids hold no control characters, so theirs is
    /// two bytes.
    fn largest_message() -> Message {
        let user = |c: &str| UserId::try_from(c.repeat(UserId::MAX_BYTES)).expect("a valid id");
        let (sender, receiver) = (user("\""), user("\\"));
        Message {
            message_id: "f".repeat(24),
            conversation_id: ConversationId::direct(&sender, &receiver),
            seq: i64::MIN,
            sender_id: sender.as_str().to_owned(),
            receiver_id: receiver.as_str().to_owned(),
            message: "\u{1}".repeat(Draft::MAX_MESSAGE_BYTES),
            timestamp: "2026-11-22T11:15:03.123Z".to_owned(),
            client_message_id: Some(
                ClientMessageId::try_from("\u{1}".repeat(ClientMessageId::MAX_BYTES))
                    .expect("a valid id"),
            ),
        }
    }

    #[test]
    fn the_largest_accepted_message_fits_into_one_delivery() {
        let bytes = ServerFrame::Message(largest_message()).to_json().len();
        assert!(bytes <= GATEWAY_MAX_BYTES, "{bytes}");
    }

    proptest! {
        #[test]
        fn no_accepted_message_is_larger_than_the_largest(
            text in proptest::collection::vec(any::<char>(), 1..2_000),
        ) {
            let text: String = text.into_iter().collect();
            let mut message = largest_message();
            let longest = message.message.len();
            let scaled = serde_json::to_string(&text).expect("JSON").len() as f64
                / text.len() as f64 * longest as f64;
            message.message.clear();
            let rest = ServerFrame::Message(message).to_json().len();
            prop_assert!(rest as f64 + scaled <= GATEWAY_MAX_BYTES as f64);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
            let _ = ClientFrame::parse(&text);
        }
    }
}

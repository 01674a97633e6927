//! Frames from a client.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::group::not_yours;
use crate::{
    ClientMessageId, Code, Content, ConversationId, History, Marks, Recipient, Rejection, Role,
    Text, Title, UserId,
};

/// A frame from a client.
///
/// ```json
/// {"action":"sendMessage","receiver_id":"…","message":"…","sender_id":"…","client_message_id":"…","after":11}
/// {"action":"editMessage","conversation_id":"…","seq":11,"message":"…","client_message_id":"…","after":12}
/// {"action":"deleteMessage","conversation_id":"…","seq":11,"client_message_id":"…","after":12}
/// {"action":"createGroup","title":"…","users":["…"],"history":"joined","client_message_id":"…"}
/// {"action":"invite","conversation_id":"…","users":["…"],"client_message_id":"…","after":12}
/// {"action":"removeMember","conversation_id":"…","user_id":"…","client_message_id":"…","after":12}
/// {"action":"leave","conversation_id":"…","client_message_id":"…","after":12}
/// {"action":"rename","conversation_id":"…","title":"…","client_message_id":"…","after":12}
/// {"action":"setRole","conversation_id":"…","user_id":"…","role":"owner","client_message_id":"…","after":12}
/// {"action":"typing","receiver_id":"…"}
/// {"action":"typing","conversation_id":"…"}
/// {"action":"mark","conversation_id":"…","read":11,"delivered":12}
/// {"action":"ping"}
/// ```
///
/// `sender_id`, `client_message_id` and `after` are optional, and one that is `null` is absent. A frame
/// without `action` is the old system's and means `sendMessage`; it has no `after`. Unknown fields are
/// ignored.
#[derive(Debug)]
pub enum ClientFrame {
    /// Stores a message and delivers it.
    Send(SendFrame),
    /// Changes a text of the user, or takes it back.
    Change(ChangeFrame),
    /// Begins or changes a group.
    Group(GroupFrame),
    /// Tells the others of a conversation that the user writes a message.
    Typing(Target),
    /// Tells how far the user has a conversation.
    Mark(MarkFrame),
    /// Keeps the connection open: the gateway closes one that is idle for ten minutes.
    Ping,
}

/// The fields of a message frame. Each one is valid by itself.
#[derive(Debug)]
pub struct SendFrame {
    /// The sender as the client names it; to be compared with the user of the connection.
    pub sender_id: Option<UserId>,
    /// The conversation.
    pub target: Target,
    /// The text.
    pub message: Text,
    /// The number up to which the client has the conversation.
    pub after: Option<i64>,
}

/// The fields of a frame that edits or deletes a text. The conversation is named like in a typing frame.
#[derive(Debug)]
pub struct ChangeFrame {
    /// The conversation.
    pub target: Target,
    /// The number of the text.
    pub seq: i64,
    /// Its new wording; `None` deletes it.
    pub message: Option<Text>,
    /// The number up to which the client has the conversation.
    pub after: Option<i64>,
}

/// The fields of a frame that begins or changes a group.
#[derive(Debug)]
pub struct GroupFrame {
    /// The group; `None` if it begins.
    pub conversation_id: Option<ConversationId>,
    /// What happens.
    pub change: GroupChange,
    /// The number up to which the client has the conversation.
    pub after: Option<i64>,
}

/// A change of a group.
#[derive(Debug)]
pub enum GroupChange {
    /// It begins.
    Create(Title, Vec<UserId>, History),
    /// Users join.
    Invite(Vec<UserId>),
    /// A member is removed.
    Remove(UserId),
    /// The user leaves.
    Leave,
    /// It gets another name.
    Rename(Title),
    /// A member gets another role.
    SetRole(UserId, Role),
}

/// The fields of a mark frame. Either number may be left out, and the conversation is named like in a typing frame.
#[derive(Debug)]
pub struct MarkFrame {
    /// The conversation.
    pub target: Target,
    /// How far the user has it.
    pub marks: Marks,
}

/// The conversation that a frame is about, as a client names it.
#[derive(Debug)]
pub enum Target {
    /// By its id.
    Conversation(ConversationId),
    /// The direct one with another user, by that user.
    Receiver(UserId),
}

impl Target {
    /// Returns with whom `user` talks in it.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`]: it is no group, and not a conversation of `user`. Whether it exists makes no difference.
    pub fn recipient(self, user: &UserId) -> Result<Recipient, Rejection> {
        let id = match self {
            Self::Receiver(peer) => return Ok(Recipient::User(peer)),
            Self::Conversation(id) => id,
        };
        match id.users() {
            Some([a, b]) if a == *user => Ok(Recipient::User(b)),
            Some([a, b]) if b == *user => Ok(Recipient::User(a)),
            None if id.is_group() => Ok(Recipient::Group(id)),
            _ => Err(not_yours()),
        }
    }
}

/// The text of a frame, parsed.
#[derive(Debug)]
pub struct ParsedFrame {
    /// The sender's own id for the message, if the frame has a valid one. Both the ack and an error
    /// repeat it, so it is known of rejected frames too. No other action has one.
    pub client_message_id: Option<ClientMessageId>,
    /// The frame.
    ///
    /// It is rejected with [`Code::InvalidFrame`], [`Code::InvalidUserId`], [`Code::MessageEmpty`] or
    /// [`Code::MessageTooLong`].
    pub frame: Result<ClientFrame, Rejection>,
}

impl ParsedFrame {
    /// The longest text of a frame in bytes of UTF-8: the payload limit of API Gateway ([quotas]).
    /// Checked here too, because the function can also be invoked directly.
    ///
    /// [quotas]: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
    pub const MAX_BYTES: usize = 131_072;

    /// Parses the text of a frame.
    ///
    /// A text that is longer than [`ParsedFrame::MAX_BYTES`], or nested more than 127 levels deep (the
    /// limit of `serde_json`), is rejected without becoming values, so neither memory nor stack grow with
    /// it.
    pub fn parse(text: &str) -> Self {
        let mut fields = match object(text) {
            Ok(fields) => fields,
            Err(rejection) => return Self::unreadable(text, rejection),
        };
        let id = take_client_message_id(&mut fields);
        let (client_message_id, id_check) = match id {
            Ok(id) => (id, Ok(())),
            Err(rejection) => (None, Err(rejection)),
        };
        let frame = ClientFrame::from_fields(fields, id_check);
        Self {
            client_message_id: client_message_id
                .filter(|_| frame.as_ref().map_or(true, ClientFrame::appends)),
            frame,
        }
    }

    /// Rejects a text that is no object. It may be one for other JSON parsers: a text that a browser has cut
    /// inside an emoji holds half a surrogate pair, which is not UTF-8. Its id still tells the sender which
    /// message to give up.
    fn unreadable(text: &str, rejection: Rejection) -> Self {
        /// All other fields are skipped without being checked.
        #[derive(Deserialize)]
        struct Id {
            client_message_id: Option<String>,
        }
        // An array would be read as the fields in order.
        let is_object = text.trim_start().starts_with('{');
        let is_readable = is_object && text.len() <= Self::MAX_BYTES;
        let id = is_readable.then(|| serde_json::from_str(text));
        let Some(Ok(Id { client_message_id })) = id else {
            return Self {
                client_message_id: None,
                frame: Err(rejection),
            };
        };
        Self {
            client_message_id: client_message_id.and_then(|id| id.try_into().ok()),
            frame: Err(invalid(
                "The frame holds half a surrogate pair, or a number or nesting beyond the limits.",
            )),
        }
    }
}

impl ClientFrame {
    /// Returns whether it adds an entry to the log.
    fn appends(&self) -> bool {
        matches!(self, Self::Send(_) | Self::Change(_) | Self::Group(_))
    }

    /// Reads the fields of a frame. `id_check` is an error if its `client_message_id` is malformed,
    /// which is reported only if nothing else is wrong.
    fn from_fields(
        mut fields: Map<String, Value>,
        id_check: Result<(), Rejection>,
    ) -> Result<Self, Rejection> {
        let action = take_string(&mut fields, "action")?;
        match action.as_deref() {
            None | Some("sendMessage") => {
                let frame = SendFrame {
                    sender_id: take_string(&mut fields, "sender_id")?
                        .map(UserId::try_from)
                        .transpose()?,
                    target: match action {
                        Some(_) => take_target(&mut fields)?,
                        None => {
                            Target::Receiver(take_required(&mut fields, "receiver_id")?.try_into()?)
                        }
                    },
                    message: take_required(&mut fields, "message")?.try_into()?,
                    after: match action {
                        Some(_) => take_integer(&mut fields, "after")?,
                        // An old client knows no `after`, so whatever it sends means something else.
                        None => None,
                    },
                };
                id_check.map(|()| Self::Send(frame))
            }
            Some(action @ ("editMessage" | "deleteMessage")) => {
                let frame = ChangeFrame {
                    target: take_target(&mut fields)?,
                    seq: take_integer(&mut fields, "seq")?
                        .ok_or_else(|| invalid("`seq` is missing."))?,
                    message: match action {
                        "editMessage" => Some(take_required(&mut fields, "message")?.try_into()?),
                        _ => None,
                    },
                    after: take_integer(&mut fields, "after")?,
                };
                id_check.map(|()| Self::Change(frame))
            }
            Some(
                action @ ("createGroup" | "invite" | "removeMember" | "leave" | "rename"
                | "setRole"),
            ) => {
                let frame = GroupFrame {
                    conversation_id: match action {
                        "createGroup" => None,
                        _ => Some(take_required(&mut fields, "conversation_id")?.into()),
                    },
                    change: GroupChange::take(action, &mut fields)?,
                    after: take_integer(&mut fields, "after")?,
                };
                id_check.map(|()| Self::Group(frame))
            }
            Some("typing") => Ok(Self::Typing(take_target(&mut fields)?)),
            Some("mark") => Ok(Self::Mark(MarkFrame {
                target: take_target(&mut fields)?,
                marks: take_marks(&mut fields)?,
            })),
            Some("ping") => Ok(Self::Ping),
            Some(_) => Err(invalid("`action` is none of the protocol.")),
        }
    }
}

impl GroupChange {
    fn take(action: &str, fields: &mut Map<String, Value>) -> Result<Self, Rejection> {
        let mut user = || take_required(fields, "user_id")?.try_into();
        Ok(match action {
            "removeMember" => Self::Remove(user()?),
            "setRole" => {
                let user = user()?;
                Self::SetRole(user, take_role(fields)?)
            }
            "leave" => Self::Leave,
            "invite" => match take_users(fields)? {
                users if users.is_empty() => return Err(invalid("`users` is missing or empty.")),
                users => Self::Invite(users),
            },
            "rename" => Self::Rename(take_required(fields, "title")?.try_into()?),
            _ => {
                let title = take_required(fields, "title")?.try_into()?;
                Self::Create(title, take_users(fields)?, take_history(fields)?)
            }
        })
    }
}

fn object(text: &str) -> Result<Map<String, Value>, Rejection> {
    if text.len() > ParsedFrame::MAX_BYTES {
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

fn take_required(fields: &mut Map<String, Value>, name: &str) -> Result<String, Rejection> {
    take_string(fields, name)?.ok_or_else(|| invalid(format!("`{name}` is missing.")))
}

/// Takes the conversation that a frame names, by either of two fields.
fn take_target(fields: &mut Map<String, Value>) -> Result<Target, Rejection> {
    let conversation = take_string(fields, "conversation_id")?;
    let receiver = take_string(fields, "receiver_id")?;
    match (conversation, receiver) {
        (Some(id), None) => Ok(Target::Conversation(id.into())),
        (None, Some(id)) => Ok(Target::Receiver(id.try_into()?)),
        _ => Err(invalid(
            "Either `conversation_id` or `receiver_id` must be given.",
        )),
    }
}

/// Takes a list of users, each of them once.
fn take_users(fields: &mut Map<String, Value>) -> Result<Vec<UserId>, Rejection> {
    let values = match fields.remove("users") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(values)) => values,
        Some(_) => return Err(invalid("`users` must be an array.")),
    };
    if values.len() >= Content::MAX_USERS {
        return Err(invalid("`users` may have 49 users at most."));
    }
    let mut users: Vec<UserId> = Vec::new();
    for value in values {
        let Value::String(id) = value else {
            return Err(invalid("`users` must be an array of strings."));
        };
        let user = id.try_into()?;
        if !users.contains(&user) {
            users.push(user);
        }
    }
    Ok(users)
}

fn take_role(fields: &mut Map<String, Value>) -> Result<Role, Rejection> {
    match take_required(fields, "role")?.as_str() {
        "owner" => Ok(Role::Owner),
        "member" => Ok(Role::Member),
        _ => Err(invalid("`role` must be \"owner\" or \"member\".")),
    }
}

fn take_history(fields: &mut Map<String, Value>) -> Result<History, Rejection> {
    match take_string(fields, "history")?.as_deref() {
        None | Some("joined") => Ok(History::Joined),
        Some("all") => Ok(History::All),
        Some(_) => Err(invalid("`history` must be \"joined\" or \"all\".")),
    }
}

/// Takes the numbers of a mark frame, one of which has to be there.
fn take_marks(fields: &mut Map<String, Value>) -> Result<Marks, Rejection> {
    let read = take_integer(fields, "read")?;
    let delivered = take_integer(fields, "delivered")?;
    if read.is_none() && delivered.is_none() {
        return Err(invalid("`read` or `delivered` must be given."));
    }
    Ok(Marks::new(read.unwrap_or(0), delivered.unwrap_or(0)))
}

/// Takes an optional string out of the frame. Nothing but a string or `null` passes, so no operator
/// object can reach a query. Serialisers of many languages write `null` for a field that is not set.
fn take_string(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Rejection> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(format!("`{name}` must be a string."))),
    }
}

/// Takes an optional integer out of the frame, where `null` is none. One that is too large for 64 bits is
/// taken as the largest.
fn take_integer(fields: &mut Map<String, Value>, name: &str) -> Result<Option<i64>, Rejection> {
    let value = match fields.remove(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    // The conversion of a float saturates.
    let float = || value.as_f64().filter(|value| value.fract() == 0.0);
    let integer = value.as_i64().or_else(|| float().map(|value| value as i64));
    match integer {
        None => Err(invalid(format!("`{name}` must be an integer."))),
        integer => Ok(integer),
    }
}

fn invalid(message: impl Into<String>) -> Rejection {
    Rejection::new(Code::InvalidFrame, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Far less than a level for each of the brackets below would need.
    const SMALL_STACK_BYTES: usize = 512 * 1_024;

    fn rejection(text: &str) -> Rejection {
        ParsedFrame::parse(text).frame.expect_err(text)
    }

    #[test]
    fn the_old_frame_is_a_send_frame() {
        let parsed = ParsedFrame::parse(r#"{"sender_id":"a","receiver_id":"b","message":"hi"}"#);
        let Ok(ClientFrame::Send(send)) = parsed.frame else {
            panic!("not a send frame");
        };
        assert_eq!(send.sender_id.expect("a sender").as_str(), "a");
        assert!(matches!(send.target, Target::Receiver(id) if id.as_str() == "b"));
        assert_eq!(send.message.as_str(), "hi");
        assert!(parsed.client_message_id.is_none());
    }

    fn with_after(after: &str) -> String {
        format!(r#"{{"action":"sendMessage","receiver_id":"b","message":"hi","after":{after}}}"#)
    }

    fn after(frame: &str) -> Option<i64> {
        match ParsedFrame::parse(frame).frame {
            Ok(ClientFrame::Send(send)) => send.after,
            other => panic!("{frame}: {other:?}"),
        }
    }

    #[test]
    fn any_integer_tells_how_far_the_client_has_the_conversation() {
        for (value, expected) in [
            ("null", None),
            ("11", Some(11)),
            ("-3", Some(-3)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", Some(i64::MAX)),
            ("1e30", Some(i64::MAX)),
            ("-1e30", Some(i64::MIN)),
        ] {
            assert_eq!(after(&with_after(value)), expected, "{value}");
        }
        assert_eq!(
            rejection(&with_after("{}")).message,
            "`after` must be an integer."
        );
    }

    #[test]
    fn an_edit_has_a_text_and_a_deletion_needs_none() {
        for (frame, message, id) in [
            (
                r#"{"action":"editMessage","receiver_id":"b","seq":7,"message":"hi","client_message_id":"e"}"#,
                Some("hi"),
                Some("e"),
            ),
            (
                r#"{"action":"deleteMessage","receiver_id":"b","seq":7,"message":9}"#,
                None,
                None,
            ),
        ] {
            let parsed = ParsedFrame::parse(frame);
            let Ok(ClientFrame::Change(change)) = parsed.frame else {
                panic!("{frame}");
            };
            assert_eq!(change.seq, 7);
            assert_eq!(change.message.as_ref().map(Text::as_str), message);
            assert_eq!(
                parsed
                    .client_message_id
                    .as_ref()
                    .map(ClientMessageId::as_str),
                id
            );
        }
    }

    #[test]
    fn a_field_named_after_means_nothing_in_the_old_frame() {
        for value in ["11", "\"noon\"", "{}"] {
            let frame = format!(r#"{{"receiver_id":"b","message":"hi","after":{value}}}"#);
            assert_eq!(after(&frame), None);
        }
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
            (&with_after("1.5"), Code::InvalidFrame),
            (&with_after(r#""7""#), Code::InvalidFrame),
            (&with_after("[7]"), Code::InvalidFrame),
            (r#"{"receiver_id":"","message":"hi"}"#, Code::InvalidUserId),
            (r#"{"receiver_id":"b","message":""}"#, Code::MessageEmpty),
            (
                r#"{"receiver_id":"b","message":"m","client_message_id":""}"#,
                Code::InvalidFrame,
            ),
        ] {
            assert_eq!(rejection(frame).code, code, "{frame}");
        }
        let long = "x".repeat(Text::MAX_BYTES + 1);
        let frame = json!({"receiver_id": "b", "message": long}).to_string();
        assert_eq!(rejection(&frame).code, Code::MessageTooLong);
    }

    #[test]
    fn a_frame_beyond_the_limit_of_the_gateway_is_rejected_before_it_is_read() {
        let ping = r#"{"action":"ping"}"#;
        let padded = |bytes: usize| ping.to_owned() + &" ".repeat(bytes - ping.len());
        let longest = ParsedFrame::parse(&padded(ParsedFrame::MAX_BYTES));
        assert!(longest.frame.is_ok());
        let too_long = rejection(&padded(ParsedFrame::MAX_BYTES + 1));
        assert_eq!(too_long.code, Code::InvalidFrame);
        assert_eq!(too_long.message, "The frame is too long.");
    }

    #[test]
    fn a_deeply_nested_frame_is_rejected_and_costs_no_stack() {
        let nested = |inner: &str| format!(r#"{{"receiver_id":"b","message":{inner}}}"#);
        let parse = move || {
            for text in [
                "[".repeat(100_000),
                nested(&"[".repeat(100_000)),
                nested(&format!("{}{}", "[".repeat(60_000), "]".repeat(60_000))),
                r#"{"a":"#.repeat(20_000),
                nested(&r#"[{"$and":"#.repeat(10_000)),
            ] {
                let parsed = ParsedFrame::parse(&text);
                assert_eq!(
                    parsed.frame.expect_err("it is rejected").code,
                    Code::InvalidFrame
                );
            }
        };
        let thread = std::thread::Builder::new().stack_size(SMALL_STACK_BYTES);
        let thread = thread.spawn(parse).expect("a thread");
        thread.join().expect("it does not panic");
    }

    #[test]
    fn the_id_of_a_rejected_frame_is_known_and_that_of_a_ping_is_not() {
        let id_of = |frame: &str| {
            let id = ParsedFrame::parse(frame).client_message_id;
            id.map(|id| id.as_str().to_owned())
        };
        let rejected = r#"{"receiver_id":"b","message":7,"client_message_id":"m-1"}"#;
        assert_eq!(id_of(rejected).as_deref(), Some("m-1"));
        let ping = r#"{"action":"ping","client_message_id":"m-1"}"#;
        assert_eq!(id_of(ping), None);
    }

    #[test]
    fn null_in_an_optional_field_is_as_if_it_were_absent() {
        let frame = r#"{"receiver_id":"b","message":"hi","action":null,"sender_id":null,"client_message_id":null}"#;
        let parsed = ParsedFrame::parse(frame);
        assert_eq!(parsed.client_message_id, None);
        match parsed.frame {
            Ok(ClientFrame::Send(frame)) => assert_eq!(frame.sender_id, None),
            other => panic!("{other:?}"),
        }
        let ping = ParsedFrame::parse(r#"{"action":"ping","client_message_id":null}"#);
        assert!(matches!(ping.frame, Ok(ClientFrame::Ping)));
        for required in ["receiver_id", "message"] {
            let mut frame = json!({"receiver_id": "b", "message": "m"});
            frame[required] = Value::Null;
            let missing = format!("`{required}` is missing.");
            assert_eq!(rejection(&frame.to_string()).message, missing);
        }
    }

    #[test]
    fn the_id_is_known_of_a_frame_that_only_other_parsers_can_read() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for value in [
            r#""\ud83d""#,
            r#""\ude80 see you""#,
            r#""\ud83d\ud83d\ude80""#,
            "1e999",
            &deep,
        ] {
            let frame = format!(r#"{{"message":{value},"client_message_id":"m-1"}}"#);
            let parsed = ParsedFrame::parse(&frame);
            assert_eq!(parsed.client_message_id.expect("an id").as_str(), "m-1");
            assert_eq!(parsed.frame.expect_err("rejected").code, Code::InvalidFrame);
        }
        for without_id in [
            r#"{"message":"m","client_message_id":"\ud83d"}"#,
            r#"{"message":"\ud83d","client_message_id":7}"#,
            r#"["m-1"]"#,
            r#" ["m-1","\ud83d"]"#,
        ] {
            let parsed = ParsedFrame::parse(without_id);
            assert_eq!(parsed.client_message_id, None, "{without_id}");
        }
    }

    /// Returns UTF-16 as a JSON string of escapes, as `JSON.stringify` writes halves of surrogate pairs.
    fn escaped(utf16: &[u16]) -> String {
        let escapes: String = utf16.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        format!("\"{escapes}\"")
    }

    proptest! {
        #[test]
        fn any_text_of_json_is_accepted_or_rejected_with_the_id_of_its_frame(
            text in proptest::collection::vec(
                prop_oneof![0xd7f0_u16..0xe010, any::<u16>()], 1..8,
            ),
            field in prop::sample::select(vec!["message", "receiver_id", "sender_id", "action", "x"]),
            id in "\\PC{1,30}",
        ) {
            let mut frame = json!({"receiver_id": "b", "message": "m", "client_message_id": id});
            frame[field] = json!("TEXT");
            let frame = frame.to_string().replacen("\"TEXT\"", &escaped(&text), 1);
            let parsed = ParsedFrame::parse(&frame);
            prop_assert_eq!(parsed.client_message_id.map(|id| id.as_str().to_owned()), Some(id));
            match (String::from_utf16(&text), parsed.frame) {
                (Ok(text), Ok(ClientFrame::Send(send))) if field == "message" => {
                    prop_assert_eq!(send.message.as_str(), text);
                }
                (Err(_), Ok(frame)) => prop_assert!(false, "{frame:?}"),
                _ => {}
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
            ParsedFrame::parse(&text);
        }
    }
}

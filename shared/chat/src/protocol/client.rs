//! Frames from a client.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields::{
    invalid, take_client_message_id, take_history, take_integer, take_marks, take_required,
    take_role, take_sender, take_string, take_target, take_users,
};
use crate::group::not_yours;
use crate::{
    ClientMessageId, ConversationId, History, Marks, Recipient, Rejection, Role, Text, Title,
    UserId,
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
    /// [`Code::Forbidden`](crate::Code::Forbidden): it is no group, and not a conversation of `user`. Whether it exists makes no difference.
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
    /// It is rejected with `invalid_frame`, `invalid_user_id`, `message_empty` or `message_too_long`.
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
        let Some(action) = action.as_deref() else {
            let frame = SendFrame::take_old(&mut fields)?;
            return id_check.map(|()| Self::Send(frame));
        };
        let frame = match action {
            "sendMessage" => Self::Send(SendFrame::take(&mut fields)?),
            "editMessage" | "deleteMessage" => {
                Self::Change(ChangeFrame::take(action, &mut fields)?)
            }
            "createGroup" | "invite" | "removeMember" | "leave" | "rename" | "setRole" => {
                Self::Group(GroupFrame::take(action, &mut fields)?)
            }
            "typing" => return Ok(Self::Typing(take_target(&mut fields)?)),
            "mark" => return Ok(Self::Mark(MarkFrame::take(&mut fields)?)),
            "ping" => return Ok(Self::Ping),
            _ => return Err(invalid("`action` is none of the protocol.")),
        };
        id_check.map(|()| frame)
    }
}

impl SendFrame {
    fn take(fields: &mut Map<String, Value>) -> Result<Self, Rejection> {
        Ok(Self {
            sender_id: take_sender(fields)?,
            target: take_target(fields)?,
            message: take_required(fields, "message")?.try_into()?,
            after: take_integer(fields, "after")?,
        })
    }

    /// Takes the fields of the old system's frame. An old client knows no `after`, so whatever it sends means
    /// something else.
    fn take_old(fields: &mut Map<String, Value>) -> Result<Self, Rejection> {
        Ok(Self {
            sender_id: take_sender(fields)?,
            target: Target::Receiver(take_required(fields, "receiver_id")?.try_into()?),
            message: take_required(fields, "message")?.try_into()?,
            after: None,
        })
    }
}

impl ChangeFrame {
    fn take(action: &str, fields: &mut Map<String, Value>) -> Result<Self, Rejection> {
        let seq = take_integer(fields, "seq")?;
        Ok(Self {
            target: take_target(fields)?,
            seq: seq.ok_or_else(|| invalid("`seq` is missing."))?,
            message: match action {
                "editMessage" => Some(take_required(fields, "message")?.try_into()?),
                _ => None,
            },
            after: take_integer(fields, "after")?,
        })
    }
}

impl MarkFrame {
    fn take(fields: &mut Map<String, Value>) -> Result<Self, Rejection> {
        Ok(Self {
            target: take_target(fields)?,
            marks: take_marks(fields)?,
        })
    }
}

impl GroupFrame {
    fn take(action: &str, fields: &mut Map<String, Value>) -> Result<Self, Rejection> {
        Ok(Self {
            conversation_id: match action {
                "createGroup" => None,
                _ => Some(take_required(fields, "conversation_id")?.into()),
            },
            change: GroupChange::take(action, fields)?,
            after: take_integer(fields, "after")?,
        })
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

#[cfg(test)]
mod tests;

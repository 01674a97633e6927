//! The fields of a frame from a client. Each is taken out with a type that no query can be smuggled through.

use serde_json::{Map, Value};

use super::client::Target;
use crate::{ClientMessageId, Code, Content, History, Marks, Rejection, Role, UserId};

pub(super) fn take_sender(fields: &mut Map<String, Value>) -> Result<Option<UserId>, Rejection> {
    let sender = take_string(fields, "sender_id")?;
    sender.map(UserId::try_from).transpose()
}

pub(super) fn take_client_message_id(
    fields: &mut Map<String, Value>,
) -> Result<Option<ClientMessageId>, Rejection> {
    take_string(fields, "client_message_id")?
        .map(ClientMessageId::try_from)
        .transpose()
}

pub(super) fn take_required(
    fields: &mut Map<String, Value>,
    name: &str,
) -> Result<String, Rejection> {
    take_string(fields, name)?.ok_or_else(|| invalid(format!("`{name}` is missing.")))
}

/// Takes the conversation that a frame names, by either of two fields.
pub(super) fn take_target(fields: &mut Map<String, Value>) -> Result<Target, Rejection> {
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
pub(super) fn take_users(fields: &mut Map<String, Value>) -> Result<Vec<UserId>, Rejection> {
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

pub(super) fn take_role(fields: &mut Map<String, Value>) -> Result<Role, Rejection> {
    match take_required(fields, "role")?.as_str() {
        "owner" => Ok(Role::Owner),
        "member" => Ok(Role::Member),
        _ => Err(invalid("`role` must be \"owner\" or \"member\".")),
    }
}

pub(super) fn take_history(fields: &mut Map<String, Value>) -> Result<History, Rejection> {
    match take_string(fields, "history")?.as_deref() {
        None | Some("joined") => Ok(History::Joined),
        Some("all") => Ok(History::All),
        Some(_) => Err(invalid("`history` must be \"joined\" or \"all\".")),
    }
}

/// Takes the numbers of a mark frame, one of which has to be there.
pub(super) fn take_marks(fields: &mut Map<String, Value>) -> Result<Marks, Rejection> {
    let read = take_integer(fields, "read")?;
    let delivered = take_integer(fields, "delivered")?;
    if read.is_none() && delivered.is_none() {
        return Err(invalid("`read` or `delivered` must be given."));
    }
    Ok(Marks::new(read.unwrap_or(0), delivered.unwrap_or(0)))
}

/// Takes an optional string out of the frame. Nothing but a string or `null` passes, so no operator
/// object can reach a query. Serialisers of many languages write `null` for a field that is not set.
pub(super) fn take_string(
    fields: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<String>, Rejection> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(format!("`{name}` must be a string."))),
    }
}

/// Takes an optional integer out of the frame, where `null` is none. One that is too large for 64 bits is
/// taken as the largest.
pub(super) fn take_integer(
    fields: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<i64>, Rejection> {
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

pub(super) fn invalid(message: impl Into<String>) -> Rejection {
    Rejection::new(Code::InvalidFrame, message)
}

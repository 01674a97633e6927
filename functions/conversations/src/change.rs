//! `PUT /chat/conversations?user=`: mutes a conversation of the user, or blocks the other user of a direct one.

use chat::conversation::ConversationChange;
use chat::delivery::Recipients;
use chat::protocol::{ServerFrame, Target};
use chat::{ConversationId, Deadline, Rejection, Result, UserId};
use chat_lambda::http_event::HttpResponse;
use chat_lambda::query_string::invalid;
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Deps, json};

/// A change, and the conversation that it is about.
#[derive(Debug)]
pub struct Change {
    target: Target,
    change: ConversationChange,
}

/// The body of a change. A direct conversation may be named by its other user.
#[derive(Deserialize)]
struct Body {
    conversation_id: Option<ConversationId>,
    peer_id: Option<UserId>,
    #[serde(flatten)]
    change: ConversationChange,
}

/// Reads the body of a change: `{"conversation_id":"…","muted":true}`, or with `peer_id` and `blocked`. Unknown fields
/// are ignored, and one that is `null` counts as absent.
///
/// # Errors
///
/// [`Code::InvalidRequest`](chat::Code::InvalidRequest): it is no such object.
pub fn read(body: &[u8]) -> Result<Change, Rejection> {
    // An array would be read as the fields in order.
    let object = serde_json::from_slice::<Map<String, Value>>(body);
    let body = object.and_then(|object| serde_json::from_value::<Body>(Value::Object(object)));
    let target = |body: &Body| match (&body.conversation_id, &body.peer_id) {
        (Some(id), None) => Some(Target::Conversation(id.clone())),
        (None, Some(peer_id)) => Some(Target::Receiver(peer_id.clone())),
        _ => None,
    };
    let read = body
        .ok()
        .and_then(|body| Some((target(&body)?, body.change)));
    let (target, change) = read.ok_or_else(|| {
        invalid(
            "The body must be a JSON object with either `conversation_id` or `peer_id`, in which `muted` and `blocked` \
             are true or false.",
        )
    })?;
    Ok(Change { target, change })
}

/// Changes what the user has set for a conversation, tells the user's devices, and responds with all of it. A block
/// is in force when the response leaves.
///
/// # Errors
///
/// As [`Store::change_conversation`](chat::Store::change_conversation), and [`Target::recipient`].
pub async fn respond(
    user: &UserId,
    Change { target, change }: Change,
    deadline: Deadline,
    deps: &Deps,
) -> Result<HttpResponse> {
    let recipient = target.recipient(user)?;
    let settings = deps
        .store
        .change_conversation(user, &recipient, change, deadline);
    let settings = settings.await?;
    let response = json(&settings);
    let frame = ServerFrame::Conversation(settings).to_json().into();
    let to = Recipients::modern(std::slice::from_ref(user));
    deps.delivery.hint(to, frame, Utc::now(), deadline).await;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_one_conversation_and_what_changes() {
        for body in [
            r#"{"conversation_id":"direct:1:a:b","muted":true}"#,
            r#"{"peer_id":"b","blocked":false,"muted":null,"theme":"dark"}"#,
            r#"{"peer_id":"b","conversation_id":null}"#,
        ] {
            assert!(read(body.as_bytes()).is_ok(), "{body}");
        }
        for body in [
            "",
            "[]",
            "null",
            "{}",
            r#"["direct:1:a:b",null,true]"#,
            r#"{"muted":true}"#,
            r#"{"peer_id":"b","conversation_id":"direct:1:a:b"}"#,
            r#"{"peer_id":"","muted":true}"#,
            r#"{"peer_id":"b\u0000","muted":true}"#,
            r#"{"peer_id":{"$ne":1},"muted":true}"#,
            r#"{"peer_id":"b","muted":1}"#,
            r#"{"peer_id":"b","blocked":"yes"}"#,
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
    }
}

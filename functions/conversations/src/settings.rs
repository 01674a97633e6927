//! `GET` and `PUT /chat/settings?user=`: what the user shows to others.

use chat::delivery::Recipients;
use chat::protocol::ServerFrame;
use chat::settings::SettingsChange;
use chat::{Deadline, Rejection, Result, UserId};
use chat_lambda::http_event::HttpResponse;
use chat_lambda::query_string::invalid;
use chrono::Utc;
use serde_json::{Map, Value};

use crate::{Deps, json};

/// Reads the body of a change: `{"receipts":false}`, `{"presence":true}`, or both. Unknown fields are ignored, and
/// one that is `null` counts as absent.
///
/// # Errors
///
/// [`Code::InvalidRequest`](chat::Code::InvalidRequest): it is no such object.
pub fn read(body: &[u8]) -> Result<SettingsChange, Rejection> {
    // An array would be read as the fields in order.
    let object = serde_json::from_slice::<Map<String, Value>>(body);
    let change = object.and_then(|object| serde_json::from_value(Value::Object(object)));
    change.map_err(|_| {
        invalid(
            "The body must be a JSON object, in which `receipts` and `presence` are true or false.",
        )
    })
}

/// Responds with the settings of a user.
///
/// # Errors
///
/// [`Error::Unavailable`](chat::Error::Unavailable).
pub async fn respond(user: &UserId, deadline: Deadline, deps: &Deps) -> Result<HttpResponse> {
    let settings = deps
        .store
        .settings_of(std::slice::from_ref(user), deadline)
        .await?;
    Ok(json(&settings[user]))
}

/// Changes the settings of a user, tells the user's devices, and responds with all of the settings.
///
/// # Errors
///
/// [`Error::Unavailable`](chat::Error::Unavailable): they may or may not be changed.
pub async fn change(
    user: &UserId,
    change: SettingsChange,
    deadline: Deadline,
    deps: &Deps,
) -> Result<HttpResponse> {
    let settings = deps.store.change_settings(user, change, deadline).await?;
    let frame = ServerFrame::Settings(settings).to_json().into();
    let users = std::slice::from_ref(user);
    let to = Recipients::modern(users);
    deps.delivery.hint(to, frame, Utc::now(), deadline).await;
    Ok(json(&settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_what_it_changes() {
        let change = |receipts, presence| SettingsChange { receipts, presence };
        for (body, expected) in [
            ("{}", change(None, None)),
            (r#"{"receipts":false}"#, change(Some(false), None)),
            (
                r#"{"presence":true,"receipts":null,"theme":"dark"}"#,
                change(None, Some(true)),
            ),
        ] {
            assert_eq!(read(body.as_bytes()).expect(body), expected);
        }
        for body in [
            "",
            "[]",
            "null",
            "true",
            "[true,false]",
            r#"{"receipts":1}"#,
            r#"{"receipts":{"$ne":1}}"#,
            "\u{0}",
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
        assert!(read(b"{\"receipts\":\"\xff\"}").is_err());
    }
}

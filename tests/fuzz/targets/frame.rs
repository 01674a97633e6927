//! The text of a frame, from a client. It is accepted with valid fields, or rejected with an error
//! frame that repeats nothing of it but its id.

#![no_main]

use std::collections::HashSet;

use chat::protocol::{ClientFrame, GroupChange, ParsedFrame, SendFrame, ServerFrame, Target};
use chat::{ClientMessageId, Content, ConversationId, Recipient, Text, UserId};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let ParsedFrame {
        client_message_id,
        frame,
    } = ParsedFrame::parse(text);
    match frame {
        Ok(ClientFrame::Ping) => {}
        Ok(ClientFrame::Typing(target)) => check_target(target),
        Ok(ClientFrame::Mark(frame)) => {
            assert!(0 <= frame.marks.read && frame.marks.read <= frame.marks.delivered);
            check_target(frame.target);
        }
        Ok(ClientFrame::Group(frame)) => check_group(&frame.change),
        Ok(ClientFrame::Change(frame)) => {
            if let Some(message) = &frame.message {
                assert!((1..=Text::MAX_BYTES).contains(&message.as_str().len()));
            }
            check_target(frame.target);
        }
        Ok(ClientFrame::Send(frame)) => check_accepted(text, &frame, client_message_id.as_ref()),
        Err(rejection) => {
            let reply = ServerFrame::error(rejection.into(), client_message_id.clone()).to_json();
            let reply: Value = serde_json::from_str(&reply).expect("a reply is JSON");
            let id = client_message_id.as_ref().map(ClientMessageId::as_str);
            assert_eq!(reply["client_message_id"].as_str(), id);
            if let Ok(fields) = serde_json::from_str::<Value>(text)
                && text.len() <= ParsedFrame::MAX_BYTES
            {
                assert_eq!(id, valid_id(&fields).as_ref().map(ClientMessageId::as_str));
            }
            // The message is a constant sentence, at most with a number.
            let sentence = reply["message"].as_str().expect("a sentence");
            assert!(sentence.len() < 100 && sentence.is_ascii(), "{sentence}");
        }
    }
});

/// Returns the id of a frame that was read as JSON.
fn valid_id(fields: &Value) -> Option<ClientMessageId> {
    let id = fields["client_message_id"].as_str()?;
    ClientMessageId::try_from(id.to_owned()).ok()
}

fn check_group(change: &GroupChange) {
    match change {
        GroupChange::Create(_, users, _) | GroupChange::Invite(users) => {
            let distinct: HashSet<_> = users.iter().collect();
            assert!(distinct.len() == users.len() && users.len() < Content::MAX_USERS);
        }
        _ => {}
    }
}

/// A conversation that is named by its id is one of both its users, and of nobody else.
fn check_target(target: Target) {
    let Target::Conversation(id) = target else {
        return;
    };
    let Some([a, b]) = id.users() else {
        return;
    };
    assert_eq!(ConversationId::direct(&a, &b), id);
    let peer = Target::Conversation(id).recipient(&a);
    assert_eq!(
        peer.expect("a conversation of this user"),
        Recipient::User(b)
    );
}

fn check_accepted(text: &str, frame: &SendFrame, id: Option<&ClientMessageId>) {
    let receiver = receiver(frame);
    for user in frame.sender_id.iter().chain(receiver) {
        let id = user.as_str();
        assert!((1..=UserId::MAX_BYTES).contains(&id.len()));
        assert!(!id.chars().any(char::is_control));
    }
    assert!((1..=Text::MAX_BYTES).contains(&frame.message.as_str().len()));
    if let Some(id) = id {
        assert!((1..=ClientMessageId::MAX_BYTES).contains(&id.as_str().len()));
    }
    // No field is trimmed or replaced: it equals that of the JSON, and parses to the same again.
    let mut fields: Value = serde_json::from_str(text).expect("an accepted frame is JSON");
    if fields["action"].is_null() {
        // An old client knows neither field, so whatever it sends in them is ignored.
        let map = fields.as_object_mut().expect("an object");
        map.retain(|name, _| !matches!(name.as_str(), "conversation_id" | "after"));
    }
    assert!(frame.after.is_none() || fields["after"].is_number());
    for (name, value) in as_json(frame, id).as_object().expect("an object") {
        assert_eq!(fields.get(name).unwrap_or(&Value::Null), value, "{name}");
    }
    let again = ParsedFrame::parse(&without_nulls(as_json(frame, id)).to_string());
    match again.frame {
        Ok(ClientFrame::Send(send)) => assert_eq!(
            as_json(&send, again.client_message_id.as_ref()),
            as_json(frame, id)
        ),
        other => panic!("{other:?}"),
    }
}

fn receiver(frame: &SendFrame) -> Option<&UserId> {
    match &frame.target {
        Target::Receiver(id) => Some(id),
        Target::Conversation(_) => None,
    }
}

fn conversation(frame: &SendFrame) -> Option<&ConversationId> {
    match &frame.target {
        Target::Receiver(_) => None,
        Target::Conversation(id) => Some(id),
    }
}

fn as_json(frame: &SendFrame, id: Option<&ClientMessageId>) -> Value {
    json!({
        "sender_id": frame.sender_id,
        "receiver_id": receiver(frame),
        "conversation_id": conversation(frame),
        "message": frame.message.as_str(),
        "client_message_id": id,
    })
}

fn without_nulls(mut fields: Value) -> Value {
    let map = fields.as_object_mut().expect("an object");
    map.retain(|_, value| !value.is_null());
    fields
}

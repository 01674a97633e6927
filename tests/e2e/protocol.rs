//! The examples of shared/PROTOCOL.md: the chat takes those to the server, and says those to the client.

use std::collections::BTreeMap;

use hyper::Method;
use serde_json::{Deserializer, Value};
use tests::client::request;
use tests::{Chat, Client};

const PROTOCOL: &str = include_str!("../../shared/PROTOCOL.md");
const PROF: &str = "prof@example.com";
const STUDENT: &str = "student@example.com";

/// Returns the first block of a language in a section.
fn block(section: &str, language: &str) -> &'static str {
    let (_, section) = PROTOCOL.split_once(section).expect("the section");
    let (_, block) = section
        .split_once(&format!("```{language}\n"))
        .expect("a block");
    block.split_once("```").expect("its end").0
}

fn frames(section: &str) -> Vec<Value> {
    let frames = Deserializer::from_str(block(section, "json")).into_iter();
    frames.map(|frame| frame.expect("JSON")).collect()
}

/// Returns a value without what differs from chat to chat: only the names of its fields, and the types of theirs.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let shapes = fields
                .iter()
                .map(|(name, value)| (name.clone(), shape(value)));
            Value::Object(shapes.collect())
        }
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => 0.into(),
        Value::Bool(_) => true.into(),
        Value::Null => Value::Null,
    }
}

/// Receives frames until there is one of each expected type, and returns the first of each.
async fn receive(client: &mut Client, types: &[&str]) -> BTreeMap<String, Value> {
    let mut received = BTreeMap::new();
    while !types.iter().all(|name| received.contains_key(*name)) {
        let frame = client.next().await;
        let name = frame["type"].as_str().expect("a type").to_owned();
        received.entry(name).or_insert(frame);
    }
    received
}

/// Adds frames of other types than those that are there.
fn add(all: &mut BTreeMap<String, Value>, received: BTreeMap<String, Value>) {
    for (name, frame) in received {
        all.entry(name).or_insert(frame);
    }
}

#[tokio::test]
async fn the_examples_are_what_clients_send_and_get() {
    let chat = Chat::start().await;
    let mut prof = chat.connect_modern(PROF).await;
    let mut student = chat.connect_modern(STUDENT).await;
    let mut own = BTreeMap::new();
    for frame in frames("## Frames to the server") {
        prof.send(&frame).await;
        // A mark or a change is about a message that is there.
        if frame.get("client_message_id").is_some() {
            add(&mut own, receive(&mut prof, &["ack"]).await);
        } else if frame.get("message").is_some() {
            // The old frame, which has no ack. The first of the two messages is received here too.
            add(&mut own, receive(&mut student, &["message"]).await);
            student.next().await;
        }
    }
    let empty =
        r#"{"action":"sendMessage","receiver_id":"b","message":"","client_message_id":"m-2"}"#;
    prof.send_text(empty).await;
    add(&mut own, receive(&mut prof, &["pong", "error"]).await);
    let settings = format!("{}/chat/settings?user={STUDENT}", chat.http);
    let changed = request(Method::PUT, &settings, b"{}".to_vec()).await;
    assert_eq!(changed.status, 200);
    let conversations = format!("{}/chat/conversations?user={STUDENT}", chat.http);
    let mute = format!(r#"{{"peer_id":"{PROF}","muted":true}}"#);
    let muted = request(Method::PUT, &conversations, mute.into()).await;
    assert_eq!(muted.status, 200);
    let pushed = ["entry", "typing", "receipt", "settings", "conversation"];
    add(&mut own, receive(&mut student, &pushed).await);

    let documented = frames("## Frames to the client");
    assert_eq!(documented.len(), own.len(), "{own:?}");
    for example in documented {
        let name = example["type"].as_str().expect("a type");
        let frame = &own[name];
        assert_eq!(shape(&example), shape(frame), "{name}: {frame}");
    }
    chat.stop().await;
}

#[tokio::test]
async fn the_examples_of_requests_get_such_responses() {
    let chat = Chat::start().await;
    let mut prof = chat.connect_modern(PROF).await;
    let first = &frames("## Frames to the server")[0];
    prof.send(first).await;
    assert_eq!(prof.next().await["type"], "ack");
    let mut student = chat.connect_modern(STUDENT).await;
    let create = frames("## Frames to the server");
    let create = create.iter().find(|frame| frame["action"] == "createGroup");
    prof.send(create.expect("an example")).await;
    let created = prof.next().await;
    let group = created["conversation_id"].as_str().expect("an id");
    let [example] = &frames("## Groups")[..] else {
        panic!("one example");
    };
    assert_eq!(shape(&student.next().await), shape(example));
    let mut requests = 0;
    for section in [
        "## History",
        "## Conversations",
        "## Presence",
        "## Settings",
        "## Groups",
        "## Mute and block",
    ] {
        let mut lines = block(section, "console")
            .lines()
            .filter(|line| !line.is_empty());
        while let Some(command) = lines.next() {
            if section == "## Presence" {
                // Presence is told to those to whom the user has written.
                student.send_message(PROF, "Yes.").await;
            }
            let (_, url) = command.split_once("http://127.0.0.1:3000").expect("a URL");
            let (url, rest) = url.split_once('\'').expect("its end");
            let body = rest
                .split_once(" -d '")
                .map_or("", |(_, body)| body.trim_end_matches('\''));
            let method = if body.is_empty() {
                Method::GET
            } else {
                Method::PUT
            };
            let url = format!("{}{}", chat.http, url.replace("group:…", group));
            let response = request(method, &url, body.as_bytes().to_vec()).await.json();
            let example: Value =
                serde_json::from_str(lines.next().expect("a response")).expect("JSON");
            assert_eq!(shape(&response), shape(&example), "{command}: {response}");
            requests += 1;
        }
    }
    assert_eq!(requests, 8);
    chat.stop().await;
}

//! The examples of shared/PROTOCOL.md: the chat takes those to the server, and says those to the client.

use std::collections::{BTreeMap, BTreeSet};

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

/// A request of a section, and the line that it prints.
struct Request {
    command: &'static str,
    method: Method,
    path: &'static str,
    body: &'static str,
    printed: &'static str,
}

impl Request {
    fn of(command: &'static str, printed: &'static str) -> Self {
        let (_, url) = command.split_once("http://127.0.0.1:3000").expect("a URL");
        let (path, rest) = url.split_once('\'').expect("its end");
        let body = rest.split_once(" -d '");
        Self {
            command,
            method: if body.is_some() {
                Method::PUT
            } else {
                Method::GET
            },
            path,
            body: body.map_or("", |(_, body)| body.trim_end_matches('\'')),
            printed,
        }
    }
}

fn requests(section: &str) -> Vec<Request> {
    let lines: Vec<_> = block(section, "console")
        .lines()
        .filter(|line| !line.is_empty())
        .collect();
    let (requests, rest) = lines.as_chunks::<2>();
    assert!(rest.is_empty(), "{section}: each request prints one line");
    let requests = requests.iter();
    requests
        .map(|[command, printed]| Request::of(command, printed))
        .collect()
}

/// Returns the actions of a text's frames.
fn actions(text: &str) -> BTreeSet<&str> {
    let actions = text.split("\"action\":\"").skip(1);
    actions.filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn every_action_has_an_example() {
    assert_eq!(
        actions(PROTOCOL),
        actions(block("## Frames to the server", "json"))
    );
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

/// Returns the id of the conversation that a frame is about.
fn id_of(frame: &Value) -> String {
    let id = frame["conversation_id"].as_str();
    id.expect("a conversation").to_owned()
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
    let mut group = String::new();
    for frame in frames("## Frames to the server") {
        let text = frame.to_string().replace("group:…", &group);
        prof.send_text(text).await;
        // A mark or a change is about a message that is there.
        if frame.get("client_message_id").is_some() {
            let received = receive(&mut prof, &["ack"]).await;
            if frame["action"] == "createGroup" {
                group = id_of(&received["ack"]);
            }
            add(&mut own, received);
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
    let sent = frames("## Frames to the server");
    prof.send(&sent[0]).await;
    assert_eq!(prof.next().await["type"], "ack");
    let mut student = chat.connect_modern(STUDENT).await;
    // The list of the example has a second page.
    prof.send_message("tutor@example.com", "Are you free?")
        .await;
    let create = sent.iter().find(|frame| frame["action"] == "createGroup");
    prof.send(create.expect("an example")).await;
    let group = id_of(&prof.next().await);
    let [example] = &frames("## Groups")[..] else {
        panic!("one example");
    };
    assert_eq!(shape(&student.next().await), shape(example));
    let mut before = String::new();
    let mut count = 0;
    for section in [
        "## History",
        "## Conversations",
        "## Presence",
        "## Settings",
        "## Groups",
        "## Mute and block",
    ] {
        if section == "## Presence" {
            // Presence is told to those to whom the user has written.
            student.send_message(PROF, "Yes.").await;
        }
        for example in requests(section) {
            let path = example.path.replace("group:…", &group);
            let url = format!("{}{}", chat.http, path.replace("before=…", &before));
            let response = request(example.method, &url, example.body.into()).await;
            if let Some(link) = example.printed.strip_prefix("link: ") {
                let next = response.link("next").expect("a next page");
                before = next.rsplit('&').next().expect("a parameter").to_owned();
                assert_eq!(response.header("link"), link.replace("before=…", &before));
            } else {
                let printed = serde_json::from_str(example.printed).expect("JSON");
                let response = response.json();
                assert_eq!(
                    shape(&response),
                    shape(&printed),
                    "{}: {response}",
                    example.command
                );
            }
            count += 1;
        }
    }
    assert_eq!(count, 11);
    chat.stop().await;
}

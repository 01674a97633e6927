//! Telemetry of requests: JSON lines with ids, metrics for CloudWatch, and traces for the X-Ray
//! daemon.
//!
//! - `metrics`: metrics for CloudWatch
//! - `traces`: traces for the X-Ray daemon

mod metrics;
mod traces;

use std::collections::BTreeSet;

use chrono::{TimeDelta, Utc};
use hyper::StatusCode;
use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};
use tests::launch::Host;
use tests::{Chat, Client, TIMEOUT, get, until};

/// Text that no output may hold.
const TEXT: &str = "xyzzy-secret-text";

/// Starts a chat with the limits of the template.
async fn start(flags: &[&str]) -> Chat {
    let limits = ["MessageRate=5", "MessageBurst=20", "SocketsPerUser=10"];
    let settings = Chat::with().host(Host::Processes).parameters(&limits);
    settings.flags(flags).start().await
}

/// Inserts the row of a connection of `user_id` that nobody holds.
async fn leave_row(chat: &Chat, id: &str, user_id: &str, endpoint: &str) {
    let time = |time: chrono::DateTime<Utc>| DateTime::from_millis(time.timestamp_millis());
    let row = doc! {
        "_id": id,
        "user_id": user_id,
        "endpoint": endpoint,
        "connected_at": time(Utc::now() - TimeDelta::minutes(10)),
        "expires_at": time(Utc::now() + TimeDelta::minutes(60)),
    };
    let connections = chat.database.collection::<Document>("connections");
    connections.insert_one(row).await.expect("inserted");
}

/// Returns what the functions have printed so far, without time and name.
fn printed(chat: &Chat) -> Vec<String> {
    let log = chat.gateway.log();
    let lines = log.lines().filter_map(|line| line.split_once(" | "));
    lines.map(|(_, line)| line.to_owned()).collect()
}

/// Returns the JSON lines of the functions: those of metrics, or the others.
fn lines(chat: &Chat, metrics: bool) -> Vec<Value> {
    let lines = printed(chat);
    let lines = lines.iter().filter_map(|line| parse(line));
    lines
        .filter(|line| line.get("_aws").is_some() == metrics)
        .collect()
}

/// Waits for the one metrics document that has a metric above zero, and returns it.
async fn metrics_with(chat: &Chat, metric: &str) -> Value {
    let found = || {
        let mut documents = lines(chat, true).into_iter();
        documents.find(|document| document[metric].as_u64() > Some(0))
    };
    until(async || found().is_some()).await;
    found().expect("it was there")
}

/// Returns the sum of a metric over all documents.
fn sum(chat: &Chat, metric: &str) -> u64 {
    let documents = lines(chat, true);
    let counts = documents
        .iter()
        .filter_map(|document| document[metric].as_u64());
    counts.sum()
}

fn parse(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}

/// Returns how many values a metric of durations has; all must be plausible.
fn durations(document: &Value, metric: &str) -> usize {
    let values = document[metric].as_array().expect("an array");
    let most_ms = TIMEOUT.as_secs_f64() * 1_000.0;
    for value in values {
        let value = value.as_f64().expect("a number");
        assert!(value > 0.0 && value < most_ms, "{document}");
    }
    values.len()
}

fn sent(id: &str) -> Value {
    json!({
        "action": "sendMessage", "receiver_id": "b", "message": TEXT, "client_message_id": id,
    })
}

/// Sends three messages at once to a user whose one socket cannot be reached, and checks that each
/// request has its own ids in all it prints.
async fn lines_of_requests_have_their_ids(flags: &[&str], level: &str) {
    let flags = [&["--log-format", "json", "--log", level], flags].concat();
    let chat = start(&flags).await;
    let mut clients = [
        chat.connect("a1").await,
        chat.connect("a2").await,
        chat.connect("a3").await,
    ];
    // Port 9 (discard): nobody listens there.
    let dead = "http://127.0.0.1:9/prod";
    leave_row(&chat, "BBBBBBBBBBBBBBA=", "b", dead).await;
    for client in &mut clients {
        client.send(&sent("m-1")).await;
    }
    for client in &mut clients {
        assert_eq!(client.next().await["status"], "stored");
    }
    until(async || sum(&chat, "PushesFailed") == 3).await;

    let printed_lines = lines(&chat, false);
    let documents = lines(&chat, true);
    let sends = documents.iter().filter(|document| document["Sends"] == 1);
    let mut request_ids = BTreeSet::new();
    for document in sends {
        let request_id = document["requestId"].as_str().expect("a string");
        assert!(request_ids.insert(request_id), "each has its own");
        let lines = printed_lines.iter();
        let lines: Vec<_> = lines
            .filter(|line| line["requestId"] == request_id)
            .collect();
        assert_lines_of_a_request(&lines, document, level);
    }
    assert_eq!(request_ids.len(), 3);
    for line in printed(&chat) {
        assert!(
            !line.contains(TEXT) && !line.contains("mongodb://"),
            "{line}"
        );
        let line = parse(&line).expect("every line is JSON");
        let is_metrics = line.get("_aws").is_some();
        for name in ["timestamp", "level", "message"] {
            assert!(is_metrics || line[name].is_string(), "{line}");
        }
    }
    chat.stop().await;
}

/// Checks the lines of a send whose push failed, beside its metrics.
fn assert_lines_of_a_request(lines: &[&Value], document: &Value, level: &str) {
    let line = |message: &str| lines.iter().find(|line| line["message"] == message);
    let failed = line("push failed").expect("from a task of a task");
    assert_eq!(failed["level"], "WARN");
    assert_eq!(failed["connection_id"], "BBBBBBBBBBBBBBA=");
    assert_eq!(failed["conversation_id"], document["conversation_id"]);
    let stored = line("message stored");
    assert_eq!(stored.is_some(), level != "warn");
    if let Some(stored) = stored {
        assert_eq!(stored["connection_id"], document["connection_id"]);
        assert_eq!(stored["conversation_id"], document["conversation_id"]);
        assert_eq!(stored["PushesFailed"], 1);
    }
}

#[tokio::test]
async fn lines_of_a_request_have_its_ids() {
    lines_of_requests_have_their_ids(&[], "trace").await;
}

#[tokio::test]
async fn lines_of_requests_at_once_in_one_process_have_their_own_ids() {
    lines_of_requests_have_their_ids(&["--in-flight", "8"], "info").await;
}

#[tokio::test]
async fn at_a_higher_level_ids_and_metrics_are_still_there() {
    lines_of_requests_have_their_ids(&[], "warn").await;
}

#[tokio::test]
async fn lines_of_text_have_no_metrics_among_them() {
    let chat = start(&[]).await;
    assert_eq!(
        chat.connect("a").await.send_message("b", TEXT).await["seq"],
        1
    );
    let stored = || {
        let mut lines = printed(&chat).into_iter();
        lines.find(|line| line.contains("message stored"))
    };
    until(async || stored().is_some()).await;
    let stored = stored().expect("it was there");
    assert!(stored.starts_with(" INFO message stored "), "{stored}");
    assert!(stored.contains(" Sends=1"), "{stored}");
    // The next event of the process comes after all lines about the one before.
    chat.connect("a").await.expect_nothing().await;
    assert!(!chat.gateway.log().contains("_aws"));
    chat.stop().await;
}

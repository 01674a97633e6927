//! Clients use the deployed chat.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{TimeDelta, Utc};
use hyper::StatusCode;
use mongodb::Database;
use mongodb::bson::DateTime;
use serde_json::{Value, json};
use tests::{Client, TIMEOUT, process, programs, until};
use tokio::process::Command;
use tokio::time::timeout;

use super::database::{connections, connections_of};
use super::{PROFESSOR, STUDENT};
use crate::chat::Chat;
use crate::tokens;

/// The number of messages that two runs of `smoke` send.
pub const SMOKE_MESSAGES: usize = 4;

/// Uses every function of the chat. Returns the numbers and texts of the new messages.
pub async fn use_chat(chat: &Chat, database: &Database) -> Vec<(i64, String)> {
    eprintln!("Using the chat.");
    let mut professor = chat.connect(PROFESSOR).await;
    let mut student = chat.connect(STUDENT).await;

    let ack = professor.send_message(STUDENT, "At 3PM?").await;
    let expected = json!(["ack", 1, "delivered", false]);
    assert_eq!(
        parts(&ack, ["type", "seq", "status", "duplicate"]),
        expected
    );
    let push = student.next().await;
    let expected = json!(["message", 1, PROFESSOR, "At 3PM?"]);
    assert_eq!(
        parts(&push, ["type", "seq", "sender_id", "message"]),
        expected
    );

    student
        .send(&json!({"sender_id": STUDENT, "receiver_id": PROFESSOR, "message": "Yes."}))
        .await;
    let push = professor.next().await;
    assert_eq!(parts(&push, ["seq", "message"]), json!([2, "Yes."]));
    student.expect_nothing().await;

    send_twice(&mut professor, &mut student).await;
    send_invalid_input(&mut student, chat).await;
    disconnect_without_close(student, &mut professor, database).await;
    professor.close().await;
    until(async || connections_of(database, PROFESSOR).await.is_empty()).await;
    let texts = [
        (1, "At 3PM?"),
        (2, "Yes."),
        (3, "Room 7."),
        (4, "Are you there?"),
    ];
    texts.map(|(seq, text)| (seq, text.to_owned())).to_vec()
}

/// Returns some fields of a frame.
fn parts<const N: usize>(frame: &Value, names: [&str; N]) -> Value {
    json!(names.map(|name| frame[name].clone()).to_vec())
}

/// A message that is sent twice is stored once.
async fn send_twice(sender: &mut Client, receiver: &mut Client) {
    let frame = json!({
        "action": "sendMessage",
        "receiver_id": STUDENT,
        "message": "Room 7.",
        "client_message_id": "m-3",
    });
    for duplicate in [false, true] {
        sender.send(&frame).await;
        let ack = sender.next().await;
        let expected = json!(["m-3", 3, duplicate]);
        assert_eq!(
            parts(&ack, ["client_message_id", "seq", "duplicate"]),
            expected
        );
        assert_eq!(receiver.next().await["seq"], 3);
    }
}

/// Invalid input gets an error on both kinds of route, and over HTTP.
async fn send_invalid_input(client: &mut Client, chat: &Chat) {
    for frame in [json!({"message": 7}), json!({"action": "sendMessage"})] {
        client.send(&frame).await;
        let error = client.next().await;
        assert_eq!(
            parts(&error, ["type", "code"]),
            json!(["error", "invalid_frame"])
        );
    }
    let response = chat.history(PROFESSOR, "", "").await;
    assert_eq!(response.status, StatusCode::BAD_REQUEST);
    assert_eq!(response.header("content-type"), "application/problem+json");
}

/// The row of a connection is deleted when the connection breaks. If no event says so, it is
/// deleted by the next push.
async fn disconnect_without_close(client: Client, other: &mut Client, database: &Database) {
    let rows = connections_of(database, STUDENT).await;
    drop(client);
    until(async || connections_of(database, STUDENT).await.is_empty()).await;

    let mut row = rows.into_iter().next().expect("the connection has a row");
    row.insert("_id", "AAAAAAAAAAAAAAA=");
    // A push does not delete a new row, because its connection may not be open yet.
    let connected_at = Utc::now() - TimeDelta::minutes(10);
    let connected_at = DateTime::from_millis(connected_at.timestamp_millis());
    row.insert("connected_at", connected_at);
    let inserted = connections(database).insert_one(row).await;
    inserted.expect("inserted");
    let ack = other.send_message(STUDENT, "Are you there?").await;
    assert_eq!(ack["status"], "stored");
    assert!(connections_of(database, STUDENT).await.is_empty());
}

/// The program `smoke` succeeds on the deployed chat, also if its users have sent messages before.
pub async fn smoke(chat: &Chat) {
    let users = ["try@example.com", "retry@example.com"];
    let tokens = users.map(|user_id| chat.issuer.token(user_id)).join(",");
    for _ in 0..SMOKE_MESSAGES / 2 {
        run_smoke(chat, users, &tokens).await;
    }
}

async fn run_smoke(chat: &Chat, [prof, student]: [&str; 2], tokens: &str) {
    let mut command = Command::new(programs::folder().join("smoke"));
    command
        .args([&chat.websocket_url, &chat.history_url])
        .args(["--users", prof, student])
        // The emulator does not return the subprotocol.
        .arg("--without-browser")
        .env("SMOKE_TOKENS", tokens);
    let output = process::output(&mut command, TIMEOUT * 6).await;
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
}

/// Sends messages, one after another, until `done` is true. Returns their numbers and texts.
pub async fn send_until(client: &mut Client, done: &AtomicBool) -> Vec<(i64, String)> {
    let mut sent = Vec::new();
    while !done.load(Ordering::Relaxed) {
        sent.push(send(client, &format!("during {}", sent.len())).await);
    }
    eprintln!("{} messages were sent during the upgrade.", sent.len());
    sent
}

/// Sends a message until it is acknowledged, as clients do. It may exceed the rate limit, and the
/// emulator kills the processes of a function that it updates, while AWS lets them finish. Returns
/// its number and its text.
pub async fn send(client: &mut Client, text: &str) -> (i64, String) {
    let frame = json!({
        "action": "sendMessage",
        "receiver_id": STUDENT,
        "message": text,
        "client_message_id": text,
    });
    let acknowledged = async {
        loop {
            client.send(&frame).await;
            let response = client.next().await;
            if response["type"] == "ack" {
                break response;
            }
            if response["code"] == "rate_limited" {
                tokens::wait_for_retry(&response).await;
            } else {
                assert!(response["errorType"].is_string(), "{response}");
            }
        }
    };
    let ack = timeout(TIMEOUT * 3, acknowledged).await;
    let ack = ack.expect("a message is acknowledged in time");
    assert_eq!(ack["status"], "delivered", "{ack}");
    (ack["seq"].as_i64().expect("a number"), text.to_owned())
}

/// Checks that messages are pushed in their order. A message that was sent again may be pushed
/// again.
pub async fn expect_pushes(client: &mut Client, sent: &[(i64, String)]) {
    let mut received = Vec::new();
    while received.len() < sent.len() {
        let push = client.next().await;
        let text = push["message"].as_str().expect("a message").to_owned();
        let entry = (push["seq"].as_i64().expect("a number"), text);
        if !received.contains(&entry) {
            received.push(entry);
        }
    }
    assert_eq!(received, sent);
}

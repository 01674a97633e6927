//! Pushes that are lost, refused or doubled.

use hyper::{Method, StatusCode};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::Chat;
use tests::client::request;

async fn start(faults: &Value) -> Chat {
    Chat::with()
        .flags(&["--fault", &faults.to_string()])
        .start()
        .await
}

/// Replaces all faults.
async fn set(chat: &Chat, faults: &Value) {
    let base = chat.ws.replace("ws:", "http:");
    let url = format!("{base}/_local/faults");
    let response = request(Method::PUT, &url, faults.to_string().into_bytes()).await;
    assert_eq!(response.status, StatusCode::OK, "{response:?}");
}

async fn texts(chat: &Chat) -> Vec<Value> {
    let messages = chat.history("a", "b", "").await.messages();
    let texts = messages.iter().map(|message| message["message"].clone());
    texts.collect()
}

#[tokio::test]
async fn a_message_whose_push_is_lost_is_in_the_history() {
    let chat = start(&json!({"pushes": {"drop": 1}})).await;
    let (mut a, mut b) = (chat.connect("a").await, chat.connect("b").await);
    let ack = a.send_message("b", "lost").await;
    assert_eq!((&ack["type"], &ack["seq"]), (&json!("ack"), &json!(1)));
    assert_eq!(texts(&chat).await, ["lost"]);

    set(&chat, &json!({})).await;
    assert_eq!(a.send_message("b", "found").await["status"], "delivered");
    assert_eq!(b.next().await["message"], "found", "the first one it gets");
    assert_eq!(texts(&chat).await, ["lost", "found"]);
    chat.stop().await;
}

#[tokio::test]
async fn a_410_costs_a_young_socket_a_push_and_not_its_row() {
    let chat = start(&json!({"posts": {"410": 1}})).await;
    let mut a = chat.connect("a").await;
    let mut b = chat.connect("b").await;
    let ack = a.send_message("b", "refused").await;
    assert_eq!(
        (&ack["type"], &ack["status"]),
        (&json!("ack"), &json!("stored"))
    );
    let connections = chat.database.collection::<Document>("connections");
    let rows = connections.count_documents(doc! {"user_id": "b"}).await;
    assert_eq!(rows.expect("counted"), 1);

    set(&chat, &json!({})).await;
    assert_eq!(a.send_message("b", "again").await["status"], "delivered");
    assert_eq!(b.next().await["message"], "again");
    assert_eq!(texts(&chat).await, ["refused", "again"]);
    chat.stop().await;
}

#[tokio::test]
async fn a_duplicated_push_is_one_message() {
    let chat = start(&json!({"pushes": {"duplicate": 1}})).await;
    let (mut a, mut b) = (chat.connect("a").await, chat.connect("b").await);
    assert_eq!(a.send_message("b", "twice").await["status"], "delivered");
    let first = b.next().await;
    assert_eq!(b.next().await, first, "with the same message_id");
    assert_eq!(texts(&chat).await, ["twice"]);
    chat.stop().await;
}

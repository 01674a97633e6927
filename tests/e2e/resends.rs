//! Resends: a `client_message_id` belongs to the text that was first stored under it.

use std::collections::HashMap;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::{Chat, Client};

use crate::groups::{acked, created, entry, frame, message};

/// Sends a text under an id and returns the ack or error.
async fn send(client: &mut Client, id: &str, text: &str) -> Value {
    client
        .send(&json!({
            "action": "sendMessage", "receiver_id": "b", "message": text, "client_message_id": id,
        }))
        .await;
    loop {
        let frame = client.next().await;
        if frame["client_message_id"] == id && frame["type"] != "message" {
            return frame;
        }
    }
}

fn is_conflict(response: &Value) -> bool {
    response["code"] == "id_conflict" && response["retryable"] == false
}

/// Returns the stored texts by their ids.
async fn stored(chat: &Chat) -> HashMap<String, String> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let messages = chat.history("a", "b", "").await.messages();
    let count = messages.len();
    let by_id = messages.iter().map(|message| {
        let id = text(&message["client_message_id"]);
        (id, text(&message["message"]))
    });
    let by_id: HashMap<_, _> = by_id.collect();
    assert_eq!(by_id.len(), count, "no id is stored twice");
    by_id
}

#[tokio::test]
async fn any_send_is_stored_or_a_duplicate_or_a_conflict_by_the_first_text_of_its_id() {
    let chat = Chat::start().await;
    let mut clients = [chat.connect("a").await, chat.connect("a").await];
    let mut first: HashMap<String, (String, Value)> = HashMap::new();
    for _ in 0..80 {
        let client = &mut clients[fastrand::usize(..2)];
        let id = format!("m-{}", fastrand::u8(..8));
        let text = ["At 3PM?", "at 3PM?", "At 3PM? "][fastrand::usize(..3)].to_owned();
        let response = send(client, &id, &text).await;
        match first.get(&id) {
            None => {
                assert_eq!(response["duplicate"], false, "{response}");
                first.insert(id, (text, response["seq"].clone()));
            }
            Some((stored, seq)) if *stored == text => {
                assert_eq!(
                    (&response["duplicate"], &response["seq"]),
                    (&json!(true), seq)
                );
            }
            Some(_) => assert!(is_conflict(&response), "{response}"),
        }
    }
    let texts = first.into_iter().map(|(id, (text, _))| (id, text));
    assert_eq!(stored(&chat).await, texts.collect());
    chat.stop().await;
}

#[tokio::test]
async fn of_several_texts_at_once_under_one_id_one_is_stored_and_pushed_and_the_others_conflict() {
    const CONNECTIONS: usize = 6;
    let chat = Chat::start().await;
    let mut receiver = chat.connect("b").await;
    let mut clients = join_all((0..CONNECTIONS).map(|_| chat.connect("a"))).await;
    for round in 0..10 {
        let id = format!("m-{round}");
        let sends = clients.iter_mut().enumerate().map(|(index, client)| {
            let id = id.clone();
            async move { send(client, &id, &format!("text {index}")).await }
        });
        let responses = join_all(sends).await;
        let winner = stored(&chat).await.remove(&id).expect("one is stored");
        for (index, response) in responses.iter().enumerate() {
            if winner == format!("text {index}") {
                assert_eq!(response["duplicate"], false, "{response}");
            } else {
                assert!(is_conflict(response), "{response}");
            }
        }
        assert_eq!(receiver.next().await["message"], winner.as_str());
    }
    receiver.expect_nothing().await;
    chat.stop().await;
}

#[tokio::test]
async fn a_resend_goes_to_nobody_who_has_joined_since() {
    let chat = Chat::start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    let mut late = chat.connect_modern("late").await;
    let group = created(&mut a, &["b"]).await;
    let mut secret = message(&group, "before");
    secret["client_message_id"] = json!("m-1");
    acked(&mut a, &secret).await;
    acked(&mut a, &frame("invite", &group, json!({"users": ["late"]}))).await;
    assert_eq!(acked(&mut a, &secret).await["duplicate"], true);
    for kind in ["create", "text", "join", "text"] {
        entry(&mut b, kind).await;
    }
    entry(&mut late, "join").await;
    late.expect_nothing().await;
    chat.stop().await;
}

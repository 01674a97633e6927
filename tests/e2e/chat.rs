//! Messages arrive on every device, from old clients and new ones.

use hyper::Method;
use mongodb::bson::{Document, doc};
use serde_json::json;
use tests::client::request;
use tests::{Chat, Client, until};

use crate::marks::{mark, send, start};

#[tokio::test]
async fn two_clients_chat() {
    let chat = Chat::start().await;
    let mut prof = chat.connect("prof@example.com").await;
    let mut student = chat.connect("student@example.com").await;

    prof.send(&json!({
        "action": "sendMessage",
        "sender_id": "prof@example.com",
        "receiver_id": "student@example.com",
        "message": "Let's meet at 3PM.",
        "client_message_id": "m-1",
    }))
    .await;

    let ack = prof.next().await;
    assert_eq!(ack["type"], "ack");
    assert_eq!(ack["client_message_id"], "m-1");
    assert_eq!(
        (&ack["seq"], &ack["status"]),
        (&json!(1), &json!("delivered"))
    );
    assert_eq!(ack["duplicate"], false);

    let pushed = student.next().await;
    assert_eq!(pushed["type"], "message");
    assert_eq!(pushed["sender_id"], "prof@example.com");
    assert_eq!(pushed["receiver_id"], "student@example.com");
    assert_eq!(pushed["message"], "Let's meet at 3PM.");
    assert_eq!(pushed["client_message_id"], "m-1");
    for shared in ["message_id", "conversation_id", "seq", "timestamp"] {
        assert_eq!(pushed[shared], ack[shared], "{shared}");
    }
    let timestamp = pushed["timestamp"].as_str().expect("a string");
    assert_eq!(timestamp.len(), "2026-11-22T11:15:03.123Z".len());
    assert!(timestamp.ends_with('Z'));

    let reply = student.send_message("prof@example.com", "Fine.").await;
    assert_eq!(reply["seq"], 2);
    assert_eq!(prof.next().await["message"], "Fine.");

    let history = chat
        .history("prof@example.com", "student@example.com", "")
        .await;
    let messages = history.messages();
    assert_eq!(
        messages[0],
        json!({
            "sender_id": "prof@example.com",
            "receiver_id": "student@example.com",
            "message": "Let's meet at 3PM.",
            "timestamp": timestamp,
            "message_id": ack["message_id"],
            "seq": 1,
            "client_message_id": "m-1",
        })
    );
    assert_eq!(messages[1]["message"], "Fine.");
    chat.stop().await;
}

#[tokio::test]
async fn every_connection_of_the_receiver_and_the_senders_other_one_get_the_frame() {
    let chat = Chat::start().await;
    let mut sender = chat.connect("a").await;
    let mut others = [
        chat.connect("a").await,
        chat.connect("b").await,
        chat.connect("b").await,
        chat.connect("b").await,
    ];
    let mut stranger = chat.connect("c").await;

    let ack = sender.send_message("b", "to all of you").await;
    assert_eq!(ack["status"], "delivered");
    for socket in &mut others {
        let frame = socket.next().await;
        assert_eq!(
            (&frame["message"], &frame["seq"]),
            (&json!("to all of you"), &json!(1))
        );
    }
    sender.expect_nothing().await;
    stranger.expect_nothing().await;
    chat.stop().await;
}

#[tokio::test]
async fn an_old_client_works_unchanged() {
    let chat = Chat::start().await;
    let old = |user: &str| format!("{}/ws/chat/{user}", chat.ws);
    let mut sender = Client::connect(&old("sender")).await.expect("connected");
    let mut receiver = Client::connect(&old("receiver")).await.expect("connected");

    let frame = json!({"sender_id": "sender", "receiver_id": "receiver", "message": "hi"});
    sender.send(&frame).await;

    let pushed = receiver.next().await;
    for field in ["sender_id", "receiver_id", "message"] {
        assert_eq!(pushed[field], frame[field]);
    }
    assert!(pushed["timestamp"].is_string());
    sender.expect_nothing().await;

    let messages = chat.history("receiver", "sender", "").await.messages();
    assert_eq!(messages.len(), 1);
    for field in ["sender_id", "receiver_id", "message", "timestamp"] {
        assert_eq!(messages[0][field], pushed[field]);
    }
    chat.stop().await;
}

#[tokio::test]
async fn old_clients_get_messages_and_nothing_of_what_modern_ones_do_around_them() {
    let chat = start().await;
    let seed = format!("{}/ws/chat/a", chat.ws);
    let mut olds = [
        chat.connect("a").await,
        Client::connect(&seed).await.expect("connected"),
    ];
    let mut a = chat.connect_modern("a").await;
    let settings = format!("{}/chat/settings?user=a", chat.http);
    // With a peer each, since a repetition of `typing` in a conversation is dropped.
    for (round, peer) in ["b", "c", "d"].into_iter().enumerate() {
        let mut b = chat.connect_modern(peer).await;
        olds.rotate_left(1);
        let [sender, other] = &mut olds;
        let text = json!({"sender_id": "a", "receiver_id": peer, "message": "old"});
        send(sender, &text).await;
        for client in [other, &mut a, &mut b] {
            assert_eq!(client.next().await["message"], "old");
        }
        send(&mut b, &json!({"action": "typing", "receiver_id": "a"})).await;
        let typing = a.next().await;
        assert_eq!(
            (&typing["type"], &typing["user_id"]),
            (&json!("typing"), &json!(peer))
        );
        b.send_message("a", "new").await;
        assert_eq!(a.next().await["message"], "new");
        send(&mut a, &mark(peer, 2)).await;
        let receipt = b.next().await;
        assert_eq!(
            (&receipt["type"], &receipt["read"]),
            (&json!("receipt"), &json!(2))
        );
        let body = json!({"presence": round % 2 == 0}).to_string();
        let changed = request(Method::PUT, &settings, body.into()).await;
        assert_eq!(changed.status, 200);
        assert_eq!(a.next().await["type"], "settings");
        for old in &mut olds {
            let message = old.next().await;
            assert_eq!(
                (&message["message"], &message["seq"]),
                (&json!("new"), &json!(2))
            );
            old.expect_nothing().await;
        }
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_message_to_someone_offline_waits_in_the_history() {
    let chat = Chat::start().await;
    let mut sender = chat.connect("a").await;
    let receiver = chat.connect("b").await;
    receiver.close().await;
    // $disconnect runs after the close.
    let connections = chat.database.collection::<Document>("connections");
    until(async || {
        let rows = connections.count_documents(doc! {"user_id": "b"}).await;
        rows.expect("a count") == 0
    })
    .await;
    let ack = sender.send_message("b", "for later").await;
    assert_eq!(
        (&ack["type"], &ack["status"]),
        (&json!("ack"), &json!("stored"))
    );
    assert_eq!(
        chat.history("a", "b", "").await.messages()[0]["message"],
        "for later"
    );
    chat.stop().await;
}

#[tokio::test]
async fn a_note_to_oneself_arrives_on_all_own_connections() {
    let chat = Chat::start().await;
    let mut phone = chat.connect("me").await;
    let mut laptop = chat.connect("me").await;
    phone
        .send(&json!({"action": "sendMessage", "receiver_id": "me", "message": "milk"}))
        .await;
    let mut kinds = [phone.next().await, phone.next().await].map(|frame| frame["type"].clone());
    kinds.sort_by_key(ToString::to_string);
    assert_eq!(kinds, [json!("ack"), json!("message")]);
    assert_eq!(laptop.next().await["message"], "milk");
    chat.stop().await;
}

#[tokio::test]
async fn a_ping_is_answered_with_the_time() {
    let chat = Chat::start().await;
    let mut client = chat.connect("a").await;
    client.send(&json!({"action": "ping"})).await;
    let pong = client.next().await;
    assert_eq!(pong["type"], "pong");
    let time = pong["timestamp"].as_str().expect("a string");
    chrono::DateTime::parse_from_rfc3339(time).expect("a time");
    chat.stop().await;
}

//! Every error code, on both routes and at the handshake.

use chat::{Text, UserId};
use hyper::StatusCode;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::launch::Host;
use tests::{Chat, Client};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Refused frames of a connection in ten seconds after which it is closed.
const MAX_REFUSALS: usize = 100;

/// Returns invalid frames of `a`, by the code that they get.
fn invalid_frames() -> Vec<(&'static str, Vec<Value>)> {
    let long_id = "x".repeat(UserId::MAX_BYTES + 1);
    let long_text = "é".repeat(Text::MAX_BYTES / 2) + "x";
    let emoji_text = "😀".repeat(Text::MAX_BYTES / 4) + "x";
    let to = |receiver_id: Value| json!({"receiver_id": receiver_id, "message": "m"});
    let text = |message: Value| json!({"receiver_id": "b", "message": message});
    let from = |id: Value| json!({"sender_id": id, "receiver_id": "b", "message": "m"});
    let id = |id: Value| json!({"receiver_id": "b", "message": "m", "client_message_id": id});
    vec![
        (
            "invalid_frame",
            vec![
                json!({}),
                json!({"receiver_id": "b"}),
                json!({"message": "m"}),
                text(json!(7)),
                text(json!(null)),
                text(json!(["m"])),
                text(json!({"$ne": 1})),
                to(json!(["b"])),
                to(json!({"$gt": ""})),
                from(json!({"$gt": ""})),
                id(json!(1)),
                id(json!("")),
                id(json!("x".repeat(129))),
            ],
        ),
        (
            "invalid_user_id",
            vec![
                to(json!("")),
                to(json!("a\u{0}b")),
                to(json!("a\nb")),
                to(json!(long_id)),
                from(json!("")),
            ],
        ),
        ("message_empty", vec![text(json!(""))]),
        (
            "message_too_long",
            vec![text(json!(long_text)), text(json!(emoji_text))],
        ),
        (
            "sender_mismatch",
            vec![from(json!("someone else")), from(json!("A"))],
        ),
    ]
}

async fn expect_error(client: &mut Client, code: &str) -> Value {
    let error = client.next().await;
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("error"), &json!(code)),
        "{error}"
    );
    assert_eq!(error["retryable"], code == "unavailable");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.ends_with('.')),
        "{error}"
    );
    error
}

#[tokio::test]
async fn a_bad_frame_gets_its_code_on_both_routes_and_stores_nothing() {
    let chat = Chat::start().await;
    let mut client = chat.connect("a").await;
    for (code, frames) in invalid_frames() {
        for mut frame in frames {
            client.send(&frame).await;
            expect_error(&mut client, code).await;
            frame["action"] = json!("sendMessage");
            client.send(&frame).await;
            expect_error(&mut client, code).await;
        }
    }
    for text in [
        "",
        "hello",
        "{",
        "[]",
        "7",
        "null",
        "\"x\"",
        "{\"action\":\"dance\"}",
        "{\"action\":7}",
    ] {
        client.send_text(text).await;
        expect_error(&mut client, "invalid_frame").await;
    }
    let messages = chat.database.collection::<Document>("chat_messages");
    assert_eq!(messages.count_documents(doc! {}).await.expect("a count"), 0);
    chat.stop().await;
}

#[tokio::test]
async fn an_error_carries_the_client_message_id_of_its_frame() {
    let chat = Chat::start().await;
    let mut client = chat.connect("a").await;
    let frame = json!({"receiver_id": "b", "message": "", "client_message_id": "mine"});
    client.send(&frame).await;
    let error = expect_error(&mut client, "message_empty").await;
    assert_eq!(error["client_message_id"], "mine");
    // A browser has cut these texts inside an emoji.
    for text in [r"see you \ud83d", r"\ude80 see you", r"a\ud83d b"] {
        for action in ["", r#""action":"sendMessage","#] {
            let fields =
                format!(r#""receiver_id":"b","message":"{text}","client_message_id":"cut""#);
            client.send_text(format!("{{{action}{fields}}}")).await;
            let error = expect_error(&mut client, "invalid_frame").await;
            assert_eq!(error["client_message_id"], "cut");
        }
    }
    chat.stop().await;
}

#[tokio::test]
async fn null_in_an_optional_field_counts_as_absent() {
    let chat = Chat::start().await;
    let mut sender = chat.connect("a").await;
    let mut receiver = chat.connect("b").await;
    for field in ["sender_id", "client_message_id"] {
        let mut frame = json!({"action": "sendMessage", "receiver_id": "b", "message": "m"});
        frame[field] = Value::Null;
        sender.send(&frame).await;
        let ack = sender.next().await;
        assert_eq!(ack["type"], "ack", "{ack}");
        assert_eq!(ack.get("client_message_id"), None);
        assert_eq!(receiver.next().await["message"], "m");
    }
    let old = json!({"action": null, "sender_id": "a", "receiver_id": "b", "message": "old"});
    sender.send(&old).await;
    assert_eq!(receiver.next().await["message"], "old");
    chat.stop().await;
}

#[tokio::test]
async fn the_longest_message_of_any_script_is_accepted() {
    let chat = Chat::start().await;
    let mut sender = chat.connect("a").await;
    let mut receiver = chat.connect("b").await;
    for text in [
        "x".repeat(Text::MAX_BYTES),
        "é".repeat(Text::MAX_BYTES / 2),
        "😀".repeat(Text::MAX_BYTES / 4),
        "\"\\".repeat(Text::MAX_BYTES / 2 - 200),
    ] {
        let ack = sender.send_message("b", &text).await;
        assert_eq!(ack["status"], "delivered", "{ack}");
        assert_eq!(receiver.next().await["message"], text.as_str());
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_handshake_without_one_valid_user_id_is_refused() {
    let chat = Chat::start().await;
    let too_long = format!("/?user_id={}", "x".repeat(UserId::MAX_BYTES + 1));
    for path in [
        "/",
        "/?user=a",
        "/?user_id=",
        "/?user_id=a%00",
        "/?user_id=a&user_id=b",
        "/?user_id[$gt]=",
        "/?user_id=a%FF",
        "/?user_id=%ED%A0%80",
        "/?user_id=%C0%AF",
        "/?user_id=a%EF%BF%BD",
        "/ws/chat/",
        "/ws/chat/a%0Ab",
        "/ws/chat/a%FF",
        "/ws/chat/a/b",
        &too_long,
    ] {
        let refused = Client::connect(&format!("{}{path}", chat.ws)).await.err();
        assert_eq!(refused, Some(StatusCode::BAD_REQUEST), "{path}");
    }
    let longest = format!("/?user_id={}", "x".repeat(UserId::MAX_BYTES));
    let _accepted = Client::connect(&format!("{}{longest}", chat.ws))
        .await
        .expect("accepted");
    let refused = Client::connect(&format!("{}/elsewhere?user_id=a", chat.ws))
        .await
        .err();
    assert_eq!(refused, Some(StatusCode::FORBIDDEN));
    let connections = chat.database.collection::<Document>("connections");
    assert_eq!(
        connections.count_documents(doc! {}).await.expect("a count"),
        1
    );
    chat.stop().await;
}

#[tokio::test]
async fn a_connection_that_sends_only_bad_frames_is_closed_and_others_are_not() {
    let chat = Chat::with()
        .host(Host::Processes)
        .flags(&["--concurrency", "1"])
        .start()
        .await;
    let mut other = chat.connect("b").await;
    for bad in [json!({"action": "sendMessage"}), json!({"sender_id": "a"})] {
        let mut client = chat.connect("a").await;
        for _ in 0..MAX_REFUSALS {
            client.send(&bad).await;
            expect_error(&mut client, "invalid_frame").await;
        }
        // It is not closed yet.
        assert_eq!(client.send_message("b", "good").await["type"], "ack");
        assert_eq!(other.next().await["message"], "good");

        client.send(&bad).await;
        expect_error(&mut client, "invalid_frame").await;
        assert_eq!(client.closed().await.code, CloseCode::Normal);
    }
    assert_eq!(other.send_message("c", "still here").await["type"], "ack");
    chat.stop().await;
}

//! Every error code, on both routes and at the handshake.

use chat::{Draft, UserId};
use hyper::StatusCode;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::{Chat, Client};

/// Fields of a frame and the code that they get.
fn bad_fields() -> Vec<(Value, &'static str)> {
    let long_id = "x".repeat(UserId::MAX_BYTES + 1);
    let long_text = "é".repeat(Draft::MAX_MESSAGE_BYTES / 2) + "x";
    let emoji_text = "😀".repeat(Draft::MAX_MESSAGE_BYTES / 4) + "x";
    vec![
        (json!({}), "invalid_frame"),
        (json!({"receiver_id": "b"}), "invalid_frame"),
        (json!({"message": "m"}), "invalid_frame"),
        (json!({"receiver_id": "b", "message": 7}), "invalid_frame"),
        (
            json!({"receiver_id": "b", "message": null}),
            "invalid_frame",
        ),
        (
            json!({"receiver_id": "b", "message": ["m"]}),
            "invalid_frame",
        ),
        (
            json!({"receiver_id": ["b"], "message": "m"}),
            "invalid_frame",
        ),
        (
            json!({"receiver_id": {"$gt": ""}, "message": "m"}),
            "invalid_frame",
        ),
        (
            json!({"receiver_id": "b", "message": {"$ne": 1}}),
            "invalid_frame",
        ),
        (
            json!({"sender_id": {"$gt": ""}, "receiver_id": "b", "message": "m"}),
            "invalid_frame",
        ),
        (
            json!({"receiver_id": "b", "message": "m", "client_message_id": 1}),
            "invalid_frame",
        ),
        (
            json!({"receiver_id": "b", "message": "m", "client_message_id": ""}),
            "invalid_frame",
        ),
        (
            json!({"receiver_id": "b", "message": "m", "client_message_id": "x".repeat(129)}),
            "invalid_frame",
        ),
        (
            json!({"receiver_id": "", "message": "m"}),
            "invalid_user_id",
        ),
        (
            json!({"receiver_id": "a\u{0}b", "message": "m"}),
            "invalid_user_id",
        ),
        (
            json!({"receiver_id": "a\nb", "message": "m"}),
            "invalid_user_id",
        ),
        (
            json!({"receiver_id": long_id, "message": "m"}),
            "invalid_user_id",
        ),
        (
            json!({"sender_id": "", "receiver_id": "b", "message": "m"}),
            "invalid_user_id",
        ),
        (json!({"receiver_id": "b", "message": ""}), "message_empty"),
        (
            json!({"receiver_id": "b", "message": long_text}),
            "message_too_long",
        ),
        (
            json!({"receiver_id": "b", "message": emoji_text}),
            "message_too_long",
        ),
        (
            json!({"sender_id": "someone else", "receiver_id": "b", "message": "m"}),
            "sender_mismatch",
        ),
        (
            json!({"sender_id": "A", "receiver_id": "b", "message": "m"}),
            "sender_mismatch",
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
    let stack = Chat::start().await;
    let mut client = stack.connect("a").await;
    for (fields, code) in bad_fields() {
        client.send(&fields).await;
        expect_error(&mut client, code).await;
        let mut fields = fields;
        fields["action"] = json!("sendMessage");
        client.send(&fields).await;
        expect_error(&mut client, code).await;
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
    let messages = stack.database.collection::<Document>("chat_messages");
    assert_eq!(messages.count_documents(doc! {}).await.expect("a count"), 0);
    stack.stop().await;
}

#[tokio::test]
async fn an_error_carries_the_client_message_id_of_its_frame() {
    let stack = Chat::start().await;
    let mut client = stack.connect("a").await;
    let frame = json!({"receiver_id": "b", "message": "", "client_message_id": "mine"});
    client.send(&frame).await;
    let error = expect_error(&mut client, "message_empty").await;
    assert_eq!(error["client_message_id"], "mine");
    stack.stop().await;
}

#[tokio::test]
async fn the_longest_message_of_any_script_is_taken() {
    let stack = Chat::start().await;
    let mut sender = stack.connect("a").await;
    let mut receiver = stack.connect("b").await;
    for text in [
        "x".repeat(Draft::MAX_MESSAGE_BYTES),
        "é".repeat(Draft::MAX_MESSAGE_BYTES / 2),
        "😀".repeat(Draft::MAX_MESSAGE_BYTES / 4),
        "\"\\".repeat(Draft::MAX_MESSAGE_BYTES / 2 - 200),
    ] {
        let ack = sender.say("b", &text).await;
        assert_eq!(ack["status"], "delivered", "{ack}");
        assert_eq!(receiver.next().await["message"], text.as_str());
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_handshake_without_one_valid_user_id_is_refused() {
    let stack = Chat::start().await;
    let too_long = format!("/?user_id={}", "x".repeat(UserId::MAX_BYTES + 1));
    for path in [
        "/",
        "/?user=a",
        "/?user_id=",
        "/?user_id=a%00",
        "/?user_id=a&user_id=b",
        "/?user_id[$gt]=",
        "/ws/chat/",
        "/ws/chat/a%0Ab",
        "/ws/chat/a%FF",
        "/ws/chat/a/b",
        &too_long,
    ] {
        let refused = Client::connect(&format!("{}{path}", stack.ws)).await.err();
        assert_eq!(refused, Some(StatusCode::BAD_REQUEST), "{path}");
    }
    let longest = format!("/?user_id={}", "x".repeat(UserId::MAX_BYTES));
    let _accepted = Client::connect(&format!("{}{longest}", stack.ws))
        .await
        .expect("accepted");
    let refused = Client::connect(&format!("{}/elsewhere?user_id=a", stack.ws))
        .await
        .err();
    assert_eq!(refused, Some(StatusCode::FORBIDDEN));
    let connections = stack.database.collection::<Document>("connections");
    assert_eq!(
        connections.count_documents(doc! {}).await.expect("a count"),
        1
    );
    stack.stop().await;
}

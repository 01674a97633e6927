//! The sender of a frame is the user of the handshake.

use super::*;

#[tokio::test]
async fn a_sender_cannot_be_forged() {
    let (chat, issuer) = guarded().await;
    let mut third = open(&chat, "/", &issuer.token(THIRD)).await.expect("in");
    for forged in [PROF, STUDENT, "third@example.com ", "THIRD@example.com"] {
        let mut frame = json!({"sender_id": forged, "receiver_id": STUDENT, "message": "m"});
        third.send(&frame).await;
        assert_eq!(third.next().await["code"], "sender_mismatch", "{forged}");
        frame["action"] = json!("sendMessage");
        third.send(&frame).await;
        assert_eq!(third.next().await["code"], "sender_mismatch", "{forged}");
    }
    let messages = chat.database.collection::<Document>("chat_messages");
    assert_eq!(messages.count_documents(doc! {}).await.expect("counted"), 0);
    chat.stop().await;
}

/// The sender of a frame is known from the handshake, so no change in the database can change it.
#[tokio::test]
async fn the_sender_is_not_looked_up() {
    let chat = Chat::start().await;
    let mut client = chat.connect("a").await;
    let connections = chat.database.collection::<Document>("connections");
    let forge = doc! {"$set": {"user_id": "b"}};
    connections
        .update_many(doc! {}, forge)
        .await
        .expect("updated");
    client
        .send(&json!({"sender_id": "b", "receiver_id": "c", "message": "m"}))
        .await;
    assert_eq!(client.next().await["code"], "sender_mismatch");
    connections.delete_many(doc! {}).await.expect("deleted");
    assert_eq!(client.send_message("c", "m").await["type"], "ack");
    chat.stop().await;
}

/// Connections from before there was an authorizer have no user; those from before it was turned on
/// have a user who has proved nothing.
#[tokio::test]
async fn a_frame_without_an_identity_has_to_connect_again() {
    let chat = Chat::start().await;
    assert_eq!(code_of_a_frame(&chat, json!({})).await, "not_connected");
    let claimed = json!({"user_id": "a"});
    assert_eq!(code_of_a_frame(&chat, claimed.clone()).await, Value::Null);
    chat.stop().await;
    let (chat, _issuer) = guarded().await;
    assert_eq!(code_of_a_frame(&chat, claimed).await, "not_connected");
    chat.stop().await;
}

/// Returns the error code of a valid message whose event has this authorizer context.
async fn code_of_a_frame(chat: &Chat, authorizer: Value) -> Value {
    let event = json!({
        "requestContext": {
            "routeKey": "sendMessage", "eventType": "MESSAGE", "connectionId": "AAAAAAAAAAAAAAA=",
            "connectedAt": 1_770_660_703_000_i64, "requestTimeEpoch": 1_770_660_703_000_i64,
            "authorizer": authorizer,
        },
        "body": json!({"action": "sendMessage", "sender_id": "a", "receiver_id": "b", "message": "m"}).to_string(),
        "isBase64Encoded": false,
    });
    let response = chat.gateway.invoke("SendMessageFunction", &event).await;
    let response = response.expect("no function error");
    let body = response["body"].as_str().expect("a body");
    let frame: Value = serde_json::from_str(body).expect("a frame");
    frame["code"].clone()
}

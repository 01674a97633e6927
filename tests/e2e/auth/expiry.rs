//! Connections whose token expires.

use super::*;

/// Returns a token that ends in some two seconds: it has expired, but clocks may differ.
fn ending(issuer: &Issuer, user_id: &str) -> String {
    let mut claims = issuer.claims(user_id);
    let leeway = authorizer::token::LEEWAY.as_secs() as i64;
    claims["exp"] = json!(Utc::now().timestamp() - leeway + 3);
    issuer.key.sign(&claims)
}

#[tokio::test]
async fn a_connection_is_closed_when_its_token_expires() {
    let (chat, issuer) = guarded().await;
    let message = json!({"receiver_id": STUDENT, "message": "m", "client_message_id": "id"});
    let mut with_action = message.clone();
    with_action["action"] = json!("sendMessage");
    for (frame, id) in [
        (with_action, json!("id")),
        (message, json!("id")),
        (json!({"action": "ping"}), Value::Null),
        (json!({"receiver_id": 7}), Value::Null),
    ] {
        let token = ending(&issuer, PROF);
        let mut prof = open(&chat, "/", &token).await.expect("in");
        let connections = chat.database.collection::<Document>("connections");
        let row = connections.find_one(doc! {"user_id": PROF}).await;
        let row = row.expect("a response").expect("a row");
        let end = row.get_datetime("token_expires_at").expect("a date");
        until(async || Utc::now().timestamp_millis() > end.timestamp_millis()).await;
        prof.send(&frame).await;
        let error = prof.next().await;
        assert_eq!(error["code"], "token_expired", "{frame}: {error}");
        assert_eq!(error["client_message_id"], id);
        assert_eq!(error["retryable"], false);
        assert_eq!(u16::from(prof.closed().await.code), 1000);
        let rows = async || connections.count_documents(doc! {}).await.expect("counted");
        until(async || rows().await == 0).await;
    }
    let messages = chat.database.collection::<Document>("chat_messages");
    assert_eq!(messages.count_documents(doc! {}).await.expect("counted"), 0);
    chat.stop().await;
}

#[tokio::test]
async fn an_idle_connection_gets_nothing_after_its_token_expires() {
    let (chat, issuer) = guarded().await;
    let mut prof = open(&chat, "/", &issuer.token(PROF)).await.expect("in");
    let mut student = open(&chat, "/", &ending(&issuer, STUDENT))
        .await
        .expect("in");
    assert_eq!(
        prof.send_message(STUDENT, "first").await["status"],
        "delivered"
    );
    assert_eq!(student.next().await["message"], "first");
    until(async || prof.send_message(STUDENT, "later").await["status"] == "stored").await;
    chat.stop().await;
}

#[tokio::test]
async fn the_next_handshake_of_a_user_closes_a_connection_whose_token_has_expired() {
    let (chat, issuer) = guarded().await;
    let mut old = open(&chat, "/", &ending(&issuer, PROF)).await.expect("in");
    let connections = chat.database.collection::<Document>("connections");
    let row = connections.find_one(doc! {"user_id": PROF}).await;
    let row = row.expect("a response").expect("a row");
    let end = row.get_datetime("token_expires_at").expect("a date");
    until(async || Utc::now().timestamp_millis() > end.timestamp_millis()).await;

    let mut new = open(&chat, "/", &issuer.token(PROF)).await.expect("in");
    assert_eq!(u16::from(old.closed().await.code), 1000);
    let rows = async || connections.count_documents(doc! {}).await.expect("counted");
    until(async || rows().await == 1).await;
    assert_eq!(new.send_message(STUDENT, "m").await["type"], "ack");
    chat.stop().await;
}

//! The programs that the benchmarks compare the chat with do the same work.

use mongodb::Database;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::baseline::{Language, OldServer};
use tests::{Client, LocalGateway, get, server, until};

#[tokio::test]
async fn the_old_server_stores_a_message_and_forwards_it() {
    let (old, database) = old_server().await;
    let mut prof = old.connect("prof@example.com").await;
    let mut student = old.connect("a b").await;
    let (asked, answered) = (
        frame("prof@example.com", "a b", "At 3PM?"),
        frame("a b", "prof@example.com", "Fine."),
    );
    prof.send(&asked).await;
    let question = student.next().await;
    student.send(&answered).await;
    let answer = prof.next().await;
    assert_eq!(without_timestamp(&question), asked);
    assert_eq!(without_timestamp(&answer), answered);

    let (user1, user2) = ("prof%40example.com", "a%20b");
    for (user1, user2) in [(user1, user2), (user2, user1)] {
        let url = format!("{}/chat/history?user1={user1}&user2={user2}", old.http);
        let history = get(&url).await.messages();
        assert_eq!(history, [question.clone(), answer.clone()]);
    }
    database.drop().await.expect("dropped");
}

#[tokio::test]
async fn the_old_server_only_stores_a_message_to_a_user_who_has_left() {
    let (old, database) = old_server().await;
    let (mut here, gone) = (old.connect("here").await, old.connect("gone").await);
    gone.close().await;
    here.send(&frame("here", "gone", "one")).await;
    // Frames of one connection are served in order.
    here.send(&frame("here", "here", "two")).await;
    assert_eq!(here.next().await["message"], "two");
    let stored = stored(&database, doc! {"receiver_id": "gone"}).await;
    assert_eq!(stored["message"], "one");
    database.drop().await.expect("dropped");
}

#[tokio::test]
async fn the_python_sample_stores_a_message_and_pushes_it_to_the_receivers_connections() {
    stores_and_pushes(Language::Python).await;
}

#[tokio::test]
async fn the_node_sample_stores_a_message_and_pushes_it_to_the_receivers_connections() {
    stores_and_pushes(Language::Node).await;
}

/// Starts an old server; returns it with its database.
async fn old_server() -> (OldServer, Database) {
    let (uri, name) = (server::uri().await, server::database_name());
    let client = mongodb::Client::with_uri_str(uri).await.expect("a client");
    (OldServer::start(uri, &name).await, client.database(&name))
}

/// Returns the stored message that `filter` finds, as JSON.
async fn stored(database: &Database, filter: Document) -> Value {
    let messages = database.collection::<Value>("chat_messages");
    let found = messages.find_one(filter).projection(doc! {"_id": 0}).await;
    found.expect("found").expect("it is stored")
}

fn frame(sender_id: &str, receiver_id: &str, message: &str) -> Value {
    json!({"sender_id": sender_id, "receiver_id": receiver_id, "message": message})
}

/// Returns a forwarded frame without its timestamp, which must be valid.
fn without_timestamp(frame: &Value) -> Value {
    let mut frame = frame.clone();
    let fields = frame.as_object_mut().expect("an object");
    let timestamp = fields.remove("timestamp").expect("it has one");
    let timestamp = timestamp.as_str().map(chrono::DateTime::parse_from_rfc3339);
    assert!(matches!(timestamp, Some(Ok(_))), "{timestamp:?}");
    frame
}

async fn stores_and_pushes(language: Language) {
    let (uri, name) = (server::uri().await, server::database_name());
    let sample = language.sample().await.expect("Node and Python");
    let gateway = sample.start(uri, &name, &[]).await.expect("it starts");
    let database = server::database(uri, &name).await.expect("a database");
    let connections = database.collection::<Document>("connections");
    // A connection that is gone without a `$disconnect`.
    let gone = doc! {"_id": "Hx3fHc0VDoECJgw=", "user_id": "receiver"};
    connections.insert_one(gone).await.expect("inserted");

    let mut sender = connect(&gateway, "sender").await;
    let mut receivers = [
        connect(&gateway, "receiver").await,
        connect(&gateway, "receiver").await,
    ];
    let message = json!({"sender_id": "sender", "receiver_id": "receiver", "message": "At 3PM?"});
    let mut frame = message.clone();
    frame["action"] = json!("sendMessage");
    sender.send(&frame).await;
    for receiver in &mut receivers {
        let mut pushed = receiver.next().await;
        let fields = pushed.as_object_mut().expect("an object");
        assert!(fields.remove("message_id").is_some());
        assert_eq!(fields.remove("type"), Some(json!("message")));
        assert_eq!(
            fields.remove("conversation_id"),
            Some(json!("receiver:sender"))
        );
        assert_eq!(without_timestamp(&pushed), message);
    }
    let stored = stored(&database, doc! {"conversation_id": "receiver:sender"}).await;
    assert_eq!(stored["message"], "At 3PM?");

    for client in receivers.into_iter().chain([sender]) {
        client.close().await;
    }
    // Their rows, and that of the connection that was gone.
    until(async || connections.count_documents(doc! {}).await.expect("counted") == 0).await;
    let (status, log) = gateway.stop().await.expect("it is waited for");
    assert!(status.success(), "{status}: {log}");
    database.drop().await.expect("dropped");
}

async fn connect(gateway: &LocalGateway, user_id: &str) -> Client {
    let url = gateway.ws.as_deref().expect("a WebSocket API");
    let connected = Client::connect(&format!("{url}?user_id={user_id}")).await;
    connected.expect("the handshake succeeds")
}

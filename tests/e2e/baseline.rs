//! The programs that the benchmarks compare the chat with do the same work.

use mongodb::Database;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::baseline::{OldServer, node_function, python_function};
use tests::function::Function;
use tests::{Chat, get, server};
use tokio::process::Command;

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
async fn the_python_function_stores_a_message_and_posts_it() {
    stores_and_posts(python_function().await).await;
}

#[tokio::test]
async fn the_node_function_stores_a_message_and_posts_it() {
    stores_and_posts(node_function().await.expect("Node")).await;
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

async fn stores_and_posts(mut command: Command) {
    let chat = Chat::start().await;
    let mut receiver = chat.connect("receiver").await;
    let connections = chat.database.collection::<Document>("connections");
    let row = connections.find_one(doc! {"user_id": "receiver"}).await;
    let row = row.expect("found").expect("the socket is recorded");
    let connection_id = row.get_str("_id").expect("an id");

    let database = chat.database.client().database(&server::database_name());
    let endpoint = chat.management_endpoint();
    let function = Function::start(&mut command, &chat.uri, database.name(), &endpoint).await;
    let event = json!({"requestContext": {"connectionId": connection_id}, "body": "\"text\""});
    let response = function.invoke(&event).await.expect("it succeeds");
    let response: Value = serde_json::from_slice(&response).expect("JSON");
    assert_eq!(response["statusCode"], 200);
    assert_eq!(receiver.next().await, "text");
    let stored = stored(&database, doc! {}).await;
    assert_eq!(stored["message"], "\"text\"");
    function.kill().await;
    database.drop().await.expect("dropped");
    chat.stop().await;
}

//! The database of the deployed chat, read and written beside it.

use futures_util::TryStreamExt;
use local_gateway::process::ports::free_port;
use mongodb::bson::{Document, doc};
use mongodb::{Collection, Database};

/// The password of a connection string. No output may contain it.
pub const PASSWORD: &str = "correct-horse";

/// Returns a connection string to a port on which no server listens, and the port.
pub fn unreachable_database() -> (String, String) {
    let port = free_port().expect("a port").to_string();
    (format!("mongodb://chat:{PASSWORD}@127.0.0.1:{port}/"), port)
}

/// Inserts messages of the old system between two users: one a minute, with alternating senders.
pub async fn insert_old_messages(database: &Database, user1: &str, user2: &str, count: usize) {
    let old = (0..count).map(|n| {
        let (sender, receiver) = [(user1, user2), (user2, user1)][n % 2];
        doc! {
            "sender_id": sender,
            "receiver_id": receiver,
            "message": format!("old {n}"),
            "timestamp": format!("2026-01-01T00:{n:02}:00"),
        }
    });
    let inserted = messages(database).insert_many(old).await;
    inserted.expect("inserted");
}

/// Returns the collection of messages.
pub fn messages(database: &Database) -> Collection<Document> {
    database.collection("chat_messages")
}

/// Returns the collection of connections.
pub fn connections(database: &Database) -> Collection<Document> {
    database.collection("connections")
}

/// Returns the rows of a user's connections, oldest first.
pub async fn connections_of(database: &Database, user_id: &str) -> Vec<Document> {
    let connections = connections(database);
    let rows = connections
        .find(doc! {"user_id": user_id})
        .sort(doc! {"connected_at": 1});
    let rows = rows.await.expect("found").try_collect().await;
    rows.expect("found")
}

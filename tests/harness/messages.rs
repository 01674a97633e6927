//! Long conversations, inserted directly.

use chat::{ConversationId, UserId};
use mongodb::Database;
use mongodb::bson::{Document, doc};

/// Messages of one insert.
const AT_ONCE: usize = 10_000;

/// Inserts the messages 1 to `count` of two users' conversation.
///
/// # Panics
///
/// The database does not respond, or has some of them.
pub async fn fill(database: &Database, users: &[UserId; 2], count: i64) {
    let [sender, receiver] = users;
    let conversation = ConversationId::direct(sender, receiver);
    let message = |seq: &i64| {
        doc! {
            "conversation_id": conversation.as_str(), "seq": *seq,
            "sender_id": sender.as_str(), "receiver_id": receiver.as_str(),
            "message": format!("message number {seq}"), "timestamp": "2026-11-22T11:15:03.123Z",
        }
    };
    let messages = database.collection::<Document>(chat::store::MESSAGES);
    let numbers: Vec<i64> = (1..=count).collect();
    for batch in numbers.chunks(AT_ONCE) {
        let batch = batch.iter().map(message);
        messages.insert_many(batch).await.expect("inserted");
    }
}

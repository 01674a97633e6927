//! Long conversations and long lists of them, inserted directly, and texts in a whole database.

use chat::{ConversationId, UserId, timestamp};
use chrono::DateTime;
use futures_util::TryStreamExt;
use mongodb::Database;
use mongodb::bson::{self, Document, doc};

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

/// Inserts `count` conversations of a user with `p0`, `p1`, …, of one message each, in the order of their time. Two at
/// a time have the same.
///
/// # Panics
///
/// The user id is invalid, or the database does not respond.
pub async fn fill_list(database: &Database, user_id: &str, count: i64) {
    let user = |id: &str| UserId::try_from(id.to_owned()).expect("a valid id");
    let (mut messages, mut members) = (Vec::new(), Vec::new());
    for number in 0..count {
        let peer = format!("p{number}");
        let id = ConversationId::direct(&user(user_id), &user(&peer));
        let millis = 1_795_000_000_000 + number / 2 * 2;
        let time = DateTime::from_timestamp_millis(millis).expect("a time");
        messages.push(doc! {
            "conversation_id": id.as_str(), "seq": 1_i64, "sender_id": &peer, "receiver_id": user_id,
            "message": "m", "timestamp": timestamp::format(time),
        });
        members.extend([peer.as_str(), user_id].map(|user_id| {
            doc! {
                "conversation_id": id.as_str(), "user_id": user_id, "last_seq": 1_i64,
                "last_at": bson::DateTime::from_millis(millis),
            }
        }));
    }
    for (name, documents) in [("chat_messages", messages), ("members", members)] {
        let collection = database.collection::<Document>(name);
        for batch in documents.chunks(AT_ONCE) {
            collection.insert_many(batch).await.expect("inserted");
        }
    }
}

/// Checks that a text stands in no document of any collection.
///
/// # Panics
///
/// It does, or the database does not respond.
pub async fn assert_nowhere(database: &Database, text: &str) {
    for name in database.list_collection_names().await.expect("names") {
        let all = database.collection::<Document>(&name).find(doc! {}).await;
        let documents: Vec<Document> = all.expect("found").try_collect().await.expect("read");
        for document in documents {
            assert!(!document.to_string().contains(text), "{name}: {document}");
        }
    }
}

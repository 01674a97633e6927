//! A group whose pushes leave by the queue.

use mongodb::Database;
use mongodb::bson::doc;
use serde_json::{Value, json};
use tests::Client;

use super::database::connections;
use crate::chat::Chat;

const LECTURER: &str = "lecturer@example.com";
const LISTENER: &str = "listener@example.com";

/// The users whom a frame may name.
const USERS_OF_A_FRAME: usize = 49;

/// A member of a group of more than a hundred gets a message that was acknowledged before its pushes. Returns how many
/// entries the group has.
pub async fn push_to_a_large_group(chat: &Chat, database: &Database) -> usize {
    let (mut lecturer, mut listener) = (chat.connect(LECTURER).await, chat.connect(LISTENER).await);
    // The emulator does not return the subprotocol by which a client says that it is modern.
    let users = doc! {"user_id": {"$in": [LECTURER, LISTENER]}};
    let modern = doc! {"$set": {"modern": true}};
    let changed = connections(database).update_many(users, modern).await;
    assert_eq!(changed.expect("updated").modified_count, 2);

    let others = (0..120).map(|number| format!("student-{number}@example.com"));
    let users: Vec<String> = others.chain([LISTENER.to_owned()]).collect();
    let mut entries = 0;
    let mut group = Value::Null;
    for users in users.chunks(USERS_OF_A_FRAME) {
        let frame = if group.is_null() {
            json!({"action": "createGroup", "title": "Lecture", "users": users, "client_message_id": "g"})
        } else {
            json!({"action": "invite", "conversation_id": group, "users": users})
        };
        group = acked(&mut lecturer, &frame).await["conversation_id"].clone();
        entries += 1;
    }
    let text =
        json!({"action": "sendMessage", "conversation_id": group, "message": "Good morning."});
    let ack = acked(&mut lecturer, &text).await;
    assert_eq!(ack["status"], "stored", "{ack}");
    loop {
        let entry = listener.next().await;
        assert_eq!(entry["conversation_id"], group, "{entry}");
        if entry["message"] == "Good morning." {
            break;
        }
    }
    for client in [lecturer, listener] {
        client.close().await;
    }
    entries + 1
}

async fn acked(client: &mut Client, frame: &Value) -> Value {
    client.send(frame).await;
    let ack = client.next().await;
    assert_eq!(ack["type"], "ack", "{ack}");
    ack
}

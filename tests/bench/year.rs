//! The operator's program on a year of history: whether the log is whole, a user's copy, and the removal of what is
//! older than 90 days.

use std::time::{Duration, Instant};

use chat::{ConversationId, UserId, timestamp};
use chrono::{DateTime, TimeDelta, Utc};
use mongodb::Database;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{self, Document, doc};
use tests::{admin, process, server};

use crate::figures::Report;

/// Messages, each a while after the one before, in all conversations in turn.
const MESSAGES: u32 = 1_000_000;
const CONVERSATIONS: u32 = 10_000;
/// Conversations of each user `u…`, with users `v…`.
const PEERS: u32 = 100;

/// Messages that are inserted by one operation.
const AT_ONCE: usize = 10_000;

/// Time that a command may take.
const LIMIT: Duration = Duration::from_secs(1_200);

/// Fills a database, and prints the time of each command.
pub async fn run(uri: &str) {
    let name = server::database_name();
    let store = server::migrated_store(uri, &name).await.expect("a store");
    eprintln!("filling a database with a year of history …");
    fill(store.database()).await;
    for (figure, arguments) in [
        ("verify", &["verify"][..]),
        ("export of 10,000 messages", &["export", "u0"]),
        (
            "retention, cut to 90 days",
            &["retention", "--older-than", "90d", "--confirm"],
        ),
        ("verify of what is left", &["verify"]),
    ] {
        let start = Instant::now();
        let mut command = admin::with(uri, &name);
        let output = process::output(command.args(arguments), LIMIT).await;
        let elapsed = start.elapsed().as_secs_f64();
        assert!(output.status.success(), "{figure}: {output:?}");
        let figure = format!("chat-admin, {MESSAGES} messages: {figure}");
        Report::EITHER_MODE.row(figure, format_args!("{elapsed:.1} s"));
    }
    store.database().drop().await.expect("dropped");
}

/// Fills a database with the messages of a year up to now, and with who is in their conversations.
async fn fill(database: &Database) {
    let end = Utc::now();
    let pause = TimeDelta::days(365) / MESSAGES.cast_signed();
    let at = |number: u32| end - pause * (MESSAGES - number).cast_signed();
    let numbers: Vec<u32> = (0..MESSAGES).collect();
    for batch in numbers.chunks(AT_ONCE) {
        let messages = batch.iter().map(|number| message(*number, at(*number)));
        insert(database, "chat_messages", messages.collect()).await;
    }
    let newest = at(MESSAGES - 1);
    let conversations: Vec<u32> = (0..CONVERSATIONS).collect();
    for batch in conversations.chunks(AT_ONCE / 2) {
        let members = batch.iter().flat_map(|number| members(*number, newest));
        insert(database, "members", members.collect()).await;
    }
}

async fn insert(database: &Database, collection: &str, documents: Vec<Document>) {
    let collection = database.collection::<Document>(collection);
    collection.insert_many(documents).await.expect("inserted");
}

/// Returns the two users of a conversation.
fn users(conversation: u32) -> [UserId; 2] {
    let user = |id: String| UserId::try_from(id).expect("a valid id");
    let (a, b) = (conversation / PEERS, conversation % PEERS);
    [user(format!("u{a}")), user(format!("v{b}"))]
}

/// Returns a message: its id is made of its time, as the chat does. The two users write in turn.
fn message(number: u32, at: DateTime<Utc>) -> Document {
    let seq = number / CONVERSATIONS + 1;
    let [a, b] = users(number % CONVERSATIONS);
    let id = ConversationId::direct(&a, &b);
    let [sender, receiver] = if seq % 2 == 1 { [a, b] } else { [b, a] };
    let seconds = u32::try_from(at.timestamp()).expect("a time of this century");
    let [_, counter @ ..] = number.to_be_bytes();
    doc! {
        "_id": ObjectId::from_parts(seconds, [0; 5], counter),
        "conversation_id": id.as_str(), "seq": i64::from(seq),
        "sender_id": sender.as_str(), "receiver_id": receiver.as_str(),
        "message": format!("message number {seq} of a year of history"),
        "timestamp": timestamp::format(at), "client_message_id": format!("m-{number}"),
    }
}

/// Returns the documents of the users of a conversation.
fn members(conversation: u32, newest: DateTime<Utc>) -> [Document; 2] {
    let users = users(conversation);
    let id = ConversationId::direct(&users[0], &users[1]);
    let last_seq = i64::from(MESSAGES / CONVERSATIONS);
    users.map(|user| {
        doc! {
            "conversation_id": id.as_str(), "user_id": user.as_str(), "wrote": true,
            "read": last_seq, "delivered": last_seq, "last_seq": last_seq,
            "last_at": bson::DateTime::from_millis(newest.timestamp_millis()),
        }
    })
}

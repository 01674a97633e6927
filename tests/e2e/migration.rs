//! Migration of documents of the old system.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chat::migration;
use chat::migration::{Progress, Step, Summary};
use futures_util::TryStreamExt;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::{Collection, Database};
use tests::{Chat, Client, server};

/// Returns a document as the old system wrote it.
fn old(sender: &str, receiver: &str, text: &str, timestamp: &str) -> Document {
    doc! {"sender_id": sender, "receiver_id": receiver, "message": text, "timestamp": timestamp}
}

async fn empty_database() -> Database {
    let uri = server::uri().await;
    let client = mongodb::Client::with_uri_str(uri).await.expect("a client");
    client.database(&server::database_name())
}

fn messages(database: &Database) -> Collection<Document> {
    database.collection("chat_messages")
}

async fn run(database: &Database) -> Summary {
    migration::run(database, |_| Ok(()))
        .await
        .expect("migrated")
}

/// Returns numbers and texts of all numbered messages of a conversation, in order.
async fn log(database: &Database, conversation_id: &str) -> Vec<(i64, String)> {
    let messages = messages(database);
    let found = messages
        .find(doc! {"conversation_id": conversation_id})
        .sort(doc! {"seq": 1});
    let found: Vec<Document> = found
        .await
        .expect("found")
        .try_collect()
        .await
        .expect("found");
    let entry = |message: &Document| {
        let seq = message.get_i64("seq").expect("an int64");
        (
            seq,
            message.get_str("message").expect("a string").to_owned(),
        )
    };
    found.iter().map(entry).collect()
}

#[tokio::test]
async fn old_and_new_messages_show_in_order() {
    let database = empty_database().await;
    let olds = [
        old("b", "a", "second", "2024-05-01T12:00:00"),
        old("a", "b", "third", "2024-05-01T12:00:00.000001"),
        old("a", "b", "first", "2024-04-30T23:59:59.999999"),
        old("a", "c", "elsewhere", "2024-05-01T12:00:00"),
    ];
    messages(&database)
        .insert_many(olds)
        .await
        .expect("inserted");

    let chat = Chat::with()
        .database(server::uri().await, database.name())
        .start()
        .await;
    let mut a = chat.connect("a").await;
    assert_eq!(
        a.send_message("b", "fourth").await["seq"],
        1,
        "new messages begin at 1"
    );

    let history = chat.history("a", "b", "").await.messages();
    let texts: Vec<&str> = history
        .iter()
        .map(|m| m["message"].as_str().expect("text"))
        .collect();
    assert_eq!(texts, ["first", "second", "third", "fourth"]);
    let numbers: Vec<i64> = history
        .iter()
        .map(|m| m["seq"].as_i64().expect("number"))
        .collect();
    assert_eq!(numbers, [-2, -1, 0, 1]);
    assert_eq!(
        history[0]["timestamp"], "2024-04-30T23:59:59.999999",
        "as it was"
    );
    let page = chat.history("a", "b", "&after=-2&limit=2").await;
    assert_eq!(page.messages().len(), 2);
    assert!(page.link("prev").is_some() && page.link("next").is_some());
    let log = chat.stop().await;
    assert!(log.contains("old messages numbered"), "{log}");
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_a_late_document_is_appended() {
    let database = empty_database().await;
    let olds = [
        old("a", "b", "1", "2024-01-01T00:00:00"),
        old("a", "b", "2", "2024-01-02T00:00:00"),
    ];
    messages(&database)
        .insert_many(olds)
        .await
        .expect("inserted");
    assert_eq!(run(&database).await.numbered, 2);
    let first = log(&database, "direct:1:a:b").await;
    assert_eq!(run(&database).await, Summary::default());
    assert_eq!(log(&database, "direct:1:a:b").await, first);

    let late = old("b", "a", "late", "2024-01-01T12:00:00");
    messages(&database)
        .insert_one(late)
        .await
        .expect("inserted");
    assert_eq!(run(&database).await.numbered, 1);
    let log = log(&database, "direct:1:a:b").await;
    assert_eq!(log.last(), Some(&(1, "late".to_owned())));
    let late = messages(&database).find_one(doc! {"message": "late"}).await;
    let late = late.expect("a response").expect("found");
    let text = |key| late.get_str(key).expect("a string");
    assert_eq!(
        text("timestamp"),
        "2024-01-02T00:00:00.000Z",
        "times never decrease"
    );
    assert_eq!(
        text("old_timestamp"),
        "2024-01-01T12:00:00",
        "nothing is lost"
    );
    database.drop().await.expect("dropped");
}

#[tokio::test]
async fn an_interrupted_run_is_resumed_without_holes() {
    const TOTAL: i64 = 2_345;
    let database = empty_database().await;
    let olds = (0..TOTAL).map(|n| {
        old(
            "a",
            "b",
            &n.to_string(),
            &format!("2024-01-01T00:00:00.{n:06}"),
        )
    });
    messages(&database)
        .insert_many(olds)
        .await
        .expect("inserted");
    // The hardest interruption: the future is dropped after the first batch.
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let mut first = Box::pin(migration::run(&database, move |_| {
        seen.store(true, Ordering::SeqCst);
        Ok(())
    }));
    futures_util::future::poll_fn(|context| {
        let done = first.as_mut().poll(context).is_ready();
        if done || stop.load(Ordering::SeqCst) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    drop(first);
    let before = log(&database, "direct:1:a:b").await.len() as i64;
    assert!(
        before > 0 && before < TOTAL,
        "interrupted in the middle: {before}"
    );

    run(&database).await;
    let expected: Vec<_> = (0..TOTAL).map(|n| (n - TOTAL + 1, n.to_string())).collect();
    assert_eq!(log(&database, "direct:1:a:b").await, expected);
    database.drop().await.expect("dropped");
}

#[tokio::test]
async fn two_runs_at_once_while_messages_are_sent_number_everything_once() {
    const TOTAL: i64 = 3_000;
    let database = empty_database().await;
    // The chat starts on an empty database; the old documents are inserted while it runs.
    let chat = Chat::with()
        .database(server::uri().await, database.name())
        .start()
        .await;
    let olds = (0..TOTAL).map(|n| {
        old(
            "b",
            "a",
            &n.to_string(),
            &format!("2024-01-01T00:00:00.{n:06}"),
        )
    });
    messages(&database)
        .insert_many(olds)
        .await
        .expect("inserted");
    let mut a = chat.connect("a").await;
    let sends = async {
        for number in 1..=20 {
            assert_eq!(a.send_message("b", "new").await["seq"], number);
        }
    };
    let ((), one, two) = tokio::join!(sends, run(&database), run(&database));
    assert_eq!(one.numbered + two.numbered, TOTAL as u64);
    let numbers: Vec<i64> = log(&database, "direct:1:a:b")
        .await
        .into_iter()
        .map(|(n, _)| n)
        .collect();
    assert_eq!(numbers, (1 - TOTAL..=20).collect::<Vec<_>>());
    chat.stop().await;
}

#[tokio::test]
async fn documents_that_are_not_messages_are_skipped_and_counted() {
    let database = empty_database().await;
    let strange = [
        doc! {"hello": "world"},
        doc! {"sender_id": "a", "receiver_id": "b", "message": "m", "timestamp": 5},
        doc! {"sender_id": {"$gt": ""}, "receiver_id": "b", "message": "m", "timestamp": "2024-01-01T00:00:00"},
        old("", "b", "m", "2024-01-01T00:00:00"),
        doc! {"_id": "by hand", "sender_id": "a", "receiver_id": "b", "message": "m",
        "timestamp": "2024-01-01T00:00:00"},
        old("a", "b", "good", "no time at all"),
    ];
    messages(&database)
        .insert_many(strange)
        .await
        .expect("inserted");
    assert_eq!(
        run(&database).await,
        Summary {
            numbered: 1,
            skipped: 5,
            conversations: 1,
        }
    );
    assert_eq!(
        log(&database, "direct:1:a:b").await,
        [(0, "good".to_owned())]
    );
    database.drop().await.expect("dropped");
}

/// Returns the documents of members, as pairs of conversation and user.
async fn members(database: &Database) -> Vec<Document> {
    let members = database.collection::<Document>("members");
    let found = members
        .find(doc! {})
        .projection(doc! {"_id": 0})
        .sort(doc! {"conversation_id": 1, "user_id": 1});
    found
        .await
        .expect("found")
        .try_collect()
        .await
        .expect("found")
}

#[tokio::test]
async fn both_users_of_a_conversation_are_recorded_with_its_newest_message() {
    let database = empty_database().await;
    let olds = [
        old("a", "b", "1", "2024-01-01T00:00:00.5"),
        old("a", "b", "2", "2024-01-02T00:00:00"),
        old("c", "c", "to oneself", "no time at all"),
    ];
    messages(&database)
        .insert_many(olds)
        .await
        .expect("inserted");
    assert_eq!(run(&database).await.conversations, 2);
    let second = DateTime::parse_rfc3339_str("2024-01-02T00:00:00Z").expect("a time");
    let expected = [
        doc! {"conversation_id": "direct:1:a:b", "user_id": "a", "last_at": second, "last_seq": 0_i64,
        "wrote": true},
        doc! {"conversation_id": "direct:1:a:b", "user_id": "b", "last_at": second, "last_seq": 0_i64},
        doc! {"conversation_id": "direct:1:c:c", "user_id": "c", "last_at": DateTime::from_millis(0),
        "last_seq": 0_i64, "wrote": true},
    ];
    assert_eq!(members(&database).await, expected);
    // A later run leaves alone what has moved on.
    let row = doc! {"conversation_id": "direct:1:a:b", "user_id": "a"};
    let update = doc! {"$set": {"read": 7_i64, "last_seq": 9_i64}};
    let collection = database.collection::<Document>("members");
    collection
        .update_one(row.clone(), update)
        .await
        .expect("updated");
    let more = [old("b", "a", "found later", "2024-01-03T00:00:00")];
    messages(&database)
        .insert_many(more)
        .await
        .expect("inserted");
    assert_eq!(run(&database).await.conversations, 2);
    let kept = collection
        .find_one(row)
        .await
        .expect("found")
        .expect("a row");
    let number = |name| kept.get_i64(name).expect("a number");
    assert_eq!((number("read"), number("last_seq")), (7, 9));
    assert_eq!(run(&database).await, Summary::default(), "it is done");
    database.drop().await.expect("dropped");
}

/// The conversations of user `me`, with `p0`, `p1` and so on, and the old messages of each.
const CONVERSATIONS: u64 = 1_000;
const MESSAGES_OF_EACH: u64 = 100;

fn peer(conversation: u64) -> String {
    format!("p{conversation}")
}

/// Whether `me` and the other user have written in the old system: one of them, or both.
fn wrote(conversation: u64) -> (bool, bool) {
    (conversation % 3 != 1, !conversation.is_multiple_of(3))
}

/// Inserts the old messages, the newest first.
async fn insert_thousand_conversations(database: &Database) {
    let olds_of = |conversation: &u64| {
        let (peer, wrote) = (peer(*conversation), wrote(*conversation));
        (0..MESSAGES_OF_EACH).rev().map(move |number| {
            let is_mine = wrote.0 && (number % 2 == 0 || !wrote.1);
            let (sender, receiver) = if is_mine {
                ("me", peer.as_str())
            } else {
                (peer.as_str(), "me")
            };
            let timestamp = format!("2024-01-01T00:00:00.{number:03}");
            old(sender, receiver, &number.to_string(), &timestamp)
        })
    };
    let conversations: Vec<u64> = (0..CONVERSATIONS).collect();
    for some in conversations.chunks(100) {
        let olds = some.iter().flat_map(olds_of);
        let inserted = messages(database).insert_many(olds).await;
        inserted.expect("inserted");
    }
}

/// Runs the migration until `is_end` holds for a progress; returns all that it told.
async fn run_until(database: &Database, is_end: impl Fn(Progress) -> bool) -> Vec<Progress> {
    let mut told = Vec::new();
    let stopped = migration::run(database, |progress| {
        told.push(progress);
        if is_end(progress) {
            return Err(chat::Error::unavailable("migration")("the time is over"));
        }
        Ok(())
    });
    assert!(stopped.await.is_err());
    told
}

/// Sends the first message of the new system in some of the conversations.
async fn send_new(me: &mut Client, conversations: Range<u64>) {
    for conversation in conversations {
        let ack = me.send_message(&peer(conversation), "new").await;
        assert_eq!(ack["seq"], 1, "{ack}");
    }
}

/// Checks the numbers and the members' documents of all conversations, of which the first `new` have a new message.
async fn assert_migrated(database: &Database, new: u64) {
    let mut expected = Vec::new();
    for conversation in 0..CONVERSATIONS {
        let (peer, is_new) = (peer(conversation), conversation < new);
        let id = format!("direct:2:me:{peer}");
        let count = MESSAGES_OF_EACH as i64;
        let mut entries: Vec<_> = (0..count).map(|n| (n + 1 - count, n.to_string())).collect();
        entries.extend(is_new.then(|| (1, "new".to_owned())));
        assert_eq!(log(database, &id).await, entries, "{id}");
        let (of_me, of_peer) = wrote(conversation);
        let last_seq = i64::from(is_new);
        expected.push((id.clone(), "me".to_owned(), of_me || is_new, last_seq));
        expected.push((id, peer, of_peer, last_seq));
    }
    expected.sort_unstable();
    let row = |row: &Document| {
        let text = |name| row.get_str(name).expect("a string").to_owned();
        let last_seq = row.get_i64("last_seq").expect("a number");
        let wrote = row.get_bool("wrote").unwrap_or(false);
        (text("conversation_id"), text("user_id"), wrote, last_seq)
    };
    let rows: Vec<_> = members(database).await.iter().map(row).collect();
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.into_iter().zip(expected) {
        assert_eq!(row, expected);
    }
}

#[tokio::test]
async fn a_thousand_conversations_are_migrated_by_interrupted_runs_while_messages_are_sent() {
    const TOTAL: u64 = CONVERSATIONS * MESSAGES_OF_EACH;
    let database = empty_database().await;
    // The chat starts on an empty database; the old documents are inserted while it runs.
    let chat = Chat::with()
        .database(server::uri().await, database.name())
        .start()
        .await;
    insert_thousand_conversations(&database).await;
    let mut me = chat.connect("me").await;

    let half = |progress: Progress| progress.done >= TOTAL / 2;
    let (first, ()) = tokio::join!(run_until(&database, half), send_new(&mut me, 0..50));
    let progress = |step, done, total| Progress { step, done, total };
    let numbered = first.last().expect("a progress").done;
    assert_eq!(
        first.last(),
        Some(&progress(Step::Numbering, numbered, TOTAL))
    );

    let in_members = |progress: Progress| progress.step == Step::Members;
    let second = run_until(&database, in_members);
    let (second, ()) = tokio::join!(second, send_new(&mut me, 50..100));
    assert_eq!(
        second[0],
        progress(Step::Numbering, MESSAGES_OF_EACH, TOTAL - numbered)
    );
    assert_eq!(
        second.last(),
        Some(&progress(Step::Members, 500, CONVERSATIONS))
    );

    let (rest, ()) = tokio::join!(run(&database), send_new(&mut me, 100..150));
    let expected = Summary {
        conversations: CONVERSATIONS - 500,
        ..Summary::default()
    };
    assert_eq!(rest, expected);
    assert_migrated(&database, 150).await;
    chat.stop().await;
}

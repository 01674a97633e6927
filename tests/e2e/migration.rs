//! Migration of documents of the old system.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chat::migration;
use chat::migration::{Progress, Step, Summary};
use futures_util::TryStreamExt;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::{Collection, Database};
use tests::Chat;
use tests::server;

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

#[tokio::test]
async fn the_members_of_a_thousand_conversations_are_recorded_by_an_interrupted_run_and_the_next() {
    const CONVERSATIONS: u64 = 1_000;
    const MESSAGES: u64 = 100_000;
    let database = empty_database().await;
    for conversations in (0..CONVERSATIONS).collect::<Vec<_>>().chunks(100) {
        let log = conversations.iter().flat_map(|n| {
            (1..=(MESSAGES / CONVERSATIONS) as i64).map(move |seq| {
                doc! {
                    "conversation_id": format!("direct:2:me:p{n}"), "seq": seq,
                    "sender_id": "me", "receiver_id": format!("p{n}"), "message": "m",
                    "timestamp": "2024-01-01T00:00:00.000Z",
                }
            })
        });
        messages(&database)
            .insert_many(log)
            .await
            .expect("inserted");
    }
    let mut seen = Vec::new();
    let stopped = migration::run(&database, |progress| {
        seen.push(progress);
        let reason = "the time is over";
        Err(chat::Error::unavailable("migration")(reason))
    });
    assert!(stopped.await.is_err());
    let progress = |done, total| Progress {
        step: Step::Members,
        done,
        total,
    };
    assert_eq!(seen, [progress(500, CONVERSATIONS)]);
    assert_eq!(members(&database).await.len(), 1_000, "two of each");

    seen.clear();
    let rest = migration::run(&database, |progress| {
        seen.push(progress);
        Ok(())
    });
    assert_eq!(rest.await.expect("migrated").conversations, 500);
    assert_eq!(seen, [progress(500, 500)]);
    assert_eq!(members(&database).await.len(), 2_000);
    database.drop().await.expect("dropped");
}

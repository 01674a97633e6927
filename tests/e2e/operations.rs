//! The database operations of each request, and operations that hang.

use std::time::Duration;

use chat::store::{Limited, RateLimit};
use chat::{Deadline, UserId};
use futures_util::future::join_all;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::function::Function;
use tests::launch::Host;
use tests::relay::{Counts, Fault, Relay};
use tests::{Chat, server, until};

use crate::connections::age_rows;

/// Starts a relay to the run's server.
async fn relay() -> Relay {
    Relay::start(server::uri().await).await
}

/// Starts a chat whose functions reach the database through a relay.
pub async fn start(relay: &Relay, flags: &[&str]) -> Chat {
    let settings = Chat::with().host(Host::Processes).flags(flags);
    let settings = settings.database(&relay.uri, &server::database_name());
    settings.start().await
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> Counts {
    expected
        .map(|(command, count)| (command.to_owned(), count))
        .into()
}

#[tokio::test]
async fn a_send_of_one_process_is_an_insert_after_reads_that_were_right() {
    let relay = relay().await;
    let chat = start(&relay, &["--concurrency", "1"]).await;
    let (mut a, mut b) = (chat.connect("a").await, chat.connect("b").await);
    relay.take();

    // A number that the conversation has reached, by its record and by a search, the newest number, the
    // insert, the connections, the limit, the record of the number and that of the members: five messages are
    // counted at once, one of 64 is recorded, and the members once a minute.
    a.send_message("b", "the first").await;
    let first = counts([
        ("insert", 1),
        ("find", 4),
        ("findAndModify", 1),
        ("update", 2),
    ]);
    assert_eq!(relay.take(), first);
    for _ in 0..32 {
        a.send_message("b", "one that the process reads before")
            .await;
    }
    let reading = counts([("insert", 32), ("find", 64), ("findAndModify", 6)]);
    assert_eq!(relay.take(), reading);
    for _ in 0..68 {
        a.send_message("b", "one that it inserts at once").await;
    }
    let trusting = counts([
        ("insert", 68),
        ("find", 68),
        ("findAndModify", 14),
        ("update", 1),
    ]);
    assert_eq!(relay.take(), trusting);
    for seq in 1..=101 {
        assert_eq!(b.next().await["seq"], seq);
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_send_of_a_process_with_many_events_is_an_insert() {
    let relay = relay().await;
    let chat = start(&relay, &["--in-flight", "8"]).await;
    let mut a = chat.connect("a").await;
    a.send_message("b", "the first").await;
    relay.take();

    for _ in 0..100 {
        a.send_message("b", "one of many").await;
    }
    let warm = counts([
        ("insert", 100),
        ("find", 100),
        ("findAndModify", 20),
        ("update", 1),
    ]);
    assert_eq!(relay.take(), warm, "the connections, the limit, a record");

    let resent = json!({"action": "sendMessage", "receiver_id": "b", "message": "m",
        "client_message_id": "once"});
    for (expected, duplicate) in [
        (counts([("insert", 1), ("find", 1)]), false),
        // The earlier send and the newest number, both at once; then whether the receiver withholds it.
        (counts([("insert", 1), ("find", 4)]), true),
    ] {
        a.send(&resent).await;
        assert_eq!(a.next().await["duplicate"], duplicate);
        assert_eq!(relay.take(), expected);
    }

    a.send(&json!({"action": "ping"})).await;
    assert_eq!(a.next().await["type"], "pong");
    assert_eq!(relay.take(), counts([]), "a ping asks nobody");
    chat.stop().await;
}

#[tokio::test]
async fn a_connect_is_an_insert_and_three_look_ups_and_writes_nothing_of_its_user() {
    let relay = relay().await;
    let chat = start(&relay, &["--concurrency", "1"]).await;
    let _a = chat.connect("a").await;
    relay.take();
    // The user's blocks before and after the insert, and the user's other connections. The limit counts five handshakes at once.
    let first = chat.connect_modern("b").await;
    let expected = counts([("insert", 1), ("find", 3), ("findAndModify", 1)]);
    assert_eq!(relay.take(), expected);
    let _second = chat.connect_modern("b").await;
    assert_eq!(relay.take(), counts([("insert", 1), ("find", 3)]));
    let documents = async |name: &str| {
        let collection = chat.database.collection::<Document>(name);
        collection.count_documents(doc! {}).await.expect("counted")
    };
    for (name, expected) in [
        ("connections", 3),
        ("rate_limits", 2),
        ("members", 0),
        ("users", 0),
    ] {
        assert_eq!(documents(name).await, expected, "{name}");
    }
    // The close records when its user was last seen.
    first.close().await;
    until(async || documents("users").await == 1).await;
    chat.stop().await;
}

/// Invokes a process with a message of `from`, who has the conversation up to `after`; returns the reply.
async fn reply(process: &Function, from: &str, to: &str, after: Option<i64>) -> Value {
    let frame = json!({"action": "sendMessage", "receiver_id": to, "message": "m", "after": after});
    process.reply(from, &frame).await
}

#[tokio::test]
async fn a_user_without_tokens_who_is_new_to_a_process_costs_it_one_operation() {
    let (relay, database) = (relay().await, server::database_name());
    let store = server::migrated_store(server::uri().await, &database);
    let store = store.await.expect("a store");
    let limit = RateLimit::new(1_000.0, 1_000_000).expect("the limit of the process");
    let user = UserId::try_from("a".to_owned()).expect("a valid id");
    let deadline = Deadline::after(Duration::from_secs(20));
    let taken = store.take_tokens(Limited::Messages, user.as_str(), 1_050_000, limit, deadline);
    taken.await.expect("taken");

    let process = Function::send_message(&relay.uri, &database).await;
    relay.take();
    let refused = reply(&process, "a", "b", None).await;
    assert_eq!(refused["code"], "rate_limited", "{refused}");
    assert_eq!(relay.take(), counts([("findAndModify", 1)]), "no insert");
    let refused = reply(&process, "a", "b", None).await;
    assert_eq!(refused["code"], "rate_limited", "{refused}");
    assert_eq!(relay.take(), counts([]), "the process knows the user");
    store.database().drop().await.expect("dropped");
}

#[tokio::test]
async fn a_send_of_ten_processes_in_turn_is_a_read_and_an_insert() {
    let (relay, database) = (relay().await, server::database_name());
    let store = server::migrated_store(server::uri().await, &database);
    let store = store.await.expect("a store");
    let processes = join_all((0..10).map(|_| Function::send_message(&relay.uri, &database))).await;
    relay.take();
    // Without the hint, each process looks once for a number that the conversation has reached; the first
    // one also searches, since none is recorded.
    for (sends_hint, searches) in [(false, 10 + 1), (true, 1 + 1)] {
        let mut newest = 0;
        let users = if sends_hint { ["a", "b"] } else { ["c", "d"] };
        for number in 0..100 {
            // Each process gets messages of both users.
            let turn = (number + number / 10) % 2;
            let after = (sends_hint && newest > 0).then_some(newest);
            let process = &processes[number % 10];
            newest += 1;
            let ack = reply(process, users[turn], users[1 - turn], after).await;
            assert_eq!(ack["seq"], newest, "{ack}");
        }
        // The newest number, the insert and the connections, the limit, the records of 1 and 65, and that of the
        // members by each process for each sender. No number is taken.
        let expected = counts([
            ("find", 200 + searches),
            ("insert", 100),
            ("findAndModify", 20),
            ("update", 2 + 10 * 2),
        ]);
        assert_eq!(relay.take(), expected, "hint: {sends_hint}");
    }
    store.database().drop().await.expect("dropped");
}

#[tokio::test]
async fn a_page_of_the_history_is_two_look_ups_or_three() {
    let relay = relay().await;
    let chat = start(&relay, &[]).await;
    let mut a = chat.connect("a").await;
    for _ in 0..5 {
        a.send_message("b", "m").await;
    }
    relay.take();
    // The user is new to the process.
    chat.history("a", "b", "").await.messages();
    relay.take();
    let small = [
        // What is withheld from the user, a number that the conversation has reached, and the page.
        ("&limit=2", 3),
        // One that is full.
        ("&after=1&limit=2", 2),
        ("&before=5&limit=2", 2),
    ];
    for (parameters, finds) in small {
        chat.history("a", "b", parameters).await.messages();
        assert_eq!(relay.take(), counts([("find", finds)]), "{parameters}");
    }
    for (parameters, finds) in [
        ("", 3),
        // One that goes back to the first message.
        ("&before=3", 2),
        ("&after=1&before=4", 2),
        // One that is not full: whether numbers go on behind a hole.
        ("&after=3", 3),
        ("&after=5", 3),
        // The same, and whether there are older ones than the first.
        ("&after=0", 4),
    ] {
        chat.history("a", "b", parameters).await.messages();
        // A page of a thousand is counted for the limit at once.
        let expected = counts([("find", finds), ("findAndModify", 1)]);
        assert_eq!(relay.take(), expected, "{parameters}");
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_hanging_look_up_hides_nothing_from_the_log_and_the_senders_devices() {
    let relay = relay().await;
    let chat = start(&relay, &["--concurrency", "1"]).await;
    let (mut a, mut b) = (chat.connect("a").await, chat.connect("b").await);
    let mut other_of_a = chat.connect("a").await;
    age_rows(&chat).await;
    a.send_message("b", "now the process knows the sockets")
        .await;
    b.next().await;
    other_of_a.next().await;

    // Whether b blocks the sender is not known then. The log has the text.
    relay.fail("find", "connections", Fault::Hang);
    let ack = a.send_message("b", "m").await;
    assert_eq!((&ack["seq"], &ack["status"]), (&json!(2), &json!("stored")));
    assert_eq!(other_of_a.next().await["seq"], 2);
    assert_eq!(a.send_message("b", "m").await["status"], "delivered");
    assert_eq!(b.next().await["seq"], 3);
    assert_eq!(chat.history("b", "a", "").await.messages().len(), 3);
    chat.stop().await;
}

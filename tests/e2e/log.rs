//! Numbers without holes, times that never decrease, resends.

use std::sync::Arc;
use std::time::Duration;

use chat::{Content, Deadline, Draft, Recipient, Store, Text, UserId};
use chrono::Utc;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::{Chat, Client, TIMEOUT, get, in_time, server};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Reads on after the last number, as a client does, until it has seen `total`.
async fn poll_until(http: String, total: i64) -> Vec<Value> {
    let mut seen: Vec<Value> = Vec::new();
    while (seen.len() as i64) < total {
        let last = seen
            .last()
            .map_or(0, |message| message["seq"].as_i64().expect("a number"));
        let url = format!("{http}/chat/history?user1=a&user2=b&after={last}");
        for message in get(&url).await.messages() {
            let expected = seen.len() as i64 + 1;
            assert_eq!(message["seq"], expected, "a reader never skips a message");
            seen.push(message);
        }
    }
    seen
}

/// Waits until all senders are there. One that has failed never comes.
async fn meet(barrier: &Barrier) {
    in_time("all senders", barrier.wait()).await;
}

/// Sends `count` messages as fast as acks come; returns the numbers that they got.
async fn send_many(mut client: Client, to: &str, count: usize, start: Arc<Barrier>) -> Vec<i64> {
    meet(&start).await;
    let mut numbers = Vec::new();
    for index in 0..count {
        let ack = client.send_message(to, &format!("message {index}")).await;
        assert_eq!(ack["type"], "ack", "{ack}");
        numbers.push(ack["seq"].as_i64().expect("a number"));
    }
    numbers
}

/// Time limit of all messages of a test.
const ALL_TIMEOUT: Duration = TIMEOUT.saturating_mul(3);

/// Waits for writers and checks that the numbers that they got are together exactly 1 to `total`.
async fn expect_all_numbers(writers: Vec<JoinHandle<Vec<i64>>>, total: i64) {
    let writers = timeout(ALL_TIMEOUT, join_all(writers)).await;
    let writers = writers.expect("all messages are acknowledged in time");
    let mut numbers: Vec<i64> = writers
        .into_iter()
        .flat_map(|numbers| numbers.expect("no writer fails"))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=total).collect::<Vec<_>>());
}

/// Sends `count` messages without waiting for acks, then reads the acks, `rounds` times; returns the
/// numbers that the messages got.
async fn send_at_once(
    mut client: Client,
    to: &str,
    count: usize,
    rounds: usize,
    start: Arc<Barrier>,
) -> Vec<i64> {
    let frame = json!({"action": "sendMessage", "receiver_id": to, "message": "m"});
    let mut numbers = Vec::new();
    for round in 1..=rounds {
        meet(&start).await;
        for _ in 0..count {
            client.send(&frame).await;
        }
        while numbers.len() < count * round {
            let response = client.next().await;
            match response["type"].as_str() {
                Some("ack") => numbers.push(response["seq"].as_i64().expect("a number")),
                // Others took each number for two seconds, as may be on a slow machine: it is not stored.
                Some("error") => {
                    assert_eq!(response["code"], "unavailable", "{response}");
                    client.send(&frame).await;
                }
                _ => {}
            }
        }
    }
    numbers
}

#[tokio::test]
async fn fifty_sends_at_once_make_a_log_without_holes_that_a_reader_never_misses() {
    const SOCKETS: usize = 10;
    const AT_ONCE: usize = 5;
    const ROUNDS: usize = 3;
    let total = (SOCKETS * AT_ONCE * ROUNDS) as i64;
    let chat = Chat::start().await;
    let start = Arc::new(Barrier::new(SOCKETS));
    let mut senders = Vec::new();
    for index in 0..SOCKETS {
        let (from, to) = if index % 2 == 0 {
            ("a", "b")
        } else {
            ("b", "a")
        };
        let client = chat.connect(from).await;
        let send = send_at_once(client, to, AT_ONCE, ROUNDS, Arc::clone(&start));
        senders.push(tokio::spawn(send));
    }
    let reader = tokio::spawn(poll_until(chat.http.clone(), total));

    expect_all_numbers(senders, total).await;

    let seen = in_time("the reader to see all messages", reader).await;
    let seen = seen.expect("the reader skips none");
    let times: Vec<&str> = seen
        .iter()
        .map(|message| message["timestamp"].as_str().expect("a string"))
        .collect();
    assert!(times.is_sorted(), "times never decrease");
    chat.stop().await;
}

#[tokio::test]
async fn many_processes_of_one_function_share_a_log_without_holes() {
    // Two chats on one database: their functions share no memory, as on Lambda.
    let first = Chat::start().await;
    let second = Chat::with()
        .database(&first.uri, first.database.name())
        .start()
        .await;
    let start = Arc::new(Barrier::new(8));
    let mut senders = Vec::new();
    for index in 0..8 {
        let chat = if index % 2 == 0 { &first } else { &second };
        let client = chat.connect("a").await;
        senders.push(tokio::spawn(send_many(client, "b", 5, Arc::clone(&start))));
    }
    expect_all_numbers(senders, 40).await;

    // The functions of one API reach a connection of the other.
    let mut receiver = first.connect("b").await;
    let mut sender = second.connect("x").await;
    assert_eq!(
        sender.send_message("b", "across").await["status"],
        "delivered"
    );
    assert_eq!(receiver.next().await["message"], "across");
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn writers_without_shared_memory_share_a_log_without_holes() {
    const WRITERS: usize = 20;
    const EACH: usize = 5;
    let database = server::database_name();
    let uri = server::uri().await;
    let start = Arc::new(Barrier::new(WRITERS));
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        let store = server::migrated_store(uri, &database)
            .await
            .expect("a store");
        let start = Arc::clone(&start);
        writers.push(tokio::spawn(async move {
            meet(&start).await;
            let mut numbers = Vec::new();
            for _ in 0..EACH {
                numbers.push(append(&store).await);
            }
            assert!(numbers.is_sorted());
            numbers
        }));
    }
    expect_all_numbers(writers, (WRITERS * EACH) as i64).await;
}

/// Appends a message and returns its number. Again, if others took each number for two seconds: then it is
/// not stored.
async fn append(store: &Store) -> i64 {
    let deadline = Deadline::after(TIMEOUT);
    loop {
        match store.append(&draft(), Utc::now(), deadline).await {
            Ok(appended) => return appended.entry.seq,
            Err(error) => assert!(!deadline.remaining().is_zero(), "{error:?}"),
        }
    }
}

fn draft() -> Draft {
    let user = |id: &str| UserId::try_from(id.to_owned()).expect("a valid id");
    let text = Text::try_from("m".to_owned()).expect("a valid text");
    Draft::new(user("a"), Recipient::User(user("b")), Content::Text(text))
}

#[tokio::test]
async fn a_resend_in_parallel_or_later_makes_no_second_message() {
    let chat = Chat::start().await;
    let mut clients = [chat.connect("a").await, chat.connect("a").await];
    let frame = json!({
        "action": "sendMessage",
        "receiver_id": "b",
        "message": "once",
        "client_message_id": "the-same",
    });
    let next_ack = async |client: &mut Client| loop {
        let frame = client.next().await;
        if frame["type"] == "ack" {
            break frame;
        }
        assert_eq!(frame["type"], "message", "{frame}");
    };

    for client in &mut clients {
        client.send(&frame).await;
    }
    let [one, two] = &mut clients;
    let (one, two) = (next_ack(one).await, next_ack(two).await);
    assert_eq!((&one["seq"], &two["seq"]), (&json!(1), &json!(1)));
    assert_eq!(one["message_id"], two["message_id"]);
    let duplicates = [&one, &two].map(|ack| ack["duplicate"].as_bool().expect("a boolean"));
    assert_eq!(
        duplicates.iter().filter(|is| **is).count(),
        1,
        "one of them stored it"
    );

    // Later, after other messages, from another process without any memory of it.
    clients[0].send_message("b", "something else").await;
    let second = Chat::with()
        .database(&chat.uri, chat.database.name())
        .start()
        .await;
    let mut late = second.connect("a").await;
    late.send(&frame).await;
    let late = next_ack(&mut late).await;
    assert_eq!(late["duplicate"], true);
    for field in ["seq", "message_id", "timestamp", "conversation_id"] {
        assert_eq!(late[field], one[field], "{field}");
    }
    assert_eq!(chat.history("a", "b", "").await.messages().len(), 2);

    // The same id from the other user, or in another conversation, is another message.
    let mut other = chat.connect("b").await;
    other.send(&json!({
        "action": "sendMessage", "receiver_id": "a", "message": "mine", "client_message_id": "the-same",
    })).await;
    assert_eq!(next_ack(&mut other).await["seq"], 3);
    second.stop().await;
    chat.stop().await;
}

#[tokio::test]
async fn a_resend_is_pushed_again() {
    let chat = Chat::start().await;
    let mut sender = chat.connect("a").await;
    let mut receiver = chat.connect("b").await;
    let frame = json!({
        "action": "sendMessage", "receiver_id": "b", "message": "m", "client_message_id": "1",
    });
    for duplicate in [false, true] {
        sender.send(&frame).await;
        assert_eq!(sender.next().await["duplicate"], duplicate);
        assert_eq!(receiver.next().await["seq"], 1);
    }
    chat.stop().await;
}

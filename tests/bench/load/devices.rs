//! Many sockets of two users that write into one conversation, all at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use futures_util::{TryStreamExt, future::join_all};
use mongodb::bson::{Document, doc};
use serde_json::json;
use tests::Chat;
use tokio::time::timeout;

use super::socket::Socket;
use super::tally::{add, get};
use crate::figures::Samples;
use crate::messages::TEXT;

/// The two users.
const USERS: [&str; 2] = ["desk", "pocket"];

/// Sockets of each.
const SOCKETS: usize = 100;

/// How long each goes on to send a message after the ack of its last.
const TIME: Duration = Duration::from_secs(10);

/// How long an ack may take before the message is sent again: longer than the gateway waits.
const PATIENCE: Duration = Duration::from_secs(35);

/// A message that could not be stored is sent again after a time up to this, at random; it doubles
/// with each, up to a bound.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(20);

/// What one socket did: numbers and ids of its messages, and the times of their acks.
#[derive(Default)]
struct Sent {
    numbers: BTreeMap<String, i64>,
    acks: Samples,
    resent: usize,
}

/// Prints how fast that goes.
///
/// # Panics
///
/// The conversation does not hold each acknowledged message once, under the acknowledged number,
/// without a hole.
pub async fn write_at_once(stack: &Chat) {
    let pushes = Arc::new(AtomicUsize::new(0));
    let sockets = join_all((0..2 * SOCKETS).map(|number| {
        let user = USERS[number % 2];
        async move { Socket::open(&stack.ws, user).await.expect("connected") }
    }));
    let sockets = sockets.await;
    let start = Instant::now();
    let senders = sockets.into_iter().enumerate().map(|(number, socket)| {
        let receiver = USERS[(number + 1) % 2];
        tokio::spawn(write(socket, receiver, start + TIME, Arc::clone(&pushes)))
    });
    let mut all = Sent::default();
    for sender in join_all(senders).await {
        let sent = sender.expect("it does not panic");
        all.numbers.extend(sent.numbers);
        all.acks.merge(sent.acks);
        all.resent += sent.resent;
    }
    let took = start.elapsed();
    assert_eq!(stored(stack).await, all.numbers, "each is stored once");
    let numbers = all.numbers.values().copied();
    let expected = 1..=numbers.len() as i64;
    let numbers: std::collections::BTreeSet<i64> = numbers.collect();
    assert!(numbers.into_iter().eq(expected), "numbers have no holes");
    println!(
        "{} senders, one conversation    {:.1} messages a second, {:.0} pushes a second; ack {}; \
         resent {}; numbers dense, each stored once",
        2 * SOCKETS,
        all.numbers.len() as f64 / took.as_secs_f64(),
        get(&pushes) as f64 / took.as_secs_f64(),
        all.acks.summary(),
        all.resent
    );
}

/// Sends until `end` on one socket.
async fn write(mut socket: Socket, receiver: &str, end: Instant, pushes: Arc<AtomicUsize>) -> Sent {
    let mut sent = Sent::default();
    while Instant::now() < end {
        let id = format!("{:016x}", fastrand::u64(..));
        let frame = json!({
            "action": "sendMessage", "receiver_id": receiver, "message": TEXT,
            "client_message_id": id,
        });
        let start = Instant::now();
        let mut backoff = FIRST_BACKOFF;
        let number = loop {
            socket.send(&frame).await;
            let answer = timeout(PATIENCE, answer(&mut socket, &id, &pushes)).await;
            match answer {
                Ok(Some(number)) => break number,
                Ok(None) => tokio::time::sleep(backoff.mul_f64(fastrand::f64())).await,
                Err(_) => {}
            }
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
            sent.resent += 1;
        };
        sent.acks.add(start.elapsed());
        sent.numbers.insert(id, number);
    }
    socket.close().await;
    sent
}

/// The number that a message was acknowledged with, or nothing if it has to be sent again.
async fn answer(socket: &mut Socket, id: &str, pushes: &AtomicUsize) -> Option<i64> {
    loop {
        let frame = socket.next().await.expect("the socket stays open");
        match frame["type"].as_str() {
            Some("message") => add(pushes),
            Some("ack") if frame["client_message_id"] == id => return frame["seq"].as_i64(),
            // Of a message that was sent again and acknowledged since.
            Some("ack") => {}
            // An error of ours, or of the gateway, which names no message.
            _ => return None,
        }
    }
}

/// The numbers in the database, by the clients' ids. An id that is there twice fails.
async fn stored(stack: &Chat) -> BTreeMap<String, i64> {
    let messages = stack.database.collection::<Document>("chat_messages");
    let found = messages.find(doc! {"sender_id": {"$in": USERS.as_slice()}});
    let found: Vec<Document> = found
        .await
        .expect("found")
        .try_collect()
        .await
        .expect("read");
    let count = found.len();
    let numbers = found.into_iter().map(|message| {
        let id = message.get_str("client_message_id").expect("an id");
        (id.to_owned(), message.get_i64("seq").expect("a number"))
    });
    let numbers: BTreeMap<String, i64> = numbers.collect();
    assert_eq!(numbers.len(), count, "no id is stored twice");
    numbers
}

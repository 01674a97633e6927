//! Many connections of two users that write into one conversation, all at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use futures_util::{TryStreamExt, future::join_all};
use mongodb::bson::{Document, doc};
use tests::Chat;
use tests::client::{Connection, Frame, Pending, Reply};
use tokio::time::timeout_at;

use super::tally::{ACK_TIMEOUT, BACKOFF, add, connect, get};
use crate::figures::{Report, Samples};
use crate::messages::TEXT;

/// The two users.
const USERS: [&str; 2] = ["desk", "pocket"];

/// Connections of each.
const SOCKETS: usize = 100;

/// Time for which each connection sends: a message after the ack of the one before.
const TIME: Duration = Duration::from_secs(10);

/// Record of a connection: numbers and ids of its messages, and the times to their acks.
#[derive(Default)]
struct Sent {
    numbers: BTreeMap<String, i64>,
    acks: Samples,
    resent: usize,
}

/// Prints the rates of messages and pushes.
///
/// # Panics
///
/// The conversation does not hold each acknowledged message once, under its number, without a hole.
pub async fn write_at_once(chat: &Chat, report: Report) {
    let pushes = Arc::new(AtomicUsize::new(0));
    let sockets = join_all((0..2 * SOCKETS).map(|number| {
        let user = USERS[number % 2];
        async move { connect(&chat.ws, user).open().await.expect("connected") }
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
    assert_eq!(stored(chat).await, all.numbers, "each is stored once");
    let numbers = all.numbers.values().copied();
    let expected = 1..=numbers.len() as i64;
    let numbers: std::collections::BTreeSet<i64> = numbers.collect();
    assert!(numbers.into_iter().eq(expected), "numbers have no holes");
    let figure = format!(
        "{} connections of two users send into one conversation",
        2 * SOCKETS
    );
    let value = format!(
        "{:.1} messages and {:.0} pushes a second; ack {}; resent {}; numbers dense, each stored once",
        all.numbers.len() as f64 / took.as_secs_f64(),
        get(&pushes) as f64 / took.as_secs_f64(),
        all.acks.summary(),
        all.resent
    );
    report.row(figure, value);
}

/// Sends on one connection until `end`.
async fn write(
    mut connection: Connection,
    receiver: &str,
    end: Instant,
    pushes: Arc<AtomicUsize>,
) -> Sent {
    let mut sent = Sent::default();
    let mut rng = fastrand::Rng::new();
    while Instant::now() < end {
        let id = format!("{:016x}", fastrand::u64(..));
        let mut pending = Pending::message(&id, receiver, TEXT);
        let start = Instant::now();
        let number = loop {
            let frame = pending.attempt(ACK_TIMEOUT).to_owned();
            connection
                .send(frame)
                .await
                .expect("the connection stays open");
            let reply = reply(&mut connection, &pending, &pushes);
            match timeout_at(pending.due(), reply).await {
                Ok(Reply::Acked(ack)) => break ack.seq,
                Ok(_) => pending.fail(BACKOFF.pause(pending.failures() + 1, &mut rng)),
                Err(_) => pending.fail(Duration::ZERO),
            }
            tokio::time::sleep_until(pending.due()).await;
            sent.resent += 1;
        };
        sent.acks.add(start.elapsed());
        sent.numbers.insert(id, number);
    }
    // The server may have closed it already.
    let _ = connection.close().await;
    sent
}

/// Waits for the reply to a message, and counts the pushes before it.
async fn reply(connection: &mut Connection, pending: &Pending, pushes: &AtomicUsize) -> Reply {
    loop {
        let text = connection.next().await.expect("the connection stays open");
        match Frame::parse(&text) {
            Frame::Message(_) => add(pushes),
            frame => {
                if let Some(reply) = pending.reply(&frame) {
                    return reply;
                }
            }
        }
    }
}

/// Returns the numbers in the database, by client message id. A doubled id is a panic.
async fn stored(chat: &Chat) -> BTreeMap<String, i64> {
    let messages = chat.database.collection::<Document>("chat_messages");
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

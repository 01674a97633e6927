//! Many sockets of two users that write into one conversation, all at once.

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
use crate::figures::Samples;
use crate::messages::TEXT;

/// The two users.
const USERS: [&str; 2] = ["desk", "pocket"];

/// Sockets of each.
const SOCKETS: usize = 100;

/// How long each goes on to send a message after the ack of its last.
const TIME: Duration = Duration::from_secs(10);

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
        async move { connect(&stack.ws, user).open().await.expect("connected") }
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
    // The other side may have been quicker.
    let _ = connection.close().await;
    sent
}

/// Waits for the answer to a message, and counts the pushes that come before.
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

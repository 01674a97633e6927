//! Many open connections, of which some chat, and all of them again after a cut.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use hyper::Method;
use mongodb::bson::{DateTime, Document, doc};
use tests::Chat;
use tests::client::{self, Connection, Frame, Pending, Reply};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::tally::{ACK_TIMEOUT, BACKOFF, POLL_INTERVAL, Tally, Times, add, connect, get, reach};
use crate::figures::Report;
use crate::messages::TEXT;

/// Handshakes at once, while all connect at the rate that the chat can take.
const HANDSHAKES: usize = 32;

/// Duration of a chat.
const CHAT: Duration = Duration::from_secs(30);

/// Random time between two messages of a user.
const INTERVAL_MS: std::ops::Range<u64> = 3_000..9_000;

/// Upper bound of the random time after which a client whose connection was cut comes back.
const RETURN: Duration = Duration::from_secs(20);

/// Time limit of `$disconnect`: the gateway's time limit of a function.
const DISCONNECT: Duration = Duration::from_secs(30);

/// The task of all users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Listen,
    Chat,
    Leave,
}

/// State that all users share.
struct Place {
    url: String,
    /// Start of their clock: messages contain their time.
    start: Instant,
    tally: Tally,
    handshakes: Semaphore,
}

/// The users, each of them a task.
pub struct Crowd {
    place: Arc<Place>,
    mode: watch::Sender<Mode>,
    people: Vec<JoinHandle<Person>>,
    chatting: usize,
    report: Report,
}

impl Crowd {
    /// Opens `sockets` connections of as many users, of whom the first `chatting` will chat in
    /// pairs, and prints the rate.
    pub async fn connect(chat: &Chat, sockets: usize, chatting: usize, report: Report) -> Self {
        let place = Arc::new(Place {
            url: chat.ws.clone(),
            start: Instant::now(),
            tally: Tally::default(),
            handshakes: Semaphore::new(HANDSHAKES),
        });
        let mode = watch::Sender::new(Mode::Listen);
        let live = |number| {
            let person = Person::new(number, number < chatting, Arc::clone(&place));
            tokio::spawn(person.live(mode.subscribe()))
        };
        let people = (0..sockets).map(live).collect();
        let tally = &place.tally;
        let took = reach("sockets are open", sockets, async || get(&tally.open)).await;
        let Times {
            handshakes,
            refusals,
            ..
        } = tally.take_times();
        let value = format!(
            "{:.0} handshakes a second, {}; refused: {}",
            sockets as f64 / took.as_secs_f64(),
            handshakes.summary(),
            refusals.values().sum::<usize>()
        );
        report.row(format_args!("{sockets} clients connect"), value);
        Self {
            place,
            mode,
            people,
            chatting,
            report,
        }
    }

    /// Lets some users chat, and prints figures of their messages.
    ///
    /// # Panics
    ///
    /// A message does not arrive.
    pub async fn chat(&self) {
        let tally = &self.place.tally;
        let counters = [&tally.sent, &tally.acked, &tally.delivered, &tally.resent];
        let before = counters.map(get);
        self.mode.send_replace(Mode::Chat);
        tokio::time::sleep(CHAT).await;
        self.mode.send_replace(Mode::Listen);
        let missing = |some| get(&tally.sent).saturating_sub(get(some));
        reach("acks are missing", 0, async || missing(&tally.acked)).await;
        reach("messages are missing", 0, async || {
            missing(&tally.delivered)
        })
        .await;
        let after = counters.map(get);
        let [sent, acked, delivered, resent] = std::array::from_fn(|i| after[i] - before[i]);
        let (chatting, all) = (self.chatting, self.people.len());
        let figure = format!("{chatting} of {all} clients chat for {} s", CHAT.as_secs());
        let times = tally.take_times().deliveries.summary();
        let value = format!(
            "sent {sent}, acknowledged {acked}, delivered {delivered}, resent {resent}; send to \
             receive {times}"
        );
        self.report.row(figure, value);
    }

    /// Cuts all connections at once, and prints how the users come back.
    ///
    /// # Panics
    ///
    /// A user who is back has no row in the database.
    pub async fn storm(&self, chat: &Chat) {
        let (tally, sockets) = (&self.place.tally, self.people.len());
        let (opened, refused) = (get(&tally.opened), get(&tally.refused));
        let (cut_at, start) = (DateTime::now(), Instant::now());
        let cut = format!("{}/_local/cut", chat.ws.replace("ws:", "http:"));
        let cut = client::request(Method::POST, &cut, vec![]).await;
        assert_eq!(cut.json()["cut"], sockets, "all are cut");
        let back = async || get(&tally.opened) - opened;
        let took = reach("sockets are back", sockets, back).await;
        let old = left_over(chat, doc! {"connected_at": {"$lt": cut_at}}, start).await;
        let new = users(chat, doc! {"connected_at": {"$gte": cut_at}}).await;
        let who: BTreeSet<&String> = new.iter().collect();
        assert_eq!(who.len(), sockets, "each who is back has a row");
        let in_vain = new.len() - sockets;
        assert!(in_vain <= get(&tally.refused) - refused, "and no other");
        let Times {
            handshakes,
            refusals,
            ..
        } = tally.take_times();
        let seconds = RETURN.as_secs();
        let figure = format!("all connections are cut, clients reconnect within {seconds} s");
        let value = format!(
            "all {sockets} are back after {:.1} s, handshakes {}; refused and tried again: \
             {refusals:?}; rows: one of each connection, {old} of cut ones whose $disconnect took \
             too long, {in_vain} of refused handshakes",
            took.as_secs_f64(),
            handshakes.summary()
        );
        self.report.row(figure, value);
    }

    /// Closes all connections.
    ///
    /// # Panics
    ///
    /// A user has missed a message or got one twice.
    pub async fn leave(self, chat: &Chat) {
        self.mode.send_replace(Mode::Leave);
        let mut people = Vec::new();
        for person in self.people {
            people.push(person.await.expect("nobody panics"));
        }
        for pair in people[..self.chatting].chunks(2) {
            assert!(!pair[0].seen.is_empty(), "they have chatted");
            assert_eq!(pair[0].seen, pair[1].seen, "both have seen the same");
            let numbers = 1..=pair[0].seen.len() as i64;
            assert!(pair[0].seen.iter().copied().eq(numbers), "without a hole");
        }
        let closed = Instant::now();
        let left = left_over(chat, doc! {}, closed).await;
        let seconds = closed.elapsed().as_secs_f64();
        let value = format!("{left} rows are left after {seconds:.1} s");
        self.report.row("all clients leave", value);
    }
}

/// Waits until no such rows are left, as long as `$disconnect` may take since the connections
/// ended, and returns how many are left. The gateway aborts a `$disconnect` that takes longer, as
/// API Gateway may; such a row goes when a push finds the connection gone, or when it expires.
async fn left_over(chat: &Chat, rows: Document, since: Instant) -> usize {
    let connections = chat.database.collection::<Document>("connections");
    loop {
        let count = connections.count_documents(rows.clone()).await;
        let count = count.expect("counted") as usize;
        if count == 0 || since.elapsed() > DISCONNECT {
            return count;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Returns the user of each such row.
async fn users(chat: &Chat, rows: Document) -> Vec<String> {
    let connections = chat.database.collection::<Document>("connections");
    let found = connections.find(rows).await.expect("found");
    let found: Vec<Document> = found.try_collect().await.expect("read");
    let users = found.iter().map(|row| row.get_str("user_id"));
    users
        .map(|user| user.expect("a row has a user").to_owned())
        .collect()
}

/// A user with one connection, who keeps it open.
struct Person {
    user_id: String,
    /// The user with whom this one chats.
    partner: Option<String>,
    place: Arc<Place>,
    /// The numbers of all messages of the conversation that this user has sent or received.
    seen: BTreeSet<i64>,
    /// The message that is not acknowledged yet.
    pending: Option<Pending>,
    /// Time of the next message.
    next: Instant,
    rng: fastrand::Rng,
}

impl Person {
    fn new(number: usize, chats: bool, place: Arc<Place>) -> Self {
        let user = |number| format!("user-{number}");
        Self {
            user_id: user(number),
            // Pairs: 0 and 1, 2 and 3, …
            partner: chats.then(|| user(number ^ 1)),
            place,
            seen: BTreeSet::new(),
            pending: None,
            next: Instant::now(),
            rng: fastrand::Rng::new(),
        }
    }

    async fn live(mut self, mut mode: watch::Receiver<Mode>) -> Self {
        let mut wait = Duration::ZERO;
        loop {
            let connection = self.come(wait).await;
            if let Some(connection) = self.stay(connection, &mut mode).await {
                // The server may have closed it already.
                let _ = connection.close().await;
                return self;
            }
            self.place.tally.has_ended();
            wait = up_to(RETURN);
        }
    }

    /// Opens a connection after `wait`, as often as it takes.
    async fn come(&mut self, mut wait: Duration) -> Connection {
        let is_first = wait.is_zero();
        let mut failures = 0;
        loop {
            tokio::time::sleep(wait).await;
            let turns = &self.place.handshakes;
            let _turn = if is_first {
                Some(turns.acquire().await.expect("never closed"))
            } else {
                None
            };
            let start = Instant::now();
            match connect(&self.place.url, &self.user_id).open().await {
                Ok(connection) => {
                    self.place.tally.handshake(Ok(start.elapsed()));
                    return connection;
                }
                Err(error) => self.place.tally.handshake(Err(error.to_string())),
            }
            failures += 1;
            wait = BACKOFF.pause(failures, &mut self.rng);
        }
    }

    /// Uses a connection until it ends; returns it when it is time to leave.
    async fn stay(
        &mut self,
        mut connection: Connection,
        mode: &mut watch::Receiver<Mode>,
    ) -> Option<Connection> {
        loop {
            let now = *mode.borrow_and_update();
            if now == Mode::Leave {
                return Some(connection);
            }
            let chats = now == Mode::Chat && self.partner.is_some();
            let due = self.pending.as_ref().map(Pending::due);
            let due = due.or(chats.then_some(self.next.into()));
            tokio::select! {
                text = connection.next() => self.on_frame(&Frame::parse(&text.ok()?)),
                changed = mode.changed() => {
                    changed.ok()?;
                    if self.pending.is_none() {
                        // The users do not all begin at once.
                        self.next = Instant::now() + up_to(Duration::from_millis(INTERVAL_MS.end));
                    }
                }
                () = sleep_until(due.unwrap_or_else(|| self.next.into())), if due.is_some() => {
                    // A connection that has ended shows when it is read.
                    let _ = connection.send(self.attempt()).await;
                }
            }
        }
    }

    /// Begins an attempt of the message that has not been acknowledged, else of a new one; returns its
    /// frame.
    fn attempt(&mut self) -> String {
        let tally = &self.place.tally;
        match &mut self.pending {
            Some(pending) => {
                add(&tally.resent);
                if pending.is_under_way() {
                    pending.fail(Duration::ZERO);
                }
            }
            None => add(&tally.sent),
        }
        let pending = self.pending.get_or_insert_with(|| {
            let id = format!("{:016x}", fastrand::u64(..));
            let partner = self.partner.as_deref().expect("this one chats");
            let text = format!("{TEXT} {}", self.place.start.elapsed().as_micros());
            Pending::message(&id, partner, &text)
        });
        pending.attempt(ACK_TIMEOUT).to_owned()
    }

    fn on_frame(&mut self, frame: &Frame) {
        let tally = &self.place.tally;
        if let Frame::Message(message) = frame {
            // A resend is pushed again; a message that is known is dropped.
            if self.seen.insert(message.seq) {
                tally.delivery(self.place.start.elapsed() - sent_at(&message.message));
            }
        }
        let Some(pending) = &mut self.pending else {
            return;
        };
        match pending.reply(frame) {
            Some(Reply::Acked(ack)) => {
                assert!(self.seen.insert(ack.seq), "a number twice: {ack:?}");
                add(&tally.acked);
                self.pending = None;
                self.next = Instant::now() + Duration::from_millis(fastrand::u64(INTERVAL_MS));
            }
            Some(_) => pending.fail(BACKOFF.pause(pending.failures() + 1, &mut self.rng)),
            // The ack of a message that was sent again and acknowledged since.
            None => {}
        }
    }
}

/// Returns the time at which a message was sent; its text ends with that time.
fn sent_at(text: &str) -> Duration {
    let micros = text
        .rsplit(' ')
        .next()
        .and_then(|micros| micros.parse().ok());
    Duration::from_micros(micros.expect("the text ends with a time"))
}

/// Returns a random time up to `bound`: full jitter.
fn up_to(bound: Duration) -> Duration {
    bound.mul_f64(fastrand::f64())
}

//! Many open sockets, of which some chat, and all of them back after a cut.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use hyper::Method;
use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};
use tests::{Chat, client};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::socket::Socket;
use super::tally::{POLL_INTERVAL, Tally, Times, add, get, reach};
use crate::messages::TEXT;

/// Handshakes at once where all connect at the rate that the chat stands.
const HANDSHAKES: usize = 32;

/// How long they chat.
const CHAT: Duration = Duration::from_secs(30);

/// Between two messages of a user, at random: least and most.
const INTERVAL_MS: std::ops::Range<u64> = 3_000..9_000;

/// Clients whose sockets are cut come back after a time up to this, at random.
const RETURN: Duration = Duration::from_secs(20);

/// How long an ack may take before the message is sent again: longer than the gateway waits.
const PATIENCE: Duration = Duration::from_secs(35);

/// What is refused, a handshake or a message, is tried again after a time up to this, at random; it
/// doubles with each, up to [`RETURN`].
const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// How long `$disconnect` may take: what the gateway waits for a function.
const DISCONNECT: Duration = Duration::from_secs(30);

/// What all are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Listen,
    Chat,
    Leave,
}

/// What all people have in common.
struct Place {
    url: String,
    /// When their clock began: messages say when they were sent.
    start: Instant,
    tally: Tally,
    handshakes: Semaphore,
}

/// The people, each of whom is a task.
pub struct Crowd {
    place: Arc<Place>,
    mode: watch::Sender<Mode>,
    people: Vec<JoinHandle<Person>>,
    chatting: usize,
}

impl Crowd {
    /// Opens `sockets`, of users of which the first `chatting` will chat in pairs, and prints how
    /// fast that goes.
    pub async fn connect(stack: &Chat, sockets: usize, chatting: usize) -> Self {
        let place = Arc::new(Place {
            url: stack.ws.clone(),
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
        println!(
            "{sockets} sockets connect             {:.0} handshakes a second, {}; refused: {}",
            sockets as f64 / took.as_secs_f64(),
            handshakes.summary(),
            refusals.values().sum::<usize>()
        );
        Self {
            place,
            mode,
            people,
            chatting,
        }
    }

    /// Lets some of them chat, and prints what became of their messages.
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
        println!(
            "{} of {} sockets chat {} s   sent {sent}, acknowledged {acked}, delivered {delivered}, \
             resent {resent}; send to receive {}",
            self.chatting,
            self.people.len(),
            CHAT.as_secs(),
            tally.take_times().deliveries.summary()
        );
    }

    /// Cuts all sockets at once, and prints how all come back.
    ///
    /// # Panics
    ///
    /// A user who is back has no row in the database.
    pub async fn storm(&self, stack: &Chat) {
        let (tally, sockets) = (&self.place.tally, self.people.len());
        let (opened, refused) = (get(&tally.opened), get(&tally.refused));
        let (cut_at, start) = (DateTime::now(), Instant::now());
        let cut = format!("{}/_local/cut", stack.ws.replace("ws:", "http:"));
        let cut = client::request(Method::POST, &cut, vec![]).await;
        assert_eq!(cut.json()["cut"], sockets, "all are cut");
        let back = async || get(&tally.opened) - opened;
        let took = reach("sockets are back", sockets, back).await;
        let old = left_over(stack, doc! {"connected_at": {"$lt": cut_at}}, start).await;
        let new = users(stack, doc! {"connected_at": {"$gte": cut_at}}).await;
        let who: BTreeSet<&String> = new.iter().collect();
        assert_eq!(who.len(), sockets, "each who is back has a row");
        let in_vain = new.len() - sockets;
        assert!(in_vain <= get(&tally.refused) - refused, "and no other");
        let Times {
            handshakes,
            refusals,
            ..
        } = tally.take_times();
        println!(
            "all cut, back within {} s        all {sockets} are back after {:.1} s, handshakes {}; \
             refused and tried again: {refusals:?}; rows: one of each socket, {old} of cut ones \
             whose $disconnect took too long, {in_vain} of refused handshakes",
            RETURN.as_secs(),
            took.as_secs_f64(),
            handshakes.summary()
        );
    }

    /// Closes all sockets.
    ///
    /// # Panics
    ///
    /// A socket has missed a message or got one twice.
    pub async fn leave(self, stack: &Chat) {
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
        let left = left_over(stack, doc! {}, closed).await;
        println!(
            "all close their sockets          {left} rows are left after {:.1} s",
            closed.elapsed().as_secs_f64()
        );
    }
}

/// Waits until no such rows are left, as long as `$disconnect`s may take since the sockets ended, and
/// gives how many are left. The gateway gives up those that take too long, as API Gateway may; such a
/// row goes when a push finds the socket gone, or when it expires.
async fn left_over(stack: &Chat, rows: Document, since: Instant) -> usize {
    let connections = stack.database.collection::<Document>("connections");
    loop {
        let count = connections.count_documents(rows.clone()).await;
        let count = count.expect("counted") as usize;
        if count == 0 || since.elapsed() > DISCONNECT {
            return count;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The user of each such row.
async fn users(stack: &Chat, rows: Document) -> Vec<String> {
    let connections = stack.database.collection::<Document>("connections");
    let found = connections.find(rows).await.expect("found");
    let found: Vec<Document> = found.try_collect().await.expect("read");
    let users = found.iter().map(|row| row.get_str("user_id"));
    users
        .map(|user| user.expect("a row has a user").to_owned())
        .collect()
}

/// A user with one socket, who keeps it open.
struct Person {
    user_id: String,
    /// With whom this one chats.
    partner: Option<String>,
    place: Arc<Place>,
    /// The numbers of all messages of the conversation that this one has sent or got.
    seen: BTreeSet<i64>,
    /// The message that is not acknowledged yet.
    pending: Option<Value>,
    /// When that one is sent again, or else the next one is sent.
    next: Instant,
    /// The bound of the pause before it is sent again.
    backoff: Duration,
}

impl Person {
    fn new(number: usize, chats: bool, place: Arc<Place>) -> Self {
        let user = |number| format!("user-{number}");
        Self {
            user_id: user(number),
            // 0 and 1, 2 and 3, …
            partner: chats.then(|| user(number ^ 1)),
            place,
            seen: BTreeSet::new(),
            pending: None,
            next: Instant::now(),
            backoff: FIRST_BACKOFF,
        }
    }

    async fn live(mut self, mut mode: watch::Receiver<Mode>) -> Self {
        let mut wait = Duration::ZERO;
        loop {
            let socket = self.come(wait).await;
            if let Some(socket) = self.stay(socket, &mut mode).await {
                socket.close().await;
                return self;
            }
            self.place.tally.has_ended();
            wait = up_to(RETURN);
        }
    }

    /// Opens a socket after `wait`, as often as it takes.
    async fn come(&self, mut wait: Duration) -> Socket {
        let is_first = wait.is_zero();
        let mut bound = FIRST_BACKOFF;
        loop {
            tokio::time::sleep(wait).await;
            let _turn = match is_first {
                true => Some(self.place.handshakes.acquire().await.expect("never closed")),
                false => None,
            };
            let start = Instant::now();
            let opened = Socket::open(&self.place.url, &self.user_id).await;
            let refusal = match opened {
                Ok(socket) => {
                    self.place.tally.handshake(Ok(start.elapsed()));
                    return socket;
                }
                Err(refusal) => refusal,
            };
            self.place.tally.handshake(Err(refusal));
            wait = up_to(bound);
            bound = (bound * 2).min(RETURN);
        }
    }

    /// Uses a socket until it ends; gives it back when it is time to leave.
    async fn stay(
        &mut self,
        mut socket: Socket,
        mode: &mut watch::Receiver<Mode>,
    ) -> Option<Socket> {
        loop {
            let now = *mode.borrow_and_update();
            if now == Mode::Leave {
                return Some(socket);
            }
            let chats = now == Mode::Chat && self.partner.is_some() || self.pending.is_some();
            tokio::select! {
                frame = socket.next() => self.take(&frame?),
                changed = mode.changed() => {
                    changed.ok()?;
                    if self.pending.is_none() {
                        // They do not all begin at once.
                        self.next = Instant::now() + up_to(Duration::from_millis(INTERVAL_MS.end));
                    }
                }
                () = sleep_until(self.next.into()), if chats => {
                    let message = self.message();
                    socket.send(message).await;
                    self.next = Instant::now() + PATIENCE;
                }
            }
        }
    }

    /// The message that has not been acknowledged, else a new one.
    fn message(&mut self) -> Value {
        let place = &self.place;
        match &self.pending {
            Some(_) => add(&place.tally.resent),
            None => add(&place.tally.sent),
        }
        let message = self.pending.get_or_insert_with(|| {
            json!({
                "action": "sendMessage",
                "receiver_id": self.partner,
                "message": format!("{TEXT} {}", place.start.elapsed().as_micros()),
                "client_message_id": format!("{:016x}", fastrand::u64(..)),
            })
        });
        message.clone()
    }

    fn take(&mut self, frame: &Value) {
        let tally = &self.place.tally;
        let seq = || frame["seq"].as_i64().expect("a number");
        match frame["type"].as_str() {
            // A resend is pushed again; what is known is dropped.
            Some("message") => {
                if self.seen.insert(seq()) {
                    tally.delivery(self.place.start.elapsed() - sent_at(frame));
                }
            }
            Some("ack") if is_about(frame, self.pending.as_ref()) => {
                self.pending = None;
                assert!(self.seen.insert(seq()), "a number twice: {frame}");
                add(&tally.acked);
                self.next = Instant::now() + Duration::from_millis(fastrand::u64(INTERVAL_MS));
                self.backoff = FIRST_BACKOFF;
            }
            // Of a message that was sent again and acknowledged since.
            Some("ack") => {}
            // An error of ours, or of the gateway, which names no message.
            _ => {
                self.next = Instant::now() + up_to(self.backoff);
                self.backoff = (self.backoff * 2).min(RETURN);
            }
        }
    }
}

fn is_about(ack: &Value, message: Option<&Value>) -> bool {
    message.is_some_and(|message| message["client_message_id"] == ack["client_message_id"])
}

/// What the text of a message says about when it was sent.
fn sent_at(frame: &Value) -> Duration {
    let text = frame["message"].as_str().unwrap_or_default();
    let micros = text
        .rsplit(' ')
        .next()
        .and_then(|micros| micros.parse().ok());
    Duration::from_micros(micros.expect("the text ends with a time"))
}

/// Full jitter: any time up to `bound`.
fn up_to(bound: Duration) -> Duration {
    bound.mul_f64(fastrand::f64())
}

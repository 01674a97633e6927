//! Send to receive, with one pair and with many, beside an insert and a bare echo.

use std::time::{Duration, Instant};

use chat::store::{Limited, RateLimit, StoreConfig};
use chat::{Deadline, Push, Store, UserId};
use chat_lambda::aws::AwsConfig;
use chat_lambda::config::PushConfig;
use chrono::Utc;
use mongodb::Collection;
use mongodb::bson::{Document, doc, oid::ObjectId};
use serde_json::json;
use tests::{Chat, Client};

use crate::cpu::Cpu;
use crate::echo::Echo;
use crate::figures::{Report, Samples};

/// Time before rounds are counted. A connection counts as new for five seconds, and a push to a new one
/// takes a step more.
pub const WARM_UP: Duration = Duration::from_secs(6);

/// Counted rounds with one pair.
pub const ROUNDS: usize = 2_000;

/// Pairs that chat concurrently.
pub const PAIRS: usize = 32;

/// Time that they chat.
pub const TIME: Duration = Duration::from_secs(10);

/// About the length of a chat message.
pub const TEXT: &str = "Let's meet at 3PM in front of the library, second floor.";

/// Measures one pair. Returns the number of sent messages.
pub async fn one_pair(chat: &Chat, report: Report) -> usize {
    let bare = Echo::start().await;
    let mut parts = Parts::prepare(chat, &bare).await;
    let mut steps = Steps::default();
    let warm_at = Instant::now() + WARM_UP;
    let mut round = 0;
    while steps.sends.len() < ROUNDS {
        let samples = parts.round(round, &mut steps).await;
        if Instant::now() >= warm_at {
            for (samples, sample) in samples {
                samples.add(sample);
            }
        }
        round += 1;
    }
    steps.print(report);
    parts.cpu_of_rate_limit(report).await;
    round
}

/// Durations of a send, and of each step of it.
#[derive(Default)]
struct Steps {
    sends: Samples,
    inserts: Samples,
    echoes: Samples,
    pings: Samples,
    finds: Samples,
    pushes: Samples,
    takes: Samples,
}

impl Steps {
    fn print(&self, report: Report) {
        report.row("send to receive, 1 pair", self.sends.summary());
        let ratio = self.sends.median_ms() / self.inserts.median_ms();
        let inserts = self.inserts.summary();
        let value = format!("{inserts} (a send is {ratio:.2} of these at p50)");
        report.row("one majority insert", value);
        report.row("bare WebSocket echo", self.echoes.summary());
        let value = format!(
            "route to the function and back {:.2}, insert {:.2}, push {:.2} ms; look-up of \
             connections {:.2} ms, concurrent with the push to those that are cached",
            self.pings.median_ms(),
            self.inserts.median_ms(),
            self.pushes.median_ms(),
            self.finds.median_ms(),
        );
        report.row("steps of a send, p50", value);
        let figure = "counting a message for the rate limit, concurrent with these steps";
        report.row(figure, self.takes.summary());
    }
}
/// A pair of clients, and direct access to each step of a send.
struct Parts {
    sender: Client,
    receiver: Client,
    echo: Client,
    inserts: Collection<Document>,
    store: Store,
    push: Push,
    users: [UserId; 2],
    limit: RateLimit,
}

impl Parts {
    async fn prepare(chat: &Chat, bare: &Echo) -> Self {
        let user = |id: &str| UserId::try_from(id.to_owned()).expect("a valid id");
        let inserts = chat.database.collection::<Document>("bench_inserts");
        let keys = doc! {"conversation_id": 1, "seq": 1};
        inserts
            .create_index(mongodb::IndexModel::builder().keys(keys).build())
            .await
            .expect("made");
        let config = StoreConfig::new(&chat.uri, chat.database.name());
        Self {
            sender: chat.connect("sender").await,
            receiver: chat.connect("receiver").await,
            echo: Client::connect(&bare.url).await.expect("connected"),
            inserts,
            store: Store::open(&config).await.expect("a store"),
            push: PushConfig {
                endpoint: chat.management_endpoint(),
                aws: AwsConfig {
                    region: "us-east-1".to_owned(),
                    access_key_id: "local".to_owned(),
                    secret_access_key: "local".to_owned().into(),
                    session_token: None,
                },
            }
            .push(),
            users: [user("sender"), user("receiver")],
            limit: RateLimit::new(RateLimit::MAX_RATE, RateLimit::MAX_BURST).expect("a limit"),
        }
    }

    /// Measures a send and its steps once, in turn, so that other load on the machine affects all alike.
    async fn round<'a>(
        &mut self,
        round: usize,
        steps: &'a mut Steps,
    ) -> [(&'a mut Samples, Duration); 7] {
        [
            (&mut steps.sends, self.send().await),
            (&mut steps.inserts, self.insert(round).await),
            (&mut steps.echoes, self.echo().await),
            (&mut steps.pings, self.ping().await),
            (&mut steps.finds, self.find_connections().await),
            (&mut steps.pushes, self.push().await),
            (&mut steps.takes, self.take_token().await),
        ]
    }

    async fn send(&mut self) -> Duration {
        let frame = json!({"action": "sendMessage", "receiver_id": "receiver", "message": TEXT});
        let start = Instant::now();
        self.sender.send(&frame).await;
        let received = async {
            self.receiver.next_raw().await;
            start.elapsed()
        };
        let (elapsed, _ack) = tokio::join!(received, self.sender.next_raw());
        elapsed
    }

    async fn insert(&mut self, round: usize) -> Duration {
        let message = doc! {
            "_id": ObjectId::new(), "conversation_id": "direct:6:sender:receiver", "seq": round as i64,
            "sender_id": "sender", "receiver_id": "receiver", "message": TEXT,
            "timestamp": "2026-11-22T11:15:03.123Z",
        };
        let start = Instant::now();
        self.inserts.insert_one(message).await.expect("inserted");
        start.elapsed()
    }

    async fn echo(&mut self) -> Duration {
        let start = Instant::now();
        self.echo.send_text(TEXT).await;
        self.echo.next_raw().await;
        start.elapsed()
    }

    async fn ping(&mut self) -> Duration {
        let start = Instant::now();
        self.sender.send_text(r#"{"action":"ping"}"#).await;
        self.sender.next_raw().await;
        start.elapsed()
    }

    async fn find_connections(&mut self) -> Duration {
        let deadline = Deadline::after(Duration::from_secs(5));
        let start = Instant::now();
        self.store
            .connections_of(&self.users, Utc::now(), deadline)
            .await
            .expect("found");
        start.elapsed()
    }

    async fn take_token(&mut self) -> Duration {
        let [sender, _] = &self.users;
        let deadline = Deadline::after(Duration::from_secs(5));
        let start = Instant::now();
        let counted = self
            .store
            .take_tokens(Limited::Messages, sender.as_str(), 1, self.limit, deadline)
            .await;
        counted.expect("counted");
        start.elapsed()
    }

    /// Prints the CPU time of one count for the rate limit, the driver in this process included.
    async fn cpu_of_rate_limit(&mut self, report: Report) {
        let before = Cpu::now();
        for _ in 0..ROUNDS {
            self.take_token().await;
        }
        let used = before.used_since();
        report.row("CPU time of the rate limit", used.each(ROUNDS));
    }

    async fn push(&mut self) -> Duration {
        let deadline = Deadline::after(Duration::from_secs(5));
        let connections = self
            .store
            .connections_of(&self.users[1..], Utc::now(), deadline)
            .await
            .expect("found");
        let start = Instant::now();
        let posted = self.push.post_all(connections, TEXT, Utc::now(), deadline);
        let received = async {
            self.receiver.next_raw().await;
            start.elapsed()
        };
        let (elapsed, _) = tokio::join!(received, posted);
        elapsed
    }
}

/// Measures many pairs that chat concurrently. Returns the number of sent messages.
pub async fn many_pairs(chat: &Chat, report: Report) -> usize {
    let pairs = connect_pairs(chat, "one-of-many").await;
    let before = Cpu::now();
    let start = Instant::now();
    let delivered = all_chat(pairs).await;
    let rate = delivered.len() as f64 / start.elapsed().as_secs_f64();
    let value = format!("{rate:.0} a second, {}", delivered.summary());
    report.row(format_args!("delivered, {PAIRS} pairs"), value);
    let used = before.used_since().each(delivered.len());
    report.row("CPU time of one of these", used);
    delivered.len()
}

/// A sender, a receiver, and the receiver's id.
type Pair = (Client, Client, String);

/// Connects all pairs. The ids of their users begin with `name`.
pub async fn connect_pairs(chat: &Chat, name: &str) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for pair in 0..PAIRS {
        let receiver_id = format!("{name}-receiver-{pair}");
        let sender = chat.connect(&format!("{name}-sender-{pair}")).await;
        let receiver = chat.connect(&receiver_id).await;
        pairs.push((sender, receiver, receiver_id));
    }
    pairs
}

/// Lets all pairs chat for [`TIME`]. Each sends when its last message has arrived.
pub async fn all_chat(pairs: Vec<Pair>) -> Samples {
    let start = Instant::now();
    let chats: Vec<_> = pairs
        .into_iter()
        .map(|(sender, receiver, receiver_id)| {
            tokio::spawn(chat_until(start + TIME, sender, receiver, receiver_id))
        })
        .collect();
    let mut delivered = Samples::default();
    for chat in chats {
        delivered.merge(chat.await.expect("it does not panic"));
    }
    delivered
}

async fn chat_until(
    end: Instant,
    mut sender: Client,
    mut receiver: Client,
    receiver_id: String,
) -> Samples {
    let mut samples = Samples::default();
    let frame = json!({"action": "sendMessage", "receiver_id": receiver_id, "message": TEXT});
    while Instant::now() < end {
        let start = Instant::now();
        sender.send(&frame).await;
        let received = async {
            assert_eq!(receiver.next().await["message"], TEXT);
            start.elapsed()
        };
        let (elapsed, ack) = tokio::join!(received, sender.next());
        assert_eq!(ack["status"], "delivered", "{ack}");
        samples.add(elapsed);
    }
    samples
}

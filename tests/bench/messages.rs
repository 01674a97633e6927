//! Send to receive, with one pair and with many, beside an insert and a bare echo.

use std::time::{Duration, Instant};

use chat::store::{RateLimit, StoreConfig};
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
use crate::figures::Samples;

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
pub async fn one_pair(stack: &Chat) -> usize {
    let bare = Echo::start().await;
    let mut parts = Parts::prepare(stack, &bare).await;
    let (mut sends, mut inserts, mut echoes) =
        (Samples::default(), Samples::default(), Samples::default());
    let (mut pings, mut finds, mut pushes) =
        (Samples::default(), Samples::default(), Samples::default());
    let mut takes = Samples::default();
    let warm_at = Instant::now() + WARM_UP;
    let mut round = 0;
    while sends.len() < ROUNDS {
        // In turn, so that other load on the machine affects all alike.
        let samples = [
            (&mut sends, parts.send().await),
            (&mut inserts, parts.insert(round).await),
            (&mut echoes, parts.echo().await),
            (&mut pings, parts.ping().await),
            (&mut finds, parts.find_connections().await),
            (&mut pushes, parts.push().await),
            (&mut takes, parts.take_token().await),
        ];
        if Instant::now() >= warm_at {
            for (samples, sample) in samples {
                samples.add(sample);
            }
        }
        round += 1;
    }
    println!("send to receive, 1 pair          {}", sends.summary());
    println!("one majority insert              {}", inserts.summary());
    println!("bare WebSocket echo              {}", echoes.summary());
    println!(
        "send / insert                    {:.2} at p50",
        sends.median_ms() / inserts.median_ms()
    );
    println!(
        "of a send, p50 of each step      route to the function and back {:.2} ms, insert {:.2} ms, \
         look-up of connections {:.2} ms, push {:.2} ms",
        pings.median_ms(),
        inserts.median_ms(),
        finds.median_ms(),
        pushes.median_ms()
    );
    println!("rate limit, concurrent with it   {}", takes.summary());
    parts.cpu_of_rate_limit().await;
    round
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
    async fn prepare(stack: &Chat, bare: &Echo) -> Self {
        let user = |id: &str| UserId::try_from(id.to_owned()).expect("a valid id");
        let inserts = stack.database.collection::<Document>("bench_inserts");
        let keys = doc! {"conversation_id": 1, "seq": 1};
        inserts
            .create_index(mongodb::IndexModel::builder().keys(keys).build())
            .await
            .expect("made");
        let config = StoreConfig::new(&stack.uri, stack.database.name());
        Self {
            sender: stack.connect("sender").await,
            receiver: stack.connect("receiver").await,
            echo: Client::connect(&bare.url).await.expect("connected"),
            inserts,
            store: Store::open(&config).await.expect("a store"),
            push: PushConfig {
                endpoint: stack.management_endpoint(),
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
            .take_tokens(sender, 1, self.limit, deadline)
            .await;
        counted.expect("counted");
        start.elapsed()
    }

    /// Prints the CPU time of one count for the rate limit, the driver in this process included.
    async fn cpu_of_rate_limit(&mut self) {
        let before = Cpu::now();
        for _ in 0..ROUNDS {
            self.take_token().await;
        }
        let used = before.used_since();
        println!("CPU time of the rate limit       {}", used.each(ROUNDS));
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
pub async fn many_pairs(stack: &Chat) -> usize {
    let pairs = connect_pairs(stack, "one-of-many").await;
    let before = Cpu::now();
    let start = Instant::now();
    let delivered = all_chat(pairs).await;
    let rate = delivered.len() as f64 / start.elapsed().as_secs_f64();
    println!(
        "delivered, {PAIRS} pairs              {rate:.0} a second, {}",
        delivered.summary()
    );
    let used = before.used_since();
    println!(
        "CPU time of one of these         {}",
        used.each(delivered.len())
    );
    delivered.len()
}

/// A sender, a receiver, and the receiver's id.
type Pair = (Client, Client, String);

/// Connects all pairs. The ids of their users begin with `name`.
pub async fn connect_pairs(stack: &Chat, name: &str) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for pair in 0..PAIRS {
        let receiver_id = format!("{name}-receiver-{pair}");
        let sender = stack.connect(&format!("{name}-sender-{pair}")).await;
        let receiver = stack.connect(&receiver_id).await;
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

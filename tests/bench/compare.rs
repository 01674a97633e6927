//! Compares the chat with the server that it replaces, and its start with functions in other languages.
//!
//! Both servers use the same database server and the same clients, in turn within one run. A pair sends
//! its next message when the last one has been received, because the old server has no acks.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::baseline::{OldServer, node_function, python_function};
use tests::relay::Relay;
use tests::{Chat, Client, server};
use tokio::process::Command;
use tokio_tungstenite::tungstenite::Message;

use crate::cpu::{Cpu, Used};
use crate::figures::Samples;
use crate::messages::{PAIRS, ROUNDS, TEXT, WARM_UP};
use crate::processes::{send_message, spawn_to_first_poll};

/// Turns of each server with many pairs. The first turn is not counted.
const TURNS: usize = 4;

/// Length of a turn.
const TURN: Duration = Duration::from_secs(5);

/// Starts of each function.
const STARTS: usize = 30;

/// Compares latency with one pair and throughput with many.
pub async fn servers(chat: &Chat) {
    let database = chat.database.client().database(&server::database_name());
    let old = OldServer::start(&chat.uri, database.name()).await;
    one_pair(chat, &old).await;
    many_pairs(chat, &old).await;
    drop(old);
    database.drop().await.expect("dropped");
}

async fn one_pair(chat: &Chat, old: &OldServer) {
    let mut pairs = [Pair::of_chat(chat, 0).await, Pair::of_old(old, 0).await];
    let mut samples = [Samples::default(), Samples::default()];
    let warm_at = Instant::now() + WARM_UP;
    while samples[0].len() < ROUNDS {
        let start = Instant::now();
        // In turn, so that other load on the machine affects both alike.
        for (pair, samples) in pairs.iter_mut().zip(&mut samples) {
            let elapsed = pair.message().await;
            pair.all_acked().await;
            if warm_at < start {
                samples.add(elapsed);
            }
        }
    }
    let [chat, old] = samples;
    println!("send to receive, 1 pair, chat    {}", chat.summary());
    println!("the same, old server             {}", old.summary());
    println!(
        "chat / old server                {:.2} at p50, {:.2} at p99",
        chat.median_ms() / old.median_ms(),
        chat.percentile_ms(99) / old.percentile_ms(99)
    );
}

async fn many_pairs(chat: &Chat, old: &OldServer) {
    let mut pairs = [Vec::new(), Vec::new()];
    for number in 0..PAIRS {
        pairs[0].push(Pair::of_chat(chat, number).await);
        pairs[1].push(Pair::of_old(old, number).await);
    }
    let mut totals = [Total::default(), Total::default()];
    for turn in 0..TURNS {
        for (pairs, total) in pairs.iter_mut().zip(&mut totals) {
            let counted = Total::of_turn(pairs).await;
            if turn > 0 {
                total.merge(counted);
            }
        }
    }
    let [chat, old] = totals;
    println!("delivered, {PAIRS} pairs, chat        {}", chat.summary());
    println!("the same, old server             {}", old.summary());
    println!(
        "chat / old server                {:.2}",
        chat.rate() / old.rate()
    );
    println!("CPU time of one, chat            {}", chat.cpu());
    println!("the same, old server             {}", old.cpu());
}

/// Results of one turn or several.
#[derive(Default)]
struct Total {
    delivered: Samples,
    time: Duration,
    used: Used,
}

impl Total {
    /// Lets all pairs chat concurrently for a turn.
    async fn of_turn(pairs: &mut Vec<Pair>) -> Self {
        let cpu = Cpu::now();
        let start = Instant::now();
        let chats: Vec<_> = pairs
            .drain(..)
            .map(|pair| tokio::spawn(pair.chat_until(start + TURN)))
            .collect();
        let mut delivered = Samples::default();
        for chat in chats {
            let (pair, samples) = chat.await.expect("it does not panic");
            pairs.push(pair);
            delivered.merge(samples);
        }
        Self {
            delivered,
            time: start.elapsed(),
            used: cpu.used_since(),
        }
    }

    fn merge(&mut self, other: Self) {
        self.delivered.merge(other.delivered);
        self.time += other.time;
        self.used.merge(other.used);
    }

    fn rate(&self) -> f64 {
        self.delivered.len() as f64 / self.time.as_secs_f64()
    }

    fn summary(&self) -> String {
        format!("{:.0} a second, {}", self.rate(), self.delivered.summary())
    }

    fn cpu(&self) -> String {
        self.used.each(self.delivered.len())
    }
}

/// A sender and a receiver on one server.
struct Pair {
    sender: Client,
    receiver: Client,
    frame: String,
    /// Whether the server acknowledges messages.
    is_acked: bool,
    /// Number of acks that have not arrived yet.
    acks_due: usize,
}

impl Pair {
    async fn of_chat(chat: &Chat, number: usize) -> Self {
        let [sender_id, receiver_id] = ids(number);
        let frame = json!({"action": "sendMessage", "receiver_id": receiver_id, "message": TEXT});
        Self {
            sender: chat.connect(&sender_id).await,
            receiver: chat.connect(&receiver_id).await,
            frame: frame.to_string(),
            is_acked: true,
            acks_due: 0,
        }
    }

    async fn of_old(old: &OldServer, number: usize) -> Self {
        let [sender_id, receiver_id] = ids(number);
        let frame = json!({"sender_id": sender_id, "receiver_id": receiver_id, "message": TEXT});
        Self {
            sender: old.connect(&sender_id).await,
            receiver: old.connect(&receiver_id).await,
            frame: frame.to_string(),
            is_acked: false,
            acks_due: 0,
        }
    }

    async fn chat_until(mut self, end: Instant) -> (Self, Samples) {
        let mut samples = Samples::default();
        while Instant::now() < end {
            samples.add(self.message().await);
        }
        self.all_acked().await;
        (self, samples)
    }

    /// Sends a message and returns the time until it is received. Reads acks meanwhile.
    async fn message(&mut self) -> Duration {
        let start = Instant::now();
        self.sender.send_text(self.frame.clone()).await;
        self.acks_due += usize::from(self.is_acked);
        loop {
            tokio::select! {
                frame = self.receiver.next_raw() => if is_received(&frame) {
                    return start.elapsed();
                },
                frame = self.sender.next_raw() => self.acks_due -= acks(&frame),
            }
        }
    }

    /// Waits for the acks of all messages.
    async fn all_acked(&mut self) {
        while self.acks_due > 0 {
            self.acks_due -= acks(&self.sender.next_raw().await);
        }
    }
}

fn ids(number: usize) -> [String; 2] {
    ["sender", "receiver"].map(|role| format!("compared-{role}-{number}"))
}

/// Returns whether the frame is the message. The old server also sends WebSocket pings.
fn is_received(frame: &Message) -> bool {
    match frame {
        Message::Text(text) => {
            assert!(text.contains(TEXT), "{text}");
            true
        }
        _ => false,
    }
}

/// Returns the number of acks in a frame to the sender: one or none.
fn acks(frame: &Message) -> usize {
    match frame {
        Message::Text(text) => {
            assert!(text.contains(r#""status":"delivered""#), "{text}");
            1
        }
        _ => 0,
    }
}

/// Compares the time from the spawn of a function to its first poll for an event, with its connection
/// to the database open. Measures it with the database itself, and with a [`Relay`].
pub async fn starts(uri: &str) {
    let mut functions = vec![
        ("ours", send_message()),
        ("Python", python_function().await),
    ];
    match node_function().await {
        Ok(command) => functions.push(("Node", command)),
        Err(error) => eprintln!("the start of Node is left out: {error:#}"),
    }
    println!("spawn to first poll");
    starts_of(&mut functions, uri).await;
    println!("the same, where the database serves a new connection at once");
    starts_of(&mut functions, &Relay::start(uri).await.uri).await;
}

async fn starts_of(functions: &mut [(&str, Command)], uri: &str) {
    let mut starts: Vec<_> = functions.iter().map(|_| Samples::default()).collect();
    for _ in 0..STARTS {
        for ((_, command), samples) in functions.iter_mut().zip(&mut starts) {
            samples.add(spawn_to_first_poll(command, uri).await);
        }
    }
    let ours = starts[0].median_ms();
    for ((name, _), samples) in functions.iter().zip(&starts) {
        let (summary, ratio) = (samples.summary(), samples.median_ms() / ours);
        println!("  {name:<30} {summary}, {ratio:.1} times ours at p50");
    }
}

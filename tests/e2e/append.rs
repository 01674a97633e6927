//! Appending by several processes. Each has a store of its own, which is all that it remembers.

use chat::store::Appended;
use chat::{Content, ConversationId, Deadline, Draft, Recipient, Store, Text, UserId};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use mongodb::bson::{Document, doc};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tests::relay::{Counts, Fault, Relay};
use tests::{TIMEOUT, messages, server};
use tokio::runtime::Runtime;

/// The code of a write conflict.
const WRITE_CONFLICT: i32 = 112;

fn users(receiver: &str) -> [UserId; 2] {
    ["a", receiver].map(|id| UserId::try_from(id.to_owned()).expect("a valid id"))
}

/// Returns a message to `receiver` from a sender who has the messages up to `after`.
fn draft(receiver: &str, after: Option<i64>) -> Draft {
    let [sender, receiver] = users(receiver);
    let text = Text::try_from("m".to_owned()).expect("a valid text");
    Draft {
        after,
        ..Draft::new(sender, Recipient::User(receiver), Content::Text(text))
    }
}

async fn append(store: &Store, draft: &Draft, now: DateTime<Utc>) -> Appended {
    let deadline = Deadline::after(TIMEOUT);
    store.append(draft, now, deadline).await.expect("stored")
}

/// Processes that reach one database through a relay.
struct Processes {
    relay: Relay,
    stores: Vec<Store>,
}

impl Processes {
    async fn start(count: usize) -> Self {
        let relay = Relay::start(server::uri().await).await;
        let database = server::database_name();
        let mut stores = Vec::new();
        for _ in 0..count {
            let store = server::migrated_store(&relay.uri, &database).await;
            stores.push(store.expect("a store"));
        }
        relay.take();
        Self { relay, stores }
    }

    /// Sends messages to `receiver` by the processes that `choose` chooses; returns the commands and how
    /// often a number was taken.
    async fn send(
        &self,
        (receiver, mut newest): (&str, i64),
        sends_hint: bool,
        choices: impl Iterator<Item = usize>,
    ) -> (Counts, u32) {
        let mut conflicts = 0;
        for choice in choices {
            let draft = draft(receiver, sends_hint.then_some(newest));
            let appended = append(&self.stores[choice], &draft, Utc::now()).await;
            newest += 1;
            assert_eq!(appended.entry.seq, newest);
            conflicts += appended.conflicts;
        }
        (self.relay.take(), conflicts)
    }

    async fn stop(self) {
        self.stores[0].database().drop().await.expect("dropped");
    }
}

fn reads_and_inserts(reads: usize, inserts: usize) -> Counts {
    [("find".to_owned(), reads), ("insert".to_owned(), inserts)].into()
}

#[tokio::test]
async fn ten_processes_in_turn_read_once_and_insert_once() {
    let processes = Processes::start(10).await;
    let in_turn = || (0..100).map(|number| number % 10);
    // The first ten messages of each conversation meet processes that do not know it. Without the hint,
    // each looks for a record and searches for a number that the conversation has reached.
    for (receiver, length, hints, searches) in [
        ("short", 10, [false, true], [10 * 2, 0]),
        ("long", 100_000, [true, false], [0, 0]),
        (
            "long, without the hint",
            100_000,
            [false, true],
            [10 * 4, 0],
        ),
    ] {
        let database = processes.stores[0].database();
        messages::fill(database, &users(receiver), length).await;
        processes.relay.take();
        let newest = [length, length + 100].into_iter();
        for ((newest, sends_hint), searches) in newest.zip(hints).zip(searches) {
            let sent = processes
                .send((receiver, newest), sends_hint, in_turn())
                .await;
            let expected = reads_and_inserts(100 + searches, 100);
            assert_eq!(sent, (expected, 0), "{receiver}");
        }
    }
    processes.stop().await;
}

#[tokio::test]
async fn numbers_are_rarely_taken_where_one_process_gets_most_messages() {
    const SENDS: u32 = 500;
    let processes = Processes::start(10).await;
    let mut random = fastrand::Rng::with_seed(15);
    for (receiver, percent) in [("half", 50), ("most", 90), ("nearly all", 97)] {
        let choices: Vec<usize> = (0..SENDS)
            .map(|_| match random.u32(0..100) < percent {
                true => 0,
                false => random.usize(1..10),
            })
            .collect();
        let (counts, conflicts) = processes
            .send((receiver, 0), false, choices.into_iter())
            .await;
        assert!(conflicts < SENDS / 50, "{receiver}: {conflicts}");
        let inserts = (SENDS + conflicts) as usize;
        assert_eq!(counts["insert"], inserts, "{receiver}");
    }
    processes.stop().await;
}

#[tokio::test]
async fn a_message_whose_insert_got_no_reply_is_stored_once_and_acknowledged() {
    let processes = Processes::start(1).await;
    for seq in 1..=3 {
        processes
            .relay
            .fail("insert", "chat_messages", Fault::LoseReply);
        let appended = append(&processes.stores[0], &draft("b", None), Utc::now()).await;
        assert!(!appended.duplicate);
        assert_eq!(appended.entry.seq, seq);
    }
    assert_eq!(numbers(&processes.stores[0], "b").await, [1, 2, 3]);
    processes.stop().await;
}

#[tokio::test]
async fn a_write_conflict_of_the_server_is_retried() {
    let command_error = doc! {
        "ok": 0.0, "code": WRITE_CONFLICT, "codeName": "WriteConflict", "errmsg": "retry",
    };
    let write_error = doc! {"index": 0, "code": WRITE_CONFLICT, "errmsg": "retry"};
    let write_error = doc! {"ok": 1.0, "n": 0, "writeErrors": [write_error]};
    let processes = Processes::start(1).await;
    for (seq, reply) in (1..).zip([command_error, write_error]) {
        let fault = Fault::Refuse(reply);
        processes.relay.fail("insert", "chat_messages", fault);
        let appended = append(&processes.stores[0], &draft("b", None), Utc::now()).await;
        assert!(!appended.duplicate);
        assert_eq!((appended.entry.seq, appended.conflicts), (seq, 1));
    }
    assert_eq!(numbers(&processes.stores[0], "b").await, [1, 2]);
    processes.stop().await;
}

/// Returns the messages to `receiver` in the order of their numbers.
async fn log(store: &Store, receiver: &str) -> Vec<Document> {
    let [sender, receiver] = users(receiver);
    let conversation = ConversationId::direct(&sender, &receiver);
    let messages = store.database().collection::<Document>("chat_messages");
    let found = messages.find(doc! {"conversation_id": conversation.as_str()});
    let mut cursor = found.sort(doc! {"seq": 1}).await.expect("found");
    let mut log = Vec::new();
    while cursor.advance().await.expect("the next one") {
        log.push(cursor.deserialize_current().expect("a document"));
    }
    log
}

async fn numbers(store: &Store, receiver: &str) -> Vec<i64> {
    let log = log(store, receiver).await;
    let numbers = log.iter().map(|message| message.get_i64("seq"));
    numbers.map(|number| number.expect("a number")).collect()
}

/// What a sender says of the conversation.
#[derive(Debug, Clone)]
enum Hint {
    None,
    /// This much above the newest number.
    Near(i64),
    Any(i64),
}

impl Hint {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            Just(Self::None),
            (-3..=3_i64).prop_map(Self::Near),
            any::<i64>().prop_map(Self::Any),
            prop::sample::select(vec![i64::MIN, -1, 0, 1, i64::MAX]).prop_map(Self::Any),
        ]
    }

    fn after(&self, newest: i64) -> Option<i64> {
        match *self {
            Self::None => None,
            Self::Near(above) => Some(newest + above),
            Self::Any(after) => Some(after),
        }
    }
}

/// A message: its process, its hint, and how late its process believes it is, in milliseconds.
type Sent = (usize, Hint, i64);

/// Sends messages in rounds, those of a round at once; checks the log.
async fn check_log(stores: &[Store], receiver: &str, rounds: &[Vec<Sent>]) {
    let start = Utc::now();
    let mut newest = 0;
    for round in rounds {
        join_all(round.iter().map(async |(process, hint, ms)| {
            let draft = draft(receiver, hint.after(newest));
            append(
                &stores[*process],
                &draft,
                start + TimeDelta::milliseconds(*ms),
            )
            .await
        }))
        .await;
        newest += round.len() as i64;
    }
    let log = log(&stores[0], receiver).await;
    let numbers = log
        .iter()
        .map(|message| message.get_i64("seq").expect("a number"));
    assert!(numbers.eq(1..=newest), "{log:?}");
    let times = log
        .iter()
        .map(|message| message.get_str("timestamp").expect("a time"));
    assert!(times.is_sorted(), "{log:?}");
}

#[test]
fn numbers_are_dense_and_times_never_decrease_whatever_the_hint() {
    const PROCESSES: usize = 3;
    let runtime = Runtime::new().expect("a runtime");
    let processes = runtime.block_on(Processes::start(PROCESSES));
    let sent = (0..PROCESSES, Hint::any(), -1_000..1_000_i64);
    let rounds = prop::collection::vec(prop::collection::vec(sent, 1..4), 1..12);
    TestRunner::new(Config::with_cases(50))
        .run(&rounds, |rounds| {
            let receiver = format!("{:x}", fastrand::u64(..));
            runtime.block_on(check_log(&processes.stores, &receiver, &rounds));
            Ok(())
        })
        .expect("it holds");
    runtime.block_on(processes.stop());
}

//! A valid run has no violation; one change to it is found, and nothing else.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::history::{Attempt, Received};

/// Users; the last one is in no conversation. The connection of each has its number.
const USERS: [&str; 4] = ["a", "b", "c", "d"];

/// Conversations, as indexes of users.
const PAIRS: [[usize; 2]; 2] = [[0, 1], [0, 2]];

/// A run that is being built.
struct Run {
    history: History,
    stored: Vec<Stored>,
    now: Duration,
    rng: fastrand::Rng,
}

impl Run {
    /// Builds a valid run: `messages` of two conversations at random, and some at both ends for the
    /// mutations.
    fn good(seed: u64, messages: usize) -> Self {
        let mut run = Self {
            history: History::default(),
            stored: Vec::new(),
            now: Duration::ZERO,
            rng: fastrand::Rng::with_seed(seed),
        };
        run.history.connections = (0..USERS.len()).map(connection).collect();
        for sender in [0, 1, 0] {
            run.send(0, sender, true);
        }
        run.read(0, 100);
        run.send(1, 0, false);
        run.refuse();
        for _ in 0..messages {
            let (pair, side, is_acked) =
                (run.rng.usize(..2), run.rng.usize(..2), run.rng.f64() < 0.9);
            run.send(pair, PAIRS[pair][side], is_acked);
            if run.rng.bool() {
                let limit = [1, 3, 100][run.rng.usize(..3)];
                run.read(pair, limit);
            }
        }
        run.send(0, 1, true);
        run.hold();
        run
    }

    fn tick(&mut self) -> Duration {
        self.now += Duration::from_millis(1);
        self.now
    }

    fn receive(&mut self, user: usize, frame: Frame) {
        let at = self.tick();
        self.history.connections[user]
            .received
            .push(Received { at, frame });
    }

    fn log(&self, pair: usize) -> Vec<Arc<Message>> {
        self.of(pair).cloned().map(Arc::new).collect()
    }

    fn of(&self, pair: usize) -> impl Iterator<Item = &Stored> {
        let id = pair_id(pair);
        let stored = self.stored.iter();
        stored.filter(move |message| message.conversation_id == id)
    }

    /// Sends a message that is stored, whatever its sender knows of it.
    fn send(&mut self, pair: usize, sender: usize, is_acked: bool) {
        let receiver = PAIRS[pair].into_iter().find(|user| *user != sender);
        let receiver = receiver.expect("there are two");
        let number = self.history.sends.len();
        let mut attempts = vec![self.attempt(sender)];
        while self.rng.u8(..4) == 0 {
            attempts.push(self.attempt(sender));
        }
        let message = Message {
            message_id: format!("{number:024x}"),
            conversation_id: pair_id(pair),
            seq: self.of(pair).count() as i64 + 1,
            sender_id: USERS[sender].to_owned(),
            receiver_id: USERS[receiver].to_owned(),
            message: format!("text {number}"),
            timestamp: format!("2026-11-22T11:15:03.{:03}Z", number / 2),
            client_message_id: Some(number.to_string()),
        };
        self.stored.push(message.clone());
        for _ in 0..self.rng.usize(..3) {
            self.receive(receiver, Frame::Message(Arc::new(message.clone())));
        }
        if is_acked {
            self.ack(sender, &message, &mut attempts);
        }
        self.history.sends.push(Sent {
            key: Key::of(&message).expect("it has an id"),
            receiver_id: message.receiver_id,
            message: message.message,
            refusal: None,
            attempts,
        });
    }

    fn attempt(&mut self, sender: usize) -> Attempt {
        Attempt {
            connection: sender as u64,
            start: self.tick(),
            end: self.tick(),
            outcome: Outcome::Unknown("no response".to_owned()),
        }
    }

    /// Acknowledges by the last attempt, and maybe late by an earlier one, which stored it.
    fn ack(&mut self, sender: usize, message: &Message, attempts: &mut [Attempt]) {
        let duplicate = attempts.len() > 1;
        self.receive(sender, Frame::Ack(ack(message, duplicate)));
        if duplicate && self.rng.bool() {
            self.receive(sender, Frame::Ack(ack(message, false)));
        }
        let last = attempts.last_mut().expect("there is one");
        last.outcome = Outcome::Ok;
        last.end = self.now;
    }

    /// Sends a message that the chat must refuse.
    fn refuse(&mut self) {
        let mut attempts = vec![self.attempt(0)];
        attempts[0].outcome = Outcome::Failed("message_empty".to_owned());
        self.history.sends.push(Sent {
            key: Key {
                conversation_id: pair_id(0),
                sender_id: USERS[0].to_owned(),
                client_message_id: "bad".to_owned(),
            },
            receiver_id: USERS[1].to_owned(),
            message: String::new(),
            refusal: Some("message_empty".to_owned()),
            attempts,
        });
    }

    fn read(&mut self, pair: usize, limit: usize) {
        let conversation_id = pair_id(pair);
        let reads = self.history.reads.iter().rev();
        let mut reads = reads.filter(|read| read.conversation_id == conversation_id);
        let last = reads.find_map(|read| read.messages.last());
        let after = last.map_or(0, |message| message.seq);
        let page = self.of(pair).skip(after as usize).take(limit);
        let messages = page.cloned().map(Arc::new).collect();
        let read = Read {
            reader: "poller".to_owned(),
            conversation_id,
            after,
            limit,
            start: self.tick(),
            end: self.tick(),
            outcome: Outcome::Ok,
            messages,
        };
        self.history.reads.push(read);
    }

    fn hold(&mut self) {
        for (pair, users) in PAIRS.into_iter().enumerate() {
            for user in users {
                self.history.held.push(Held {
                    device: USERS[user].to_owned(),
                    conversation_id: pair_id(pair),
                    messages: self.log(pair),
                    dropped: 0,
                    fetched: 0,
                });
            }
        }
    }

    fn check(&self) -> Vec<Violation> {
        check(&self.history, &self.stored)
    }

    /// Returns a random index below a number.
    fn any(&mut self, count: usize) -> usize {
        self.rng.usize(..count)
    }

    fn last(&mut self) -> &mut Stored {
        self.stored.last_mut().expect("there are messages")
    }

    fn sent(&mut self, message: &Message) -> &mut Sent {
        let key = Key::of(message);
        let mut sends = self.history.sends.iter_mut();
        let sent = sends.find(|sent| Some(&sent.key) == key.as_ref());
        sent.expect("it was sent")
    }

    /// Returns any message that was acknowledged.
    fn any_acked(&mut self) -> Message {
        let sends = &self.history.sends;
        let acked = |message: &&Message| {
            let key = Key::of(message);
            let mut sent = sends.iter().filter(|sent| Some(&sent.key) == key.as_ref());
            sent.any(|sent| sent.outcome() == Outcome::Ok)
        };
        let acked: Vec<Message> = self.stored.iter().filter(acked).cloned().collect();
        let index = self.any(acked.len());
        acked[index].clone()
    }

    /// Returns any frame of a kind.
    fn any_frame(&mut self, is_sought: fn(&Frame) -> bool) -> &mut Frame {
        let connections = self.history.connections.iter_mut();
        let frames = connections.flat_map(|connection| connection.received.iter_mut());
        let frames = frames.map(|received| &mut received.frame);
        let mut frames: Vec<&mut Frame> = frames.filter(|frame| is_sought(frame)).collect();
        let index = self.rng.usize(..frames.len());
        frames.swap_remove(index)
    }

    fn any_ack(&mut self) -> &mut Ack {
        match self.any_frame(|frame| matches!(frame, Frame::Ack(_))) {
            Frame::Ack(ack) => ack,
            _ => unreachable!("only acks were sought"),
        }
    }

    /// Removes a message from everything that was received, read and held; acks stay.
    fn unsee(&mut self, message: &Message) {
        self.history.reads.clear();
        for held in &mut self.history.held {
            held.messages.retain(|held| **held != *message);
        }
        for connection in &mut self.history.connections {
            let is_other = |frame: &Frame| !matches!(frame, Frame::Message(m) if **m == *message);
            connection
                .received
                .retain(|received| is_other(&received.frame));
        }
    }

    /// Changes the last message wherever it is. It has not been read yet.
    fn change_last(&mut self, change: impl Fn(&mut i64, &mut String)) {
        let before = self.last().clone();
        let last = self.last();
        change(&mut last.seq, &mut last.timestamp);
        let after = Arc::new(self.last().clone());
        for held in &mut self.history.held {
            for held in held.messages.iter_mut().filter(|held| ***held == before) {
                *held = Arc::clone(&after);
            }
        }
        let connections = self.history.connections.iter_mut();
        for received in connections.flat_map(|connection| &mut connection.received) {
            match &mut received.frame {
                Frame::Message(message) if **message == before => *message = Arc::clone(&after),
                Frame::Ack(ack) if ack.message_id == before.message_id => {
                    change(&mut ack.seq, &mut ack.timestamp);
                }
                _ => {}
            }
        }
    }
}

fn connection(user: usize) -> Connection {
    Connection {
        id: user as u64,
        user_id: USERS[user].to_owned(),
        opened: Duration::ZERO,
        ended: Duration::MAX,
        why: "the run ends".to_owned(),
        received: Vec::new(),
    }
}

fn pair_id(pair: usize) -> String {
    let [a, b] = PAIRS[pair].map(|user| USERS[user]);
    conversation_id(a, b)
}

fn ack(message: &Message, duplicate: bool) -> Ack {
    Ack {
        client_message_id: message.client_message_id.clone(),
        message_id: message.message_id.clone(),
        conversation_id: message.conversation_id.clone(),
        seq: message.seq,
        timestamp: message.timestamp.clone(),
        duplicate,
    }
}

/// Makes one change to a run.
type Mutation = fn(&mut Run);

/// Every kind of violation, with changes that cause it.
const MUTATIONS: &[(&str, &[Mutation])] = &[
    (
        "Lost",
        &[lose_the_last, |run| run.any_ack().client_message_id = None],
    ),
    (
        "AckDiffers",
        &[
            |run| run.any_ack().seq -= 1,
            |run| run.any_ack().message_id = "f".repeat(24),
            |run| run.any_ack().timestamp = "2026-11-22T11:15:04.000Z".to_owned(),
        ],
    ),
    ("NewTwice", &[acknowledge_as_new_twice]),
    ("StoredTwice", &[store_again]),
    ("Hole", &[forget_one]),
    ("BadNumber", &[number_as_the_one_before]),
    (
        "BadTime",
        &[
            |run| run.change_last(|_, time| *time = "2026-11-22T11:15:02.000Z".to_owned()),
            |run| run.change_last(|_, time| *time = "2027-11-22T11:15:02+00:00".to_owned()),
        ],
    ),
    ("Invented", &[invent, store_without_an_id]),
    (
        "Altered",
        &[
            |run| any_sent(run).message.push('!'),
            |run| any_sent(run).receiver_id = "d".to_owned(),
        ],
    ),
    ("RefusedButStored", &[refuse_a_stored_one]),
    (
        "WrongAnswer",
        &[
            |run| any_sent(run).refusal = Some("message_empty".to_owned()),
            |run| the_refused(run).refusal = None,
            |run| the_refused(run).refusal = Some("invalid_frame".to_owned()),
        ],
    ),
    (
        "OutOfOrder",
        &[|run| any_sent(run).attempts[0].start = Duration::MAX],
    ),
    ("PageSkips", &[skip]),
    ("PageTooLong", &[|run| run.history.reads[0].limit = 2]),
    (
        "PageStale",
        &[
            |run| drop(run.history.reads[0].messages.pop()),
            |run| run.history.reads[0].messages.clear(),
        ],
    ),
    ("PageDiffers", &[read_another_text]),
    ("Misdelivered", &[deliver_to_a_stranger]),
    ("PushDiffers", &[push_another_text, push_what_is_not_stored]),
    (
        "LogDiffers",
        &[
            |run| drop(any_held(run).pop()),
            |run| drop(any_held(run).remove(0)),
            |run| any_held(run).clear(),
            |run| any_held(run).swap(0, 1),
            |run| {
                let held = any_held(run);
                held.push(Arc::clone(&held[0]));
            },
        ],
    ),
    (
        "Malformed",
        &[
            |run| run.receive(0, Frame::parse(r#"{"type":"ack","seq":"1"}"#)),
            |run| run.receive(0, Frame::parse("")),
            |run| run.receive(0, Frame::parse(r#"{"type":"dance"}"#)),
            |run| run.history.reads[0].outcome = Outcome::Malformed("{}".to_owned()),
        ],
    ),
];

fn lose_the_last(run: &mut Run) {
    let lost = run.stored.pop().expect("there are messages");
    run.unsee(&lost);
}

fn acknowledge_as_new_twice(run: &mut Run) {
    let message = run.any_acked();
    let sender = USERS.iter().position(|user| *user == message.sender_id);
    for _ in 0..2 {
        run.receive(sender.expect("a user"), Frame::Ack(ack(&message, false)));
    }
}

fn store_again(run: &mut Run) {
    let of_first_pair = run.log(0);
    let index = run.any(of_first_pair.len());
    let mut again = (*of_first_pair[index]).clone();
    again.message_id = "f".repeat(24);
    again.seq = of_first_pair.len() as i64 + 1;
    again.timestamp.clone_from(&run.last().timestamp);
    run.stored.push(again);
    run.history.held.clear();
    run.hold();
}

fn forget_one(run: &mut Run) {
    let of_first_pair = run.log(0);
    let index = run.any(of_first_pair.len() - 1);
    let forgotten = Arc::clone(&of_first_pair[index]);
    run.unsee(&forgotten);
    run.stored.retain(|stored| *stored != *forgotten);
    let key = Key::of(&forgotten);
    run.history
        .sends
        .retain(|sent| Some(&sent.key) != key.as_ref());
    for connection in &mut run.history.connections {
        connection.received.retain(|received| {
            !matches!(&received.frame, Frame::Ack(ack) if ack.message_id == forgotten.message_id)
        });
    }
}

fn number_as_the_one_before(run: &mut Run) {
    run.change_last(|seq, _| *seq -= 1);
    let last = run.last().clone();
    // Else it would be out of order as well.
    run.sent(&last).attempts[0].start = Duration::ZERO;
}

fn invent(run: &mut Run) {
    let key = Key::of(&run.any_acked());
    run.history
        .sends
        .retain(|sent| Some(&sent.key) != key.as_ref());
}

fn store_without_an_id(run: &mut Run) {
    let mut message = run.last().clone();
    message.message_id = "f".repeat(24);
    message.seq += 1;
    message.client_message_id = None;
    run.stored.push(message);
    run.history.held.clear();
    run.hold();
}

fn any_sent(run: &mut Run) -> &mut Sent {
    let message = run.any_acked();
    run.sent(&message)
}

fn the_refused(run: &mut Run) -> &mut Sent {
    let mut sends = run.history.sends.iter_mut();
    let refused = sends.find(|sent| sent.refusal.is_some());
    refused.expect("there is one")
}

fn refuse_a_stored_one(run: &mut Run) {
    let mut sends = run.history.sends.iter_mut();
    let unknown = sends.find(|sent| matches!(sent.outcome(), Outcome::Unknown(_)));
    for attempt in &mut unknown.expect("there is one").attempts {
        attempt.outcome = Outcome::Failed("rate_limited".to_owned());
    }
}

fn skip(run: &mut Run) {
    let index = run.any(2);
    let read = &mut run.history.reads[0];
    read.messages.remove(index);
}

fn read_another_text(run: &mut Run) {
    let index = run.any(3);
    let message = &mut run.history.reads[0].messages[index];
    Arc::make_mut(message).message.push('!');
}

fn deliver_to_a_stranger(run: &mut Run) {
    let message = Arc::new(run.any_acked());
    run.receive(3, Frame::Message(message));
}

fn push_another_text(run: &mut Run) {
    let message = run.any_acked();
    let receiver = USERS.iter().position(|user| *user == message.receiver_id);
    run.receive(receiver.expect("a user"), Frame::Message(Arc::new(message)));
    let frame = run.any_frame(|frame| matches!(frame, Frame::Message(_)));
    let Frame::Message(message) = frame else {
        unreachable!("only messages were sought");
    };
    Arc::make_mut(message).message.push('!');
}

fn push_what_is_not_stored(run: &mut Run) {
    let mut message = run.last().clone();
    message.seq += 1;
    run.receive(0, Frame::Message(Arc::new(message)));
}

fn any_held(run: &mut Run) -> &mut Vec<Arc<Message>> {
    // Of the first conversation, which has some messages in any run.
    let index = run.any(2);
    &mut run.history.held[index].messages
}

/// Returns the kinds of violations: the names of the variants.
fn kinds(violations: &[Violation]) -> BTreeSet<String> {
    let names = violations.iter().map(|violation| {
        let text = format!("{violation:?}");
        let name = text.split_whitespace().next();
        name.expect("it has a name").to_owned()
    });
    names.collect()
}

#[test]
fn each_kind_of_violation_is_found_as_that_kind() {
    for (kind, mutations) in MUTATIONS {
        for (index, mutate) in mutations.iter().enumerate() {
            let mut run = Run::good(7, 10);
            mutate(&mut run);
            let found = run.check();
            assert_eq!(
                kinds(&found),
                [(*kind).to_owned()].into(),
                "{kind} {index}: {found:#?}"
            );
        }
    }
}

#[test]
fn a_run_without_messages_has_no_violation() {
    assert_eq!(check(&History::default(), &[]), []);
}

#[test]
fn a_message_that_was_given_up_may_be_stored_later() {
    let mut run = Run::good(7, 10);
    run.send(0, 0, false);
    assert_eq!(run.check(), []);
    run.send(0, 0, true);
    assert_eq!(kinds(&run.check()), ["LogDiffers".to_owned()].into());
}

#[test]
fn the_outcome_of_a_message_combines_its_attempts() {
    let mut run = Run::good(7, 0);
    let unknown = || Outcome::Unknown("no response".to_owned());
    let refused = || Outcome::Failed("rate_limited".to_owned());
    for (outcomes, expected) in [
        (vec![unknown(), Outcome::Ok, refused()], Outcome::Ok),
        (vec![refused(), unknown(), refused()], unknown()),
        (vec![refused(), refused()], refused()),
    ] {
        let sent = any_sent(&mut run);
        let attempt = sent.attempts[0].clone();
        let attempts = outcomes.into_iter().map(|outcome| Attempt {
            outcome,
            ..attempt.clone()
        });
        sent.attempts = attempts.collect();
        assert_eq!(sent.outcome(), expected);
    }
}

proptest! {
    #[test]
    fn a_good_run_is_clean(seed: u64, messages in 0_usize..40) {
        prop_assert_eq!(Run::good(seed, messages).check(), []);
    }

    #[test]
    fn one_thing_that_is_wrong_in_a_run_is_found_and_nothing_else(
        seed: u64,
        messages in 0_usize..40,
        (kind, mutate) in any_mutation(),
    ) {
        let mut run = Run::good(seed, messages);
        mutate(&mut run);
        let found = run.check();
        prop_assert_eq!(kinds(&found), [kind.to_owned()].into(), "{:#?}", found);
    }
}

fn any_mutation() -> impl Strategy<Value = (&'static str, Mutation)> {
    let all = MUTATIONS
        .iter()
        .flat_map(|(kind, mutations)| mutations.iter().map(move |mutate| (*kind, *mutate)));
    let all: Vec<(&'static str, Mutation)> = all.collect();
    proptest::sample::select(all)
}

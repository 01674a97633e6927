//! A valid run, message by message.

use std::sync::Arc;
use std::time::Duration;

use ::tests::client::list::Preview;
use ::tests::client::{Ack, Frame, Message, Receipt, Row};
use chat::{Kind, Marks};

use crate::check::{Violation, check};
use crate::history::{
    Attempt, Connection, Held, History, Key, Listed, Outcome, Read, Received, Sent, Stored,
    conversation_id,
};

/// Users; the last one is in no conversation. The connection of each has its number.
pub const USERS: [&str; 4] = ["a", "b", "c", "d"];

/// Conversations, as indexes of users.
const PAIRS: [[usize; 2]; 2] = [[0, 1], [0, 2]];

/// A run that is being built.
pub struct Run {
    pub history: History,
    pub stored: Vec<Stored>,
    now: Duration,
    rng: fastrand::Rng,
}

impl Run {
    /// Builds a valid run: `messages` of two conversations at random, and some at both ends for the
    /// mutations.
    pub fn good(seed: u64, messages: usize) -> Self {
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
        run.mark_and_list();
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

    pub fn receive(&mut self, user: usize, frame: Frame) {
        let at = self.tick();
        self.history.connections[user]
            .received
            .push(Received { at, frame });
    }

    pub fn log(&self, pair: usize) -> Vec<Arc<Message>> {
        self.of(pair).cloned().map(Arc::new).collect()
    }

    fn of(&self, pair: usize) -> impl Iterator<Item = &Stored> {
        let id = pair_id(pair);
        let stored = self.stored.iter();
        stored.filter(move |message| message.conversation_id == id)
    }

    /// Sends a message that is stored, whatever its sender knows of it.
    pub fn send(&mut self, pair: usize, sender: usize, is_acked: bool) {
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
            kind: Kind::Text,
            target_seq: None,
            edited_seq: None,
            deleted_seq: None,
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

    /// Marks the first conversation, of which three messages are there, and reads the list of the first user.
    fn mark_and_list(&mut self) {
        let (marks, peer_marks) = (Marks::new(1, 1), Marks::new(2, 3));
        self.receive(0, receipt(1, peer_marks));
        self.receive(1, receipt(0, marks));
        let newest = self.last().clone();
        let row = Row {
            conversation_id: pair_id(0),
            peer_id: USERS[1].to_owned(),
            newest_seq: newest.seq,
            newest_entry_seq: newest.seq,
            preview: Preview {
                seq: newest.seq,
                message: newest.message,
            },
            unread: 1,
            marks,
            peer_read: peer_marks.read,
            peer_delivered: peer_marks.delivered,
        };
        let list = Listed {
            user_id: USERS[0].to_owned(),
            start: self.tick(),
            end: self.tick(),
            outcome: Outcome::Ok,
            rows: vec![row],
        };
        self.history.lists.push(list);
    }

    pub fn hold(&mut self) {
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

    pub fn check(&self) -> Vec<Violation> {
        check(&self.history, &self.stored)
    }

    /// Returns a random index below a number.
    pub fn any(&mut self, count: usize) -> usize {
        self.rng.usize(..count)
    }

    pub fn last(&mut self) -> &mut Stored {
        self.stored.last_mut().expect("there are messages")
    }

    pub fn sent(&mut self, message: &Message) -> &mut Sent {
        let key = Key::of(message);
        let mut sends = self.history.sends.iter_mut();
        let sent = sends.find(|sent| Some(&sent.key) == key.as_ref());
        sent.expect("it was sent")
    }

    /// Returns any message that was acknowledged.
    pub fn any_acked(&mut self) -> Message {
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
    pub fn any_frame(&mut self, is_sought: fn(&Frame) -> bool) -> &mut Frame {
        let connections = self.history.connections.iter_mut();
        let frames = connections.flat_map(|connection| connection.received.iter_mut());
        let frames = frames.map(|received| &mut received.frame);
        let mut frames: Vec<&mut Frame> = frames.filter(|frame| is_sought(frame)).collect();
        let index = self.rng.usize(..frames.len());
        frames.swap_remove(index)
    }

    pub fn any_ack(&mut self) -> &mut Ack {
        match self.any_frame(|frame| matches!(frame, Frame::Ack(_))) {
            Frame::Ack(ack) => ack,
            _ => unreachable!("only acks were sought"),
        }
    }

    /// Removes a message from everything that was received, read and held; acks stay.
    pub fn unsee(&mut self, message: &Message) {
        self.history.reads.clear();
        self.history.lists.clear();
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
    pub fn change_last(&mut self, change: impl Fn(&mut i64, &mut String)) {
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
        modern: user < 3,
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

/// Returns the receipt of a user in the first conversation.
pub fn receipt(user: usize, marks: Marks) -> Frame {
    Frame::Receipt(Receipt {
        conversation_id: pair_id(0),
        user_id: USERS[user].to_owned(),
        marks,
    })
}

pub fn ack(message: &Message, duplicate: bool) -> Ack {
    Ack {
        client_message_id: message.client_message_id.clone(),
        message_id: message.message_id.clone(),
        conversation_id: message.conversation_id.clone(),
        seq: message.seq,
        timestamp: message.timestamp.clone(),
        duplicate,
    }
}

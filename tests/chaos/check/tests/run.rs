//! A valid run, message by message.
//!
//! - [`group`]: a group in it
//! - [`readers`]: reads pages and lists
//! - [`parts`]: the parts of a run that mutations change

pub mod group;
mod parts;
mod readers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::tests::client::{Ack, Frame, Message, Receipt};
use chat::{Kind, Marks};

use crate::check::{Violation, check};
use crate::contents::{Contents, Projection, Stored, Trace};
use crate::history::{
    Attempt, Connection, Form, History, Key, Outcome, Received, Sent, conversation_id,
};
use crate::texts;

/// Users; the last one is in no conversation. The connection of each has its number.
pub const USERS: [&str; 4] = ["a", "b", "c", "d"];

/// Conversations, as indexes of users.
const PAIRS: [[usize; 2]; 2] = [[0, 1], [0, 2]];

/// Numbers in the first conversation: a text with two edits, and its edits; a text with an edit and a deletion, and
/// these.
pub const EDITED: i64 = 4;
pub const DELETED: i64 = 5;
pub const EDITS: [i64; 2] = [6, 7];
pub const EDIT_OF_DELETED: i64 = 8;
pub const DELETION: i64 = 9;

/// A run that is being built.
pub struct Run {
    pub history: History,
    pub stored: Vec<Stored>,
    /// A text that is elsewhere in the database.
    pub left: Option<Trace>,
    /// What is stored of groups beside the log.
    pub groups: BTreeMap<String, Projection>,
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
            left: None,
            groups: BTreeMap::new(),
            now: Duration::ZERO,
            rng: fastrand::Rng::with_seed(seed),
        };
        run.history.connections = (0..USERS.len()).map(connection).collect();
        for sender in [0, 1, 0] {
            run.send(0, sender, true);
        }
        run.read(0, Form::Log, 100);
        run.mark();
        run.list(0);
        run.send(1, 0, false);
        run.refuse();
        run.change_some();
        run.live_in_group();
        for _ in 0..messages {
            run.go_on();
        }
        run.send(0, 1, true);
        run.hold();
        run
    }

    /// Edits one text, edits and deletes another one, and tries to change that once more.
    fn change_some(&mut self) {
        for _ in [EDITED, DELETED] {
            self.send(0, 0, true);
        }
        self.change(Kind::Edit, 0, EDITED, true);
        self.change(Kind::Edit, 0, EDITED, true);
        self.change(Kind::Edit, 0, DELETED, true);
        self.change(Kind::Delete, 0, DELETED, true);
        self.refuse_change(DELETED);
        self.list(1);
        for form in [Form::Texts, Form::Log] {
            self.read_after(0, form, 0, 100);
        }
    }

    /// Sends or changes a text of any conversation, and maybe reads on.
    fn go_on(&mut self) {
        let (pair, side) = (self.rng.usize(..2), self.rng.usize(..2));
        let sender = PAIRS[pair][side];
        let is_acked = self.rng.f64() < 0.9;
        let is_own = |it: &&Stored| it.is_visible_text() && it.sender_id == USERS[sender];
        let own: Vec<i64> = self.of(pair).filter(is_own).map(|it| it.seq).collect();
        // The first texts have a part in mutations.
        let own = own.into_iter().filter(|seq| pair == 1 || *seq > DELETED);
        let target = self.rng.choice(own.collect::<Vec<i64>>());
        match (target, self.rng.u8(..4)) {
            (Some(seq), 0) => self.change(Kind::Edit, pair, seq, is_acked),
            (Some(seq), 1) => self.change(Kind::Delete, pair, seq, is_acked),
            _ => self.send(pair, sender, is_acked),
        }
        if self.rng.bool() {
            let limit = [1, 3, 100][self.rng.usize(..3)];
            let form = [Form::Log, Form::Texts][self.rng.usize(..2)];
            self.read(pair, form, limit);
        }
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
        let number = self.history.sends.len();
        let key = Key {
            conversation_id: pair_id(pair),
            sender_id: USERS[sender].to_owned(),
            client_message_id: number.to_string(),
        };
        let text = texts::marked(&key, &mut self.rng);
        self.store(pair, sender, (Kind::Text, None), text, is_acked);
    }

    /// Changes a text of its sender, whatever that knows of it.
    pub fn change(&mut self, kind: Kind, pair: usize, target_seq: i64, is_acked: bool) {
        let target = self.of(pair).find(|it| it.seq == target_seq);
        let sender = user(&target.expect("it is there").sender_id);
        self.change_by(sender, kind, pair, target_seq, is_acked);
    }

    pub fn change_by(
        &mut self,
        sender: usize,
        kind: Kind,
        pair: usize,
        target_seq: i64,
        is_acked: bool,
    ) {
        let target = self.of(pair).find(|it| it.seq == target_seq).cloned();
        let target = target.expect("it is there");
        let key = Key {
            conversation_id: pair_id(pair),
            sender_id: USERS[sender].to_owned(),
            client_message_id: self.history.sends.len().to_string(),
        };
        let text = match kind {
            Kind::Delete => String::new(),
            _ => texts::marked(&key, &mut self.rng),
        };
        self.apply(kind, pair, &target, &text);
        self.store(pair, sender, (kind, Some(target_seq)), text, is_acked);
    }

    /// Applies the change of a text that will be stored next.
    fn apply(&mut self, kind: Kind, pair: usize, target: &Stored, text: &str) {
        let seq = self.of(pair).count() as i64 + 1;
        let stored = self.stored.iter_mut();
        for stored in stored.filter(|it| it.conversation_id == target.conversation_id) {
            if stored.seq == target.seq {
                text.clone_into(&mut stored.message);
                match kind {
                    Kind::Delete => stored.deleted_seq = Some(seq),
                    _ => stored.edited_seq = Some(seq),
                }
            } else if kind == Kind::Delete && stored.target_seq == Some(target.seq) {
                stored.message.clear();
            }
        }
    }

    /// Stores an entry after some attempts, pushes it, and maybe acknowledges it.
    fn store(
        &mut self,
        pair: usize,
        sender: usize,
        (kind, target_seq): (Kind, Option<i64>),
        text: String,
        is_acked: bool,
    ) {
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
            receiver_id: Some(USERS[receiver].to_owned()),
            kind,
            target_seq,
            message: text,
            timestamp: format!("2026-11-22T11:15:03.{:03}Z", number / 2),
            client_message_id: Some(number.to_string()),
            ..Message::default()
        };
        self.stored.push(message.clone());
        for _ in 0..self.rng.usize(..3) {
            self.receive(receiver, pushed(Arc::new(message.clone())));
        }
        if is_acked {
            self.ack(sender, &message, &mut attempts);
        }
        self.history.sends.push(Sent {
            key: Key::of(&message).expect("it has an id"),
            receiver_id: message.receiver_id,
            kind,
            target_seq,
            message: message.message,
            attempts,
            ..Sent::default()
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
        let sent = self.refused("bad", "message_empty");
        self.history.sends.push(Sent {
            refusal: Some("message_empty".to_owned()),
            ..sent
        });
    }

    /// Sends a change of a text that is deleted.
    fn refuse_change(&mut self, target_seq: i64) {
        let sent = self.refused("late", "message_not_found");
        self.history.sends.push(Sent {
            kind: Kind::Edit,
            target_seq: Some(target_seq),
            message: texts::marked(&sent.key, &mut self.rng),
            ..sent
        });
    }

    fn refused(&mut self, client_message_id: &str, code: &str) -> Sent {
        let mut attempts = vec![self.attempt(0)];
        attempts[0].outcome = Outcome::Failed(code.to_owned());
        Sent {
            key: Key {
                conversation_id: pair_id(0),
                sender_id: USERS[0].to_owned(),
                client_message_id: client_message_id.to_owned(),
            },
            receiver_id: Some(USERS[1].to_owned()),
            attempts,
            ..Sent::default()
        }
    }

    pub fn check(&self) -> Vec<Violation> {
        let texts = self
            .stored
            .iter()
            .flat_map(|it| texts::markers(&it.message));
        let traces = texts.map(|marker| Trace {
            collection: "chat_messages".to_owned(),
            marker: marker.to_owned(),
        });
        let contents = Contents {
            traces: traces.chain(self.left.clone()).collect(),
            stored: self.stored.clone(),
            groups: self.groups.clone(),
        };
        check(&self.history, &contents)
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

/// Returns the push of an entry.
pub fn pushed(message: Arc<Message>) -> Frame {
    if message.kind.is_text() && message.receiver_id.is_some() {
        Frame::Message(message)
    } else {
        Frame::Entry(message)
    }
}

/// Returns the index of a user.
pub fn user(user_id: &str) -> usize {
    let index = USERS.iter().position(|user| *user == user_id);
    index.expect("a user")
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

//! The parts of a run that mutations change.

use std::sync::Arc;

use ::tests::client::{Ack, Frame, Message};

use super::{Run, pair_id};
use crate::contents::Stored;
use crate::history::{Key, Outcome, Sent};

impl Run {
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

    /// Returns the stored entry of the first conversation under a number.
    pub fn entry(&mut self, seq: i64) -> &mut Stored {
        let id = pair_id(0);
        let mut stored = self.stored.iter_mut();
        let entry = stored.find(|it| it.conversation_id == id && it.seq == seq);
        entry.expect("it is there")
    }

    /// Whether an entry is a text that nothing has changed.
    pub fn is_plain(&self, entry: &Stored) -> bool {
        entry.is_visible_text() && entry.edited_seq.is_none()
    }

    /// Returns any text of a direct conversation that was acknowledged, and not changed.
    pub fn any_acked(&mut self) -> Message {
        let sends = &self.history.sends;
        let acked = |message: &&Message| {
            let key = Key::of(message);
            let mut sent = sends.iter().filter(|sent| Some(&sent.key) == key.as_ref());
            sent.any(|sent| sent.outcome() == Outcome::Ok)
        };
        let direct = self.stored.iter().filter(|it| it.receiver_id.is_some());
        let plain = direct.filter(|it| self.is_plain(it));
        let acked: Vec<Message> = plain.filter(acked).cloned().collect();
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

    /// Removes the last entry from everything that was pushed.
    pub fn forget_pushes_of_the_last(&mut self) {
        let last = self.last().message_id.clone();
        for connection in &mut self.history.connections {
            let is_other =
                |frame: &Frame| !matches!(frame, Frame::Entry(it) if it.message_id == last);
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

//! Reads pages and lists of a run, as clients do.

use std::sync::Arc;

use ::tests::client::Row;
use ::tests::client::list::Preview;
use chat::Marks;

use super::{PAIRS, Run, USERS, pair_id, receipt};
use crate::check::lists::PREVIEW_CHARS;
use crate::history::{Form, Held, Listed, Outcome, Read};

/// The marks of the first two users in their conversation.
const MARKS: Marks = Marks {
    read: 1,
    delivered: 1,
};
const PEER_MARKS: Marks = Marks {
    read: 2,
    delivered: 3,
};

impl Run {
    /// Reads after the last number that was read in this form.
    pub(super) fn read(&mut self, pair: usize, form: Form, limit: usize) {
        let conversation_id = pair_id(pair);
        let reads = self.history.reads.iter().rev();
        let mut reads =
            reads.filter(|read| read.conversation_id == conversation_id && read.form == form);
        let last = reads.find_map(|read| read.messages.last());
        let after = last.map_or(0, |message| message.seq);
        self.read_after(pair, form, after, limit);
    }

    pub(super) fn read_after(&mut self, pair: usize, form: Form, after: i64, limit: usize) {
        let page = self.of(pair).filter(|it| it.seq > after);
        let page = page.filter(|it| form == Form::Log || it.is_visible_text());
        let messages = page.take(limit).cloned().map(Arc::new).collect();
        let read = Read {
            reader: "poller".to_owned(),
            user_id: USERS[0].to_owned(),
            conversation_id: pair_id(pair),
            form,
            after,
            limit,
            start: self.tick(),
            end: self.tick(),
            outcome: Outcome::Ok,
            messages,
        };
        self.history.reads.push(read);
    }

    /// Marks the first conversation, of which three messages are there.
    pub(super) fn mark(&mut self) {
        self.receive(0, receipt(1, PEER_MARKS));
        self.receive(1, receipt(0, MARKS));
    }

    /// Reads the list of a user of the first conversation.
    pub(super) fn list(&mut self, user: usize) {
        let list = Listed {
            user_id: USERS[user].to_owned(),
            groups: false,
            start: self.tick(),
            end: self.tick(),
            outcome: Outcome::Ok,
            rows: vec![self.row(user)],
        };
        self.history.lists.push(list);
    }

    /// Returns the first conversation in the list of one of its users.
    pub(super) fn row(&self, user: usize) -> Row {
        let log = self.log(0);
        let texts = log.iter().filter(|it| it.is_visible_text());
        let newest = texts.clone().next_back().expect("there are texts");
        let [marks, peer_marks] = if user == 0 {
            [MARKS, PEER_MARKS]
        } else {
            [PEER_MARKS, MARKS]
        };
        let unread = texts.filter(|it| it.sender_id != USERS[user] && it.seq > marks.read);
        Row {
            conversation_id: pair_id(0),
            peer_id: Some(USERS[1 - user].to_owned()),
            title: None,
            role: None,
            newest_seq: newest.seq,
            newest_entry_seq: log.len() as i64,
            preview: Preview {
                seq: newest.seq,
                message: newest.message.chars().take(PREVIEW_CHARS).collect(),
            },
            unread: unread.count(),
            marks,
            peer_read: peer_marks.read,
            peer_delivered: peer_marks.delivered,
        }
    }

    /// Replaces what the devices hold by the log.
    pub fn hold(&mut self) {
        self.history.held.clear();
        for (pair, users) in PAIRS.into_iter().enumerate() {
            for user in users {
                self.history.held.push(Held {
                    device: USERS[user].to_owned(),
                    user_id: USERS[user].to_owned(),
                    conversation_id: pair_id(pair),
                    messages: self.log(pair),
                    dropped: 0,
                    fetched: 0,
                });
            }
        }
        self.hold_group();
    }
}

//! A client's copy of a conversation: it drops entries that it has, and finds gaps, which are filled
//! from the history after the last number before them. Edits and deletions are applied to their texts.
//!
//! In a group, a user who joins reads from there on: a copy begins with the first number of the page that it gets.

use std::sync::Arc;

use chat::Kind;

use super::frame::Message;

/// A conversation without gaps, as far as it is known: from its beginning, or from where the user joined.
#[derive(Debug, Default)]
pub struct Copy {
    is_of_group: bool,
    /// The numbers before the first message, which the user cannot read.
    skipped: i64,
    messages: Vec<Arc<Message>>,
    is_behind: bool,
    dropped: u64,
    fetched: u64,
}

impl Copy {
    /// An empty copy of a group.
    pub fn of_group() -> Self {
        Self {
            is_of_group: true,
            ..Self::default()
        }
    }

    /// Returns the messages, in the order of their numbers.
    pub fn messages(&self) -> &[Arc<Message>] {
        &self.messages
    }

    /// Returns the messages alone.
    pub fn into_messages(self) -> Vec<Arc<Message>> {
        self.messages
    }

    /// Returns the last number that is here; 0 if none is.
    pub fn last(&self) -> i64 {
        self.skipped + self.messages.len() as i64
    }

    /// Returns how many messages came that were here already.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns how many messages were taken from the history.
    pub fn fetched(&self) -> u64 {
        self.fetched
    }

    /// Whether there may be more in the history.
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Notes that there may be more in the history, as after a time without a connection.
    pub fn fall_behind(&mut self) {
        self.is_behind = true;
    }

    /// Adds a message that was pushed, or an own one that was acknowledged. One that leaves a gap is
    /// not kept: the history has it.
    pub fn add(&mut self, message: &Arc<Message>) {
        if message.seq <= self.last() {
            self.dropped += 1;
        } else if !self.take(message) {
            self.is_behind = true;
        }
    }

    /// Returns the number after which the next page is to be read, if there may be more. The copy
    /// counts as complete from now on, so that a push that comes before the page can say otherwise.
    pub fn next_page(&mut self) -> Option<i64> {
        std::mem::take(&mut self.is_behind).then(|| self.last())
    }

    /// Adds a page of the history that was read with this limit.
    pub fn add_page(&mut self, page: &[Arc<Message>], limit: usize) {
        if let Some(first) = page.first().filter(|_| self.is_of_group) {
            self.begin_at(first.seq);
        }
        for message in page {
            self.fetched += u64::from(self.take(message));
        }
        // A full page may have a next one.
        self.is_behind |= page.len() == limit;
    }

    /// Begins anew with a number if numbers before it are missing: the user has joined by it.
    fn begin_at(&mut self, seq: i64) {
        if seq > self.last() + 1 {
            self.messages.clear();
            self.skipped = seq - 1;
        }
    }

    /// Adds an entry if it is the next one.
    fn take(&mut self, entry: &Arc<Message>) -> bool {
        let is_next = entry.seq == self.last() + 1;
        if is_next {
            self.messages.push(Arc::clone(entry));
            self.apply(entry);
        }
        is_next
    }

    /// Applies an edit, or a deletion, to its text. That may be newer already, if it was read later.
    fn apply(&mut self, entry: &Message) {
        let index = entry
            .target_seq
            .and_then(|seq| usize::try_from(seq - self.skipped - 1).ok());
        let Some(target) = index.and_then(|index| self.messages.get_mut(index)) else {
            return;
        };
        let is_older = target.deleted_seq.is_none() && target.edited_seq < Some(entry.seq);
        match entry.kind {
            Kind::Edit if is_older => {
                let target = Arc::make_mut(target);
                target.message.clone_from(&entry.message);
                target.edited_seq = Some(entry.seq);
            }
            Kind::Delete => {
                let target = Arc::make_mut(target);
                target.message.clear();
                target.deleted_seq = Some(entry.seq);
            }
            _ => {}
        }
    }
}

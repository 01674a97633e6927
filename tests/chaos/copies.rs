//! The copies of conversations on a device that follows the contract: it drops entries that it
//! has, fills gaps from the history, and applies edits and deletions.

use std::sync::Arc;

use ::tests::client::Message;
use ::tests::client::copy::Copy;
use chat::Kind;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::history::Held;
use crate::outbox::BACKOFF;
use crate::pages::{Conversation, Pages};
use crate::roster::Roster;
use crate::workload::{Phase, SETTLE_TIMEOUT, until_end};

/// Messages of a page of the history.
const PAGE: usize = 200;

/// Number of a user's newest texts that may be changed.
const RECENT: usize = 4;

/// The copies of a device.
pub struct Copies {
    device: String,
    user_id: String,
    pages: Pages,
    copies: Mutex<Vec<(Conversation, Copy)>>,
    behind: Notify,
}

impl Copies {
    /// Empty copies of conversations on a device of a user.
    pub fn new(
        (device, user_id): (String, &str),
        conversations: &[Conversation],
        pages: Pages,
    ) -> Self {
        let copies = conversations.iter().cloned();
        let copies = copies.map(|conversation| {
            let copy = if conversation.is_group() {
                Copy::of_group()
            } else {
                Copy::default()
            };
            (conversation, copy)
        });
        Self {
            device,
            user_id: user_id.to_owned(),
            pages,
            copies: Mutex::new(copies.collect()),
            behind: Notify::new(),
        }
    }

    /// Adds an own entry that was acknowledged. What a change of a group has really changed only the history tells.
    pub fn add_own(&self, entry: &Arc<Message>) {
        match entry.kind {
            Kind::Text | Kind::Edit | Kind::Delete => self.add(entry),
            _ => self.read_on_in(|conversation| conversation.id == entry.conversation_id),
        }
    }

    /// Adds an entry that was pushed.
    pub fn add(&self, message: &Arc<Message>) {
        let mut copies = self.copies.lock();
        let mut copies = copies.iter_mut();
        let is_its = |(conversation, _): &&mut (Conversation, Copy)| {
            conversation.id == message.conversation_id
        };
        let Some((_, copy)) = copies.find(is_its) else {
            return;
        };
        copy.add(message);
        if copy.is_behind() {
            self.behind.notify_one();
        }
    }

    /// Returns the number up to which a conversation is here without gaps; `None` if it is not followed.
    pub fn last(&self, conversation_id: &str) -> Option<i64> {
        let copies = self.copies.lock();
        let copy = copies
            .iter()
            .find(|(conversation, _)| conversation.id == conversation_id);
        copy.map(|(_, copy)| copy.last())
    }

    /// Returns a group as far as it follows from what is here.
    pub fn roster(&self, conversation_id: &str) -> Roster {
        let copies = self.copies.lock();
        let mut copies = copies.iter();
        let copy = copies.find(|(conversation, _)| conversation.id == conversation_id);
        let mut roster = Roster::default();
        for entry in copy.iter().flat_map(|(_, copy)| copy.messages()) {
            roster.apply(entry);
        }
        roster
    }

    /// Returns the number of one of the newest texts of a user, or of any, that are not deleted, if there is one.
    pub fn recent_text(
        &self,
        conversation_id: &str,
        sender_id: Option<&str>,
        rng: &mut fastrand::Rng,
    ) -> Option<i64> {
        let copies = self.copies.lock();
        let mut copies = copies.iter();
        let (_, copy) = copies.find(|(conversation, _)| conversation.id == conversation_id)?;
        let newest = copy.messages().iter().rev();
        let is_theirs = |it: &Message| sender_id.is_none_or(|sender_id| it.sender_id == sender_id);
        let texts = newest.filter(|it| it.is_visible_text() && is_theirs(it));
        // Half of the changes are of the newest one, so that those of two devices race each other.
        let count = if rng.bool() { 1 } else { RECENT };
        let texts: Vec<i64> = texts.take(count).map(|text| text.seq).collect();
        rng.choice(texts)
    }

    /// Marks all copies: after a time without a connection, any conversation may have more
    /// messages.
    pub fn read_on(&self) {
        self.read_on_in(|_| true);
    }

    fn read_on_in(&self, is_behind: impl Fn(&Conversation) -> bool) {
        let mut copies = self.copies.lock();
        for (_, copy) in copies.iter_mut().filter(|(it, _)| is_behind(it)) {
            copy.fall_behind();
        }
        self.behind.notify_one();
    }

    /// Fills gaps from the history until the run ends; then reads on once more everywhere. Returns
    /// the copies.
    pub async fn follow(
        self: Arc<Self>,
        phase: watch::Receiver<Phase>,
        mut rng: fastrand::Rng,
    ) -> Vec<Held> {
        until_end(phase, self.keep_up(&mut rng)).await;
        self.read_on();
        // A copy that is not complete in time differs from the log, and the check reports it.
        let _ = timeout(SETTLE_TIMEOUT, self.catch_up(&mut rng)).await;
        self.held()
    }

    async fn keep_up(&self, rng: &mut fastrand::Rng) {
        loop {
            self.behind.notified().await;
            self.catch_up(rng).await;
        }
    }

    /// Reads until no copy may have a gap.
    async fn catch_up(&self, rng: &mut fastrand::Rng) {
        let mut failures = 0;
        while let Some((index, conversation, last)) = self.next_behind() {
            match self.pages.read(&conversation, last, PAGE).await {
                Some(page) => {
                    self.take_page(index, &page);
                    failures = 0;
                }
                None => {
                    self.read_on();
                    failures += 1;
                    sleep(BACKOFF.pause(failures, rng)).await;
                }
            }
        }
    }

    /// Returns a conversation that may have more in the history, with the number after which to read.
    fn next_behind(&self) -> Option<(usize, Conversation, i64)> {
        let mut copies = self.copies.lock();
        let mut copies = copies.iter_mut().enumerate();
        copies.find_map(|(index, (conversation, copy))| {
            Some((index, conversation.clone(), copy.next_page()?))
        })
    }

    fn take_page(&self, index: usize, page: &[Arc<Message>]) {
        self.copies.lock()[index].1.add_page(page, PAGE);
    }

    fn held(&self) -> Vec<Held> {
        let mut copies = self.copies.lock();
        let held = copies.drain(..).map(|(conversation, copy)| Held {
            device: self.device.clone(),
            user_id: self.user_id.clone(),
            conversation_id: conversation.id,
            dropped: copy.dropped(),
            fetched: copy.fetched(),
            messages: copy.into_messages(),
        });
        held.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Form, conversation_id};
    use crate::recorder::Recorder;

    fn copies() -> Copies {
        of(&[Conversation::of("a", "b")])
    }

    fn of(conversations: &[Conversation]) -> Copies {
        let recorder = Arc::new(Recorder::new());
        let name = || ("a".to_owned(), "a");
        let pages = Pages::new(name(), Form::Log, "http://127.0.0.1:9", recorder);
        Copies::new(name(), conversations, pages)
    }

    fn message(seq: i64) -> Arc<Message> {
        Arc::new(Message {
            message_id: format!("{seq:024x}"),
            conversation_id: conversation_id("a", "b"),
            seq,
            sender_id: "b".to_owned(),
            receiver_id: Some("a".to_owned()),
            message: "m".to_owned(),
            timestamp: "2026-11-22T11:15:03.123Z".to_owned(),
            ..Message::default()
        })
    }

    fn change(kind: Kind, seq: i64, target_seq: i64) -> Arc<Message> {
        let mut change = Arc::unwrap_or_clone(message(seq));
        change.kind = kind;
        change.target_seq = Some(target_seq);
        change.message = match kind {
            Kind::Delete => String::new(),
            _ => format!("wording {seq}"),
        };
        Arc::new(change)
    }

    /// Returns the texts that the device shows, each with the number of its edit.
    fn shown(copies: &Copies) -> Vec<(i64, String, Option<i64>)> {
        let copies = copies.copies.lock();
        let texts = copies[0].1.messages().iter();
        let texts = texts.filter(|it| it.is_visible_text());
        let shown = texts.map(|it| (it.seq, it.message.clone(), it.edited_seq));
        shown.collect()
    }

    fn numbers(copies: &Copies) -> Vec<i64> {
        let copies = copies.copies.lock();
        let messages = copies[0].1.messages().iter();
        messages.map(|message| message.seq).collect()
    }

    #[test]
    fn a_known_message_is_dropped_and_a_gap_is_filled_from_the_history() {
        let copies = copies();
        for seq in [1, 2, 1, 2] {
            copies.add(&message(seq));
        }
        assert!(copies.next_behind().is_none());
        copies.add(&message(5));
        assert_eq!(numbers(&copies), [1, 2]);
        let (index, _, last) = copies.next_behind().expect("it lacks something");
        assert_eq!(last, 2);

        // A push comes in while the page is on its way.
        copies.add(&message(3));
        copies.take_page(index, &[message(3), message(4), message(5)]);
        assert_eq!(numbers(&copies), [1, 2, 3, 4, 5]);
        assert!(copies.next_behind().is_none());
        let held = &copies.held()[0];
        assert_eq!((held.dropped, held.fetched), (2, 2));
    }

    #[test]
    fn a_gap_that_shows_while_a_page_is_on_its_way_is_kept() {
        let copies = copies();
        copies.read_on();
        let (index, _, last) = copies.next_behind().expect("it may lack something");
        copies.add(&message(3));
        copies.take_page(index, &[message(1)]);
        assert_eq!((last, numbers(&copies)), (0, vec![1]));
        assert!(copies.next_behind().is_some());
    }

    #[test]
    fn a_copy_of_a_group_begins_where_the_user_has_joined_last() {
        let group = Conversation::group("g", vec!["a".to_owned()], "joined");
        let copies = of(&[group]);
        let edit = change(Kind::Edit, 9, 8);
        for pages in [vec![3, 4], vec![], vec![5], vec![7, 8]] {
            copies.read_on();
            let (index, _, last) = copies.next_behind().expect("it may lack something");
            assert!(pages.first().is_none_or(|first| *first > last));
            let page: Vec<Arc<Message>> = pages.into_iter().map(message).collect();
            copies.take_page(index, &page);
        }
        assert_eq!(numbers(&copies), [7, 8]);
        copies.take_page(0, &[edit]);
        assert_eq!(
            shown(&copies),
            [
                (7, "m".to_owned(), None),
                (8, "wording 9".to_owned(), Some(9))
            ]
        );
    }

    #[test]
    fn what_an_own_change_of_a_group_has_changed_is_read() {
        let copies = copies();
        copies.add_own(&message(1));
        assert!(copies.next_behind().is_none());
        copies.add_own(&change(Kind::Join, 2, 0));
        assert_eq!(numbers(&copies), [1]);
        assert_eq!(copies.next_behind().map(|(_, _, last)| last), Some(1));
    }

    #[test]
    fn changes_are_applied_however_late_their_texts_are_read() {
        let log = [
            message(1),
            message(2),
            change(Kind::Edit, 3, 1),
            change(Kind::Delete, 4, 2),
            change(Kind::Edit, 5, 2),
            change(Kind::Edit, 6, 1),
        ];
        let newest = [
            Arc::new(Message {
                message: "wording 6".to_owned(),
                edited_seq: Some(6),
                ..(*log[0]).clone()
            }),
            Arc::new(Message {
                message: String::new(),
                deleted_seq: Some(4),
                ..(*log[1]).clone()
            }),
        ];
        let (pushed, read, both) = (copies(), copies(), copies());
        for entry in &log {
            pushed.add(entry);
        }
        read.take_page(0, &[&newest[..], &log[2..]].concat());
        both.add(&log[0]);
        both.take_page(0, &[&log[1..2], &log[2..4]].concat());
        both.take_page(0, &log[4..]);
        for copies in [pushed, read, both] {
            assert_eq!(shown(&copies), [(1, "wording 6".to_owned(), Some(6))]);
        }
    }

    #[test]
    fn a_text_of_the_user_that_is_not_deleted_may_be_changed() {
        let copies = copies();
        for entry in [message(1), message(2), change(Kind::Delete, 3, 1)] {
            copies.add(&entry);
        }
        let id = conversation_id("a", "b");
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..20 {
            for of_b in [Some("b"), None] {
                assert_eq!(copies.recent_text(&id, of_b, &mut rng), Some(2));
            }
            assert_eq!(copies.recent_text(&id, Some("a"), &mut rng), None);
        }
    }

    #[test]
    fn a_full_page_has_a_next_one() {
        let copies = copies();
        let page: Vec<Arc<Message>> = (1..=PAGE as i64).map(message).collect();
        copies.take_page(0, &page);
        let (_, _, last) = copies.next_behind().expect("there may be more");
        assert_eq!(last, PAGE as i64);
    }
}

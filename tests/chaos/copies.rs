//! What a device that follows the contract holds of its conversations: it drops numbers that it has,
//! and reads the history after the last one where it lacks something.

use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::client::backoff;
use crate::history::{Held, Message};
use crate::pages::{Conversation, Pages};
use crate::workload::{PATIENCE, Phase};

/// The most messages that a device asks for at once.
const PAGE: usize = 200;

/// The copies of a device.
pub struct Copies {
    device: String,
    pages: Pages,
    copies: Mutex<Vec<Copy>>,
    lacking: Notify,
}

/// The beginning of a conversation, as far as it is known.
struct Copy {
    conversation: Conversation,
    messages: Vec<Arc<Message>>,
    /// Whether there may be more in the history.
    is_behind: bool,
    dropped: u64,
    fetched: u64,
}

impl Copy {
    /// The last number that is here; 0 if none is.
    fn last(&self) -> i64 {
        self.messages.len() as i64
    }

    /// Takes a message if it is the next one.
    fn take(&mut self, message: &Arc<Message>) -> bool {
        let is_next = message.seq == self.last() + 1;
        if is_next {
            self.messages.push(Arc::clone(message));
        }
        is_next
    }
}

impl Copies {
    /// Empty ones of some conversations.
    pub fn new(device: String, conversations: &[Conversation], pages: Pages) -> Self {
        let copy = |conversation: &Conversation| Copy {
            conversation: conversation.clone(),
            messages: Vec::new(),
            is_behind: false,
            dropped: 0,
            fetched: 0,
        };
        Self {
            device,
            pages,
            copies: Mutex::new(conversations.iter().map(copy).collect()),
            lacking: Notify::new(),
        }
    }

    /// Takes a message that was pushed, or one of the device's own that was acknowledged.
    pub fn add(&self, message: &Arc<Message>) {
        let mut copies = self.copies.lock().expect("no holder panics");
        let mut copies = copies.iter_mut();
        let copy = copies.find(|copy| copy.conversation.id == message.conversation_id);
        let Some(copy) = copy else {
            return;
        };
        if message.seq <= copy.last() {
            copy.dropped += 1;
        } else if !copy.take(message) {
            copy.is_behind = true;
            self.lacking.notify_one();
        }
    }

    /// Reads on everywhere: after a time without a socket there may be more in any conversation.
    pub fn read_on(&self) {
        let mut copies = self.copies.lock().expect("no holder panics");
        for copy in copies.iter_mut() {
            copy.is_behind = true;
        }
        self.lacking.notify_one();
    }

    /// Reads the history wherever something is lacking, until the run ends; then once more
    /// everywhere. Gives what is held in the end.
    pub async fn follow(
        self: Arc<Self>,
        mut phase: watch::Receiver<Phase>,
        mut rng: fastrand::Rng,
    ) -> Vec<Held> {
        tokio::select! {
            () = self.keep_up(&mut rng) => unreachable!("it goes on"),
            _ = phase.wait_for(|phase| *phase == Phase::End) => {}
        }
        self.read_on();
        // Who cannot get the rest in time does not hold the log, and the check will say so.
        let _ = timeout(PATIENCE, self.catch_up(&mut rng)).await;
        self.held()
    }

    async fn keep_up(&self, rng: &mut fastrand::Rng) {
        loop {
            self.lacking.notified().await;
            self.catch_up(rng).await;
        }
    }

    /// Reads until nothing is lacking.
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
                    sleep(backoff(failures, rng)).await;
                }
            }
        }
    }

    /// A conversation of which something is lacking, with the last number that is here. It counts as
    /// complete from now on, so that what comes in while the page is on its way can say otherwise.
    fn next_behind(&self) -> Option<(usize, Conversation, i64)> {
        let mut copies = self.copies.lock().expect("no holder panics");
        let mut copies = copies.iter_mut().enumerate();
        let (index, copy) = copies.find(|(_, copy)| copy.is_behind)?;
        copy.is_behind = false;
        Some((index, copy.conversation.clone(), copy.last()))
    }

    fn take_page(&self, index: usize, page: &[Arc<Message>]) {
        let copy = &mut self.copies.lock().expect("no holder panics")[index];
        for message in page {
            copy.fetched += u64::from(copy.take(message));
        }
        // A full page may have a next one.
        copy.is_behind |= page.len() == PAGE;
    }

    fn held(&self) -> Vec<Held> {
        let mut copies = self.copies.lock().expect("no holder panics");
        let held = copies.drain(..).map(|copy| Held {
            device: self.device.clone(),
            conversation_id: copy.conversation.id,
            messages: copy.messages,
            dropped: copy.dropped,
            fetched: copy.fetched,
        });
        held.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::conversation_id;
    use crate::recorder::Recorder;

    fn copies() -> Copies {
        let recorder = Arc::new(Recorder::new());
        let pages = Pages::new("a".to_owned(), "http://127.0.0.1:9".to_owned(), recorder);
        Copies::new("a".to_owned(), &[Conversation::of("a", "b")], pages)
    }

    fn message(seq: i64) -> Arc<Message> {
        Arc::new(Message {
            message_id: format!("{seq:024x}"),
            conversation_id: conversation_id("a", "b"),
            seq,
            sender_id: "b".to_owned(),
            receiver_id: "a".to_owned(),
            message: "m".to_owned(),
            timestamp: "2026-11-22T11:15:03.123Z".to_owned(),
            client_message_id: None,
        })
    }

    fn numbers(copies: &Copies) -> Vec<i64> {
        let copies = copies.copies.lock().expect("no holder panics");
        copies[0]
            .messages
            .iter()
            .map(|message| message.seq)
            .collect()
    }

    #[test]
    fn what_is_known_is_dropped_and_what_leaves_a_hole_makes_it_read_on() {
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
    fn a_hole_that_shows_while_a_page_is_on_its_way_is_not_forgotten() {
        let copies = copies();
        copies.read_on();
        let (index, _, last) = copies.next_behind().expect("it may lack something");
        copies.add(&message(3));
        copies.take_page(index, &[message(1)]);
        assert_eq!((last, numbers(&copies)), (0, vec![1]));
        assert!(copies.next_behind().is_some());
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

//! The history of a run, arranged for the rules.
//!
//! - `wordings`: the wordings of entries before and after their changes
//! - `groups`: groups after each of their entries

mod groups;
mod wordings;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use ::tests::client::{Ack, Frame};

pub use wordings::is_changed;

use crate::contents::{Contents, Stored};
use crate::history::{Connection, History, Key, Listed, Outcome, Sent};
use crate::roster::Roster;
use groups::{Seen, Timeline, known_changes, largest_before};

/// The sent, stored and seen messages, arranged for the rules.
pub struct Facts<'a> {
    pub history: &'a History,
    pub sent: HashMap<&'a Key, &'a Sent>,
    pub stored: HashMap<Key, Vec<&'a Stored>>,
    /// Each conversation, in the order of its numbers.
    pub logs: BTreeMap<&'a str, Vec<&'a Stored>>,
    /// The database at the end.
    pub contents: &'a Contents,
    /// Each group after each of its entries.
    pub groups: HashMap<&'a str, Timeline>,
    /// A group of which nothing is stored.
    unknown: Roster,
    /// The changes of groups that were acknowledged or pushed.
    known_changes: Seen<'a>,
    /// The entries that change a text, by the number of the text.
    changes: HashMap<(&'a str, i64), Vec<&'a Stored>>,
    /// The first time at which a client had seen an ack or a push of a change, by the number of the change. It is
    /// applied by then.
    known: HashMap<(&'a str, i64), Duration>,
    /// The largest number of each conversation that a client had seen at a time, by time.
    seen: Seen<'a>,
}

impl<'a> Facts<'a> {
    pub fn new(history: &'a History, contents: &'a Contents) -> Self {
        let mut facts = Self {
            history,
            sent: history.sends.iter().map(|sent| (&sent.key, sent)).collect(),
            stored: HashMap::new(),
            logs: BTreeMap::new(),
            contents,
            groups: HashMap::new(),
            unknown: Roster::default(),
            known_changes: Seen::new(),
            changes: HashMap::new(),
            known: known(history),
            seen: seen(history),
        };
        for message in &contents.stored {
            if let Some(key) = Key::of(message) {
                facts.stored.entry(key).or_default().push(message);
            }
            if let Some(target_seq) = message.target_seq {
                let target = (message.conversation_id.as_str(), target_seq);
                facts.changes.entry(target).or_default().push(message);
            }
            let log = facts.logs.entry(&message.conversation_id).or_default();
            log.push(message);
        }
        for log in facts.logs.values_mut() {
            log.sort_by_key(|message| message.seq);
        }
        facts.known_changes = known_changes(history, &facts.stored);
        facts.add_timelines();
        facts
    }

    pub fn stored_as(&self, key: &Key) -> &[&'a Stored] {
        self.stored.get(key).map_or(&[], Vec::as_slice)
    }

    pub fn log(&self, conversation_id: &str) -> &[&'a Stored] {
        self.logs.get(conversation_id).map_or(&[], Vec::as_slice)
    }

    /// Returns the stored entries under a number; one, unless the numbers are wrong.
    fn numbered(&self, conversation_id: &str, seq: i64) -> impl Iterator<Item = &'a Stored> {
        let log = self.log(conversation_id);
        let first = log.partition_point(|stored| stored.seq < seq);
        let place = log[first..].iter().copied();
        place.take_while(move |stored| stored.seq == seq)
    }

    pub fn entry(&self, conversation_id: &str, seq: i64) -> Option<&'a Stored> {
        self.numbered(conversation_id, seq).next()
    }

    /// Returns the largest number of a conversation that a client had seen before a time; 0 if
    /// none.
    pub fn seen_before(&self, conversation_id: &str, time: Duration) -> i64 {
        largest_before(&self.seen, conversation_id, time)
    }

    /// Returns how an entry was sent, if a client has sent it.
    pub fn sent_as(&self, entry: &Stored) -> Option<&'a Sent> {
        Key::of(entry).and_then(|key| self.sent.get(&key).copied())
    }

    /// Whether nobody knows if an entry is stored.
    pub fn is_open(&self, entry: &Stored) -> bool {
        let sent = self.sent_as(entry);
        sent.is_some_and(|sent| matches!(sent.outcome(), Outcome::Unknown(_)))
    }

    /// Returns the lists that came.
    pub fn lists(&self) -> impl Iterator<Item = &'a Listed> {
        let lists = self.history.lists.iter();
        lists.filter(|list| list.outcome == Outcome::Ok)
    }

    pub fn acks(&self) -> impl Iterator<Item = (Key, &'a Ack)> {
        frames(self.history).filter_map(|(connection, _, frame)| match frame {
            Frame::Ack(ack) => Some((ack_key(connection, ack), ack)),
            _ => None,
        })
    }
}

pub fn frames(history: &History) -> impl Iterator<Item = (&Connection, Duration, &Frame)> {
    let connections = history.connections.iter();
    connections.flat_map(|connection| {
        let received = connection.received.iter();
        received.map(move |received| (connection, received.at, &received.frame))
    })
}

/// Returns the key of the message of an ack: the sender is the user of the connection. All messages
/// are sent with an id, so an ack without one belongs to no stored message.
fn ack_key(connection: &Connection, ack: &Ack) -> Key {
    Key {
        conversation_id: ack.conversation_id.clone(),
        sender_id: connection.user_id.clone(),
        client_message_id: ack.client_message_id.clone().unwrap_or_default(),
    }
}

fn seen(history: &History) -> Seen<'_> {
    let mut seen = Seen::new();
    let mut see = |conversation_id, at, seq| {
        seen.entry(conversation_id).or_default().push((at, seq));
    };
    for (_, at, frame) in frames(history) {
        match frame {
            Frame::Message(message) | Frame::Entry(message) => {
                see(message.conversation_id.as_str(), at, message.seq);
            }
            Frame::Ack(ack) => see(ack.conversation_id.as_str(), at, ack.seq),
            _ => {}
        }
    }
    for read in &history.reads {
        if let Some(last) = read.messages.last() {
            see(read.conversation_id.as_str(), read.end, last.seq);
        }
    }
    largest_so_far(seen)
}

/// Sorts what was seen by its time, and raises each number to the largest one so far.
fn largest_so_far(mut seen: Seen<'_>) -> Seen<'_> {
    for seen in seen.values_mut() {
        seen.sort_unstable();
        let mut largest = 0;
        for (_, seq) in seen {
            largest = largest.max(*seq);
            *seq = largest;
        }
    }
    seen
}

fn known(history: &History) -> HashMap<(&str, i64), Duration> {
    let mut known: HashMap<(&str, i64), Duration> = HashMap::new();
    for (_, at, frame) in frames(history) {
        let number = match frame {
            Frame::Ack(ack) => (ack.conversation_id.as_str(), ack.seq),
            Frame::Entry(entry) => (entry.conversation_id.as_str(), entry.seq),
            _ => continue,
        };
        let first = known.entry(number).or_insert(at);
        *first = at.min(*first);
    }
    known
}

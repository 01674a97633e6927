//! The delivery contract, as rules over the history of a run and the stored messages.
//!
//! Each rule is a function, and each way to break it is a variant of [`Violation`]. The rules do
//! not depend on how the chat works: they hold for any chat that keeps the contract.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ::tests::client::{Ack, Frame, Message};

use crate::history::{
    Connection, Held, History, Key, Outcome, Read, Sent, Stored, conversation_id,
};

#[cfg(test)]
mod tests;

/// A broken promise, with the data to find it in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A message was acknowledged, and is not stored.
    Lost { key: Key, seq: i64 },
    /// An ack differs from the stored message.
    AckDiffers { ack: Ack, stored: Arc<Message> },
    /// More than one ack says that its attempt stored the message.
    NewTwice { key: Key, seq: i64 },
    /// One message is stored more than once.
    StoredTwice { key: Key, seqs: Vec<i64> },
    /// A number is missing in a conversation, and larger ones are not.
    Hole { conversation_id: String, seq: i64 },
    /// A number is there more than once in a conversation, or is not one of 1, 2, 3, ….
    BadNumber { conversation_id: String, seq: i64 },
    /// A message has an earlier timestamp than the one before it, or one in another form.
    BadTime { conversation_id: String, seq: i64 },
    /// A message is stored that no client has sent.
    Invented { conversation_id: String, seq: i64 },
    /// A stored message differs from the message that was sent.
    Altered { key: Key, seq: i64 },
    /// A message is stored although every attempt to send it was refused.
    RefusedButStored { key: Key, seq: i64, code: String },
    /// A valid message was refused for good, or an invalid one was not refused as it must be.
    WrongAnswer {
        key: Key,
        expected: Option<String>,
        outcome: Outcome,
    },
    /// A message has a number that a client had seen before the message was first sent.
    OutOfOrder { key: Key, seq: i64, seen: i64 },
    /// A page does not hold the numbers that follow the requested one.
    PageSkips { page: PageId, seq: i64 },
    /// A page holds more messages than requested.
    PageTooLong { page: PageId },
    /// A page ends before a number that a client had seen before the request.
    PageStale { page: PageId, seen: i64 },
    /// A message that was read differs from the stored one.
    PageDiffers { page: PageId, seq: i64 },
    /// A connection got a message that is neither from its user nor to it.
    Misdelivered {
        connection: u64,
        user_id: String,
        conversation_id: String,
        seq: i64,
    },
    /// A message that a connection got differs from the stored one.
    PushDiffers {
        connection: u64,
        conversation_id: String,
        seq: i64,
    },
    /// A frame lacks fields of its type, or a page is not an array of messages.
    Malformed { source: String, text: String },
    /// A device's copy differs from the log at the end; the first difference.
    LogDiffers {
        device: String,
        conversation_id: String,
        seq: i64,
    },
}

/// Index of a read in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageId {
    reader: String,
    conversation_id: String,
    after: i64,
    start: Duration,
}

/// Checks a run against the messages stored after it; returns the violations, rule by rule.
pub fn check(history: &History, stored: &[Stored]) -> Vec<Violation> {
    let facts = Facts::new(history, stored);
    let rules = [
        numbers,
        times,
        stored_once,
        stored_as_sent,
        refused,
        answered,
        acknowledged,
        new_once,
        in_order,
        pages,
        pushes,
        well_formed,
        logs,
    ];
    rules.iter().flat_map(|rule| rule(&facts)).collect()
}

/// The sent, stored and seen messages, arranged for the rules.
struct Facts<'a> {
    history: &'a History,
    sent: HashMap<&'a Key, &'a Sent>,
    stored: HashMap<Key, Vec<&'a Stored>>,
    /// Each conversation, in the order of its numbers.
    logs: BTreeMap<&'a str, Vec<&'a Stored>>,
    /// The largest number of each conversation that a client had seen at a time, by time.
    seen: HashMap<&'a str, Vec<(Duration, i64)>>,
}

impl<'a> Facts<'a> {
    fn new(history: &'a History, stored: &'a [Stored]) -> Self {
        let mut facts = Self {
            history,
            sent: history.sends.iter().map(|sent| (&sent.key, sent)).collect(),
            stored: HashMap::new(),
            logs: BTreeMap::new(),
            seen: seen(history),
        };
        for message in stored {
            if let Some(key) = Key::of(message) {
                facts.stored.entry(key).or_default().push(message);
            }
            let log = facts.logs.entry(&message.conversation_id).or_default();
            log.push(message);
        }
        for log in facts.logs.values_mut() {
            log.sort_by_key(|message| message.seq);
        }
        facts
    }

    fn stored_as(&self, key: &Key) -> &[&'a Stored] {
        self.stored.get(key).map_or(&[], Vec::as_slice)
    }

    fn log(&self, conversation_id: &str) -> &[&'a Stored] {
        self.logs.get(conversation_id).map_or(&[], Vec::as_slice)
    }

    fn is_stored(&self, message: &Message) -> bool {
        let log = self.log(&message.conversation_id);
        let first = log.partition_point(|stored| stored.seq < message.seq);
        let place = log[first..].iter();
        let mut place = place.take_while(|stored| stored.seq == message.seq);
        place.any(|stored| *stored == message)
    }

    /// Returns the largest number of a conversation that a client had seen before a time; 0 if
    /// none.
    fn seen_before(&self, conversation_id: &str, time: Duration) -> i64 {
        let seen = self
            .seen
            .get(conversation_id)
            .map_or(&[][..], Vec::as_slice);
        let later = seen.partition_point(|(at, _)| *at < time);
        seen[..later].last().map_or(0, |(_, seq)| *seq)
    }

    fn acks(&self) -> impl Iterator<Item = (Key, &'a Ack)> {
        frames(self.history).filter_map(|(connection, _, frame)| match frame {
            Frame::Ack(ack) => Some((ack_key(connection, ack), ack)),
            _ => None,
        })
    }
}

fn frames(history: &History) -> impl Iterator<Item = (&Connection, Duration, &Frame)> {
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

fn seen(history: &History) -> HashMap<&str, Vec<(Duration, i64)>> {
    let mut seen: HashMap<&str, Vec<(Duration, i64)>> = HashMap::new();
    let mut see = |conversation_id, at, seq| {
        seen.entry(conversation_id).or_default().push((at, seq));
    };
    for (_, at, frame) in frames(history) {
        match frame {
            Frame::Message(message) => see(message.conversation_id.as_str(), at, message.seq),
            Frame::Ack(ack) => see(ack.conversation_id.as_str(), at, ack.seq),
            _ => {}
        }
    }
    for read in &history.reads {
        if let Some(last) = read.messages.last() {
            see(read.conversation_id.as_str(), read.end, last.seq);
        }
    }
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

/// The numbers of a conversation are 1, 2, 3, … without holes.
fn numbers(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for (conversation_id, log) in &facts.logs {
        let conversation_id = || (*conversation_id).to_owned();
        let mut next = 1;
        for seq in log.iter().map(|message| message.seq) {
            if seq > next {
                let conversation_id = conversation_id();
                found.push(Violation::Hole {
                    conversation_id,
                    seq: next,
                });
            } else if seq < next {
                let conversation_id = conversation_id();
                found.push(Violation::BadNumber {
                    conversation_id,
                    seq,
                });
            }
            next = next.max(seq + 1);
        }
    }
    found
}

/// Timestamps never decrease with the number, and have the one form in which text sorts as time.
fn times(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for log in facts.logs.values() {
        let mut latest = "";
        for message in log {
            let time = chat::timestamp::parse(&message.timestamp).map(chat::timestamp::format);
            let is_good =
                time.as_ref() == Some(&message.timestamp) && *latest <= *message.timestamp;
            if !is_good {
                found.push(Violation::BadTime {
                    conversation_id: message.conversation_id.clone(),
                    seq: message.seq,
                });
            }
            latest = latest.max(&message.timestamp);
        }
    }
    found
}

/// Messages with the same `client_message_id`, sender and conversation are one message.
fn stored_once(facts: &Facts) -> Vec<Violation> {
    let twice = facts.stored.iter().filter(|(_, stored)| stored.len() > 1);
    let violations = twice.map(|(key, stored)| Violation::StoredTwice {
        key: key.clone(),
        seqs: stored.iter().map(|message| message.seq).collect(),
    });
    violations.collect()
}

/// A stored message was sent, to that receiver, with that text.
fn stored_as_sent(facts: &Facts) -> Vec<Violation> {
    let stored = facts.logs.values().flatten();
    let violations = stored.filter_map(|message| {
        let seq = message.seq;
        let invented = || Violation::Invented {
            conversation_id: message.conversation_id.clone(),
            seq,
        };
        let Some(key) = Key::of(message) else {
            return Some(invented());
        };
        let Some(sent) = facts.sent.get(&key) else {
            return Some(invented());
        };
        let is_same = message.receiver_id == sent.receiver_id
            && message.message == sent.message
            && message.conversation_id == conversation_id(&key.sender_id, &sent.receiver_id);
        (!is_same).then_some(Violation::Altered { key, seq })
    });
    violations.collect()
}

/// A message that every attempt refused is not stored.
fn refused(facts: &Facts) -> Vec<Violation> {
    let sends = facts.history.sends.iter();
    let violations = sends.filter_map(|sent| {
        let Outcome::Failed(code) = sent.outcome() else {
            return None;
        };
        let stored = facts.stored_as(&sent.key).first()?;
        Some(Violation::RefusedButStored {
            key: sent.key.clone(),
            seq: stored.seq,
            code,
        })
    });
    violations.collect()
}

/// An invalid message is refused with its code, and no other message is refused for good.
fn answered(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for sent in &facts.history.sends {
        let outcomes = sent.attempts.iter().map(|attempt| &attempt.outcome);
        let wrong = outcomes.filter(|outcome| match outcome {
            Outcome::Ok => sent.refusal.is_some(),
            // It only says to wait.
            Outcome::Failed(code) if code == "rate_limited" => false,
            Outcome::Failed(code) => sent.refusal.as_ref() != Some(code),
            Outcome::Unknown(_) | Outcome::Malformed(_) => false,
        });
        found.extend(wrong.map(|outcome| Violation::WrongAnswer {
            key: sent.key.clone(),
            expected: sent.refusal.clone(),
            outcome: outcome.clone(),
        }));
    }
    found
}

/// An acknowledged message is stored, as every ack says.
fn acknowledged(facts: &Facts) -> Vec<Violation> {
    let violations = facts.acks().filter_map(|(key, ack)| {
        let stored = facts.stored_as(&key);
        match stored.first() {
            None => Some(Violation::Lost { key, seq: ack.seq }),
            Some(_) if stored.iter().any(|stored| says(ack, stored)) => None,
            Some(first) => Some(Violation::AckDiffers {
                ack: ack.clone(),
                stored: Arc::new((*first).clone()),
            }),
        }
    });
    violations.collect()
}

fn says(ack: &Ack, stored: &Stored) -> bool {
    (ack.seq, &ack.message_id, &ack.timestamp)
        == (stored.seq, &stored.message_id, &stored.timestamp)
}

/// At most one ack of a message says that it was not stored before.
fn new_once(facts: &Facts) -> Vec<Violation> {
    let mut new: HashMap<Key, Vec<i64>> = HashMap::new();
    for (key, ack) in facts.acks().filter(|(_, ack)| !ack.duplicate) {
        new.entry(key).or_default().push(ack.seq);
    }
    let twice = new.into_iter().filter(|(_, seqs)| seqs.len() > 1);
    let violations = twice.map(|(key, seqs)| Violation::NewTwice { key, seq: seqs[0] });
    violations.collect()
}

/// A message gets a larger number than any that was seen before it was sent.
fn in_order(facts: &Facts) -> Vec<Violation> {
    let sends = facts.history.sends.iter();
    let violations = sends.flat_map(|sent| {
        let seen = facts.seen_before(&sent.key.conversation_id, sent.start());
        let stored = facts.stored_as(&sent.key).iter();
        let early = stored.filter(move |stored| stored.seq <= seen);
        early.map(move |stored| Violation::OutOfOrder {
            key: sent.key.clone(),
            seq: stored.seq,
            seen,
        })
    });
    violations.collect()
}

/// A reader never skips: a page holds the following messages, up to its limit or beyond all that
/// was seen before the request, as they are stored.
fn pages(facts: &Facts) -> Vec<Violation> {
    let reads = facts.history.reads.iter();
    let good = reads.filter(|read| read.outcome == Outcome::Ok);
    good.flat_map(|read| page(facts, read)).collect()
}

fn page(facts: &Facts, read: &Read) -> Vec<Violation> {
    let mut found = Vec::new();
    let page = || PageId {
        reader: read.reader.clone(),
        conversation_id: read.conversation_id.clone(),
        after: read.after,
        start: read.start,
    };
    let mut expected = (read.after + 1..).zip(&read.messages);
    if let Some((seq, _)) = expected.find(|(seq, message)| message.seq != *seq) {
        found.push(Violation::PageSkips { page: page(), seq });
    }
    if read.messages.len() > read.limit {
        found.push(Violation::PageTooLong { page: page() });
    }
    let seen = facts.seen_before(&read.conversation_id, read.start);
    let end = read.messages.last().map_or(read.after, |last| last.seq);
    if read.messages.len() < read.limit && end < seen {
        found.push(Violation::PageStale { page: page(), seen });
    }
    let messages = read.messages.iter();
    let differing = messages.filter(|message| !facts.is_stored(message));
    found.extend(differing.map(|message| Violation::PageDiffers {
        page: page(),
        seq: message.seq,
    }));
    found
}

/// A connection gets messages from its user and to it alone, as they are stored.
fn pushes(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for (connection, _, frame) in frames(facts.history) {
        let Frame::Message(message) = frame else {
            continue;
        };
        let (conversation_id, seq) = (message.conversation_id.clone(), message.seq);
        if ![&message.sender_id, &message.receiver_id].contains(&&connection.user_id) {
            found.push(Violation::Misdelivered {
                connection: connection.id,
                user_id: connection.user_id.clone(),
                conversation_id,
                seq,
            });
        } else if !facts.is_stored(message) {
            found.push(Violation::PushDiffers {
                connection: connection.id,
                conversation_id,
                seq,
            });
        }
    }
    found
}

/// Frames have the fields of their type, and pages are arrays of messages.
fn well_formed(facts: &Facts) -> Vec<Violation> {
    let frames = frames(facts.history).filter_map(|(connection, _, frame)| match frame {
        Frame::Malformed(text) => Some((format!("connection {}", connection.id), text)),
        _ => None,
    });
    let reads = facts.history.reads.iter();
    let pages = reads.filter_map(|read| match &read.outcome {
        Outcome::Malformed(text) => Some((read.reader.clone(), text)),
        _ => None,
    });
    let all = frames.chain(pages);
    all.map(|(source, text)| Violation::Malformed {
        source,
        text: text.clone(),
    })
    .collect()
}

/// The copy of a client that follows the contract equals the log.
fn logs(facts: &Facts) -> Vec<Violation> {
    let held = facts.history.held.iter();
    held.filter_map(|held| log(facts, held)).collect()
}

fn log(facts: &Facts, held: &Held) -> Option<Violation> {
    let stored = facts.log(&held.conversation_id);
    let pairs = held.messages.iter().zip(stored);
    let same = pairs.take_while(|(held, stored)| ***held == ***stored);
    let same = same.count();
    let first = match held.messages.get(same) {
        Some(message) => message.seq,
        // A message that was given up without an ack may have been stored after the device had read the rest.
        None => {
            stored[same..]
                .iter()
                .find(|message| !is_open(facts, message))?
                .seq
        }
    };
    Some(Violation::LogDiffers {
        device: held.device.clone(),
        conversation_id: held.conversation_id.clone(),
        seq: first,
    })
}

fn is_open(facts: &Facts, message: &Stored) -> bool {
    let sent = Key::of(message).and_then(|key| facts.sent.get(&key).copied());
    sent.is_some_and(|sent| matches!(sent.outcome(), Outcome::Unknown(_)))
}

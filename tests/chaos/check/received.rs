//! Rules of pages, pushes, and the clients' copies of the log.

use ::tests::client::Frame;

use super::facts::{Facts, frames};
use super::{PageId, Violation};
use crate::history::{Held, Key, Outcome, Read, Stored};

/// A reader never skips: a page holds the following messages, up to its limit or beyond all that
/// was seen before the request, as they are stored.
pub fn pages(facts: &Facts) -> Vec<Violation> {
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
pub fn pushes(facts: &Facts) -> Vec<Violation> {
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

/// Frames have the fields of their type, pages are arrays of messages, and lists are lists.
pub fn well_formed(facts: &Facts) -> Vec<Violation> {
    let frames = frames(facts.history).filter_map(|(connection, _, frame)| match frame {
        Frame::Malformed(text) => Some((format!("connection {}", connection.id), text)),
        _ => None,
    });
    let reads = facts.history.reads.iter();
    let pages = reads.filter_map(|read| match &read.outcome {
        Outcome::Malformed(text) => Some((read.reader.clone(), text)),
        _ => None,
    });
    let lists = facts.history.lists.iter();
    let lists = lists.filter_map(|list| match &list.outcome {
        Outcome::Malformed(text) => Some((format!("list of {}", list.user_id), text)),
        _ => None,
    });
    let all = frames.chain(pages).chain(lists);
    all.map(|(source, text)| Violation::Malformed {
        source,
        text: text.clone(),
    })
    .collect()
}

/// The copy of a client that follows the contract equals the log.
pub fn logs(facts: &Facts) -> Vec<Violation> {
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

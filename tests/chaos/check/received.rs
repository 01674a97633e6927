//! Rules of pages, pushes, and the clients' copies of the log.

use std::time::Duration;

use ::tests::client::{Frame, Message};

use super::facts::{Facts, frames};
use super::{PageId, Violation};
use crate::history::{Connection, Form, Held, Key, Outcome, Read, Stored};

/// A reader never skips: a page holds the following entries, or texts that are not deleted, up to its limit or beyond
/// all that was seen before the request. They are as they are stored, or were not before the request.
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
    if let Some(seq) = skipped(facts, read) {
        found.push(Violation::PageSkips { page: page(), seq });
    }
    if read.messages.len() > read.limit {
        found.push(Violation::PageTooLong { page: page() });
    }
    let end = read.messages.last().map_or(read.after, |last| last.seq);
    let seen = facts.seen_before(&read.conversation_id, read.start);
    let missing = match read.form {
        Form::Log => (end < seen).then_some(seen),
        Form::Texts => texts_between(facts, read, end, seen + 1).next(),
    };
    if let Some(seen) = missing.filter(|_| read.messages.len() < read.limit) {
        found.push(Violation::PageStale { page: page(), seen });
    }
    for message in &read.messages {
        let (page, seq) = (page(), message.seq);
        let is_wrong_kind = read.form == Form::Texts && !message.is_visible_text();
        if is_wrong_kind || !facts.was_stored(message) {
            found.push(Violation::PageDiffers { page, seq });
        } else if !facts.is_new_enough(message, read.start) {
            found.push(Violation::PageOutdated { page, seq });
        }
    }
    found
}

/// Returns the first number that a page should have, and has not.
fn skipped(facts: &Facts, read: &Read) -> Option<i64> {
    let mut before = read.after;
    for message in &read.messages {
        let skipped = match read.form {
            _ if message.seq <= before => Some(message.seq),
            Form::Log => (message.seq > before + 1).then_some(before + 1),
            Form::Texts => texts_between(facts, read, before, message.seq).next(),
        };
        if skipped.is_some() {
            return skipped;
        }
        before = message.seq;
    }
    None
}

/// Returns the texts with numbers between two others that were not deleted before the end of a read.
fn texts_between(facts: &Facts, read: &Read, after: i64, before: i64) -> impl Iterator<Item = i64> {
    let id = &read.conversation_id;
    let log = facts.log(id);
    let first = log.partition_point(|entry| entry.seq <= after);
    let between = log[first..].iter();
    let between = between.take_while(move |entry| entry.seq < before);
    let texts = between.filter(|entry| entry.kind.is_text());
    let texts = texts.map(|text| text.seq);
    texts.filter(move |seq| !facts.may_be_deleted(id, *seq, read.end))
}

/// A connection gets messages from its user and to it alone, as they are stored, or were before a change.
pub fn pushes(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for (connection, message) in pushed(facts) {
        let (conversation_id, seq) = (message.conversation_id.clone(), message.seq);
        if ![&message.sender_id, &message.receiver_id].contains(&&connection.user_id) {
            found.push(Violation::Misdelivered {
                connection: connection.id,
                user_id: connection.user_id.clone(),
                conversation_id,
                seq,
            });
        } else if !facts.was_stored(message) {
            found.push(Violation::PushDiffers {
                connection: connection.id,
                conversation_id,
                seq,
            });
        }
    }
    found
}

/// An old client gets texts only, and none that is deleted.
pub fn pushes_to_old(facts: &Facts) -> Vec<Violation> {
    let all = pushed(facts).filter(|(connection, _)| !connection.modern);
    let astray = all.filter(|(_, message)| !message.is_visible_text());
    astray
        .map(|(connection, message)| Violation::NotForOld {
            connection: connection.id,
            seq: message.seq,
        })
        .collect()
}

fn pushed<'a>(facts: &Facts<'a>) -> impl Iterator<Item = (&'a Connection, &'a Message)> {
    frames(facts.history).filter_map(|(connection, _, frame)| match frame {
        Frame::Message(message) | Frame::Entry(message) => Some((connection, &**message)),
        _ => None,
    })
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

/// The copy of a client that follows the contract equals the log, with all changes applied.
pub fn logs(facts: &Facts) -> Vec<Violation> {
    let held = facts.history.held.iter();
    held.filter_map(|held| log(facts, held)).collect()
}

fn log(facts: &Facts, held: &Held) -> Option<Violation> {
    let stored = facts.log(&held.conversation_id);
    let pairs = held.messages.iter().zip(stored);
    let same = pairs.take_while(|(held, stored)| held.seq == stored.seq && is_same(facts, held));
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

/// Whether a device shows an entry as everybody does: a text with its newest wording or none. Other entries it has
/// only as they came.
fn is_same(facts: &Facts, held: &Message) -> bool {
    let is_deleted = held.kind.is_text() && held.deleted_seq.is_some();
    let shown = Message {
        // The device has applied edits that the deletion came before.
        edited_seq: held.edited_seq.filter(|_| !is_deleted),
        ..held.clone()
    };
    let is_new = || facts.is_new_enough(&shown, Duration::MAX);
    facts.was_stored(&shown) && (!held.kind.is_text() || is_new())
}

fn is_open(facts: &Facts, message: &Stored) -> bool {
    let sent = Key::of(message).and_then(|key| facts.sent.get(&key).copied());
    sent.is_some_and(|sent| matches!(sent.outcome(), Outcome::Unknown(_)))
}

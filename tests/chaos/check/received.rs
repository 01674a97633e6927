//! Rules of pages, pushes, and the clients' copies of the log.

use std::sync::Arc;
use std::time::Duration;

use ::tests::client::{Frame, Message};

use super::facts::{Facts, frames};
use super::{PageId, Violation};
use crate::history::{Connection, Form, Held, Outcome, Read, is_group};
use crate::roster::Roster;

/// A reader never skips: a page holds the following entries, or texts that are not deleted, up to its limit or beyond
/// all that was seen before the request. They are as they are stored, or were not before the request.
pub fn pages(facts: &Facts) -> Vec<Violation> {
    let reads = facts.history.reads.iter();
    let good = reads.filter(|read| read.outcome == Outcome::Ok);
    good.flat_map(|read| page(facts, read)).collect()
}

fn page(facts: &Facts, read: &Read) -> Vec<Violation> {
    let mut found = Vec::new();
    let parts = facts.parts(&read.conversation_id, &read.user_id, read.start, read.end);
    let by_part = parts.iter().map(|part| misplaced(facts, read, *part));
    match by_part.min_by_key(Vec::len) {
        Some(misplaced) => found.extend(misplaced),
        None => found.push(Violation::PageAstray { page: id(read) }),
    }
    if read.messages.len() > read.limit {
        found.push(Violation::PageTooLong { page: id(read) });
    }
    for message in &read.messages {
        let (page, seq) = (id(read), message.seq);
        let is_wrong_kind = read.form == Form::Texts && !message.is_visible_text();
        if is_wrong_kind || !facts.was_stored(message) {
            found.push(Violation::PageDiffers { page, seq });
        } else if !facts.is_new_enough(message, read.start) {
            found.push(Violation::PageOutdated { page, seq });
        }
    }
    found
}

fn id(read: &Read) -> PageId {
    PageId {
        reader: read.reader.clone(),
        conversation_id: read.conversation_id.clone(),
        after: read.after,
        start: read.start,
    }
}

/// Returns what is wrong with the numbers of a page, if its reader sees this part of the conversation.
fn misplaced(facts: &Facts, read: &Read, (first, last): (i64, i64)) -> Vec<Violation> {
    let is_hidden = |message: &Arc<Message>| !(first..=last).contains(&message.seq);
    if is_group(&read.conversation_id) && read.messages.iter().any(is_hidden) {
        return vec![Violation::PageAstray { page: id(read) }];
    }
    let mut found = Vec::new();
    let before = read.after.max(first - 1);
    if let Some(seq) = skipped(facts, read, before) {
        found.push(Violation::PageSkips {
            page: id(read),
            seq,
        });
    }
    let end = read.messages.last().map_or(before, |message| message.seq);
    let seen = facts.seen_before(&read.conversation_id, read.start);
    let seen = seen.min(last);
    let missing = match read.form {
        Form::Log => (end < seen).then_some(seen),
        Form::Texts => texts_between(facts, read, end, seen + 1).next(),
    };
    if let Some(seen) = missing.filter(|_| read.messages.len() < read.limit) {
        found.push(Violation::PageStale {
            page: id(read),
            seen,
        });
    }
    found
}

/// Returns the first number after another one that a page should have, and has not.
fn skipped(facts: &Facts, read: &Read, mut before: i64) -> Option<i64> {
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

/// A page of a group is refused only to who was never in it, at some moment between the request and the response.
pub fn pages_refused(facts: &Facts) -> Vec<Violation> {
    let reads = facts.history.reads.iter();
    let refused =
        reads.filter(|read| is_group(&read.conversation_id) && read.outcome.is_forbidden());
    let wrong = refused.filter(|read| {
        let rosters = facts.moments(&read.conversation_id, read.start, read.end);
        let is_known = |it: &&Roster| it.users.contains_key(&read.user_id);
        rosters.iter().all(is_known)
    });
    wrong
        .map(|read| Violation::PageRefused { page: id(read) })
        .collect()
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

/// A connection gets messages from its user and to it alone, and of a group what the user may read, as they are stored, or
/// were before a change.
pub fn pushes(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for (connection, at, message) in pushed(facts) {
        let (conversation_id, seq) = (message.conversation_id.clone(), message.seq);
        let user_id = &connection.user_id;
        let is_theirs = match &message.receiver_id {
            Some(receiver) => [&message.sender_id, receiver].contains(&user_id),
            None => facts.may_see(user_id, &conversation_id, seq, at),
        };
        if !is_theirs {
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

/// An old client gets texts only, none that is deleted, and none of a group.
pub fn pushes_to_old(facts: &Facts) -> Vec<Violation> {
    let all = pushed(facts).filter(|(connection, ..)| !connection.modern);
    let is_for_old = |it: &Message| it.is_visible_text() && it.receiver_id.is_some();
    let astray = all.filter(|(.., message)| !is_for_old(message));
    astray
        .map(|(connection, _, message)| Violation::NotForOld {
            connection: connection.id,
            seq: message.seq,
        })
        .collect()
}

fn pushed<'a>(facts: &Facts<'a>) -> impl Iterator<Item = (&'a Connection, Duration, &'a Message)> {
    frames(facts.history).filter_map(|(connection, at, frame)| match frame {
        Frame::Message(message) | Frame::Entry(message) => Some((connection, at, &**message)),
        _ => None,
    })
}

/// Frames have the fields of their type, pages are arrays of messages, lists are lists, and members are members.
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
    let rolls = facts.history.rolls.iter();
    let rolls = rolls.filter_map(|roll| match &roll.outcome {
        Outcome::Malformed(text) => Some((format!("members for {}", roll.user_id), text)),
        _ => None,
    });
    let all = frames.chain(pages).chain(lists).chain(rolls);
    all.map(|(source, text)| Violation::Malformed {
        source,
        text: text.clone(),
    })
    .collect()
}

/// The copy of a client that follows the contract equals the log, with all changes applied; in a group, the part of it that
/// the user may read.
pub fn logs(facts: &Facts) -> Vec<Violation> {
    let held = facts.history.held.iter();
    held.filter_map(|held| log(facts, held)).collect()
}

fn log(facts: &Facts, held: &Held) -> Option<Violation> {
    let id = &held.conversation_id;
    let parts = if is_group(id) {
        let endings = facts.endings(id).into_iter();
        // Who was never in it has read nothing.
        let parts = endings.map(|it| it.readable(&held.user_id).unwrap_or((1, 0)));
        parts.collect()
    } else {
        vec![(1, i64::MAX)]
    };
    let mut differences = parts.into_iter().map(|part| difference(facts, held, part));
    let first = differences.next().expect("there is an end");
    let all_differ = first.is_some() && differences.all(|it| it.is_some());
    let seq = first.filter(|_| all_differ)?;
    Some(Violation::LogDiffers {
        device: held.device.clone(),
        conversation_id: held.conversation_id.clone(),
        seq,
    })
}

/// Returns the first number at which a copy differs from a part of the log.
fn difference(facts: &Facts, held: &Held, (first, last): (i64, i64)) -> Option<i64> {
    // Who has joined again right after leaving has the time before, too.
    let first_held = held.messages.first().map_or(first, |message| message.seq);
    let first = first.min(first_held);
    let log = facts.log(&held.conversation_id).iter();
    let stored = log.filter(|it| (first..=last).contains(&it.seq));
    let stored: Vec<_> = stored.collect();
    let pairs = held.messages.iter().zip(&stored);
    let same =
        pairs.take_while(|(held, stored)| held.seq == stored.seq && is_same(facts, held, last));
    let same = same.count();
    match held.messages.get(same) {
        Some(message) => Some(message.seq),
        // A message that was given up without an ack may have been stored after the device had read the rest.
        None => {
            let mut missing = stored[same..].iter();
            missing.find(|it| !facts.is_open(it)).map(|it| it.seq)
        }
    }
}

/// Whether a device shows an entry as everybody does who may read up to a number: a text with its newest wording or none.
/// Other entries it has only as they came.
fn is_same(facts: &Facts, held: &Message, last: i64) -> bool {
    let is_deleted = held.kind.is_text() && held.deleted_seq.is_some();
    let shown = Message {
        // The device has applied edits that the deletion came before.
        edited_seq: held.edited_seq.filter(|_| !is_deleted),
        ..held.clone()
    };
    let is_new = || facts.has_changes(&shown, last);
    facts.was_stored(&shown) && (!held.kind.is_text() || is_new())
}

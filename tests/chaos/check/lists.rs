//! Rules of marks, and of lists of conversations.

use std::collections::HashMap;
use std::time::Duration;

use ::tests::client::{Frame, Row};
use chat::{Kind, Marks};

use super::Violation;
use super::facts::{Facts, frames};
use crate::history::{Key, Listed, Outcome, Stored};

/// Unread messages at which counting ends, and messages that are looked at for it.
const MAX_UNREAD: usize = 100;
const MAX_COUNTED: i64 = 1_000;

/// Limit of a preview, in characters.
pub const PREVIEW_CHARS: usize = 200;

/// Newest entries that are looked at for a text that is not deleted, at least.
const LOOK_BACK: i64 = 50;

/// The marks of a user in a conversation that a client had seen at a time.
struct Seen<'a> {
    at: Duration,
    conversation_id: &'a str,
    user_id: &'a str,
    marks: Marks,
}

/// Returns all marks that clients have seen, pushed or read.
fn seen<'a>(facts: &Facts<'a>) -> Vec<Seen<'a>> {
    let pushed = frames(facts.history).filter_map(|(_, at, frame)| match frame {
        Frame::Receipt(receipt) => Some(Seen {
            at,
            conversation_id: &receipt.conversation_id,
            user_id: &receipt.user_id,
            marks: receipt.marks,
        }),
        _ => None,
    });
    let lists = facts.history.lists.iter();
    pushed.chain(lists.flat_map(listed)).collect()
}

/// Returns the marks of both sides in a list.
fn listed(list: &Listed) -> impl Iterator<Item = Seen<'_>> {
    list.rows.iter().flat_map(|row| {
        let peer_marks = Marks {
            read: row.peer_read,
            delivered: row.peer_delivered,
        };
        let both = [(&list.user_id, row.marks), (&row.peer_id, peer_marks)];
        both.map(|(user_id, marks)| Seen {
            at: list.end,
            conversation_id: &row.conversation_id,
            user_id,
            marks,
        })
    })
}

/// A mark that a client has seen is never smaller in a list that is requested later.
pub fn marks_grow(facts: &Facts) -> Vec<Violation> {
    let mut by_owner: HashMap<_, Vec<Seen>> = HashMap::new();
    for seen in seen(facts) {
        let owner = (seen.conversation_id, seen.user_id);
        by_owner.entry(owner).or_default().push(seen);
    }
    let mut found = Vec::new();
    for list in good(facts) {
        for later in listed(list) {
            let all = &by_owner[&(later.conversation_id, later.user_id)];
            let before = all.iter().filter(|seen| seen.at < list.start);
            let is_larger = |seen: &&Seen| {
                seen.marks.read > later.marks.read || seen.marks.delivered > later.marks.delivered
            };
            found.extend(
                before
                    .filter(is_larger)
                    .take(1)
                    .map(|seen| Violation::MarkBack {
                        conversation_id: later.conversation_id.to_owned(),
                        user_id: later.user_id.to_owned(),
                        seen: seen.marks,
                        later: later.marks,
                    }),
            );
        }
    }
    found
}

/// A mark is the number of a message, and what was read was delivered.
pub fn marks_are_numbers(facts: &Facts) -> Vec<Violation> {
    let is_wrong = |seen: &Seen| {
        let newest = facts
            .log(seen.conversation_id)
            .last()
            .map_or(0, |last| last.seq);
        let Marks { read, delivered } = seen.marks;
        !(0 <= read && read <= delivered && delivered <= newest)
    };
    let wrong = seen(facts).into_iter().filter(is_wrong);
    wrong
        .map(|seen| Violation::BadMark {
            conversation_id: seen.conversation_id.to_owned(),
            user_id: seen.user_id.to_owned(),
            marks: seen.marks,
        })
        .collect()
}

/// A receipt goes to modern clients of the two users of its conversation.
pub fn receipts(facts: &Facts) -> Vec<Violation> {
    let all = frames(facts.history);
    let astray = all.filter(|(connection, _, frame)| match frame {
        Frame::Receipt(receipt) => {
            let log = facts.log(&receipt.conversation_id);
            let is_theirs = log.first().is_some_and(|message| {
                [&message.sender_id, &message.receiver_id].contains(&&connection.user_id)
            });
            !connection.modern || !is_theirs
        }
        _ => false,
    });
    astray
        .map(|(connection, _, _)| Violation::ReceiptAstray {
            connection: connection.id,
            user_id: connection.user_id.clone(),
        })
        .collect()
}

/// A message that was acknowledged before a list is requested is in it.
pub fn listed_once_acknowledged(facts: &Facts) -> Vec<Violation> {
    let mut acked: HashMap<&str, Vec<(Duration, Key)>> = HashMap::new();
    let acks = frames(facts.history).filter_map(|(connection, at, frame)| match frame {
        Frame::Ack(ack) => Some((connection, at, ack)),
        _ => None,
    });
    for (connection, at, ack) in acks {
        let key = Key {
            conversation_id: ack.conversation_id.clone(),
            sender_id: connection.user_id.clone(),
            client_message_id: ack.client_message_id.clone().unwrap_or_default(),
        };
        let Some(stored) = facts.stored_as(&key).first() else {
            continue;
        };
        for user_id in [&stored.sender_id, &stored.receiver_id] {
            acked.entry(user_id).or_default().push((at, key.clone()));
        }
    }
    let mut found = Vec::new();
    for list in good(facts) {
        let all = acked
            .get(list.user_id.as_str())
            .map_or(&[][..], Vec::as_slice);
        let is_missing = |(at, key): &&(Duration, Key)| {
            let mut rows = list.rows.iter();
            *at < list.start && !rows.any(|row| row.conversation_id == key.conversation_id)
        };
        found.extend(
            all.iter()
                .filter(is_missing)
                .take(1)
                .map(|(_, key)| Violation::NotListed {
                    user_id: list.user_id.clone(),
                    conversation_id: key.conversation_id.clone(),
                }),
        );
    }
    found
}

/// A conversation in a list does not end before an entry that a client had seen, and shows its newest text.
pub fn listed_with_the_newest(facts: &Facts) -> Vec<Violation> {
    let rows = good(facts).flat_map(|list| list.rows.iter().map(move |row| (list, row)));
    let stale = rows.filter(|(list, row)| {
        let seen = facts.seen_before(&row.conversation_id, list.start);
        row.newest_entry_seq < seen || !is_preview(facts, list, row)
    });
    stale
        .map(|(list, row)| Violation::ListStale {
            user_id: list.user_id.clone(),
            row: row.clone(),
        })
        .collect()
}

/// Whether a row shows the newest text that is not deleted, with a wording that it had. It shows the newest entry if there
/// is none among the last ones.
fn is_preview(facts: &Facts, list: &Listed, row: &Row) -> bool {
    let (id, preview) = (&row.conversation_id, &row.preview);
    let Some(entry) = facts.entry(id, preview.seq) else {
        return false;
    };
    let (number, oldest) = match row.newest_seq {
        0 => (row.newest_entry_seq, row.newest_entry_seq - LOOK_BACK),
        newest => (newest, newest),
    };
    let seen = facts.seen_before(id, list.start);
    let is_newer = |text: &&&Stored| {
        let is_there = text.kind.is_text() && (oldest + 1..=seen).contains(&text.seq);
        is_there && !facts.may_be_deleted(id, text.seq, list.end)
    };
    let is_newest = !facts.log(id).iter().any(|text| is_newer(&text));
    let has_text = if row.newest_seq == 0 {
        preview.message.is_empty() || !entry.kind.is_text() && is_wording(facts, entry, row)
    } else {
        entry.kind.is_text() && is_current(facts, entry, list.start, row)
    };
    preview.seq == number && is_newest && has_text
}

/// Whether a row shows a wording of a text that was its newest one when the list was requested, or is newer.
fn is_current(facts: &Facts, text: &Stored, start: Duration, row: &Row) -> bool {
    let id = &text.conversation_id;
    let known = facts.known_edit(id, text.seq, start);
    let edits = facts.changes_of(id, text.seq);
    let mut edits = edits.filter(|it| it.kind == Kind::Edit && Some(it.seq) >= known);
    !facts.is_deleted(id, text.seq, start)
        && (known.is_none() && is_wording(facts, text, row)
            || edits.any(|edit| is_wording(facts, edit, row)))
}

/// Whether a row shows the text that an entry was stored with, as far as a preview goes.
fn is_wording(facts: &Facts, entry: &Stored, row: &Row) -> bool {
    let shown = facts.first_wording(entry).chars().take(PREVIEW_CHARS);
    shown.eq(row.preview.message.chars())
}

/// The count of unread messages is that of the texts of the log: of those that a client had seen before the request, and
/// that were not deleted before the response, at least; of all that are stored in the end, and were not deleted before
/// the request, at most.
pub fn unread(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for list in good(facts) {
        for row in &list.rows {
            let id = &row.conversation_id;
            let seen = facts.seen_before(id, list.start);
            let least = count_unread(facts, list, row, |text| {
                text.seq <= seen && !facts.may_be_deleted(id, text.seq, list.end)
            });
            let most = count_unread(facts, list, row, |text| {
                !facts.is_deleted(id, text.seq, list.start)
            });
            if !(least..=most).contains(&row.unread) {
                found.push(Violation::UnreadDiffers {
                    user_id: list.user_id.clone(),
                    conversation_id: id.clone(),
                    unread: row.unread,
                    least,
                    most,
                });
            }
        }
    }
    found
}

/// Counts texts of the other user after the user's mark, up to the limit.
fn count_unread(
    facts: &Facts,
    list: &Listed,
    row: &Row,
    counts: impl Fn(&Stored) -> bool,
) -> usize {
    let (read, log) = (row.marks.read, facts.log(&row.conversation_id));
    let unread = log.iter().filter(|it| {
        let is_there = it.kind.is_text() && (read + 1..=read + MAX_COUNTED).contains(&it.seq);
        is_there && it.sender_id != list.user_id && counts(it)
    });
    unread.count().min(MAX_UNREAD)
}

fn good<'a>(facts: &Facts<'a>) -> impl Iterator<Item = &'a Listed> {
    let lists = facts.history.lists.iter();
    lists.filter(|list| list.outcome == Outcome::Ok)
}

//! Rules of lists of conversations.

use std::collections::HashMap;
use std::time::Duration;

use ::tests::client::{Frame, Row};
use chat::Kind;

use super::Violation;
use super::facts::{Facts, frames};
use crate::contents::Stored;
use crate::history::{Key, Listed, is_group};
use crate::roster::Roster;

/// Unread messages at which counting ends, and messages that are looked at for it.
const MAX_UNREAD: usize = 100;
const MAX_COUNTED: i64 = 1_000;

/// Limit of a preview, in characters.
pub const PREVIEW_CHARS: usize = 200;

/// Newest entries that are looked at for a text that is not deleted, at least.
const LOOK_BACK: i64 = 50;

/// A message of a direct conversation that was acknowledged before a list is requested is in it.
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
        let Some(receiver_id) = &stored.receiver_id else {
            continue;
        };
        for user_id in [&stored.sender_id, receiver_id] {
            acked.entry(user_id).or_default().push((at, key.clone()));
        }
    }
    let mut found = Vec::new();
    for list in facts.lists() {
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

/// A list has the groups that its user is in, with their titles and the user's roles, and only for who asks for groups. A
/// change of a group shows once it was acknowledged or pushed.
pub fn listed_groups(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for list in facts.lists() {
        let groups = list
            .rows
            .iter()
            .filter(|row| is_group(&row.conversation_id));
        let astray = groups.filter(|row| !is_shown(facts, list, row));
        found.extend(astray.map(|row| Violation::GroupAstray {
            user_id: list.user_id.clone(),
            row: row.clone(),
        }));
        let expected = facts.groups.keys().filter(|_| list.groups);
        let missing = expected.filter(|id| is_missing(facts, list, id));
        found.extend(missing.map(|id| Violation::NotListed {
            user_id: list.user_id.clone(),
            conversation_id: (*id).to_owned(),
        }));
    }
    found
}

fn is_shown(facts: &Facts, list: &Listed, row: &Row) -> bool {
    let rosters = facts.projections(&row.conversation_id, list.start, list.end);
    let is_member = |it: &&Roster| {
        let user = it.member(&list.user_id);
        user.is_some_and(|user| Some(user.role()) == row.role.as_deref())
    };
    list.groups && rosters.iter().any(is_member) && rosters.iter().any(|it| it.title == row.title)
}

fn is_missing(facts: &Facts, list: &Listed, id: &str) -> bool {
    let rosters = facts.projections(id, list.start, list.end);
    let is_member = |it: &&Roster| it.member(&list.user_id).is_some();
    let mut rows = list.rows.iter();
    rosters.iter().all(is_member) && !rows.any(|row| row.conversation_id == id)
}

/// Returns the numbers by which a user may have joined the conversation of a row, the first one of which may be read, from
/// the least to the largest. They are 0 in a direct conversation, which nobody joins.
fn joined(facts: &Facts, list: &Listed, row: &Row) -> (i64, i64) {
    let rosters = facts.projections(&row.conversation_id, list.start, list.end);
    let joined = rosters.iter().filter_map(|it| it.member(&list.user_id));
    let mut joined: Vec<i64> = joined.map(|it| it.joined_seq).collect();
    joined.sort_unstable();
    let ends = joined.first().zip(joined.last());
    ends.map_or((0, 0), |(least, largest)| (*least, *largest))
}

/// A conversation in a list does not end before an entry that a client had seen, and shows its newest text.
pub fn listed_with_the_newest(facts: &Facts) -> Vec<Violation> {
    let rows = facts
        .lists()
        .flat_map(|list| list.rows.iter().map(move |row| (list, row)));
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
    let (least_joined, joined) = joined(facts, list, row);
    let (number, oldest) = match row.newest_seq {
        0 => (
            row.newest_entry_seq,
            joined.max(row.newest_entry_seq - LOOK_BACK),
        ),
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
    // The server looks no further back, even where everything may be read.
    let is_readable = preview.seq >= least_joined;
    preview.seq == number && is_newest && has_text && is_readable
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
    for list in facts.lists() {
        for row in &list.rows {
            let id = &row.conversation_id;
            let seen = facts.seen_before(id, list.start);
            let (least_joined, joined) = joined(facts, list, row);
            let least = count_unread(facts, list, row, joined, |text| {
                text.seq <= seen && !facts.may_be_deleted(id, text.seq, list.end)
            });
            let most = count_unread(facts, list, row, least_joined, |text| {
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

/// Counts texts of others after the user's mark and the number by which the user joined, up to the limit.
fn count_unread(
    facts: &Facts,
    list: &Listed,
    row: &Row,
    joined: i64,
    counts: impl Fn(&Stored) -> bool,
) -> usize {
    let read = row.marks.read.max(joined);
    let log = facts.log(&row.conversation_id);
    let unread = log.iter().filter(|it| {
        let is_there = it.kind.is_text() && (read + 1..=read + MAX_COUNTED).contains(&it.seq);
        is_there && it.sender_id != list.user_id && counts(it)
    });
    unread.count().min(MAX_UNREAD)
}

//! Rules of marks.

use std::collections::HashMap;
use std::time::Duration;

use ::tests::client::{Frame, Receipt};
use chat::Marks;

use super::Violation;
use super::facts::{Facts, frames};
use crate::history::{Listed, is_group};

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

/// Returns the marks in a list: of both sides in a direct conversation, the user's own in a group.
fn listed(list: &Listed) -> impl Iterator<Item = Seen<'_>> {
    list.rows.iter().flat_map(|row| {
        let peer_marks = Marks {
            read: row.peer_read,
            delivered: row.peer_delivered,
        };
        let own = (&list.user_id, row.marks);
        let peer = row.peer_id.as_ref().map(|peer_id| (peer_id, peer_marks));
        let both = std::iter::once(own).chain(peer);
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
    for list in facts.lists() {
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

/// A receipt goes to modern clients of the two users of its conversation, or of the members of its group.
pub fn receipts(facts: &Facts) -> Vec<Violation> {
    let all = frames(facts.history);
    let astray = all.filter(|(connection, at, frame)| match frame {
        Frame::Receipt(receipt) => {
            !connection.modern || !is_theirs(facts, receipt, &connection.user_id, *at)
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

/// Whether a receipt is for a user. A process may not have heard yet that the user has left a group.
fn is_theirs(facts: &Facts, receipt: &Receipt, user_id: &str, time: Duration) -> bool {
    let id = &receipt.conversation_id;
    if is_group(id) {
        let mut users = [user_id, &receipt.user_id].into_iter();
        return users.all(|user_id| facts.may_have_joined(user_id, id, time));
    }
    facts.log(id).first().is_some_and(|message| {
        let users = [Some(&message.sender_id), message.receiver_id.as_ref()];
        users.iter().flatten().any(|user| *user == user_id)
    })
}

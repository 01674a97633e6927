//! Rules of edits and deletions, and of what they leave in the database.

use std::collections::HashSet;
use std::time::Duration;

use chat::Kind;

use super::Violation;
use super::facts::Facts;
use crate::contents::Stored;
use crate::history::{Outcome, Sent, is_group};
use crate::texts;

/// An edit or a deletion names an earlier text, of its own sender in a direct conversation. In a group that is a matter of
/// roles.
pub fn targets(facts: &Facts) -> Vec<Violation> {
    let changes = facts.logs.values().flatten();
    let changes = changes.filter(|entry| matches!(entry.kind, Kind::Edit | Kind::Delete));
    let bad = changes.filter(|change| {
        let target = change.target_seq.filter(|seq| *seq < change.seq);
        let target = target.and_then(|seq| facts.entry(&change.conversation_id, seq));
        let is_own =
            |it: &Stored| is_group(&change.conversation_id) || it.sender_id == change.sender_id;
        !target.is_some_and(|it| it.kind.is_text() && is_own(it))
    });
    bad.map(|change| Violation::BadTarget {
        conversation_id: change.conversation_id.clone(),
        seq: change.seq,
    })
    .collect()
}

/// A stored text has the wording of its newest edit. Once deleted, neither it nor any of its edits has a wording.
pub fn wordings(facts: &Facts) -> Vec<Violation> {
    let entries = facts.logs.values().flatten();
    let wrong = entries.filter(|entry| !facts.is_final(entry));
    wrong
        .map(|entry| Violation::WordingDiffers {
            conversation_id: entry.conversation_id.clone(),
            seq: entry.seq,
        })
        .collect()
}

/// Neither a deleted text nor a wording that it had is in any collection.
pub fn erased(facts: &Facts) -> Vec<Violation> {
    let sends = facts.history.sends.iter();
    let deleted = sends.filter(|sent| is_erased(facts, sent));
    let markers: HashSet<&str> = deleted
        .flat_map(|sent| texts::markers(&sent.message))
        .collect();
    let left = facts.contents.traces.iter();
    let left = left.filter(|trace| markers.contains(trace.marker.as_str()));
    left.cloned()
        .map(|trace| Violation::NotErased { trace })
        .collect()
}

/// Whether the wording that was sent belongs to a text whose deletion is complete. A change that was given up may
/// still be under way then.
fn is_erased(facts: &Facts, sent: &Sent) -> bool {
    if matches!(sent.outcome(), Outcome::Unknown(_)) {
        return false;
    }
    let id = &sent.key.conversation_id;
    let is_deleted = |seq| facts.is_deleted(id, seq, Duration::MAX);
    let texts = facts.stored_as(&sent.key).iter();
    match sent.kind {
        Kind::Text => texts.map(|text| text.seq).any(is_deleted),
        Kind::Edit => sent.target_seq.is_some_and(is_deleted),
        _ => false,
    }
}

//! The wordings of entries before and after their changes.

use std::time::Duration;

use ::tests::client::Message;
use chat::Kind;

use super::Facts;
use crate::contents::Stored;

impl<'a> Facts<'a> {
    /// Whether an entry that a client has seen is stored, and had this wording at some time.
    pub fn was_stored(&self, message: &Message) -> bool {
        let mut place = self.numbered(&message.conversation_id, message.seq);
        place.any(|stored| {
            let newer = Message {
                message: stored.message.clone(),
                edited_seq: stored.edited_seq,
                deleted_seq: stored.deleted_seq,
                ..message.clone()
            };
            newer == *stored && self.had_wording(stored, message)
        })
    }

    fn had_wording(&self, stored: &Stored, seen: &Message) -> bool {
        let id = &stored.conversation_id;
        let is_change = |kind, seq| {
            let mut changes = self.changes_of(id, stored.seq);
            changes.any(|it| it.kind == kind && it.seq == seq)
        };
        let edited = match seen.edited_seq {
            Some(seq) if is_change(Kind::Edit, seq) => self.entry(id, seq),
            Some(_) => return false,
            None => Some(stored),
        };
        if let Some(seq) = seen.deleted_seq {
            return seen.message.is_empty() && is_change(Kind::Delete, seq);
        }
        let is_sent = edited.is_some_and(|it| self.first_wording(it) == seen.message);
        is_sent
            || (stored.kind == Kind::Edit && seen.message.is_empty() && self.may_be_blank(stored))
    }

    /// Whether the target of an edit was deleted, which takes away the wording of the edit.
    fn may_be_blank(&self, edit: &Stored) -> bool {
        let target = edit.target_seq.unwrap_or_default();
        let mut changes = self.changes_of(&edit.conversation_id, target);
        changes.any(|it| it.kind == Kind::Delete)
    }

    /// Returns the text that an entry was stored with.
    pub fn first_wording<'s>(&'s self, stored: &'s Stored) -> &'s str {
        match self.sent_as(stored) {
            Some(sent) if is_changed(stored) => &sent.message,
            _ => &stored.message,
        }
    }

    /// Returns the entries that change a text.
    pub fn changes_of<'s>(
        &'s self,
        conversation_id: &'s str,
        seq: i64,
    ) -> impl Iterator<Item = &'a Stored> {
        let changes = self.changes.get(&(conversation_id, seq));
        changes.into_iter().flatten().copied()
    }

    /// Whether a change was acknowledged or pushed before a time.
    fn is_known(&self, change: &Stored, time: Duration) -> bool {
        let number = (change.conversation_id.as_str(), change.seq);
        self.known.get(&number).is_some_and(|known| *known < time)
    }

    /// Whether a deletion of a text was acknowledged or pushed before a time.
    pub fn is_deleted(&self, conversation_id: &str, seq: i64, time: Duration) -> bool {
        let mut changes = self.changes_of(conversation_id, seq);
        changes.any(|it| it.kind == Kind::Delete && self.is_known(it, time))
    }

    /// Whether a text may have been deleted before a time.
    pub fn may_be_deleted(&self, conversation_id: &str, seq: i64, time: Duration) -> bool {
        let deletions = self.changes_of(conversation_id, seq);
        let mut deletions = deletions.filter(|it| it.kind == Kind::Delete);
        deletions.any(|deletion| {
            let sent = self.sent_as(deletion);
            sent.is_none_or(|sent| sent.start() < time)
        })
    }

    /// Returns the newest edit of a text that was acknowledged or pushed before a time.
    pub fn known_edit(&self, conversation_id: &str, seq: i64, time: Duration) -> Option<i64> {
        let edits = self.changes_of(conversation_id, seq);
        let edits = edits.filter(|it| it.kind == Kind::Edit && self.is_known(it, time));
        edits.map(|edit| edit.seq).max()
    }

    /// Whether an entry that was asked for at a time shows all changes that were acknowledged or pushed before.
    pub fn is_new_enough(&self, entry: &Message, time: Duration) -> bool {
        let id = &entry.conversation_id;
        let is_deleted = |seq| self.is_deleted(id, seq, time);
        match entry.kind {
            Kind::Text if entry.deleted_seq.is_some() => true,
            Kind::Text => {
                !is_deleted(entry.seq) && entry.edited_seq >= self.known_edit(id, entry.seq, time)
            }
            Kind::Edit => {
                let is_gone = entry.target_seq.is_some_and(is_deleted);
                entry.message.is_empty() || !(is_gone && self.is_known(entry, time))
            }
            _ => true,
        }
    }

    /// Whether a text shows all changes that are known in the end, of those up to a number.
    pub fn has_changes(&self, text: &Message, last: i64) -> bool {
        let changes = self.changes_of(&text.conversation_id, text.seq);
        let mut changes = changes.filter(|it| it.seq <= last && self.is_known(it, Duration::MAX));
        text.deleted_seq.is_some()
            || changes.all(|it| it.kind == Kind::Edit && Some(it.seq) <= text.edited_seq)
    }

    /// Whether an entry is as all changes together have left it.
    pub fn is_final(&self, entry: &Message) -> bool {
        self.was_stored(entry) && self.is_new_enough(entry, Duration::MAX)
    }
}

/// Whether an entry has no longer the text that it was stored with.
pub fn is_changed(stored: &Stored) -> bool {
    let is_blank = stored.kind == Kind::Edit && stored.message.is_empty();
    is_blank || stored.edited_seq.is_some() || stored.deleted_seq.is_some()
}

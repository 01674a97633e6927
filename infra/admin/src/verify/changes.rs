//! Texts, and what changes them: each of the two says something about the other.

use chat::{Entry, Kind};

use super::damage::Damage;

/// An entry that is about another one, or whose text another one has changed.
pub struct Changed {
    /// The entry.
    pub entry: Entry,
    /// Whether its sender may delete the texts of others.
    pub by_owner: bool,
    /// The number below which entries were removed.
    pub first_seq: i64,
}

impl Changed {
    /// Returns the numbers of the entries that belong to this one; none if it stands by itself.
    pub fn others(&self) -> Vec<i64> {
        let entry = &self.entry;
        let others = [entry.target_seq, entry.edited_seq, entry.deleted_seq];
        others.into_iter().flatten().collect()
    }

    /// Returns whether it is one to compare: it belongs to others, or is of a kind that does.
    pub fn is_to_compare(&self) -> bool {
        matches!(self.entry.kind, Kind::Edit | Kind::Delete) || !self.others().is_empty()
    }

    /// Compares it with the entries that belong to it.
    ///
    /// What is below the floor is not compared: the one may be removed before the other.
    pub fn compare(&self, others: &[Entry]) -> Option<Damage> {
        let is_below = |seq: i64| seq < self.first_seq;
        if is_below(self.entry.seq) || self.entry.target_seq.is_some_and(is_below) {
            return None;
        }
        let under = |seq: Option<i64>| others.iter().find(|other| Some(other.seq) == seq);
        match self.entry.kind {
            Kind::Edit => self.compare_edit(under(self.entry.target_seq)),
            Kind::Delete => self.compare_deletion(under(self.entry.target_seq)),
            _ => self.compare_text(under(self.entry.edited_seq), under(self.entry.deleted_seq)),
        }
    }

    fn compare_edit(&self, target: Option<&Entry>) -> Option<Damage> {
        let edit = &self.entry;
        let seq = edit.seq;
        let Some(target) = self.is_target(target) else {
            return Some(Damage::NoTarget { seq });
        };
        if target.sender_id != edit.sender_id {
            return Some(Damage::NotPermitted { seq });
        }
        let is_applied = target.edited_seq >= Some(seq);
        match (target.deleted_seq, edit.message.is_empty()) {
            (Some(_), false) => Some(Damage::TextLeft { seq }),
            (None, true) => Some(Damage::NoChange { seq }),
            (None, false) if !is_applied => Some(Damage::NotApplied { seq }),
            _ => None,
        }
    }

    fn compare_deletion(&self, target: Option<&Entry>) -> Option<Damage> {
        let seq = self.entry.seq;
        let Some(target) = self.is_target(target) else {
            return Some(Damage::NoTarget { seq });
        };
        if target.sender_id != self.entry.sender_id && !self.by_owner {
            return Some(Damage::NotPermitted { seq });
        }
        let is_applied = target.deleted_seq.is_some();
        (!is_applied).then_some(Damage::NotApplied { seq })
    }

    /// Returns the text that this change may be about.
    fn is_target<'a>(&self, target: Option<&'a Entry>) -> Option<&'a Entry> {
        target.filter(|target| target.kind.is_text() && target.seq < self.entry.seq)
    }

    fn compare_text(&self, edit: Option<&Entry>, deletion: Option<&Entry>) -> Option<Damage> {
        let text = &self.entry;
        let seq = text.seq;
        let changes = |change: Option<&Entry>, kind| {
            change.is_some_and(|it| it.kind == kind && it.target_seq == Some(seq))
        };
        let is_explained = (text.edited_seq.is_none() || changes(edit, Kind::Edit))
            // A text that is its own deletion was taken away by those who run the chat.
            && (text.deleted_seq.is_none_or(|own| own == seq) || changes(deletion, Kind::Delete));
        if !is_explained {
            return Some(Damage::NoChange { seq });
        }
        if text.deleted_seq.is_some() {
            return (!text.message.is_empty()).then_some(Damage::TextLeft { seq });
        }
        let is_same = edit.is_none_or(|edit| edit.message == text.message);
        (!is_same).then_some(Damage::WordingDiffers { seq })
    }
}

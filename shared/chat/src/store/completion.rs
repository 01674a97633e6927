//! What follows from an entry, done for a sender that was killed before it.
//!
//! A send inserts its entry, then does what follows from it: it applies a change to its text, lists the conversation
//! with its users, or writes who is in a group. If it is killed in between, the resend does the rest. But a client
//! that finds its entry in the history takes that for the ack, and resends nothing. So whoever hands out the log
//! completes what it hands out. What is done twice does no harm.

use chrono::{DateTime, Utc};
use mongodb::bson::doc;

use super::Store;
use super::members::Member;
use crate::{ConversationId, Deadline, Entry, Kind, Result, UserId};

impl Store {
    /// Applies those of some entries of a conversation that are changes and are not applied to their texts. Returns
    /// whether there were any: then the entries have changed.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): not all may be applied.
    pub async fn complete_changes(
        &self,
        conversation_id: &ConversationId,
        entries: &[Entry],
        deadline: Deadline,
    ) -> Result<bool> {
        let changes: Vec<&Entry> = entries.iter().filter(|it| may_be_unmade(it)).collect();
        if changes.is_empty() {
            return Ok(false);
        }
        let numbers: Vec<i64> = changes.iter().filter_map(|it| it.target_seq).collect();
        let texts = self
            .entries_under(conversation_id, &numbers, deadline)
            .await?;
        let edits = self.edits_left(conversation_id, &changes, deadline).await?;
        let mut found = false;
        for change in changes {
            let text = texts
                .iter()
                .find(|text| Some(text.seq) == change.target_seq);
            let has_edits = edits
                .iter()
                .any(|edit| edit.target_seq == change.target_seq);
            if is_unmade(change, text, has_edits) {
                self.apply(&mut change.clone(), deadline).await?;
                found = true;
            }
        }
        Ok(found)
    }

    /// Returns the edits that still have a text, of the texts that some changes delete.
    async fn edits_left(
        &self,
        conversation_id: &ConversationId,
        changes: &[&Entry],
        deadline: Deadline,
    ) -> Result<Vec<Entry>> {
        let deletions = changes.iter().filter(|change| is_deletion(change));
        let numbers: Vec<i64> = deletions.filter_map(|it| it.target_seq).collect();
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let edits = doc! {
            "conversation_id": conversation_id.as_str(),
            "target_seq": {"$in": numbers},
            "message": {"$gt": ""},
        };
        let found = self.find_entries(edits, None, deadline).await?;
        Ok(found.into_iter().map(Entry::from).collect())
    }

    /// Lists a direct conversation with its users, if `reader` has written one of its entries and is not known to have
    /// written.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): it may be missing in their lists.
    pub async fn complete_members(
        &self,
        reader: &UserId,
        member: Option<&Member>,
        entries: &[Entry],
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<()> {
        if member.is_some_and(|member| member.wrote) {
            return Ok(());
        }
        let is_own = |it: &&Entry| it.is_visible_text() && it.sender_id == reader.as_str();
        match entries.iter().rfind(is_own) {
            Some(own) => self.record_members(own, now, deadline).await,
            None => Ok(()),
        }
    }
}

/// Returns whether an entry is a change that may have to be applied. An edit without a text has none to give.
fn may_be_unmade(entry: &Entry) -> bool {
    is_deletion(entry) || entry.kind == Kind::Edit && !entry.message.is_empty()
}

fn is_deletion(entry: &Entry) -> bool {
    entry.kind == Kind::Delete
}

/// Returns whether a change is not applied to its text. The edits of a deleted text have to lose their own.
fn is_unmade(change: &Entry, text: Option<&Entry>, has_edits: bool) -> bool {
    let text = text.filter(|text| text.deleted_seq.is_none());
    if is_deletion(change) {
        text.is_some() || has_edits
    } else {
        text.is_none_or(|text| text.edited_seq < Some(change.seq))
    }
}

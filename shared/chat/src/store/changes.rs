//! Edits and deletions. Each is an entry of its own, and is then applied to the text that it is about, which so
//! has its newest wording wherever it is read.
//!
//! An edit that races the deletion of its text leaves no text behind. If its entry is stored before the
//! deletion looks for the edits of the text, the deletion finds it. If it is stored later, the edit finds its
//! target deleted, and takes away the text of its own entry.
//!
//! Each step compares numbers, so all of them may be repeated, in any order. A function that is killed between
//! two of them leaves the rest to the resend, or to [whoever reads the entry](super::completion).

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use mongodb::options::ReadConcern;

use super::filter::{numbered, within};
use super::{OPERATION_TIMEOUT, Store, perform};
use crate::entry::Kind;
use crate::{ConversationId, Deadline, Entry, Result};

impl Store {
    /// Returns the entry under a number of a conversation.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn entry(
        &self,
        conversation_id: &ConversationId,
        seq: i64,
        deadline: Deadline,
    ) -> Result<Option<Entry>> {
        let messages = self.messages.clone();
        let filter = numbered(conversation_id, seq);
        let find = async move {
            messages
                .find_one(filter)
                .read_concern(ReadConcern::majority())
                .max_time(OPERATION_TIMEOUT)
                .await
        };
        let found = perform("look-up of an entry", deadline, find).await?;
        Ok(found.map(Entry::from))
    }

    /// Applies a stored entry to the text that it is about. Takes away its own text if that was deleted.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): it may be half done. A resend of the entry completes it.
    pub async fn apply(&self, entry: &mut Entry, deadline: Deadline) -> Result<()> {
        match (entry.kind, entry.target_seq) {
            (Kind::Edit, Some(target_seq)) => self.apply_edit(entry, target_seq, deadline).await,
            (Kind::Delete, Some(target_seq)) => {
                self.apply_delete(entry, target_seq, deadline).await
            }
            _ => Ok(()),
        }
    }

    async fn apply_edit(
        &self,
        edit: &mut Entry,
        target_seq: i64,
        deadline: Deadline,
    ) -> Result<()> {
        let id = &edit.conversation_id;
        if !edit.message.is_empty() {
            let target = numbered(id, target_seq);
            let newer = doc! {"edited_seq": {"$gte": edit.seq}};
            let deleted = doc! {"deleted_seq": {"$exists": true}};
            let older = within(target, doc! {"$nor": [newer, deleted]});
            let wording = doc! {"message": &edit.message, "edited_seq": edit.seq};
            if self.set("edit of a text", older, wording, deadline).await? {
                return Ok(());
            }
        }
        let target = self.entry(id, target_seq, deadline).await?;
        if target.is_none_or(|target| target.deleted_seq.is_some()) {
            let own = numbered(id, edit.seq);
            let blank = doc! {"message": ""};
            self.set("blanking of an edit", own, blank, deadline)
                .await?;
            edit.message.clear();
        }
        Ok(())
    }

    async fn apply_delete(
        &self,
        deletion: &Entry,
        target_seq: i64,
        deadline: Deadline,
    ) -> Result<()> {
        let id = &deletion.conversation_id;
        let not_deleted = doc! {"deleted_seq": {"$exists": false}};
        let target = within(numbered(id, target_seq), not_deleted);
        let deleted = doc! {"message": "", "deleted_seq": deletion.seq};
        self.set("deletion of a text", target, deleted, deadline)
            .await?;
        // Also if another deletion came first: that one may have been killed before this step.
        let changes = doc! {"conversation_id": id.as_str(), "target_seq": target_seq};
        let messages = self.messages.clone();
        let blank = doc! {"$set": {"message": ""}};
        let blank = async move { messages.update_many(changes, blank).await };
        perform("blanking of edits", deadline, blank).await?;
        Ok(())
    }

    /// Sets fields of the entry that a filter names. Returns whether there is one.
    async fn set(
        &self,
        operation: &'static str,
        filter: Document,
        fields: Document,
        deadline: Deadline,
    ) -> Result<bool> {
        let messages = self.messages.clone();
        let update = async move { messages.update_one(filter, doc! {"$set": fields}).await };
        let updated = perform(operation, deadline, update).await?;
        Ok(updated.matched_count > 0)
    }
}

/// Returns the updates that take the texts of entries away. A text is then its own deletion.
pub(crate) fn blanking(ids: &[ObjectId]) -> Vec<Document> {
    // The embedded database goes by the first field, and finds nothing by a kind alone.
    let text = doc! {
        "_id": {"$in": ids},
        "kind": {"$exists": false},
        "deleted_seq": {"$exists": false},
    };
    let deletion = doc! {"$set": {"message": "", "deleted_seq": "$seq"}};
    // An edit, or whatever else has one.
    let left = doc! {"_id": {"$in": ids}, "message": {"$gt": ""}};
    vec![
        doc! {"q": text, "u": [deletion], "multi": true},
        doc! {"q": left, "u": {"$set": {"message": ""}}, "multi": true},
    ]
}

//! The document of an entry, and its look-up.

use futures_util::TryStreamExt;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use mongodb::options::ReadConcern;
use serde::{Deserialize, Serialize};

use super::{OPERATION_TIMEOUT, Store, perform};
use crate::entry::Kind;
use crate::group::{History, Role, Title};
use crate::{ClientMessageId, ConversationId, Deadline, Entry, Result, UserId};

/// The document of an entry.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredEntry {
    pub(super) _id: ObjectId,
    pub(super) conversation_id: ConversationId,
    pub(super) seq: i64,
    pub(super) sender_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) receiver_id: Option<String>,
    #[serde(default, skip_serializing_if = "Kind::is_text")]
    pub(super) kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) target_seq: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) users: Vec<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<Title>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) new_owner: Option<UserId>,
    #[serde(default, skip_serializing_if = "History::is_default")]
    pub(super) history: History,
    pub(super) message: String,
    pub(super) timestamp: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_message_id: Option<ClientMessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) edited_seq: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deleted_seq: Option<i64>,
}

impl Store {
    /// Returns the entries that a filter names: with a `limit`, the first ones in the order of their numbers, else all
    /// in any order.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub(super) async fn find_entries(
        &self,
        filter: Document,
        limit: Option<i64>,
        deadline: Deadline,
    ) -> Result<Vec<StoredEntry>> {
        let messages = self.messages.clone();
        let find = async move {
            let mut find = messages
                .find(filter)
                // A failover must not roll back an entry that a reader has seen.
                .read_concern(ReadConcern::majority())
                .max_time(OPERATION_TIMEOUT);
            if let Some(limit) = limit {
                find = find.sort(doc! {"seq": 1}).limit(limit);
            }
            find.await?.try_collect().await
        };
        perform("look-up of entries", deadline, find).await
    }
}

impl From<StoredEntry> for Entry {
    fn from(stored: StoredEntry) -> Self {
        Self {
            message_id: stored._id.to_hex(),
            conversation_id: stored.conversation_id,
            seq: stored.seq,
            sender_id: stored.sender_id,
            receiver_id: stored.receiver_id,
            kind: stored.kind,
            target_seq: stored.target_seq,
            users: stored.users,
            title: stored.title,
            role: stored.role,
            new_owner: stored.new_owner,
            history: stored.history,
            message: stored.message,
            timestamp: stored.timestamp,
            client_message_id: stored.client_message_id,
            edited_seq: stored.edited_seq,
            deleted_seq: stored.deleted_seq,
            withheld: false,
        }
    }
}

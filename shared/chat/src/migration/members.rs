//! The documents of members, for conversations from before them.
//!
//! A pass over the log groups it by conversation; then the documents are written in batches, in the order of the
//! conversations' ids, by updates that may be repeated. A record tells how far that is: an interrupted run goes on
//! there, and one that is done is not repeated until there are old documents to number again.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use mongodb::Database;
use mongodb::bson::{Document, doc};
use serde::{Deserialize, Serialize};

use crate::store::{Hints, MEMBERS, MESSAGES, MIGRATIONS, upsert_all};
use crate::{ConversationId, Error, Result, UserId, timestamp};

/// Conversations whose documents are written at once.
const BATCH: usize = 500;

/// The id of the record.
const RECORD: &str = "members";

/// A conversation, as the pass over the log finds it.
#[derive(Deserialize)]
struct Found {
    #[serde(rename = "_id")]
    conversation_id: ConversationId,
    senders: Vec<String>,
    last_seq: i64,
    last_timestamp: String,
}

impl Found {
    /// Returns the updates of its documents; none if it is not that of two users.
    fn updates(&self) -> Vec<Document> {
        let hints = Hints {
            last_seq: self.last_seq,
            last_at: timestamp::parse(&self.last_timestamp).unwrap_or(DateTime::<Utc>::UNIX_EPOCH),
        };
        let mut users = self
            .conversation_id
            .users()
            .map_or_else(Vec::new, Vec::from);
        users.dedup();
        let update = |user: UserId| {
            let wrote = self.senders.iter().any(|sender| sender == user.as_str());
            hints.update(&self.conversation_id, user.as_str(), wrote)
        };
        users.into_iter().map(update).collect()
    }
}

/// How far the documents are written.
#[derive(Default, Serialize, Deserialize)]
struct Record {
    /// Whether all are.
    done: bool,
    /// The last conversation that has its documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<ConversationId>,
}

impl Record {
    async fn read(database: &Database) -> Result<Self> {
        let records = database.collection::<Self>(MIGRATIONS);
        let record = records.find_one(doc! {"_id": RECORD}).await;
        let record = record.map_err(Error::unavailable("reading of the migration's record"))?;
        Ok(record.unwrap_or_default())
    }

    async fn write(&self, database: &Database) -> Result<()> {
        database
            .collection::<Self>(MIGRATIONS)
            .replace_one(doc! {"_id": RECORD}, self)
            .upsert(true)
            .await
            .map_err(Error::unavailable("writing of the migration's record"))?;
        Ok(())
    }
}

/// Lets the next pass begin at the first conversation: there are old documents to number.
pub(super) async fn restart(database: &Database) -> Result<()> {
    Record::default().write(database).await
}

/// Writes the documents of all conversations that a pass has not reached yet, or of all `from_start`, and returns
/// their count. Calls `progress` after each batch with the conversations that are done in this run and their total.
pub(super) async fn record(
    database: &Database,
    from_start: bool,
    mut progress: impl FnMut(u64, u64) -> Result<()>,
) -> Result<u64> {
    let mut record = if from_start {
        Record::default()
    } else {
        Record::read(database).await?
    };
    if record.done {
        return Ok(0);
    }
    let found = find(database, record.after.as_ref()).await?;
    let total = found.len() as u64;
    let mut done = 0;
    for batch in found.chunks(BATCH) {
        let updates: Vec<Document> = batch.iter().flat_map(Found::updates).collect();
        if !updates.is_empty() {
            upsert_all(database, MEMBERS, updates)
                .await
                .map_err(Error::unavailable("record of members"))?;
        }
        record.after = batch.last().map(|last| last.conversation_id.clone());
        record.write(database).await?;
        done += batch.len() as u64;
        progress(done, total)?;
    }
    record.done = true;
    record.write(database).await?;
    Ok(total)
}

/// Groups the log by conversation, for those behind `after`.
async fn find(database: &Database, after: Option<&ConversationId>) -> Result<Vec<Found>> {
    const LISTING: &str = "listing of conversations";
    let after = after.map_or("", ConversationId::as_str);
    let groups = database
        .collection::<Document>(MESSAGES)
        .aggregate([
            // None has an empty id; a document without a number has none at all.
            doc! {"$match": {"conversation_id": {"$gt": after}}},
            doc! {"$group": {
                "_id": "$conversation_id",
                "senders": {"$addToSet": "$sender_id"},
                "last_seq": {"$max": "$seq"},
                "last_timestamp": {"$max": "$timestamp"},
            }},
            doc! {"$sort": {"_id": 1}},
        ])
        .allow_disk_use(true)
        .with_type::<Found>()
        .await
        .map_err(Error::unavailable(LISTING))?;
    groups
        .try_collect()
        .await
        .map_err(Error::unavailable(LISTING))
}

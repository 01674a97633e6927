//! The documents of the old system.

use std::collections::HashSet;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Collection, IndexModel};
use serde::Deserialize;

use super::plan::{NumbersInUse, OldDocument, Place};
use crate::store::{DUPLICATE_KEY, update_all};
use crate::{ConversationId, Error, Result, UserId, timestamp};

/// Updates sent at once.
const BATCH: usize = 1_000;

/// Limit of the plans for one conversation, each made because another writer took a number.
const MAX_PLANS: u32 = 100;

/// Name of the index that exists only while old documents are numbered.
const PAIR_INDEX: &str = "migration_sender_id_1_receiver_id_1";

/// Creates the index without which each conversation would cost a scan of the whole collection.
pub(super) async fn create_pair_index(messages: &Collection<Document>) -> Result<()> {
    let options = IndexOptions::builder().name(PAIR_INDEX.to_owned()).build();
    let keys = doc! {"sender_id": 1, "receiver_id": 1};
    let index = IndexModel::builder().keys(keys).options(options).build();
    messages
        .create_index(index)
        .await
        .map_err(Error::unavailable(
            "creation of the index for the migration",
        ))?;
    Ok(())
}

/// Drops the index. A run beside this one may have done so already; one that is left costs only space.
pub(super) async fn drop_pair_index(messages: &Collection<Document>) {
    if let Err(error) = messages.drop_index(PAIR_INDEX).await {
        tracing::info!(cause = %error, "the index for the migration was not dropped");
    }
}

/// Returns the filter of documents that have to be numbered: the old system's four strings, and none of
/// our fields.
pub(super) fn filter() -> Document {
    doc! {
        "_id": {"$type": "objectId"},
        "conversation_id": {"$exists": false},
        "sender_id": {"$type": "string"},
        "receiver_id": {"$type": "string"},
        "message": {"$type": "string"},
        "timestamp": {"$type": "string"},
    }
}

/// Counts documents.
pub(super) async fn count(messages: &Collection<Document>, filter: Document) -> Result<u64> {
    messages
        .count_documents(filter)
        .await
        .map_err(Error::unavailable("counting of old messages"))
}

/// Two users with old messages between them, in byte order.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Pair(UserId, UserId);

/// Returns the pairs of users with old messages between them.
pub(super) async fn pairs(messages: &Collection<Document>) -> Result<HashSet<Pair>> {
    const LISTING: &str = "listing of old conversations";
    let mut groups = messages
        .aggregate([
            doc! {"$match": filter()},
            doc! {"$group": {"_id": {"sender_id": "$sender_id", "receiver_id": "$receiver_id"}}},
        ])
        .allow_disk_use(true)
        .with_type::<Group>()
        .await
        .map_err(Error::unavailable(LISTING))?;
    let mut pairs = HashSet::new();
    while let Some(group) = groups
        .try_next()
        .await
        .map_err(Error::unavailable(LISTING))?
    {
        pairs.extend(group._id.pair());
    }
    Ok(pairs)
}

/// Messages from one user to another.
#[derive(Deserialize)]
struct Group {
    _id: Direction,
}

#[derive(Deserialize)]
struct Direction {
    sender_id: String,
    receiver_id: String,
}

impl Direction {
    /// Returns both users; `None` if a user id is not valid, and so can never be asked for: such
    /// messages are skipped, and counted.
    fn pair(self) -> Option<Pair> {
        let sender = UserId::try_from(self.sender_id).ok()?;
        let receiver = UserId::try_from(self.receiver_id).ok()?;
        Some(if sender <= receiver {
            Pair(sender, receiver)
        } else {
            Pair(receiver, sender)
        })
    }
}

/// Numbers the old messages of one conversation. Starts again whenever a number turns out to be taken
/// or a document to be numbered, which means that there is another writer.
pub(super) async fn migrate_pair(
    messages: &Collection<Document>,
    pair: &Pair,
    mut progress: impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    let conversation_id = ConversationId::direct(&pair.0, &pair.1);
    for _ in 0..MAX_PLANS {
        // The taken numbers are read before the documents: should another run take more of them in
        // between, the first number planned is surely taken and the plan is dropped.
        let taken = read_numbers_in_use(messages, &conversation_id).await?;
        let documents = old_documents(messages, pair).await?;
        if documents.is_empty() {
            return Ok(());
        }
        for batch in taken.plan(documents).chunks(BATCH) {
            let done = number(messages, &conversation_id, batch).await?;
            progress(done)?;
            if done < batch.len() as u64 {
                break;
            }
        }
    }
    Err(Error::unavailable("numbering of old messages")(
        "another writer kept taking the numbers; run the migration again",
    ))
}

/// Returns the old documents of two users, oldest first; those of equal time in the order of their ids.
async fn old_documents(messages: &Collection<Document>, pair: &Pair) -> Result<Vec<OldDocument>> {
    const LISTING: &str = "listing of old messages";
    let (a, b) = (pair.0.as_str(), pair.1.as_str());
    let directions = [
        doc! {"sender_id": a, "receiver_id": b},
        doc! {"sender_id": b, "receiver_id": a},
    ];
    let mut filter = filter();
    filter.insert("$or", directions.as_slice());
    let found: Vec<Found> = messages
        .clone_with_type()
        .find(filter)
        .projection(doc! {"timestamp": 1})
        .sort(doc! {"_id": 1})
        .await
        .map_err(Error::unavailable(LISTING))?
        .try_collect()
        .await
        .map_err(Error::unavailable(LISTING))?;
    let mut documents: Vec<OldDocument> = found.into_iter().map(OldDocument::from).collect();
    documents.sort_by_key(|document| document.time);
    Ok(documents)
}

/// The part of an old document that its number depends on.
#[derive(Deserialize)]
struct Found {
    _id: Bson,
    timestamp: String,
}

impl From<Found> for OldDocument {
    fn from(found: Found) -> Self {
        Self {
            id: found._id,
            time: timestamp::parse(&found.timestamp),
            timestamp: found.timestamp,
        }
    }
}

/// Returns the ends of the numbers that a conversation already uses.
async fn read_numbers_in_use(
    messages: &Collection<Document>,
    id: &ConversationId,
) -> Result<NumbersInUse> {
    #[derive(Deserialize)]
    struct End {
        seq: i64,
        timestamp: String,
    }
    let messages = messages.clone_with_type::<End>();
    let last = |filter: Document| {
        let projection = doc! {"_id": 0, "seq": 1, "timestamp": 1};
        let last = messages.find_one(filter).sort(doc! {"seq": -1});
        async {
            last.projection(projection)
                .await
                .map_err(Error::unavailable("reading of the numbers in use"))
        }
    };
    let old = last(doc! {"conversation_id": id.as_str(), "seq": {"$lte": 0}}).await?;
    let newest = last(doc! {"conversation_id": id.as_str()}).await?;
    Ok(NumbersInUse {
        old: old.map(|end| end.seq),
        newest: newest.as_ref().map_or(0, |end| end.seq.max(0)),
        newest_time: newest.and_then(|end| timestamp::parse(&end.timestamp)),
    })
}

/// Writes a batch of places in order, until the first whose number is taken. Returns the count of
/// documents that got theirs; one that is already numbered does not count.
async fn number(
    messages: &Collection<Document>,
    conversation_id: &ConversationId,
    batch: &[Place],
) -> Result<u64> {
    const NUMBERING: &str = "numbering of old messages";
    let updates = batch
        .iter()
        .map(|place| place.update(conversation_id))
        .collect();
    let database = messages.client().database(&messages.namespace().db);
    let reply = update_all(&database, messages.name(), updates, true)
        .await
        .map_err(Error::unavailable(NUMBERING))?;
    let mut errors = reply.write_errors.into_iter();
    match errors.find(|error| error.code != DUPLICATE_KEY) {
        Some(error) => Err(Error::unavailable(NUMBERING)(error.errmsg)),
        None => Ok(reply.n.unsigned_abs().into()),
    }
}

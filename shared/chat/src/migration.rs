//! Indexes, and places in their conversations for documents of the old system.
//!
//! Run by the function `migrate` at deploy time and at the start of `cargo local`, never by the other
//! functions. It may be run again at any time, by several at once, and while messages are sent. It
//! only ever adds, so code from before it works after it.
//!
//! A document of the old system has `sender_id`, `receiver_id`, `message` and `timestamp`, all
//! strings. Those of one conversation get the numbers …, -2, -1, 0 in the order of their time, so
//! that new messages begin at 1 whether or not the migration has come by. They are numbered oldest
//! first and 0 is given last: a conversation that has a 0 is done, and an old document found in it
//! later is appended like a new message. That makes an interrupted run resumable without a record
//! of its own.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Collection, Database, IndexModel};
use serde::{Deserialize, Serialize};

use crate::store::{
    CLIENT_MESSAGE_ID_INDEX, CONNECTIONS, DUPLICATE_KEY, MESSAGES, RATE_LIMITS, SEQ_INDEX,
};
use crate::{ConversationId, Error, Result, UserId, timestamp};

/// Updates sent at once.
const BATCH: usize = 1_000;

/// Times that a conversation is planned anew because someone else is writing to it.
const MAX_PLANS: u32 = 100;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Old documents that got a number.
    pub numbered: u64,
    /// Documents left alone because they lack one of the four strings, or a user id is invalid.
    pub left_alone: u64,
}

/// Makes the indexes and numbers old documents. `progress` hears after each batch how many are done,
/// of how many; an error of its own ends the run.
///
/// # Errors
///
/// What is done stays done: run it again.
///
/// - [`Error::Unavailable`]: the database failed.
/// - That of `progress`.
pub async fn run(
    database: &Database,
    mut progress: impl FnMut(u64, u64) -> Result<()>,
) -> Result<Summary> {
    make_indexes(database).await?;
    let messages = database.collection(MESSAGES);
    let total = count(&messages, old()).await?;
    let mut numbered = 0;
    if total > 0 {
        make_pair_index(&messages).await?;
        for pair in old_pairs(&messages).await? {
            migrate_pair(&messages, &pair, |more| {
                numbered += more;
                progress(numbered, total)
            })
            .await?;
        }
        drop_pair_index(&messages).await;
    }
    Ok(Summary {
        numbered,
        left_alone: count(&messages, doc! {"conversation_id": {"$exists": false}}).await?,
    })
}

/// The indexes of all collections. The unique ones on messages leave out documents of the old
/// system, several of which would collide: they have no `conversation_id` until they are numbered.
async fn make_indexes(database: &Database) -> Result<()> {
    let index = |name: &str, keys: Document, options: IndexOptions| {
        let mut options = options;
        options.name = Some(name.to_owned());
        IndexModel::builder().keys(keys).options(options).build()
    };
    let unique_where = |filter: Document| {
        IndexOptions::builder()
            .unique(true)
            .partial_filter_expression(filter)
            .build()
    };
    database
        .collection::<Document>(MESSAGES)
        .create_indexes([
            index(
                SEQ_INDEX,
                doc! {"conversation_id": 1, "seq": 1},
                unique_where(doc! {"conversation_id": {"$exists": true}}),
            ),
            index(
                CLIENT_MESSAGE_ID_INDEX,
                doc! {"conversation_id": 1, "sender_id": 1, "client_message_id": 1},
                unique_where(doc! {"client_message_id": {"$exists": true}}),
            ),
        ])
        .await
        .map_err(Error::unavailable("making of the indexes of messages"))?;
    let expiring = || IndexOptions::builder().expire_after(Duration::ZERO).build();
    database
        .collection::<Document>(CONNECTIONS)
        .create_indexes([
            index("user_id_1", doc! {"user_id": 1}, IndexOptions::default()),
            index("expires_at_1", doc! {"expires_at": 1}, expiring()),
        ])
        .await
        .map_err(Error::unavailable("making of the indexes of connections"))?;
    database
        .collection::<Document>(RATE_LIMITS)
        .create_indexes([index("full_at_1", doc! {"full_at": 1}, expiring())])
        .await
        .map_err(Error::unavailable("making of the index of rate limits"))?;
    Ok(())
}

/// Name of the index that exists only while old documents are numbered.
const PAIR_INDEX: &str = "migration_sender_id_1_receiver_id_1";

/// Without it, each conversation would cost a scan of the whole collection.
async fn make_pair_index(messages: &Collection<Document>) -> Result<()> {
    let options = IndexOptions::builder().name(PAIR_INDEX.to_owned()).build();
    let keys = doc! {"sender_id": 1, "receiver_id": 1};
    let index = IndexModel::builder().keys(keys).options(options).build();
    messages
        .create_index(index)
        .await
        .map_err(Error::unavailable("making of the index for the migration"))?;
    Ok(())
}

/// A run beside this one may have dropped it; one that stays behind only costs space.
async fn drop_pair_index(messages: &Collection<Document>) {
    if let Err(error) = messages.drop_index(PAIR_INDEX).await {
        tracing::info!(cause = %error, "the index for the migration was not dropped");
    }
}

/// Documents that the migration has to number: the old system's four strings, and nothing of ours.
fn old() -> Document {
    doc! {
        "_id": {"$type": "objectId"},
        "conversation_id": {"$exists": false},
        "sender_id": {"$type": "string"},
        "receiver_id": {"$type": "string"},
        "message": {"$type": "string"},
        "timestamp": {"$type": "string"},
    }
}

async fn count(messages: &Collection<Document>, filter: Document) -> Result<u64> {
    messages
        .count_documents(filter)
        .await
        .map_err(Error::unavailable("counting of old messages"))
}

/// Two users with old messages between them, in byte order.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Pair(UserId, UserId);

async fn old_pairs(messages: &Collection<Document>) -> Result<HashSet<Pair>> {
    const LISTING: &str = "listing of old conversations";
    #[derive(Deserialize)]
    struct Group {
        _id: Direction,
    }
    #[derive(Deserialize)]
    struct Direction {
        sender_id: String,
        receiver_id: String,
    }
    let mut groups = messages
        .aggregate([
            doc! {"$match": old()},
            doc! {"$group": {"_id": {"sender_id": "$sender_id", "receiver_id": "$receiver_id"}}},
        ])
        .allow_disk_use(true)
        .with_type::<Group>()
        .await
        .map_err(Error::unavailable(LISTING))?;
    let mut pairs = HashSet::new();
    while let Some(Group { _id }) = groups
        .try_next()
        .await
        .map_err(Error::unavailable(LISTING))?
    {
        // A user id that the rules do not allow can never be asked for: left alone, and counted.
        let ids = (
            UserId::try_from(_id.sender_id),
            UserId::try_from(_id.receiver_id),
        );
        if let (Ok(a), Ok(b)) = ids {
            pairs.insert(if a <= b { Pair(a, b) } else { Pair(b, a) });
        }
    }
    Ok(pairs)
}

/// Numbers the old messages of one conversation; again from the start whenever a number turns out
/// to be taken or a document to be numbered, which means that someone else is at work here.
async fn migrate_pair(
    messages: &Collection<Document>,
    pair: &Pair,
    mut progress: impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    let conversation_id = ConversationId::direct(&pair.0, &pair.1);
    for _ in 0..MAX_PLANS {
        // The taken numbers are read before the documents: should another run take more of them in
        // between, the first number planned is surely taken and the plan is dropped.
        let taken = Taken::read(messages, &conversation_id).await?;
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

/// A document of the old system, by what orders it.
#[derive(Debug, Clone, PartialEq)]
struct Old {
    id: Bson,
    timestamp: String,
    /// Documents with a time that cannot be read come first.
    time: Option<DateTime<Utc>>,
}

/// The old documents of two users, oldest first; those of equal time in the order of their ids.
async fn old_documents(messages: &Collection<Document>, pair: &Pair) -> Result<Vec<Old>> {
    const LISTING: &str = "listing of old messages";
    #[derive(Deserialize)]
    struct Found {
        _id: Bson,
        timestamp: String,
    }
    let (a, b) = (pair.0.as_str(), pair.1.as_str());
    let mut filter = old();
    filter.insert(
        "$or",
        [
            doc! {"sender_id": a, "receiver_id": b},
            doc! {"sender_id": b, "receiver_id": a},
        ]
        .as_slice(),
    );
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
    let mut documents: Vec<Old> = found
        .into_iter()
        .map(|found| Old {
            id: found._id,
            time: timestamp::parse(&found.timestamp),
            timestamp: found.timestamp,
        })
        .collect();
    documents.sort_by_key(|document| document.time);
    Ok(documents)
}

/// The ends of the numbers that a conversation already uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Taken {
    /// The largest number that an old document got by migration, up to 0.
    old: Option<i64>,
    /// The largest number of all, at least 0.
    newest: i64,
    /// The time of the newest message.
    newest_time: Option<DateTime<Utc>>,
}

/// The place planned for an old document.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    id: Bson,
    seq: i64,
    raised: Option<Raised>,
}

/// A later time to store, where the document's own would go back behind the one before it.
#[derive(Debug, Clone, PartialEq)]
struct Raised {
    from: String,
    to: DateTime<Utc>,
}

impl Taken {
    async fn read(messages: &Collection<Document>, id: &ConversationId) -> Result<Self> {
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
        Ok(Self {
            old: old.map(|end| end.seq),
            newest: newest.as_ref().map_or(0, |end| end.seq.max(0)),
            newest_time: newest.and_then(|end| timestamp::parse(&end.timestamp)),
        })
    }

    /// Places for `documents`, which are sorted: the numbers that are free up to 0 first, and what
    /// is left over after the newest message.
    fn plan(self, documents: Vec<Old>) -> Vec<Place> {
        let count = documents.len() as i64;
        let first = self.old.map_or(1 - count, |old| old + 1);
        let free = (1 - first) as usize;
        let mut newest_time = self.newest_time;
        let place = |(index, document): (usize, Old)| {
            if index < free {
                return Place {
                    id: document.id,
                    seq: first + index as i64,
                    raised: None,
                };
            }
            newest_time = newest_time.max(document.time);
            Place {
                id: document.id,
                seq: self.newest + 1 + (index - free) as i64,
                raised: newest_time
                    .filter(|_| newest_time > document.time)
                    .map(|to| Raised {
                        from: document.timestamp,
                        to,
                    }),
            }
        };
        documents.into_iter().enumerate().map(place).collect()
    }
}

/// Writes a batch of places in order, until the first whose number is taken. Returns how many
/// documents got theirs; one that is already numbered does not count.
async fn number(
    messages: &Collection<Document>,
    conversation_id: &ConversationId,
    batch: &[Place],
) -> Result<u64> {
    const NUMBERING: &str = "numbering of old messages";
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Reply {
        n: i32,
        #[serde(default)]
        write_errors: Vec<WriteError>,
    }
    #[derive(Deserialize)]
    struct WriteError {
        code: i32,
        errmsg: String,
    }
    // The driver has no batch of updates for servers before 8.0, so this is the command itself.
    let command = doc! {
        "update": messages.name(),
        "updates": batch.iter().map(|place| place.update(conversation_id)).collect::<Vec<_>>(),
        "ordered": true,
        "writeConcern": {"w": "majority"},
    };
    let database = messages.client().database(&messages.namespace().db);
    let reply = database
        .run_command(command)
        .await
        .map_err(Error::unavailable(NUMBERING))?;
    let reply: Reply =
        mongodb::bson::deserialize_from_document(reply).map_err(Error::unavailable(NUMBERING))?;
    match reply
        .write_errors
        .into_iter()
        .find(|error| error.code != DUPLICATE_KEY)
    {
        Some(error) => Err(Error::unavailable(NUMBERING)(error.errmsg)),
        None => Ok(reply.n.unsigned_abs().into()),
    }
}

impl Place {
    fn update(&self, conversation_id: &ConversationId) -> Document {
        let mut set = doc! {"conversation_id": conversation_id.as_str(), "seq": self.seq};
        if let Some(raised) = &self.raised {
            set.insert("timestamp", timestamp::format(raised.to));
            // Nothing is lost: the time that the old system wrote is kept beside it.
            set.insert("old_timestamp", &raised.from);
        }
        doc! {
            "q": {"_id": &self.id, "conversation_id": {"$exists": false}},
            "u": {"$set": set},
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn olds(millis: &[i64]) -> Vec<Old> {
        let old = |(index, millis): (usize, &i64)| Old {
            id: Bson::Int64(index as i64),
            timestamp: String::new(),
            time: DateTime::from_timestamp_millis(*millis),
        };
        millis.iter().enumerate().map(old).collect()
    }

    fn numbers(places: &[Place]) -> Vec<i64> {
        places.iter().map(|place| place.seq).collect()
    }

    #[test]
    fn old_messages_end_at_zero() {
        let places = Taken::default().plan(olds(&[1, 2, 3]));
        assert_eq!(numbers(&places), [-2, -1, 0]);
    }

    #[test]
    fn an_interrupted_run_goes_on_where_it_stopped() {
        let taken = Taken {
            old: Some(-3),
            ..Taken::default()
        };
        assert_eq!(numbers(&taken.plan(olds(&[4, 5, 6]))), [-2, -1, 0]);
    }

    #[test]
    fn a_late_old_message_is_appended_and_its_time_does_not_go_back() {
        let taken = Taken {
            old: Some(0),
            newest: 7,
            newest_time: DateTime::from_timestamp_millis(50),
        };
        let places = taken.plan(olds(&[40, 60]));
        assert_eq!(numbers(&places), [8, 9]);
        let raised = places[0].raised.as_ref().map(|raised| raised.to);
        assert_eq!(raised, DateTime::from_timestamp_millis(50));
        assert_eq!(places[1].raised, None);
    }
}

//! The removal of entries that are older than the chat keeps them.
//!
//! Only the old end of a conversation goes. Its floor, `first_seq`, is raised first; then what is below it is deleted. An
//! entry that is not old, by a clock that was wrong, stays, and so does all behind it: above the floor is no hole.
//! The newest entry stays, since the next number follows from it: its text alone is taken away. The entries that
//! change a group stay too, since they say who is in it.
//!
//! Old entries are found by their ids, which begin with the time of their making. So a run needs no record of its own: it
//! begins with what is oldest now, and one that was interrupted is followed by another.
//!
//! Readers hide a text before it is deleted ([`Store::with_retention`]), and so never see half of a deletion.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::{AddAssign, ControlFlow};
use std::pin::pin;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use mongodb::error::Error as DriverError;
use serde::{Deserialize, Serialize};

use crate::entry::Kind;
use crate::store::filter::numbered;
use crate::store::{CONVERSATIONS, MESSAGES, Store, blanking, id_at, update_all, upsert_all};
use crate::{ConversationId, Error, Result};

/// The time for which a hidden text is kept. The clocks of processes differ, and the old system wrote times without
/// their zone: nothing may be deleted that a reader still shows.
pub const MARGIN: TimeDelta = TimeDelta::days(1);

/// Entries that are looked at together.
const BATCH: usize = 2_000;

/// What a run has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Old entries that were looked at: those that stay as well.
    pub seen: u64,
    /// Entries that were deleted.
    pub deleted: u64,
    /// Newest entries whose text was taken away.
    pub blanked: u64,
    /// Whether no old entry is left.
    pub complete: bool,
}

impl AddAssign for Summary {
    fn add_assign(&mut self, more: Self) {
        self.seen += more.seen;
        self.deleted += more.deleted;
        self.blanked += more.blanked;
    }
}

/// The fields of an old entry that decide about it.
#[derive(Debug, Clone, Deserialize)]
struct OldEntry {
    _id: ObjectId,
    conversation_id: ConversationId,
    seq: i64,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    deleted_seq: Option<i64>,
}

impl OldEntry {
    /// Returns whether it is known to have no text.
    fn is_blank(&self) -> bool {
        self.kind == Kind::Delete || (self.kind.is_text() && self.deleted_seq.is_some())
    }
}

/// Removes the entries that were made before a time. Calls `progress` after each batch, which may end the run.
///
/// # Errors
///
/// [`Error::Unavailable`]. What is removed stays removed: run it again.
pub async fn run(
    store: &Store,
    before: DateTime<Utc>,
    mut progress: impl FnMut(Summary) -> ControlFlow<()>,
) -> Result<Summary> {
    let fields = doc! {"conversation_id": 1, "seq": 1, "kind": 1, "deleted_seq": 1};
    let found = entries(store)
        .find(made_before(before))
        .sort(doc! {"_id": 1})
        .projection(fields)
        .batch_size(BATCH as u32)
        .await
        .map_err(failed)?;
    let mut batches = pin!(found.try_chunks(BATCH));
    let mut summary = Summary::default();
    let mut waiting = Vec::new();
    while let Some(batch) = batches.try_next().await.map_err(|it| failed(it.1))? {
        summary.seen += batch.len() as u64;
        waiting.extend(batch);
        let (removed, left) = remove(store, waiting).await.map_err(failed)?;
        summary += removed;
        waiting = left;
        // No more than a batch, so that the memory is bounded: the next run sees the rest.
        waiting.truncate(BATCH);
        if progress(summary).is_break() {
            return Ok(summary);
        }
    }
    summary.complete = true;
    Ok(summary)
}

/// Returns how many entries a run looks at.
///
/// # Errors
///
/// [`Error::Unavailable`].
pub async fn count(store: &Store, before: DateTime<Utc>) -> Result<u64> {
    let entries = entries(store).clone_with_type::<Document>();
    let count = entries.count_documents(made_before(before));
    count.await.map_err(failed)
}

fn entries(store: &Store) -> mongodb::Collection<OldEntry> {
    store.database().collection(MESSAGES)
}

/// Returns the filter of the entries from before a time that may go. Documents of the old system that have no number
/// are not the chat's.
fn made_before(time: DateTime<Utc>) -> Document {
    doc! {
        "_id": {"$lt": id_at(time)},
        "conversation_id": {"$exists": true},
        "kind": {"$nin": Kind::OF_GROUPS.to_vec()},
    }
}

/// Removes what may go of some old entries. Returns also those that wait for an earlier number, which may come with the
/// next batch: the order of ids is not that of numbers.
async fn remove(
    store: &Store,
    batch: Vec<OldEntry>,
) -> Result<(Summary, Vec<OldEntry>), DriverError> {
    let mut last: BTreeMap<&ConversationId, &OldEntry> = BTreeMap::new();
    for entry in &batch {
        let known = last.entry(&entry.conversation_id).or_insert(entry);
        if known.seq < entry.seq {
            *known = entry;
        }
    }
    let ends: Vec<&OldEntry> = last.into_values().collect();
    let floors = find_floors(store, &ends).await?;
    let followed = find_followed(store, &ends).await?;
    let missing = find_missing(store, &batch, &ends, &floors).await?;
    let plans = ends.into_iter().map(|end| Plan {
        end,
        floor: floors.get(&end.conversation_id).copied(),
        is_newest: !followed.contains(&end.conversation_id),
        first_missing: missing.get(&end.conversation_id).copied(),
    });
    let plans: Vec<Plan> = plans.collect();
    raise_floors(store, &plans).await?;
    let first: HashMap<&ConversationId, i64> = plans
        .iter()
        .map(|plan| (&plan.end.conversation_id, plan.first_seq()))
        .collect();
    let (below, above): (Vec<&OldEntry>, Vec<&OldEntry>) = batch
        .iter()
        .partition(|entry| entry.seq < first[&entry.conversation_id]);
    let waits = |entry: &&OldEntry| missing.contains_key(&entry.conversation_id);
    let summary = Summary {
        deleted: delete(store, &below).await?,
        blanked: blank(store, &plans).await?,
        ..Summary::default()
    };
    Ok((summary, above.into_iter().filter(waits).cloned().collect()))
}

/// What is to be done in a conversation.
struct Plan<'a> {
    /// The last of its old entries.
    end: &'a OldEntry,
    /// The floor, if it was ever raised.
    floor: Option<i64>,
    /// Whether no number follows that of `end`.
    is_newest: bool,
    /// The first number before that of `end` that is not among the old entries, and may go only when it is.
    first_missing: Option<i64>,
}

impl Plan<'_> {
    /// Returns the number of the first entry that stays.
    fn first_seq(&self) -> i64 {
        let end = self.end.seq + i64::from(!self.is_newest);
        let first_seq = self.first_missing.unwrap_or(end).min(end);
        self.floor.unwrap_or(i64::MIN).max(first_seq)
    }

    fn blanks(&self) -> bool {
        self.is_newest && self.end.seq == self.first_seq() && !self.end.is_blank()
    }
}

async fn find_floors(
    store: &Store,
    ends: &[&OldEntry],
) -> Result<HashMap<ConversationId, i64>, DriverError> {
    #[derive(Deserialize)]
    struct Floor {
        _id: ConversationId,
        first_seq: i64,
    }
    let ids = ends.iter().map(|end| end.conversation_id.as_str());
    let ids: Vec<&str> = ids.collect();
    let conversations = store.database().collection::<Floor>(CONVERSATIONS);
    let filter = doc! {"_id": {"$in": ids}, "first_seq": {"$exists": true}};
    let fields = doc! {"first_seq": 1};
    let found = conversations.find(filter).projection(fields).await?;
    found
        .map_ok(|it| (it._id, it.first_seq))
        .try_collect()
        .await
}

/// Returns the conversations in which a number follows that of the last old entry.
async fn find_followed(
    store: &Store,
    ends: &[&OldEntry],
) -> Result<HashSet<ConversationId>, DriverError> {
    #[derive(Deserialize)]
    struct Follower {
        conversation_id: ConversationId,
    }
    let next = ends
        .iter()
        .map(|end| numbered(&end.conversation_id, end.seq + 1));
    let filter = doc! {"$or": next.collect::<Vec<_>>()};
    let entries = entries(store).clone_with_type::<Follower>();
    let fields = doc! {"conversation_id": 1};
    let found = entries.find(filter).projection(fields).await?;
    found.map_ok(|it| it.conversation_id).try_collect().await
}

/// Returns by conversation the first number before the last old entry that is not in the batch. Entries that change a
/// group stay and are none.
async fn find_missing(
    store: &Store,
    batch: &[OldEntry],
    ends: &[&OldEntry],
    floors: &HashMap<ConversationId, i64>,
) -> Result<HashMap<ConversationId, i64>, DriverError> {
    #[derive(Deserialize)]
    struct Found {
        conversation_id: ConversationId,
        seq: i64,
    }
    let mut known: HashMap<&ConversationId, HashSet<i64>> = HashMap::new();
    for entry in batch {
        known
            .entry(&entry.conversation_id)
            .or_default()
            .insert(entry.seq);
    }
    let ranges = ends.iter().filter_map(|end| {
        let id = &end.conversation_id;
        let first = floors.get(id).copied().unwrap_or(1);
        let is_whole = (first..end.seq).all(|seq| known[id].contains(&seq));
        (!is_whole).then(|| {
            doc! {
                "conversation_id": id.as_str(),
                "seq": {"$gte": first, "$lt": end.seq},
            }
        })
    });
    let ranges: Vec<Document> = ranges.collect();
    if ranges.is_empty() {
        return Ok(HashMap::new());
    }
    let filter = doc! {"$or": ranges, "kind": {"$nin": Kind::OF_GROUPS.to_vec()}};
    let entries = entries(store).clone_with_type::<Found>();
    let fields = doc! {"conversation_id": 1, "seq": 1};
    let mut found = entries.find(filter).projection(fields).await?;
    let mut missing = HashMap::new();
    while let Some(entry) = found.try_next().await? {
        if !known[&entry.conversation_id].contains(&entry.seq) {
            let first = missing.entry(entry.conversation_id).or_insert(entry.seq);
            *first = entry.seq.min(*first);
        }
    }
    Ok(missing)
}

async fn raise_floors(store: &Store, plans: &[Plan<'_>]) -> Result<(), DriverError> {
    let raised = plans.iter().filter(|it| it.floor < Some(it.first_seq()));
    let raise = raised.map(|plan| {
        doc! {
            "q": {"_id": plan.end.conversation_id.as_str()},
            "u": {"$max": {"first_seq": plan.first_seq()}},
            "upsert": true,
        }
    });
    let raise: Vec<Document> = raise.collect();
    if raise.is_empty() {
        return Ok(());
    }
    upsert_all(store.database(), CONVERSATIONS, raise).await
}

/// Deletes entries. Returns their number.
///
/// By their ids: the embedded database reads the whole log for each deletion, whatever it is by.
async fn delete(store: &Store, below: &[&OldEntry]) -> Result<u64, DriverError> {
    let ids: Vec<ObjectId> = below.iter().map(|entry| entry._id).collect();
    if ids.is_empty() {
        return Ok(0);
    }
    let old = doc! {"_id": {"$in": ids}};
    let deleted = entries(store).delete_many(old).await?;
    Ok(deleted.deleted_count)
}

/// Takes the texts of the newest entries away. Returns the number of entries.
async fn blank(store: &Store, plans: &[Plan<'_>]) -> Result<u64, DriverError> {
    let blanked = plans.iter().filter(|plan| plan.blanks());
    let ids: Vec<ObjectId> = blanked.map(|plan| plan.end._id).collect();
    if ids.is_empty() {
        return Ok(0);
    }
    let reply = update_all(store.database(), MESSAGES, blanking(&ids), false).await?;
    Ok(reply.into_done()?.n())
}

fn failed(error: DriverError) -> Error {
    Error::unavailable("removal of old entries")(error)
}

//! Appends entries to the log.
//!
//! A new entry takes the number after the newest one, and the unique index on
//! (`conversation_id`, `seq`) lets exactly one of several writers have it; the others read again.
//! So a number becomes readable only after all smaller ones, which a counter that is raised before
//! the insert cannot promise.
//!
//! A send is two operations in a row: a read of the newest number, then the insert. Where the
//! [memory](super::memory) of this process is mostly right, it is the insert alone.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mongodb::bson::doc;
use mongodb::bson::oid::ObjectId;
use mongodb::error::{Error as DriverError, ErrorKind};
use mongodb::options::ReadConcern;
use mongodb::results::InsertManyResult;

use super::memory::{Memory, Tail};
use super::stored_entry::StoredEntry;
use super::{DUPLICATE_KEY, OPERATION_TIMEOUT, Store, perform};
use crate::{Content, ConversationId, Deadline, Draft, Entry, Rejection, Result, UserId};

/// The result of an append.
pub struct Appended {
    /// The stored entry.
    pub entry: Entry,
    /// The users to whom it goes.
    pub recipients: Vec<UserId>,
    /// Whether an earlier send under the same `client_message_id` had stored it.
    pub duplicate: bool,
    /// Attempts that were repeated, mostly because the number was taken.
    pub conflicts: u32,
}

/// The server's error code for a write that another one has met.
const WRITE_CONFLICT: i32 = 112;

/// The time in which a message gets a number, from its first attempt. A conversation with so many writers
/// that this is too short makes no message wait longer: the sender gets `unavailable` and resends it, and
/// the process is free for others.
const NUMBERING_TIMEOUT: Duration = Duration::from_secs(2);

/// The step of a send that has no time left, in errors.
const ASSIGN: &str = "assign seq";

/// Lock of a conversation, around the memory of it. Sends take it in turn, because only one of them can
/// get the next number.
pub(super) type ConversationLock = Arc<tokio::sync::Mutex<Memory>>;

/// An entry that has its number.
struct Numbered {
    entry: Entry,
    duplicate: bool,
    conflicts: u32,
}

impl Numbered {
    /// Returns the result of a send whose own entry has this `id`.
    fn new(stored: StoredEntry, id: ObjectId, conflicts: u32) -> Self {
        Self {
            duplicate: stored._id != id,
            entry: stored.into(),
            conflicts,
        }
    }

    fn appended(self, memory: &Memory) -> Appended {
        Appended {
            recipients: memory.recipients(&self.entry),
            entry: self.entry,
            duplicate: self.duplicate,
            conflicts: self.conflicts,
        }
    }
}

impl Memory {
    /// Returns what a draft says, if it may follow the remembered end.
    fn permit<'a>(
        &self,
        draft: &'a Draft,
        group_size: usize,
    ) -> Result<Cow<'a, Content>, Rejection> {
        match &self.group {
            Some(known) => known.group.permit(draft, group_size),
            None => Ok(Cow::Borrowed(&draft.content)),
        }
    }
}

impl Store {
    /// Stores an entry under the next number of its conversation. Returns after a majority write.
    ///
    /// A `client_message_id` that the sender has used in this conversation gives the entry that
    /// was stored then, at any later time.
    ///
    /// # Errors
    ///
    /// - [`Code::IdConflict`](crate::Code::IdConflict): that entry says something else.
    /// - Those of [`Group::permit`](crate::Group::permit), in a group.
    /// - [`Error::Unavailable`](crate::Error::Unavailable): the database failed or the deadline
    ///   passed, or other writers took each number for two seconds; the entry may or may not be
    ///   stored, and a resend with the same `client_message_id` is safe.
    pub async fn append(
        &self,
        draft: &Draft,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Appended> {
        let lock = self.lock(&draft.conversation_id);
        let mut memory = lock.lock().await;
        let is_current = !memory.is_trusted(draft.after);
        if is_current {
            self.look(&draft.conversation_id, draft.after, &mut memory, deadline)
                .await?;
        }
        let numbering = self.number(draft, &mut memory, is_current, now, deadline);
        let numbered = numbering.await?;
        if let Some(known) = &mut memory.group {
            self.project(&draft.conversation_id, known, deadline)
                .await?;
        }
        Ok(numbered.appended(&memory))
    }

    /// Returns the entry that an earlier send has stored under a draft's `client_message_id`, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Store::append`].
    pub async fn earlier(&self, draft: &Draft, deadline: Deadline) -> Result<Option<Appended>> {
        let lock = self.lock(&draft.conversation_id);
        let mut memory = lock.lock().await;
        let Some(numbered) = self.find_earlier(draft, deadline).await? else {
            return Ok(None);
        };
        if draft.conversation_id.is_group() {
            self.look(&draft.conversation_id, draft.after, &mut memory, deadline)
                .await?;
        }
        Ok(Some(numbered.appended(&memory)))
    }

    /// Inserts an entry under the next number, if it may follow the one before, or finds it. Whether the memory
    /// `is_current` decides if a rejection by it is the last word.
    async fn number(
        &self,
        draft: &Draft,
        memory: &mut Memory,
        mut is_current: bool,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Numbered> {
        let id = ObjectId::new();
        let numbering = deadline.within(NUMBERING_TIMEOUT);
        let mut conflicts = 0;
        loop {
            let content = match memory.permit(draft, self.group_size) {
                Ok(content) => content,
                // Another process may have invited the user.
                Err(_) if !is_current => {
                    self.look(&draft.conversation_id, draft.after, memory, deadline)
                        .await?;
                    is_current = true;
                    continue;
                }
                Err(rejection) => {
                    let earlier = self.find_earlier(draft, deadline).await?;
                    return Ok(earlier.ok_or(rejection)?);
                }
            };
            let entry = Arc::new(memory.tail.followed_by(draft, &content, id, now));
            // Past the deadline the client has an error already: nothing may be stored then.
            deadline.check(ASSIGN)?;
            if self.insert(Arc::clone(&entry), deadline).await? {
                memory.tail = Tail::of(&entry);
                let numbered = Numbered::new(Arc::unwrap_or_clone(entry), id, conflicts);
                memory.apply(&numbered.entry);
                return Ok(numbered);
            }
            numbering.pause(ASSIGN, backoff(conflicts)).await?;
            let (stored, looked) = tokio::join!(
                self.find_stored(draft, id, deadline),
                self.look(&draft.conversation_id, draft.after, memory, deadline),
            );
            looked?;
            is_current = true;
            if let Some(stored) = stored? {
                let numbered = Numbered::new(stored, id, conflicts);
                draft.check_resend(&numbered.entry)?;
                return Ok(numbered);
            }
            conflicts += 1;
        }
    }

    async fn find_earlier(&self, draft: &Draft, deadline: Deadline) -> Result<Option<Numbered>> {
        if draft.client_message_id.is_none() {
            return Ok(None);
        }
        let id = ObjectId::new();
        let Some(stored) = self.find_stored(draft, id, deadline).await? else {
            return Ok(None);
        };
        let numbered = Numbered::new(stored, id, 0);
        draft.check_resend(&numbered.entry)?;
        Ok(Some(numbered))
    }

    /// Brings the memory of a conversation up to its newest entry, which is searched from the number on that a client
    /// has.
    async fn look(
        &self,
        conversation_id: &ConversationId,
        after: Option<i64>,
        memory: &mut Memory,
        deadline: Deadline,
    ) -> Result<()> {
        if conversation_id.is_group() {
            return self.look_at_group(conversation_id, memory, deadline).await;
        }
        let newest = self.read_tail(conversation_id, after, memory, deadline);
        let newest = newest.await?;
        memory.learn(newest);
        Ok(())
    }

    /// Returns the lock of a conversation. It is made when it is first asked for.
    pub(super) fn lock(&self, conversation_id: &ConversationId) -> ConversationLock {
        let memory = || ConversationLock::new(Memory::new(self.trusts_memory).into());
        let mut locks = self.locks.lock();
        Arc::clone(locks.get_or_insert_mut(conversation_id.clone(), memory))
    }

    /// Inserts an entry; `false` if its number or one of its ids is taken. None of the entries of one
    /// operation depends on another.
    async fn insert(&self, entry: Arc<StoredEntry>, deadline: Deadline) -> Result<bool> {
        let store = self.clone();
        let insert = async move {
            store
                .inserts
                .run(entry, async |entries| {
                    let documents = entries.iter().map(Arc::as_ref);
                    let insert = store.messages.insert_many(documents).ordered(false).await;
                    (0..entries.len())
                        .map(|index| is_inserted(&insert, index))
                        .collect()
                })
                .await
        };
        perform("insert of an entry", deadline, insert).await
    }

    /// Returns the entry that is stored for a draft: by an earlier send, or under `id` by this one, if
    /// the reply to its insert was lost.
    async fn find_stored(
        &self,
        draft: &Draft,
        id: ObjectId,
        deadline: Deadline,
    ) -> Result<Option<StoredEntry>> {
        let mut filter = doc! {"conversation_id": draft.conversation_id.as_str()};
        match &draft.client_message_id {
            Some(client_message_id) => filter.extend(doc! {
                "sender_id": draft.sender_id.as_str(),
                "client_message_id": client_message_id.as_str(),
            }),
            None => filter.extend(doc! {"_id": id}),
        }
        let messages = self.messages.clone();
        let find = async move {
            messages
                .find_one(filter)
                // An ack must not leave before the majority has the message. One that is not
                // yet on the majority is not found, and the next attempt asks again.
                .read_concern(ReadConcern::majority())
                .max_time(OPERATION_TIMEOUT)
                .await
        };
        perform("look-up of an earlier send", deadline, find).await
    }

    /// Returns the newest number of a conversation, which this process remembers if it is at least `asked`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub(super) async fn newest(
        &self,
        conversation_id: &ConversationId,
        asked: i64,
        deadline: Deadline,
    ) -> Result<i64> {
        let lock = self.lock(conversation_id);
        let mut memory = lock.lock().await;
        if memory.tail.seq < asked {
            self.look(conversation_id, Some(asked), &mut memory, deadline)
                .await?;
        }
        Ok(memory.tail.seq)
    }

    /// Reads the end of a conversation. It is searched from the numbers that a client has and that
    /// this process remembers, which is a short range on any database however long the conversation is.
    /// Nothing there means that the client is wrong, or that the messages were deleted: the search goes
    /// on below, from a number that the conversation has reached. So a wrong number costs time and never
    /// makes a hole.
    pub(super) async fn read_tail(
        &self,
        conversation_id: &ConversationId,
        after: Option<i64>,
        memory: &Memory,
        deadline: Deadline,
    ) -> Result<Tail> {
        let known = |seq: i64| (seq > 0).then_some(seq);
        let remembered = known(memory.tail.seq);
        let mut bounds = vec![remembered.max(after.and_then(known)), remembered];
        bounds.dedup();
        for bound in bounds.into_iter().flatten() {
            let newest = self.find_newest(conversation_id, Some(bound), deadline);
            if let Some(newest) = newest.await? {
                return Ok(Tail::of(&newest));
            }
        }
        self.search_tail(conversation_id, deadline).await
    }

    /// Searches for the end of a conversation of which nothing is known, or nothing that is right.
    async fn search_tail(
        &self,
        conversation_id: &ConversationId,
        deadline: Deadline,
    ) -> Result<Tail> {
        if let Some(reached) = self.reached(conversation_id, deadline).await? {
            let newest = self.find_newest(conversation_id, Some(reached), deadline);
            if let Some(newest) = newest.await? {
                return Ok(Tail::of(&newest));
            }
        }
        let newest = self.find_newest(conversation_id, None, deadline).await?;
        Ok(newest.as_ref().map(Tail::of).unwrap_or_default())
    }

    /// Returns the newest entry of a conversation, if its number is at least `bound`.
    async fn find_newest(
        &self,
        conversation_id: &ConversationId,
        bound: Option<i64>,
        deadline: Deadline,
    ) -> Result<Option<StoredEntry>> {
        let mut filter = doc! {"conversation_id": conversation_id.as_str()};
        filter.extend(bound.map(|bound| ("seq".to_owned(), doc! {"$gte": bound}.into())));
        let messages = self.messages.clone();
        let find = async move {
            messages
                .find_one(filter)
                .sort(doc! {"seq": -1})
                // A number that a failover rolls back must not be built upon: it would leave a hole.
                .read_concern(ReadConcern::majority())
                .max_time(OPERATION_TIMEOUT)
                .await
        };
        perform("look-up of the newest entry", deadline, find).await
    }
}

/// Returns whether one entry of an operation is inserted; `false` if it is to be tried again: its number
/// or one of its ids is taken, the server had a conflict, or the reply was lost.
fn is_inserted(
    insert: &Result<InsertManyResult, DriverError>,
    index: usize,
) -> Result<bool, DriverError> {
    let Err(error) = insert else {
        return Ok(true);
    };
    let failure = match &*error.kind {
        ErrorKind::InsertMany(failure) => failure,
        // None are stored, or some, or all: the next attempt finds those that are, by their ids.
        ErrorKind::Command(failure) if failure.code == WRITE_CONFLICT => return Ok(false),
        ErrorKind::Io(_) => return Ok(false),
        _ => return Err(error.clone()),
    };
    let mut failures = failure.write_errors.iter().flatten();
    match failures.find(|failure| failure.index == index) {
        Some(failure) if [DUPLICATE_KEY, WRITE_CONFLICT].contains(&failure.code) => Ok(false),
        // It is stored, but perhaps not by the majority.
        None if failure.write_concern_error.is_none() => Ok(true),
        _ => Err(error.clone()),
    }
}

/// Returns the pause before another attempt, by the conflicts before the last one: none after the first,
/// which is often just a remembered number that is out of date. Then full jitter: any time up to a bound
/// that doubles with each attempt.
///
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
fn backoff(conflicts: u32) -> Duration {
    const FIRST_MS: u64 = 4;
    const MAX_MS: u64 = 256;
    let Some(doublings) = conflicts.checked_sub(1) else {
        return Duration::ZERO;
    };
    let bound_ms = (FIRST_MS << doublings.min(6)).min(MAX_MS);
    Duration::from_millis(fastrand::u64(0..=bound_ms))
}

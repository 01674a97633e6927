//! Appends messages to the log.
//!
//! A new message takes the number after the newest one, and the unique index on
//! (`conversation_id`, `seq`) lets exactly one of several writers have it; the others read again.
//! So a number becomes readable only after all smaller ones, which a counter that is raised before
//! the insert cannot promise.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mongodb::bson::doc;
use mongodb::bson::oid::ObjectId;
use mongodb::error::{Error as DriverError, ErrorKind};
use mongodb::options::ReadConcern;
use mongodb::results::InsertManyResult;

use super::messages::StoredMessage;
use super::{DUPLICATE_KEY, OPERATION_TIMEOUT, Store, perform};
use crate::{ConversationId, Deadline, Draft, Message, Result, timestamp};

/// The result of an append.
pub struct Appended {
    /// The stored message.
    pub message: Message,
    /// Whether an earlier send under the same `client_message_id` had stored it.
    pub duplicate: bool,
    /// Attempts that failed because the number was taken.
    pub conflicts: u32,
}

/// Lock of a conversation around the newest number that this process has seen stored. Sends take it in
/// turn, because only one of them can get the next number. A stale value costs one retry and never
/// gives a wrong number.
pub(super) type ConversationLock = Arc<tokio::sync::Mutex<Option<Tail>>>;

/// The end of a conversation, after which the next message comes.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail {
    seq: i64,
    timestamp: Option<DateTime<Utc>>,
}

impl Tail {
    fn of(message: &StoredMessage) -> Self {
        Self {
            // Messages of the old system end at 0 at most, so a new one is never below 1.
            seq: message.seq.max(0),
            timestamp: timestamp::parse(&message.timestamp),
        }
    }

    /// Returns the document of `draft`: next number, timestamp not before this one's.
    fn followed_by(&self, draft: &Draft, id: ObjectId, now: DateTime<Utc>) -> StoredMessage {
        let timestamp = self.timestamp.map_or(now, |newest| newest.max(now));
        StoredMessage {
            _id: id,
            conversation_id: draft.conversation_id.clone(),
            seq: self.seq + 1,
            sender_id: draft.sender_id.as_str().to_owned(),
            receiver_id: draft.receiver_id.as_str().to_owned(),
            message: draft.message.as_str().to_owned(),
            timestamp: timestamp::format(timestamp),
            client_message_id: draft.client_message_id.clone(),
        }
    }
}

impl Store {
    /// Stores a message under the next number of its conversation. Returns after a majority write.
    ///
    /// A `client_message_id` that the sender has used in this conversation gives the message that
    /// was stored then, at any later time.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): the database failed or the deadline
    /// passed; the message may or may not be stored, and a resend with the same `client_message_id` is
    /// safe.
    pub async fn append(
        &self,
        draft: &Draft,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Appended> {
        const ASSIGN: &str = "assign seq";
        let lock = self.lock(&draft.conversation_id);
        let mut tail = lock.lock().await;
        let id = ObjectId::new();
        let mut conflicts = 0;
        loop {
            deadline.pause(ASSIGN, backoff(conflicts)).await?;
            let last = match tail.take() {
                Some(last) => last,
                None => self.read_tail(&draft.conversation_id, deadline).await?,
            };
            let message = Arc::new(last.followed_by(draft, id, now));
            // Past the deadline the client has an error already: nothing may be stored then.
            deadline.check(ASSIGN)?;
            if self.insert(Arc::clone(&message), deadline).await? {
                *tail = Some(Tail::of(&message));
                return Ok(Appended {
                    message: Arc::unwrap_or_clone(message).into(),
                    duplicate: false,
                    conflicts,
                });
            }
            if let Some(message) = self.find_earlier_send(draft, deadline).await? {
                return Ok(Appended {
                    message,
                    duplicate: true,
                    conflicts,
                });
            }
            conflicts += 1;
        }
    }

    /// Returns the lock of a conversation. It is made when it is first asked for.
    fn lock(&self, conversation_id: &ConversationId) -> ConversationLock {
        let mut locks = self.locks.lock();
        let lock = locks.get_or_insert_mut(conversation_id.clone(), ConversationLock::default);
        Arc::clone(lock)
    }

    /// Inserts a message; `false` if its number or its `client_message_id` is taken. None of the
    /// messages of one operation depends on another.
    async fn insert(&self, message: Arc<StoredMessage>, deadline: Deadline) -> Result<bool> {
        let store = self.clone();
        let insert = async move {
            store
                .inserts
                .run(message, async |messages| {
                    let documents = messages.iter().map(Arc::as_ref);
                    let insert = store.messages.insert_many(documents).ordered(false).await;
                    (0..messages.len())
                        .map(|index| is_inserted(&insert, index))
                        .collect()
                })
                .await
        };
        perform("insert of a message", deadline, insert).await
    }

    /// Returns the message that an earlier send of the same draft has stored.
    async fn find_earlier_send(
        &self,
        draft: &Draft,
        deadline: Deadline,
    ) -> Result<Option<Message>> {
        let Some(client_message_id) = &draft.client_message_id else {
            return Ok(None);
        };
        let messages = self.messages.clone();
        let filter = doc! {
            "conversation_id": draft.conversation_id.as_str(),
            "sender_id": draft.sender_id.as_str(),
            "client_message_id": client_message_id.as_str(),
        };
        let find = async move {
            messages
                .find_one(filter)
                // An ack must not leave before the majority has the message. One that is not
                // yet on the majority is not found, and the next attempt asks again.
                .read_concern(ReadConcern::majority())
                .max_time(OPERATION_TIMEOUT)
                .await
        };
        let stored = perform("look-up of an earlier send", deadline, find).await?;
        Ok(stored.map(Message::from))
    }

    async fn read_tail(
        &self,
        conversation_id: &ConversationId,
        deadline: Deadline,
    ) -> Result<Tail> {
        let messages = self.messages.clone();
        let filter = doc! {"conversation_id": conversation_id.as_str()};
        let find = async move {
            messages
                .find_one(filter)
                .sort(doc! {"seq": -1})
                // A number that a failover rolls back must not be built upon: it would leave a hole.
                .read_concern(ReadConcern::majority())
                .max_time(OPERATION_TIMEOUT)
                .await
        };
        let newest = perform("look-up of the newest message", deadline, find).await?;
        Ok(newest.as_ref().map(Tail::of).unwrap_or_default())
    }
}

/// Returns whether one message of an operation is inserted; `false` if its number or its
/// `client_message_id` is taken.
fn is_inserted(
    insert: &Result<InsertManyResult, DriverError>,
    index: usize,
) -> Result<bool, DriverError> {
    let Err(error) = insert else {
        return Ok(true);
    };
    let ErrorKind::InsertMany(failure) = &*error.kind else {
        return Err(error.clone());
    };
    let mut failures = failure.write_errors.iter().flatten();
    match failures.find(|failure| failure.index == index) {
        Some(failure) if failure.code == DUPLICATE_KEY => Ok(false),
        // It is stored, but perhaps not by the majority.
        None if failure.write_concern_error.is_none() => Ok(true),
        _ => Err(error.clone()),
    }
}

/// Returns the pause before an attempt, by how many have failed: none before the first two, since the
/// number that a process remembers is often just out of date. Then full jitter: any time up to a bound
/// that doubles with each attempt.
///
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
fn backoff(conflicts: u32) -> Duration {
    const FIRST_MS: u64 = 4;
    const MAX_MS: u64 = 1_024;
    let Some(doublings) = conflicts.checked_sub(2) else {
        return Duration::ZERO;
    };
    let bound_ms = (FIRST_MS << doublings.min(8)).min(MAX_MS);
    Duration::from_millis(fastrand::u64(0..=bound_ms))
}

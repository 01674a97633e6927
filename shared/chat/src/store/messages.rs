//! The log of messages.
//!
//! A new message takes the number after the newest one, and the unique index on
//! (`conversation_id`, `seq`) lets exactly one of several writers have it; the others read again.
//! So a number becomes readable only after all smaller ones, which a counter that is raised before
//! the insert cannot promise.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use mongodb::error::{Error as DriverError, ErrorKind};
use mongodb::options::ReadConcern;
use mongodb::results::InsertManyResult;
use serde::{Deserialize, Serialize};

use super::{DUPLICATE_KEY, OPERATION_TIME, Store, perform};
use crate::{ClientMessageId, ConversationId, Deadline, Draft, Error, Message, Result, timestamp};

/// Name of the unique index on (`conversation_id`, `seq`).
pub(crate) const SEQ_INDEX: &str = "conversation_id_1_seq_1";

/// Name of the unique index on (`conversation_id`, `sender_id`, `client_message_id`).
pub(crate) const CLIENT_MESSAGE_ID_INDEX: &str =
    "conversation_id_1_sender_id_1_client_message_id_1";

/// What an append did.
pub struct Appended {
    /// The stored message.
    pub message: Message,
    /// Whether an earlier send under the same `client_message_id` had stored it.
    pub duplicate: bool,
    /// How often the number was taken: by another process, or since this one last looked.
    pub conflicts: u32,
}

/// A piece of a conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// Only messages with a larger `seq`. The page then begins with the oldest of them.
    pub after: Option<i64>,
    /// Only messages with a smaller `seq`.
    pub before: Option<i64>,
}

/// Consecutive messages, oldest first.
pub struct Page {
    /// The messages.
    pub messages: Vec<Message>,
    /// Whether the range goes on before the first of them.
    pub older: bool,
    /// Whether the range goes on after the last of them.
    pub newer: bool,
}

/// The document of a message.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredMessage {
    _id: ObjectId,
    conversation_id: ConversationId,
    seq: i64,
    sender_id: String,
    receiver_id: String,
    message: String,
    timestamp: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_message_id: Option<ClientMessageId>,
}

impl From<StoredMessage> for Message {
    fn from(stored: StoredMessage) -> Self {
        Self {
            message_id: stored._id.to_hex(),
            conversation_id: stored.conversation_id,
            seq: stored.seq,
            sender_id: stored.sender_id,
            receiver_id: stored.receiver_id,
            message: stored.message,
            timestamp: stored.timestamp,
            client_message_id: stored.client_message_id,
        }
    }
}

/// Where the sends of one process to one conversation wait for their turn, since only one of them
/// can have the next number. Whose turn it is finds what this process has last seen stored. That may
/// be out of date: then the number is taken, which costs one more try and never gives a wrong one.
pub(super) type Line = Arc<tokio::sync::Mutex<Option<Newest>>>;

/// The end of a conversation: what the next message builds on.
#[derive(Debug, Clone, Default)]
pub(super) struct Newest {
    seq: i64,
    timestamp: Option<DateTime<Utc>>,
}

impl Newest {
    fn of(message: &StoredMessage) -> Self {
        Self {
            // Messages of the old system end at 0 at most, so a new one is never below 1.
            seq: message.seq.max(0),
            timestamp: timestamp::parse(&message.timestamp),
        }
    }

    /// `draft` in the place after this one, not earlier than it.
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
    /// [`Error::Unavailable`]: the database or the time failed; the message may or may not be
    /// stored, and a resend with the same `client_message_id` is safe.
    pub async fn append(
        &self,
        draft: &Draft,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Appended> {
        const NUMBERING: &str = "numbering of a message";
        let conversation_id = &draft.conversation_id;
        let line = self.line(conversation_id);
        let mut newest = line.lock().await;
        let id = ObjectId::new();
        let mut conflicts = 0;
        loop {
            deadline.pause(NUMBERING, backoff(conflicts)).await?;
            let last = match newest.take() {
                Some(last) => last,
                None => self.newest(conversation_id).await?,
            };
            let message = Arc::new(last.followed_by(draft, id, now));
            // Nobody waits for the answer any more: nothing may be stored behind their back.
            deadline.check(NUMBERING)?;
            if self.insert(Arc::clone(&message)).await? {
                *newest = Some(Newest::of(&message));
                return Ok(Appended {
                    message: Arc::unwrap_or_clone(message).into(),
                    duplicate: false,
                    conflicts,
                });
            }
            if let Some(message) = self.sent_before(draft).await? {
                return Ok(Appended {
                    message,
                    duplicate: true,
                    conflicts,
                });
            }
            conflicts += 1;
        }
    }

    /// The line for a conversation, made when it is first asked for.
    fn line(&self, conversation_id: &ConversationId) -> Line {
        let mut lines = self.lines.lock().expect("no holder panics");
        let line = lines.get_or_insert_mut(conversation_id.clone(), Line::default);
        Arc::clone(line)
    }

    /// Inserts a message; `false` if its number or its `client_message_id` is taken. None of the
    /// messages of one operation depends on another.
    async fn insert(&self, message: Arc<StoredMessage>) -> Result<bool> {
        let insert = self.inserts.serve(message, async |messages| {
            let documents = messages.iter().map(Arc::as_ref);
            let insert = self.messages.insert_many(documents).ordered(false).await;
            let outcomes = (0..messages.len()).map(|index| inserted(&insert, index));
            outcomes.collect()
        });
        perform("insert of a message", insert).await
    }

    /// The message that an earlier send of the same draft has stored.
    async fn sent_before(&self, draft: &Draft) -> Result<Option<Message>> {
        let Some(client_message_id) = &draft.client_message_id else {
            return Ok(None);
        };
        let find = self
            .messages
            .find_one(doc! {
                "conversation_id": draft.conversation_id.as_str(),
                "sender_id": draft.sender_id.as_str(),
                "client_message_id": client_message_id.as_str(),
            })
            // An ack must not leave before the majority has the message. One that is still on its
            // way there is not found, and the next attempt asks again.
            .read_concern(ReadConcern::majority())
            .max_time(OPERATION_TIME);
        let stored = perform("look-up of an earlier send", find).await?;
        Ok(stored.map(Message::from))
    }

    async fn newest(&self, conversation_id: &ConversationId) -> Result<Newest> {
        let find = self
            .messages
            .find_one(doc! {"conversation_id": conversation_id.as_str()})
            .sort(doc! {"seq": -1})
            // A number that a failover rolls back must not be built upon: it would leave a hole.
            .read_concern(ReadConcern::majority())
            .max_time(OPERATION_TIME);
        let newest = perform("look-up of the newest message", find).await?;
        Ok(newest.as_ref().map(Newest::of).unwrap_or_default())
    }

    /// Reads a page of a conversation: up to `limit` messages, ending early at the first that
    /// `fits` refuses. One that does not even fit by itself is left out.
    ///
    /// With `after` the page begins at the old end of the range, otherwise it ends at the new one.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn page(
        &self,
        conversation_id: &ConversationId,
        range: Range,
        limit: u32,
        mut fits: impl FnMut(&Message) -> bool,
    ) -> Result<Page> {
        const READING: &str = "reading of a conversation";
        let forward = range.after.is_some();
        let direction = if forward { 1 } else { -1 };
        let find = self
            .messages
            .find(in_range(conversation_id, range))
            .sort(doc! {"seq": direction})
            .limit(i64::from(limit) + 1)
            .batch_size(limit + 1)
            // What a reader has seen must not be rolled back by a failover.
            .read_concern(ReadConcern::majority())
            .max_time(OPERATION_TIME);
        // The first batch has the page, unless that is larger than any answer.
        let mut cursor = perform(READING, find).await?;
        let mut messages = Vec::new();
        let mut left_out = 0;
        let mut more = false;
        while cursor
            .advance()
            .await
            .map_err(Error::unavailable(READING))?
        {
            let stored = cursor.deserialize_current();
            let message = Message::from(stored.map_err(Error::unavailable(READING))?);
            let fits = fits(&message);
            if !fits && messages.is_empty() {
                // The old system had no limit. Ending here would hide all that lies behind it.
                tracing::error!(seq = message.seq, "a message is too large for any page");
                left_out += 1;
                continue;
            }
            more = !fits || messages.len() == limit as usize;
            if more {
                break;
            }
            messages.push(message);
        }
        // As many as were asked for have been read, so what follows them is not known.
        more |= left_out > 0 && messages.len() + left_out > limit as usize;
        let mut page = Page {
            messages,
            older: false,
            newer: false,
        };
        if forward {
            page.newer = more;
        } else {
            page.messages.reverse();
            page.older = more;
        }
        self.look_behind(conversation_id, range, &mut page).await?;
        Ok(page)
    }

    /// Finds out whether the conversation goes on at the end where the caller cut it.
    async fn look_behind(
        &self,
        conversation_id: &ConversationId,
        range: Range,
        page: &mut Page,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (page.messages.first(), page.messages.last()) else {
            return Ok(());
        };
        match (range.after, range.before) {
            (Some(_), None) => {
                let before = Some(first.seq);
                page.older = self
                    .any_in(
                        conversation_id,
                        Range {
                            after: None,
                            before,
                        },
                    )
                    .await?;
            }
            (None, Some(_)) => {
                let after = Some(last.seq);
                page.newer = self
                    .any_in(
                        conversation_id,
                        Range {
                            after,
                            before: None,
                        },
                    )
                    .await?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn any_in(&self, conversation_id: &ConversationId, range: Range) -> Result<bool> {
        let numbers = self.messages.clone_with_type::<Document>();
        let find = numbers
            .find_one(in_range(conversation_id, range))
            .projection(doc! {"_id": 0, "seq": 1})
            .max_time(OPERATION_TIME);
        let found = perform("look-up of further messages", find).await?;
        Ok(found.is_some())
    }
}

/// What became of one of several messages; `false` if something of it was taken.
fn inserted(
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

fn in_range(conversation_id: &ConversationId, range: Range) -> Document {
    let mut filter = doc! {"conversation_id": conversation_id.as_str()};
    let mut seq = Document::new();
    if let Some(after) = range.after {
        seq.insert("$gt", after);
    }
    if let Some(before) = range.before {
        seq.insert("$lt", before);
    }
    if !seq.is_empty() {
        filter.insert("seq", seq);
    }
    filter
}

/// The pause before an attempt, by how many have failed: none before the first two, since what a
/// process remembers is often just out of date. Then full jitter: any time up to a bound that doubles with each attempt.
///
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
fn backoff(conflicts: u32) -> Duration {
    const FIRST_MS: u64 = 4;
    const LONGEST_MS: u64 = 1_024;
    let Some(doublings) = conflicts.checked_sub(2) else {
        return Duration::ZERO;
    };
    let bound_ms = (FIRST_MS << doublings.min(8)).min(LONGEST_MS);
    Duration::from_millis(fastrand::u64(0..=bound_ms))
}

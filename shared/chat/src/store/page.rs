//! Reads the log page by page.

use mongodb::bson::{Document, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::ReadConcern;

use super::{OPERATION_TIMEOUT, Store, perform};
use crate::{ConversationId, Deadline, Message, Result};

/// A range of a conversation, by numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// Only messages with a larger `seq`. The page then begins with the oldest of them.
    pub after: Option<i64>,
    /// Only messages with a smaller `seq`.
    pub before: Option<i64>,
}

impl Range {
    /// Returns the range of all messages with a larger `seq`.
    pub fn after(seq: i64) -> Self {
        Self {
            after: Some(seq),
            before: None,
        }
    }

    /// Returns the range of all messages with a smaller `seq`.
    pub fn before(seq: i64) -> Self {
        Self {
            after: None,
            before: Some(seq),
        }
    }

    fn filter(self, conversation_id: &ConversationId) -> Document {
        let mut filter = doc! {"conversation_id": conversation_id.as_str()};
        let mut seq = Document::new();
        if let Some(after) = self.after {
            seq.insert("$gt", after);
        }
        if let Some(before) = self.before {
            seq.insert("$lt", before);
        }
        if !seq.is_empty() {
            filter.insert("seq", seq);
        }
        filter
    }
}

/// Consecutive messages, oldest first.
pub struct Page {
    /// The messages.
    pub messages: Vec<Message>,
    /// Whether the range goes on before the first of them.
    pub has_older: bool,
    /// Whether the range goes on after the last of them.
    pub has_newer: bool,
}

impl Store {
    /// Reads a page of a conversation: up to `limit` messages, ending early at the first for which
    /// `fits` returns false. A message that does not even fit by itself is left out.
    ///
    /// With `after` the page begins at the old end of the range, otherwise it ends at the new one.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn page(
        &self,
        conversation_id: &ConversationId,
        range: Range,
        limit: u32,
        mut fits: impl FnMut(&Message) -> bool + Send + 'static,
        deadline: Deadline,
    ) -> Result<Page> {
        let forward = range.after.is_some();
        let messages = self.messages.clone();
        let filter = range.filter(conversation_id);
        let read = async move {
            let mut cursor = messages
                .find(filter)
                .sort(doc! {"seq": if forward { 1 } else { -1 }})
                .limit(i64::from(limit) + 1)
                .batch_size(limit + 1)
                // A failover must not roll back a message that a reader has seen.
                .read_concern(ReadConcern::majority())
                .max_time(OPERATION_TIMEOUT)
                .await?;
            let mut found = Found::new(limit);
            // The first batch has the page, unless that is larger than any response.
            while !found.is_full && cursor.advance().await? {
                let message = Message::from(cursor.deserialize_current()?);
                let fits = fits(&message);
                found.add(message, fits);
            }
            Ok::<_, DriverError>(found)
        };
        let found = perform("reading of a conversation", deadline, read).await?;
        let mut page = found.into_page(forward);
        self.look_beyond(conversation_id, range, &mut page, deadline)
            .await?;
        Ok(page)
    }

    /// Sets `has_older` or `has_newer` for the side that `range` excludes.
    async fn look_beyond(
        &self,
        conversation_id: &ConversationId,
        range: Range,
        page: &mut Page,
        deadline: Deadline,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (page.messages.first(), page.messages.last()) else {
            return Ok(());
        };
        match (range.after, range.before) {
            (Some(_), None) => {
                let older = Range::before(first.seq);
                page.has_older = self.has_any(conversation_id, older, deadline).await?;
            }
            (None, Some(_)) => {
                let newer = Range::after(last.seq);
                page.has_newer = self.has_any(conversation_id, newer, deadline).await?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn has_any(
        &self,
        conversation_id: &ConversationId,
        range: Range,
        deadline: Deadline,
    ) -> Result<bool> {
        let numbers = self.messages.clone_with_type::<Document>();
        let filter = range.filter(conversation_id);
        let find = async move {
            numbers
                .find_one(filter)
                .projection(doc! {"_id": 0, "seq": 1})
                .max_time(OPERATION_TIMEOUT)
                .await
        };
        let found = perform("look-up of further messages", deadline, find).await?;
        Ok(found.is_some())
    }
}

/// The messages of a page, in the order in which they are read.
struct Found {
    limit: usize,
    messages: Vec<Message>,
    /// Messages that are too large for any page.
    left_out: usize,
    /// Whether the page takes no further message although there is one.
    is_full: bool,
}

impl Found {
    fn new(limit: u32) -> Self {
        Self {
            limit: limit as usize,
            messages: Vec::new(),
            left_out: 0,
            is_full: false,
        }
    }

    /// Adds the next message, or marks the page full.
    fn add(&mut self, message: Message, fits: bool) {
        if !fits && self.messages.is_empty() {
            // The old system had no limit. Ending here would hide all that lies behind it.
            tracing::error!(seq = message.seq, "a message is too large for any page");
            self.left_out += 1;
            return;
        }
        self.is_full = !fits || self.messages.len() == self.limit;
        if !self.is_full {
            self.messages.push(message);
        }
    }

    fn into_page(mut self, forward: bool) -> Page {
        // The query was for one message more than the limit. Where the left out ones have used up that,
        // it is not known what follows.
        let more =
            self.is_full || (self.left_out > 0 && self.messages.len() + self.left_out > self.limit);
        if !forward {
            self.messages.reverse();
        }
        Page {
            messages: self.messages,
            has_older: more && !forward,
            has_newer: more && forward,
        }
    }
}

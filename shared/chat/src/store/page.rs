//! Reads the log page by page.

use chrono::{DateTime, Utc};
use mongodb::bson::{Document, doc};
use mongodb::error::Error as DriverError;
use mongodb::options::ReadConcern;
use tokio::task::coop::consume_budget;

use super::filter::{not_hidden, visible_text, within};
use super::search::{Found, Query, Span, Step};
use super::{OPERATION_TIMEOUT, Store, perform};
use crate::{ConversationId, Deadline, Entry, HiddenTexts, Result};

/// A range of a conversation, by numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// Only entries with a larger `seq`. The page then begins with the oldest of them.
    pub after: Option<i64>,
    /// Only entries with a smaller `seq`.
    pub before: Option<i64>,
}

impl Range {
    /// Returns the range of all entries with a larger `seq`.
    pub fn after(seq: i64) -> Self {
        Self {
            after: Some(seq),
            before: None,
        }
    }

    /// Returns the range of all entries with a smaller `seq`.
    pub fn before(seq: i64) -> Self {
        Self {
            after: None,
            before: Some(seq),
        }
    }
}

/// The entries of a conversation that a page may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// All of them.
    Log,
    /// The texts that are not deleted.
    Texts,
    /// Those with some numbers, both ends included: what a user may read of a group.
    Part {
        /// The first number.
        first: i64,
        /// The last number.
        last: i64,
    },
}

/// A view as its reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderView {
    view: View,
    hidden: Option<HiddenTexts>,
}

impl From<View> for ReaderView {
    fn from(view: View) -> Self {
        Self { view, hidden: None }
    }
}

impl ReaderView {
    /// Returns the filter of its entries with some numbers. Hidden texts are left out of texts, and look deleted in
    /// the log.
    fn filter(
        &self,
        conversation_id: &ConversationId,
        span: Span,
        hidden_before: Option<DateTime<Utc>>,
    ) -> Document {
        let range = span.filter(conversation_id);
        match self.view {
            View::Log | View::Part { .. } => range,
            View::Texts => {
                let mut conditions = visible_text(hidden_before);
                conditions.extend(self.hidden.iter().flat_map(not_hidden));
                within(range, conditions)
            }
        }
    }

    fn apply(&self, entry: Entry) -> Entry {
        match &self.hidden {
            Some(hidden) => hidden.apply(entry),
            None => entry,
        }
    }
}

impl View {
    /// Returns the view without some texts.
    pub fn hiding(self, hidden: Option<HiddenTexts>) -> ReaderView {
        ReaderView { view: self, hidden }
    }

    /// Returns its numbers; `None` if there are none.
    fn span(self) -> Option<Span> {
        match self {
            Self::Log | Self::Texts => Some(Span::ALL),
            Self::Part { first, last } => Span::new(first, last),
        }
    }
}

/// Consecutive entries, oldest first.
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Whether the range goes on before the first of them.
    pub has_older: bool,
    /// Whether the range goes on after the last of them.
    pub has_newer: bool,
}

impl Store {
    /// Reads a page of a view of a conversation: up to `limit` entries, ending early at the first for which
    /// `fits` returns false. An entry that does not even fit by itself is left out.
    ///
    /// The texts that are older than the chat keeps them are hidden.
    ///
    /// With `after` the page begins at the old end of the range, otherwise it ends at the new one.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn page(
        &self,
        conversation_id: &ConversationId,
        view: impl Into<ReaderView>,
        range: Range,
        limit: u32,
        fits: impl FnMut(&Entry) -> bool + Send + 'static,
        deadline: Deadline,
    ) -> Result<Page> {
        let view = &view.into();
        let mut found = Found::new(range, view.view.span(), limit, fits);
        for step in Step::ALL {
            let reached = if found.asks_for_reached(step) {
                self.reached(conversation_id, deadline).await?
            } else {
                None
            };
            if let Some(query) = found.query(step, reached) {
                found = self
                    .read(conversation_id, view, query, found, deadline)
                    .await?;
            }
        }
        let on_excluded_side = match found.unknown_side() {
            Some(span) => self.has_any(conversation_id, view, span, deadline).await?,
            None => found.excluded_exists,
        };
        let mut page = found.into_page(on_excluded_side);
        if let Some(time) = self.hidden_before() {
            page.entries.iter_mut().for_each(|it| it.hide_before(time));
        }
        Ok(page)
    }

    /// Adds the entries of one query, until the page is full.
    async fn read<Fits: FnMut(&Entry) -> bool + Send + 'static>(
        &self,
        conversation_id: &ConversationId,
        view: &ReaderView,
        query: Query,
        mut found: Found<Fits>,
        deadline: Deadline,
    ) -> Result<Found<Fits>> {
        let messages = self.messages.clone();
        let filter = view.filter(conversation_id, query.span, self.hidden_before());
        let view = view.clone();
        let read = async move {
            let mut cursor = messages
                .find(filter)
                .sort(query.sort())
                .limit(query.limit.into())
                .batch_size(query.limit)
                // A failover must not roll back an entry that a reader has seen.
                .read_concern(ReadConcern::majority())
                .max_time(OPERATION_TIMEOUT)
                .await?;
            // The first batch has the page, unless that is larger than any response.
            while !found.is_full() && cursor.advance().await? {
                found.add(view.apply(Entry::from(cursor.deserialize_current()?)));
                // The entries of a batch are there at once, and reading them takes its time.
                consume_budget().await;
            }
            found.finish(&query);
            Ok::<_, DriverError>(found)
        };
        perform("reading of a conversation", deadline, read).await
    }

    async fn has_any(
        &self,
        conversation_id: &ConversationId,
        view: &ReaderView,
        span: Span,
        deadline: Deadline,
    ) -> Result<bool> {
        let numbers = self.messages.clone_with_type::<Document>();
        let filter = view.filter(conversation_id, span, self.hidden_before());
        let find = async move {
            numbers
                .find_one(filter)
                .projection(doc! {"_id": 0, "seq": 1})
                .max_time(OPERATION_TIMEOUT)
                .await
        };
        let found = perform("look-up of further entries", deadline, find).await?;
        Ok(found.is_some())
    }
}

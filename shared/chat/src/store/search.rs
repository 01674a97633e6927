//! The search for the entries of a page: the ranges of numbers that are read, in turn.
//!
//! Numbers are dense, so a page of 100 entries lies in 100 numbers, and a query for these is short on any
//! database. A range that does not fill the page proves nothing: deletions leave holes, and the
//! migration may not have ended. So the search goes on behind the last entry that it found, until the
//! page is full or the range of the request ends. Where the ranges are cut affects how much is read,
//! never the page.

use mongodb::bson::{Document, doc};

use super::{Page, Range};
use crate::{ConversationId, Entry};

/// A step of the search, which reads one range at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// As many numbers as the page has entries, from the end that the request gives.
    Near,
    /// The same from a number that is known: forward from 1, the first one; backward from the last one that
    /// was found, or one that the conversation has reached.
    Known,
    /// All that is left.
    Rest,
}

impl Step {
    pub(super) const ALL: [Self; 3] = [Self::Near, Self::Known, Self::Rest];
}

/// Numbers of a conversation, both ends included. The smallest and the largest number of all are no
/// ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    low: i64,
    high: i64,
}

impl Span {
    /// All numbers.
    pub(super) const ALL: Self = Self {
        low: i64::MIN,
        high: i64::MAX,
    };

    /// Returns the numbers of a range; `None` if there are none.
    fn of(range: Range) -> Option<Self> {
        let low = range.after.map_or(Some(i64::MIN), |seq| seq.checked_add(1));
        let high = range
            .before
            .map_or(Some(i64::MAX), |seq| seq.checked_sub(1));
        Self::new(low?, high?)
    }

    pub(super) fn new(low: i64, high: i64) -> Option<Self> {
        (low <= high).then_some(Self { low, high })
    }

    /// Returns the numbers that are in `other` too; `None` if there are none.
    fn within(self, other: Self) -> Option<Self> {
        Self::new(self.low.max(other.low), self.high.min(other.high))
    }

    fn contains(self, seq: i64) -> bool {
        (self.low..=self.high).contains(&seq)
    }

    /// Returns the filter of the entries with these numbers.
    pub(super) fn filter(self, conversation_id: &ConversationId) -> Document {
        let mut filter = doc! {"conversation_id": conversation_id.as_str()};
        let mut seq = Document::new();
        if self.low > i64::MIN {
            seq.insert("$gte", self.low);
        }
        if self.high < i64::MAX {
            seq.insert("$lte", self.high);
        }
        if !seq.is_empty() {
            filter.insert("seq", seq);
        }
        filter
    }
}

/// A query: the first entries with some numbers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) span: Span,
    forward: bool,
    pub(super) limit: u32,
}

impl Query {
    pub(super) fn sort(&self) -> Document {
        doc! {"seq": if self.forward { 1 } else { -1 }}
    }
}

/// The entries that were found so far, in the order in which they are read.
pub(super) struct Found<Fits> {
    /// The numbers that the reader may see; `None` if there are none.
    view: Option<Span>,
    /// The range of the request in them; `None` if it has no numbers.
    span: Option<Span>,
    /// The number that the request names and excludes, if it names one only and the reader may see it.
    excluded: Option<i64>,
    forward: bool,
    limit: u32,
    fits: Fits,
    entries: Vec<Entry>,
    /// Entries of the range that were read, also those that are too large for any page.
    read: u32,
    /// The number of the last of them.
    last: Option<i64>,
    /// Whether the page takes no further entry although there is one.
    is_full: bool,
    /// Whether the range was read to its end.
    is_exhausted: bool,
    /// Whether there is an entry under the excluded number.
    pub(super) excluded_exists: bool,
}

impl<Fits: FnMut(&Entry) -> bool> Found<Fits> {
    /// Prepares the search for `limit` entries. It also reads the next entry, if that follows.
    pub(super) fn new(range: Range, view: Option<Span>, limit: u32, fits: Fits) -> Self {
        let is_visible = |seq: &i64| view.is_some_and(|view| view.contains(*seq));
        Self {
            view,
            span: Span::of(range).and_then(|span| span.within(view?)),
            excluded: range.after.xor(range.before).filter(is_visible),
            forward: range.after.is_some(),
            limit,
            fits,
            entries: Vec::new(),
            read: 0,
            last: None,
            is_full: false,
            is_exhausted: false,
            excluded_exists: false,
        }
    }

    /// Returns whether a step asks for a number that the conversation has reached.
    pub(super) fn asks_for_reached(&self, step: Step) -> bool {
        step == Step::Known && !self.forward && self.last.is_none() && self.rest().is_some()
    }

    /// Returns the query of a step; `None` if there is nothing to read in it.
    pub(super) fn query(&self, step: Step, reached: Option<i64>) -> Option<Query> {
        let rest = self.rest()?;
        let far_end = self.far_end(step, reached)?;
        let mut span = if self.forward {
            Span::new(rest.low, far_end.min(rest.high))?
        } else {
            Span::new(far_end.max(rest.low), rest.high)?
        };
        let mut limit = self.limit + 1 - self.read;
        // The excluded entry is read too: whether it exists decides about a link, which would else cost
        // another query.
        if let Some(excluded) = self.excluded.filter(|_| self.last.is_none()) {
            span.low = span.low.min(excluded);
            span.high = span.high.max(excluded);
            limit += 1;
        }
        Some(Query {
            span,
            forward: self.forward,
            limit,
        })
    }

    /// Returns the range that is left, `None` if the search is over.
    fn rest(&self) -> Option<Span> {
        let Span { low, high } = self
            .span
            .filter(|_| !self.has_more() && !self.is_exhausted)?;
        match (self.last, self.forward) {
            (None, _) => Span::new(low, high),
            (Some(last), true) => Span::new(last.checked_add(1)?, high),
            (Some(last), false) => Span::new(low, last.checked_sub(1)?),
        }
    }

    /// Returns the number at which a step ends; `None` leaves it out.
    fn far_end(&self, step: Step, reached: Option<i64>) -> Option<i64> {
        let Span { low, high } = self.span?;
        let limit = i64::from(self.limit);
        let far_end = match (step, self.forward) {
            (Step::Near, true) => low.saturating_add(limit),
            (Step::Near, false) => (high < i64::MAX).then(|| high.saturating_sub(limit))?,
            (Step::Known, true) => (low < 1).then_some(1 + limit)?,
            (Step::Known, false) => {
                let below = self.last.map(|last| last.saturating_sub(1));
                below.or(reached)?.saturating_sub(limit)
            }
            (Step::Rest, true) => i64::MAX,
            (Step::Rest, false) => i64::MIN,
        };
        // A conversation begins at 1, unless it has messages of the old system: the range that reaches
        // there has no end, and saves the query that would find nothing below.
        let begins = !self.forward && far_end <= 0 && high > 0;
        Some(if begins { i64::MIN } else { far_end })
    }

    /// Adds the next entry of a query, or marks the page full.
    pub(super) fn add(&mut self, entry: Entry) {
        if self.span.is_none_or(|span| !span.contains(entry.seq)) {
            self.excluded_exists = true;
            return;
        }
        self.last = Some(entry.seq);
        self.read += 1;
        let fits = (self.fits)(&entry);
        if !fits && self.entries.is_empty() {
            // The old system had no limit. Ending here would hide all that lies behind it.
            tracing::error!(seq = entry.seq, "an entry is too large for any page");
            return;
        }
        self.is_full = !fits || self.entries.len() == self.limit as usize;
        if !self.is_full {
            self.entries.push(entry);
        }
    }

    /// Notes that a query has no further entries.
    pub(super) fn finish(&mut self, query: &Query) {
        self.is_exhausted = self.span.is_none_or(|span| {
            if self.forward {
                query.span.high >= span.high
            } else {
                query.span.low <= span.low
            }
        });
    }

    /// Returns whether the range goes on behind the page.
    fn has_more(&self) -> bool {
        // Entries that are left out may use up what the queries read: then it is not known what follows.
        self.is_full || self.read > self.limit
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Returns the numbers on the side of the page that the request excludes, if it is not known whether
    /// there are entries.
    pub(super) fn unknown_side(&self) -> Option<Span> {
        let nearest = self.entries.first()?.seq;
        self.excluded.filter(|_| !self.excluded_exists)?;
        let side = if self.forward {
            Span::new(i64::MIN, nearest.checked_sub(1)?)
        } else {
            Span::new(nearest.checked_add(1)?, i64::MAX)
        };
        side?.within(self.view?)
    }

    /// Returns the page. `on_excluded_side`: whether there are entries on the side that the request
    /// excludes.
    pub(super) fn into_page(mut self, on_excluded_side: bool) -> Page {
        let more = self.has_more();
        let other = on_excluded_side && !self.entries.is_empty();
        if !self.forward {
            self.entries.reverse();
        }
        Page {
            entries: self.entries,
            has_older: if self.forward { other } else { more },
            has_newer: if self.forward { more } else { other },
        }
    }
}

#[cfg(test)]
mod tests;

//! The numbers that old documents get.

use chrono::{DateTime, Utc};
use mongodb::bson::{Bson, Document, doc};

use crate::{ConversationId, timestamp};

/// A document of the old system: its id, and the time that orders it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OldDocument {
    pub(super) id: Bson,
    pub(super) timestamp: String,
    /// Documents with a time that cannot be read come first.
    pub(super) time: Option<DateTime<Utc>>,
}

/// The ends of the numbers that a conversation already uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct NumbersInUse {
    /// The largest number that an old document got by migration, up to 0.
    pub(super) old: Option<i64>,
    /// The largest number of all, at least 0.
    pub(super) newest: i64,
    /// The time of the newest message.
    pub(super) newest_time: Option<DateTime<Utc>>,
}

/// The place planned for an old document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    id: Bson,
    seq: i64,
    clamped: Option<ClampedTimestamp>,
}

/// A later time to store, where the document's own is before that of the message before it.
#[derive(Debug, Clone, PartialEq)]
struct ClampedTimestamp {
    from: String,
    to: DateTime<Utc>,
}

impl NumbersInUse {
    /// Returns places for `documents`, which are sorted: first the free numbers up to 0, then those after
    /// the newest message.
    pub(super) fn plan(self, documents: Vec<OldDocument>) -> Vec<Place> {
        let count = documents.len() as i64;
        let first = self.old.map_or(1 - count, |old| old + 1);
        let free = (1 - first) as usize;
        let mut newest_time = self.newest_time;
        let place = |(index, document): (usize, OldDocument)| {
            if index < free {
                return Place {
                    id: document.id,
                    seq: first + index as i64,
                    clamped: None,
                };
            }
            newest_time = newest_time.max(document.time);
            Place {
                id: document.id,
                seq: self.newest + 1 + (index - free) as i64,
                clamped: newest_time
                    .filter(|_| newest_time > document.time)
                    .map(|to| ClampedTimestamp {
                        from: document.timestamp,
                        to,
                    }),
            }
        };
        documents.into_iter().enumerate().map(place).collect()
    }
}

impl Place {
    /// Returns the update that gives the document its number.
    pub(super) fn update(&self, conversation_id: &ConversationId) -> Document {
        let mut set = doc! {"conversation_id": conversation_id.as_str(), "seq": self.seq};
        if let Some(clamped) = &self.clamped {
            set.insert("timestamp", timestamp::format(clamped.to));
            // The time that the old system wrote is kept beside it.
            set.insert("old_timestamp", &clamped.from);
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

    fn olds(millis: &[i64]) -> Vec<OldDocument> {
        let old = |(index, millis): (usize, &i64)| OldDocument {
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
        let places = NumbersInUse::default().plan(olds(&[1, 2, 3]));
        assert_eq!(numbers(&places), [-2, -1, 0]);
    }

    #[test]
    fn an_interrupted_run_goes_on_where_it_stopped() {
        let taken = NumbersInUse {
            old: Some(-3),
            ..NumbersInUse::default()
        };
        assert_eq!(numbers(&taken.plan(olds(&[4, 5, 6]))), [-2, -1, 0]);
    }

    #[test]
    fn a_late_old_message_is_appended_and_its_time_does_not_go_back() {
        let taken = NumbersInUse {
            old: Some(0),
            newest: 7,
            newest_time: DateTime::from_timestamp_millis(50),
        };
        let places = taken.plan(olds(&[40, 60]));
        assert_eq!(numbers(&places), [8, 9]);
        let clamped = places[0].clamped.as_ref().map(|clamped| clamped.to);
        assert_eq!(clamped, DateTime::from_timestamp_millis(50));
        assert_eq!(places[1].clamped, None);
    }
}

//! One document per conversation, with a number that the conversation has reached.
//!
//! ```json
//! {"_id": "direct:1:a:b", "reached_seq": 129}
//! ```
//!
//! The newest message has this number or a larger one. With this lower bound the search for it is a
//! short range, however long the conversation is. MongoDB does not need that: it reads an index from its
//! end and stops. The embedded database reads the whole range of a sorted query before it applies the
//! limit.
//!
//! The number only grows, by `$max`, and is written after the message is stored. A write that is late, lost
//! or repeated makes the range longer and does no other harm. The migration writes none: a conversation
//! without a number is searched for one, and gets one with its next message of every 64.

use mongodb::bson::doc;
use mongodb::options::{Acknowledgment, WriteConcern};
use serde::{Deserialize, Serialize};

use super::{OPERATION_TIMEOUT, Store, perform};
use crate::{ConversationId, Deadline, Entry, Result};

/// Messages of a conversation from one record to the next.
const INTERVAL: i64 = 64;

/// The document of a conversation. Other fields may be added to it, and it may lack this one.
#[derive(Serialize, Deserialize)]
pub(super) struct Conversation {
    _id: ConversationId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reached_seq: Option<i64>,
}

impl Store {
    /// Records that a conversation has reached the number of a stored message, if it is the first of 64:
    /// 1, 65, 129, … A failure is logged, and the next record makes up for it.
    pub async fn record_reached(&self, entry: &Entry, deadline: Deadline) {
        if entry.seq.rem_euclid(INTERVAL) != 1 {
            return;
        }
        let conversations = self.conversations.clone();
        let filter = doc! {"_id": entry.conversation_id.as_str()};
        let update = doc! {"$max": {"reached_seq": entry.seq}};
        // A record that a failover loses harms nobody, so it does not wait for the majority.
        let primary = WriteConcern::builder().w(Acknowledgment::Nodes(1)).build();
        let record = async move {
            conversations
                .update_one(filter, update)
                .upsert(true)
                .write_concern(primary)
                .await
        };
        if let Err(error) = perform("record of a number", deadline, record).await {
            tracing::warn!(cause = error.chain(), "number not recorded");
        }
    }

    /// Returns a number that a conversation has reached, by its record, else by a search. `None` if
    /// neither knows one: the conversation is short, or has messages of the old system only.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub(super) async fn reached(
        &self,
        conversation_id: &ConversationId,
        deadline: Deadline,
    ) -> Result<Option<i64>> {
        let conversations = self.conversations.clone();
        let filter = doc! {"_id": conversation_id.as_str()};
        let find = async move {
            let find = conversations.find_one(filter);
            find.max_time(OPERATION_TIMEOUT).await
        };
        let found = perform("look-up of a conversation", deadline, find).await?;
        match found.and_then(|conversation| conversation.reached_seq) {
            Some(recorded) => Ok(Some(recorded)),
            None => self.search_reached(conversation_id, deadline).await,
        }
    }

    /// Searches the log of a conversation without a record for a number that it has reached.
    async fn search_reached(
        &self,
        conversation_id: &ConversationId,
        deadline: Deadline,
    ) -> Result<Option<i64>> {
        let mut search = Search::default();
        while !search.is_done() {
            let largest = self.largest_of(conversation_id, search.candidates(), deadline);
            search.narrow(largest.await?);
        }
        Ok(search.reached)
    }

    /// Returns the largest of some numbers under which there is a message.
    async fn largest_of(
        &self,
        conversation_id: &ConversationId,
        candidates: Vec<i64>,
        deadline: Deadline,
    ) -> Result<Option<i64>> {
        #[derive(Deserialize)]
        struct Number {
            seq: i64,
        }
        let messages = self.messages.clone_with_type::<Number>();
        let filter = doc! {
            "conversation_id": conversation_id.as_str(),
            "seq": {"$in": candidates},
        };
        let find = async move {
            messages
                .find_one(filter)
                .sort(doc! {"seq": -1})
                .projection(doc! {"_id": 0, "seq": 1})
                .max_time(OPERATION_TIMEOUT)
                .await
        };
        let found = perform("search for the newest number", deadline, find).await?;
        Ok(found.map(|number| number.seq))
    }
}

/// A search for the newest number, in a few steps: first among the powers of two from 64, then among the
/// parts of what is left. Where numbers are dense, it ends less than 64 below the newest one; holes make
/// the result smaller, never wrong.
#[derive(Default)]
struct Search {
    /// The largest number found.
    reached: Option<i64>,
    /// The newest number is this much larger at most; none before the first step.
    width: Option<i64>,
}

impl Search {
    /// Parts into which a step divides what is left.
    const PARTS: i64 = 64;

    /// The exponent of the largest power of two.
    const LAST_EXPONENT: u32 = i64::BITS - 2;

    fn is_done(&self) -> bool {
        self.width.is_some_and(|width| width <= INTERVAL)
    }

    /// Returns the numbers to look for in the next step.
    fn candidates(&self) -> Vec<i64> {
        match (self.reached, self.width) {
            (Some(reached), Some(width)) => {
                let part = Self::part(width);
                (1..width / part).map(|n| reached + n * part).collect()
            }
            _ => (INTERVAL.ilog2()..=Self::LAST_EXPONENT)
                .map(|exponent| 1 << exponent)
                .collect(),
        }
    }

    /// Goes on above the largest number that the step has found.
    fn narrow(&mut self, largest: Option<i64>) {
        let next = match (self.width, largest) {
            (Some(width), _) => Self::part(width),
            (None, Some(power)) => power,
            (None, None) => INTERVAL,
        };
        self.reached = largest.or(self.reached);
        self.width = Some(next);
    }

    /// Returns the width after a step. Widths are powers of two.
    fn part(width: i64) -> i64 {
        (width / Self::PARTS).max(INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a search over the numbers for which `exists`; returns its result and the steps it took.
    fn search(exists: impl Fn(i64) -> bool) -> (Option<i64>, u32) {
        let (mut search, mut steps) = (Search::default(), 0);
        while !search.is_done() {
            let candidates = search.candidates();
            assert!(candidates.is_sorted() && candidates.len() <= 64);
            let found = candidates.into_iter().rfind(|seq| exists(*seq));
            search.narrow(found);
            steps += 1;
        }
        (search.reached, steps)
    }

    proptest! {
        #[test]
        fn in_dense_numbers_the_search_ends_less_than_64_below_the_newest(
            newest in prop_oneof![-100..1_000_i64, 0..10_000_000_i64, 0..=i64::MAX],
        ) {
            let (reached, steps) = search(|seq| seq <= newest);
            if newest < INTERVAL {
                prop_assert_eq!((reached, steps), (None, 1));
            } else {
                let reached = reached.expect("64 exists");
                prop_assert!(reached <= newest && newest - reached < INTERVAL);
            }
            if newest < 16_777_216 {
                prop_assert!(steps <= 4);
            }
        }

        #[test]
        fn the_search_finds_only_numbers_that_exist(
            numbers in prop::collection::btree_set(-100..100_000_i64, 0..200),
        ) {
            let (reached, _) = search(|seq| numbers.contains(&seq));
            prop_assert!(reached.is_none_or(|reached| numbers.contains(&reached)));
        }
    }
}

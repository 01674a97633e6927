//! The count of unread texts. It is made from the log, and kept nowhere.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::options::ReadConcern;
use serde::Deserialize;

use super::filter::{not_reworded, visible_text};
use super::members::Member;
use super::{OPERATION_TIMEOUT, Store, perform};
use crate::{ConversationId, Deadline, Result, UserId, Withheld};

/// The count of unread messages at which counting ends.
const MAX_UNREAD: i64 = 100;

/// The entries that are looked at for it: the user's own are among them.
const MAX_COUNTED: i64 = 1_000;

impl Store {
    /// Counts the texts of others that the user has not read, among the first thousand entries after the user's
    /// mark of each conversation, and up to its `newest` one: a client adds those that are pushed later. Withheld texts
    /// do not count.
    pub(super) async fn count_unread(
        &self,
        rows: &[Member],
        newest: impl Fn(&ConversationId) -> Option<i64>,
        user_id: &UserId,
        deadline: Deadline,
    ) -> Result<HashMap<ConversationId, i64>> {
        #[derive(Deserialize)]
        struct Count {
            _id: ConversationId,
            unread: i64,
        }
        let unread = rows
            .iter()
            .filter_map(|row| Some((row, newest(&row.conversation_id)?)));
        let unread: Vec<Document> = unread
            .flat_map(|(row, newest)| ranges(row, newest))
            .collect();
        if unread.is_empty() {
            return Ok(HashMap::new());
        }
        let mut of_others = doc! {"sender_id": {"$ne": user_id.as_str()}};
        of_others.extend(visible_text(self.hidden_before()));
        let pipeline = [
            doc! {"$match": {"$or": unread}},
            doc! {"$match": of_others},
            doc! {"$group": {"_id": "$conversation_id", "unread": {"$sum": 1_i64}}},
        ];
        let messages = self.messages.clone();
        let count = async move {
            let counts = messages
                .aggregate(pipeline)
                .with_type::<Count>()
                .read_concern(ReadConcern::majority())
                .max_time(OPERATION_TIMEOUT)
                .await?;
            counts
                .map_ok(|count| (count._id, count.unread.min(MAX_UNREAD)))
                .try_collect()
                .await
        };
        perform("count of unread messages", deadline, count).await
    }
}

/// Returns the filters of the numbers of a conversation that are counted.
fn ranges(row: &Member, newest: i64) -> impl Iterator<Item = Document> {
    let read = row.marks.read.max(row.membership.joined_seq);
    let counted = shown(&row.withheld, read + 1, newest.min(read + MAX_COUNTED));
    counted.into_iter().map(|(first, last)| {
        let range = doc! {"$gte": first, "$lte": last};
        let mut filter = doc! {"conversation_id": row.conversation_id.as_str(), "seq": range};
        filter.extend(not_reworded(&row.withheld));
        filter
    })
}

/// Returns the ranges of the numbers from `first` to `last` in which nothing is withheld; each has both ends in it.
fn shown(withheld: &Withheld, mut first: i64, last: i64) -> Vec<(i64, i64)> {
    let mut shown = Vec::new();
    for (begin, end) in withheld.ranges() {
        if first < begin && first <= last {
            shown.push((first, last.min(begin - 1)));
        }
        first = first.max(end);
    }
    if first <= last {
        shown.push((first, last));
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_number_that_is_not_withheld_is_in_one_range(
            changes in prop::collection::vec(0..40_i64, 0..8),
            first in 1..40_i64,
            last in 0..40_i64,
        ) {
            let (mut withheld, mut newest) = (Withheld::default(), 0);
            for (index, by) in changes.into_iter().enumerate() {
                newest += by;
                withheld = withheld.changed(index % 2 == 0, newest);
            }
            let shown = shown(&withheld, first, last);
            for seq in 0..45 {
                let is_in = |(first, last): &&(i64, i64)| (*first..=*last).contains(&seq);
                let expected = (first..=last).contains(&seq) && !withheld.contains(seq);
                prop_assert_eq!(shown.iter().filter(is_in).count(), usize::from(expected));
            }
        }
    }
}

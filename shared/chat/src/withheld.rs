//! What a user does not see of a direct conversation: the texts that the other user wrote while blocked.

use serde::{Deserialize, Serialize};

use crate::{Entry, Kind, UserId};

/// The numbers of a direct conversation in which the other user's texts are withheld from a user.
///
/// Numbers at which that begins and ends, in turn and growing: `[6, 10, 13]` withholds 6 to 9, and everything from 13
/// on. While the other user is blocked, the last one has no end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Withheld(Vec<i64>);

impl Withheld {
    /// The ranges that are kept. Beyond that the two oldest become one, which also withholds what is between them.
    pub const MAX_RANGES: usize = 100;

    /// Returns whether nothing was ever withheld.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether the other user is blocked.
    pub fn is_blocked(&self) -> bool {
        !self.0.len().is_multiple_of(2)
    }

    /// Returns the first number of the block that is in force.
    pub fn blocked_from(&self) -> Option<i64> {
        self.0.last().filter(|_| self.is_blocked()).copied()
    }

    /// Returns these ranges with a block, or with its end, after the entry `newest`. Nothing changes if it is so
    /// already.
    pub fn changed(&self, blocked: bool, newest: i64) -> Self {
        let mut changes = self.0.clone();
        if blocked == self.is_blocked() {
            return Self(changes);
        }
        // Numbers never shrink, but a reader of the newest one may be late.
        let next = changes.last().copied().unwrap_or(i64::MIN).max(newest + 1);
        if changes.last() == Some(&next) {
            changes.pop();
        } else {
            changes.push(next);
        }
        while changes.len() > 2 * Self::MAX_RANGES {
            changes.drain(1..3);
        }
        Self(changes)
    }

    /// Returns the ranges: the first number of each, and the first one behind it.
    pub fn ranges(&self) -> impl Iterator<Item = (i64, i64)> {
        let ends = |range: &[i64]| (range[0], range.get(1).copied().unwrap_or(i64::MAX));
        self.0.chunks(2).map(ends)
    }

    /// Returns whether the other user's texts are withheld under a number.
    pub fn contains(&self, seq: i64) -> bool {
        let mut ranges = self.ranges();
        ranges.any(|(first, end)| (first..end).contains(&seq))
    }
}

/// The texts of a conversation that its reader does not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenTexts {
    /// The other user.
    pub peer_id: UserId,
    /// The numbers in which the other user's texts are withheld.
    pub withheld: Withheld,
}

impl HiddenTexts {
    /// Returns the entry as the reader sees it.
    ///
    /// A hidden text keeps its number and looks deleted, so clients that know nothing of blocks have no hole. It is
    /// hidden if it was written, or got its wording, while its sender was blocked. So is the wording of an edit, also
    /// of one that comes later and is about a hidden text.
    pub fn apply(&self, mut entry: Entry) -> Entry {
        let contains = |seq: Option<i64>| seq.is_some_and(|seq| self.withheld.contains(seq));
        let is_hidden = match entry.kind {
            Kind::Text => contains(Some(entry.seq)) || contains(entry.edited_seq),
            Kind::Edit => contains(Some(entry.seq)) || contains(entry.target_seq),
            _ => false,
        };
        if is_hidden && entry.sender_id == self.peer_id.as_str() {
            entry.message.clear();
            entry.client_message_id = None;
            entry.edited_seq = None;
            if entry.kind.is_text() {
                entry.deleted_seq = Some(entry.seq);
            }
            entry.withheld = true;
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_block_begins_after_the_newest_entry_and_ends_with_it() {
        let blocked = Withheld::default().changed(true, 5);
        assert_eq!(blocked, Withheld(vec![6]));
        assert_eq!(blocked.changed(true, 9), blocked, "it is so already");
        let ended = blocked.changed(false, 9);
        assert_eq!(ended, Withheld(vec![6, 10]));
        assert_eq!(ended.changed(true, 9), blocked, "nothing came between");
        assert_eq!(blocked.changed(false, 5), Withheld::default());
        assert_eq!(ended.changed(true, 12), Withheld(vec![6, 10, 13]));
    }

    #[test]
    fn the_oldest_ranges_become_one_beyond_the_limit() {
        let mut withheld = Withheld::default();
        for newest in 0..1_000 {
            withheld = withheld.changed(newest % 2 == 0, newest);
        }
        assert_eq!(withheld.ranges().count(), Withheld::MAX_RANGES);
        assert!(
            withheld.contains(1) && withheld.contains(2),
            "what was withheld stays so"
        );
    }

    proptest! {
        #[test]
        fn what_is_withheld_was_written_while_blocked(
            steps in prop::collection::vec(any::<Option<bool>>(), 0..150),
        ) {
            let (mut withheld, mut newest, mut is_blocked) = (Withheld::default(), 0, false);
            let mut expected = Vec::new();
            for step in steps {
                match step {
                    None => {
                        newest += 1;
                        expected.push(is_blocked);
                    }
                    Some(blocked) => {
                        withheld = withheld.changed(blocked, newest);
                        is_blocked = blocked;
                    }
                }
                prop_assert_eq!(withheld.is_blocked(), is_blocked);
                prop_assert!(withheld.0.is_sorted_by(|a, b| a < b));
            }
            for (index, expected) in expected.into_iter().enumerate() {
                prop_assert_eq!(withheld.contains(index as i64 + 1), expected, "{}", index);
            }
        }
    }
}

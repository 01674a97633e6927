//! How far a user has a conversation.

use serde::{Deserialize, Serialize};

/// How far a user has a conversation, as numbers of messages. None read is 0: the messages of the old system count
/// as read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Read up to here.
    #[serde(default)]
    pub read: i64,
    /// Delivered to a device up to here.
    #[serde(default)]
    pub delivered: i64,
}

impl Marks {
    /// Returns marks as a client may ask for them: none below 0, and what was read was delivered.
    pub fn new(read: i64, delivered: i64) -> Self {
        let read = read.max(0);
        Self {
            read,
            delivered: delivered.max(read),
        }
    }

    /// Returns whether nothing is read or delivered.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the larger of both, each mark by itself.
    pub fn max(self, other: Self) -> Self {
        Self {
            read: self.read.max(other.read),
            delivered: self.delivered.max(other.delivered),
        }
    }

    /// Returns the marks, but no further than `newest`.
    pub fn up_to(self, newest: i64) -> Self {
        Self {
            read: self.read.min(newest),
            delivered: self.delivered.min(newest),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn marks_never_move_back_and_are_never_beyond_the_newest_message(
            before: (i64, i64), asked: (i64, i64), newest in 0..=i64::MAX,
        ) {
            let before = Marks::new(before.0, before.1).up_to(newest);
            let after = before.max(Marks::new(asked.0, asked.1).up_to(newest));
            prop_assert!(before.read <= after.read && before.delivered <= after.delivered);
            prop_assert!(0 <= after.read && after.read <= after.delivered);
            prop_assert!(after.delivered <= newest);
        }
    }
}

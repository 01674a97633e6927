//! What can be wrong with the data of a conversation.

use std::fmt::{self, Display, Formatter};

use chat::UserId;
use serde::Serialize;

/// Something that differs from what the log promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "damage", rename_all = "snake_case")]
pub enum Damage {
    /// A document lacks a field, or has one of another type.
    Unreadable {
        /// Its collection.
        collection: &'static str,
        /// Its `_id`.
        document_id: String,
    },
    /// Numbers are missing.
    Hole {
        /// The first that is missing.
        from: i64,
        /// The last.
        to: i64,
    },
    /// Two entries have the same number.
    NumberTwice {
        /// The number.
        seq: i64,
    },
    /// An entry has an earlier time than the one before.
    Earlier {
        /// The entry.
        seq: i64,
    },
    /// The time of an entry cannot be read.
    NoTime {
        /// The entry.
        seq: i64,
    },
    /// The newest entry has a time that is still to come. All that follow it get the same one.
    InFuture {
        /// The entry.
        seq: i64,
    },
    /// The text of an entry is missing, longer than a text may be, or has no place in an entry of its kind.
    WrongText {
        /// The entry.
        seq: i64,
    },
    /// An entry is by a user who may not write it.
    NotPermitted {
        /// The entry.
        seq: i64,
    },
    /// An edit or deletion is about no text that stands before it.
    NoTarget {
        /// The edit or deletion.
        seq: i64,
    },
    /// A text says that it was changed by an entry that is no such change.
    NoChange {
        /// The text.
        seq: i64,
    },
    /// An edit or deletion is not applied to its text.
    NotApplied {
        /// The edit or deletion.
        seq: i64,
    },
    /// The text of a deleted message is still there.
    TextLeft {
        /// The text, an edit of it, or its deletion.
        seq: i64,
    },
    /// A text has other words than its newest edit.
    WordingDiffers {
        /// The text.
        seq: i64,
    },
    /// A user is not recorded as the log has it.
    MemberDiffers {
        /// The user.
        user_id: UserId,
    },
    /// A document of a user or a connection says something else than the user's document in the conversation about
    /// whether the user blocks the other one.
    BlockDiffers {
        /// The user.
        user_id: UserId,
    },
    /// A user is recorded who is not in the conversation.
    NoMember {
        /// The user.
        user_id: UserId,
    },
    /// Two documents are about the same user.
    MemberTwice {
        /// The user.
        user_id: UserId,
    },
    /// A mark or a hint of a user is beyond the newest entry.
    MarkTooLarge {
        /// The user.
        user_id: UserId,
    },
    /// A mark or a hint of a user is below 0.
    MarkNegative {
        /// The user.
        user_id: UserId,
    },
    /// A user has read what was not delivered.
    ReadNotDelivered {
        /// The user.
        user_id: UserId,
    },
    /// The numbers that are withheld from a user are out of order, beyond the newest entry, or in a conversation that has
    /// none.
    WithheldWrong {
        /// The user.
        user_id: UserId,
    },
    /// The name or the settings of a group are not those of the log.
    GroupDiffers,
    /// The recorded number of a conversation is beyond the newest entry.
    ReachedTooLarge,
    /// The number below which entries were removed is beyond the newest entry.
    FloorTooLarge,
    /// There are documents of a conversation that has no log.
    NoLog,
}

impl Damage {
    /// Returns whether it can be repaired from the log.
    pub fn is_repairable(&self) -> bool {
        matches!(
            self,
            Self::NotApplied { .. }
                | Self::TextLeft { .. }
                | Self::MemberDiffers { .. }
                | Self::BlockDiffers { .. }
                | Self::MarkTooLarge { .. }
                | Self::MarkNegative { .. }
                | Self::ReadNotDelivered { .. }
                | Self::GroupDiffers
                | Self::ReachedTooLarge
        )
    }
}

impl Display for Damage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable {
                collection,
                document_id,
            } => write!(
                f,
                "the document {document_id} of {collection} lacks a field, or has one of another type"
            ),
            Self::Hole { from, to } if from == to => write!(f, "the number {from} is missing"),
            Self::Hole { from, to } => write!(f, "the numbers {from} to {to} are missing"),
            Self::NumberTwice { seq } => write!(f, "two entries have the number {seq}"),
            Self::Earlier { seq } => write!(f, "{seq} has an earlier time than the entry before"),
            Self::NoTime { seq } => write!(f, "the time of {seq} cannot be read"),
            Self::InFuture { seq } => write!(f, "the time of {seq} is more than an hour ahead"),
            Self::WrongText { seq } => {
                write!(
                    f,
                    "{seq} has no text, one that is too long, or one that it may not have"
                )
            }
            Self::NotPermitted { seq } => write!(f, "{seq} is by a user who may not write it"),
            Self::NoTarget { seq } => write!(f, "{seq} changes a text that is not there"),
            Self::NoChange { seq } => write!(f, "{seq} was changed by an entry that is not there"),
            Self::NotApplied { seq } => write!(f, "{seq} is not applied to its text"),
            Self::TextLeft { seq } => write!(f, "{seq} still has the text of a deleted message"),
            Self::WordingDiffers { seq } => write!(f, "{seq} has other words than its newest edit"),
            Self::MemberDiffers { user_id } => {
                write!(f, "{user_id} is not recorded as the log has it")
            }
            Self::BlockDiffers { user_id } => write!(
                f,
                "whether {user_id} blocks the other user is not copied to the user's document or connections"
            ),
            Self::NoMember { user_id } => write!(f, "{user_id} is recorded, and not in it"),
            Self::MemberTwice { user_id } => write!(f, "{user_id} is recorded twice"),
            Self::MarkTooLarge { user_id } => {
                write!(f, "a mark of {user_id} is beyond the newest entry")
            }
            Self::MarkNegative { user_id } => write!(f, "a mark of {user_id} is below 0"),
            Self::ReadNotDelivered { user_id } => {
                write!(f, "{user_id} has read what was not delivered")
            }
            Self::WithheldWrong { user_id } => write!(
                f,
                "the numbers that are withheld from {user_id} are out of order, or not of this conversation"
            ),
            Self::GroupDiffers => {
                f.write_str("the name or settings of the group are not those of the log")
            }
            Self::ReachedTooLarge => f.write_str("its recorded number is beyond the newest entry"),
            Self::FloorTooLarge => f.write_str("its first number is beyond the newest entry"),
            Self::NoLog => f.write_str("it has documents and no log"),
        }
    }
}

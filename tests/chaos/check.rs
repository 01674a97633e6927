//! The delivery contract, as rules over the history of a run and the stored messages.
//!
//! Each rule is a function, and each way to break it is a variant of [`Violation`]. The rules do
//! not depend on how the chat works: they hold for any chat that keeps the contract.
//!
//! - `facts`: the history, arranged for the rules
//! - `stored`: rules of the stored messages
//! - `changes`: rules of edits and deletions
//! - `sends`: rules of the messages that clients send, and of their acks
//! - `groups`: rules of who is in a group
//! - `marks`: rules of marks
//! - `lists`: rules of lists of conversations
//! - `received`: rules of pages, pushes, and the clients' copies of the log

mod changes;
mod facts;
mod groups;
mod lists;
mod marks;
mod received;
mod sends;
mod stored;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use ::tests::client::{Ack, Message, Row};
use chat::Marks;

use crate::contents::{Contents, Projection, Trace};
use crate::history::{History, Key, Outcome, Roll};
use changes::{erased, targets, wordings};
use facts::Facts;
use groups::{permitted, projected, rolls};
use lists::{listed_groups, listed_once_acknowledged, listed_with_the_newest, unread};
use marks::{marks_are_numbers, marks_grow, receipts};
use received::{logs, pages, pages_refused, pushes, pushes_to_old, well_formed};
use sends::{acknowledged, answered, in_order, new_once, refused};
use stored::{numbers, stored_as_sent, stored_once, times};

/// A broken promise, with the data to find it in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A message was acknowledged, and is not stored.
    Lost { key: Key, seq: i64 },
    /// An ack differs from the stored message.
    AckDiffers { ack: Ack, stored: Arc<Message> },
    /// More than one ack says that its attempt stored the message.
    NewTwice { key: Key, seq: i64 },
    /// One message is stored more than once.
    StoredTwice { key: Key, seqs: Vec<i64> },
    /// A number is missing in a conversation, and larger ones are not.
    Hole { conversation_id: String, seq: i64 },
    /// A number is there more than once in a conversation, or is not one of 1, 2, 3, ….
    BadNumber { conversation_id: String, seq: i64 },
    /// A message has an earlier timestamp than the one before it, or one in another form.
    BadTime { conversation_id: String, seq: i64 },
    /// A message is stored that no client has sent.
    Invented { conversation_id: String, seq: i64 },
    /// A stored message differs from the message that was sent.
    Altered { key: Key, seq: i64 },
    /// An edit or a deletion is not of an earlier text, or in a direct conversation not of its sender's.
    BadTarget { conversation_id: String, seq: i64 },
    /// A stored text is not what its edits and deletions make of it, or an edit of a deleted text has a wording.
    WordingDiffers { conversation_id: String, seq: i64 },
    /// A wording of a deleted text is still in the database.
    NotErased { trace: Trace },
    /// An entry of a group has a number at which its sender was no member, or no owner where it takes one.
    NotPermitted { conversation_id: String, seq: i64 },
    /// An entry leaves a group without an owner, or names a new one who is not needed.
    BadOwner { conversation_id: String, seq: i64 },
    /// The members that are stored beside the log are not those of the log.
    ProjectionDiffers {
        conversation_id: String,
        projection: Projection,
    },
    /// The members that a user got are not those of the log, or were refused to a member.
    MembersDiffer { roll: Roll },
    /// A message is stored although every attempt to send it was refused.
    RefusedButStored { key: Key, seq: i64, code: String },
    /// A valid message was refused for good, or an invalid one was not refused as it must be. A change is invalid
    /// once its text is deleted.
    WrongAnswer {
        key: Key,
        expected: Option<String>,
        outcome: Outcome,
    },
    /// A message has a number that a client had seen before the message was first sent.
    OutOfOrder { key: Key, seq: i64, seen: i64 },
    /// A page does not hold the entries that follow the requested number.
    PageSkips { page: PageId, seq: i64 },
    /// A page holds more messages than requested.
    PageTooLong { page: PageId },
    /// A page ends before a number that a client had seen before the request.
    PageStale { page: PageId, seen: i64 },
    /// A message that was read differs from the stored one.
    PageDiffers { page: PageId, seq: i64 },
    /// A page holds a text without a change that was acknowledged or pushed before the request.
    PageOutdated { page: PageId, seq: i64 },
    /// A page holds entries of a group that its reader may not see.
    PageAstray { page: PageId },
    /// A page of a group was refused to one who is in it or was.
    PageRefused { page: PageId },
    /// A connection got a message that is neither from its user nor to it, or that the user may not read in a group.
    Misdelivered {
        connection: u64,
        user_id: String,
        conversation_id: String,
        seq: i64,
    },
    /// A message that a connection got differs from the stored one.
    PushDiffers {
        connection: u64,
        conversation_id: String,
        seq: i64,
    },
    /// An old client got something else than a text, a deleted one, or one of a group.
    NotForOld { connection: u64, seq: i64 },
    /// A mark that a client had seen was larger than in a list that was requested later.
    MarkBack {
        conversation_id: String,
        user_id: String,
        seen: Marks,
        later: Marks,
    },
    /// A mark is beyond the newest message, or a message was read and not delivered.
    BadMark {
        conversation_id: String,
        user_id: String,
        marks: Marks,
    },
    /// A receipt went to an old client, or to somebody else.
    ReceiptAstray { connection: u64, user_id: String },
    /// A message was acknowledged, and its conversation is not in the list of one of its users; or a group is not in
    /// that of a member.
    NotListed {
        user_id: String,
        conversation_id: String,
    },
    /// A list shows a group to who is not in it or has not asked for groups, or with another title or role.
    GroupAstray { user_id: String, row: Row },
    /// A conversation in a list ends before an entry that a client had seen, or does not show its newest text.
    ListStale { user_id: String, row: Row },
    /// The count of unread messages is not that of the log.
    UnreadDiffers {
        user_id: String,
        conversation_id: String,
        unread: usize,
        least: usize,
        most: usize,
    },
    /// A frame lacks fields of its type, or a page is not an array of messages.
    Malformed { source: String, text: String },
    /// `chat-admin verify` finds damage in the end: its line.
    Damaged { line: String },
    /// A device's copy differs from the log at the end, or a change is not applied; the first difference.
    LogDiffers {
        device: String,
        conversation_id: String,
        seq: i64,
    },
}

/// Index of a read in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageId {
    reader: String,
    conversation_id: String,
    after: i64,
    start: Duration,
}

/// Checks a run against the contents of the database after it; returns the violations, rule by rule.
pub fn check(history: &History, contents: &Contents) -> Vec<Violation> {
    let facts = Facts::new(history, contents);
    let rules = [
        numbers,
        times,
        stored_once,
        stored_as_sent,
        targets,
        wordings,
        erased,
        permitted,
        projected,
        rolls,
        refused,
        answered,
        acknowledged,
        new_once,
        in_order,
        pages,
        pages_refused,
        pushes,
        pushes_to_old,
        marks_grow,
        marks_are_numbers,
        receipts,
        listed_once_acknowledged,
        listed_groups,
        listed_with_the_newest,
        unread,
        well_formed,
        logs,
    ];
    rules.iter().flat_map(|rule| rule(&facts)).collect()
}

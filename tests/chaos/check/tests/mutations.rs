//! Mutations of a valid run, by the violations that they cause.
//!
//! - [`changes`]: those of edits and deletions
//! - [`groups`]: those of groups

mod changes;
mod groups;

use std::sync::Arc;
use std::time::Duration;

use ::tests::client::{Frame, Message, Row};
use chat::Marks;
use proptest::prelude::*;

use super::run::{Run, ack, receipt, user};
use crate::history::{Key, Outcome, Sent};
pub use changes::worded;

/// A frame that only a kind could make an entry.
const ENTRY_WITHOUT_KIND: &str = r#"{"type":"entry","message_id":"m","seq":1,"sender_id":"a",
    "receiver_id":"b","message":"m","timestamp":"t"}"#;

/// Makes one change to a run.
pub type Mutation = fn(&mut Run);

/// Kinds of violations, with mutations that cause them.
const MUTATIONS: &[(&str, &[Mutation])] = &[
    (
        "Lost",
        &[lose_the_last, |run| run.any_ack().client_message_id = None],
    ),
    (
        "AckDiffers",
        &[
            |run| run.any_ack().seq -= 1,
            |run| run.any_ack().message_id = "f".repeat(24),
            |run| run.any_ack().timestamp = "2026-11-22T11:15:04.000Z".to_owned(),
        ],
    ),
    ("NewTwice", &[acknowledge_as_new_twice]),
    ("StoredTwice", &[store_again]),
    ("Hole", &[forget_one]),
    ("BadNumber", &[number_as_the_one_before]),
    (
        "BadTime",
        &[
            |run| run.change_last(|_, time| *time = "2026-11-22T11:15:02.000Z".to_owned()),
            |run| run.change_last(|_, time| *time = "2027-11-22T11:15:02+00:00".to_owned()),
        ],
    ),
    ("Invented", &[invent, store_without_an_id]),
    (
        "Altered",
        &[
            |run| any_sent(run).message.push('!'),
            |run| any_sent(run).receiver_id = Some("d".to_owned()),
        ],
    ),
    ("RefusedButStored", &[refuse_a_stored_one]),
    (
        "WrongAnswer",
        &[
            |run| any_sent(run).refusal = Some("message_empty".to_owned()),
            |run| the_refused(run).refusal = None,
            |run| the_refused(run).refusal = Some("invalid_frame".to_owned()),
        ],
    ),
    (
        "OutOfOrder",
        &[|run| any_sent(run).attempts[0].start = Duration::MAX],
    ),
    ("PageSkips", &[skip]),
    ("PageTooLong", &[|run| run.history.reads[0].limit = 2]),
    (
        "PageStale",
        &[
            |run| drop(run.history.reads[0].messages.pop()),
            |run| run.history.reads[0].messages.clear(),
        ],
    ),
    ("PageDiffers", &[read_another_text]),
    ("Misdelivered", &[deliver_to_a_stranger]),
    ("PushDiffers", &[push_another_text, push_what_is_not_stored]),
    (
        "MarkBack",
        &[
            |run| the_row(run).peer_read = 1,
            |run| the_row(run).peer_delivered = 2,
            |run| the_row(run).marks = Marks::new(0, 1),
        ],
    ),
    (
        "BadMark",
        &[
            |run| run.receive(0, receipt(1, Marks::new(0, i64::MAX))),
            |run| {
                run.receive(
                    0,
                    receipt(
                        1,
                        Marks {
                            read: 2,
                            delivered: 1,
                        },
                    ),
                )
            },
            |run| {
                run.receive(
                    0,
                    receipt(
                        1,
                        Marks {
                            read: -1,
                            delivered: 1,
                        },
                    ),
                )
            },
        ],
    ),
    (
        "ReceiptAstray",
        &[
            |run| run.receive(2, receipt(1, Marks::new(1, 1))),
            |run| run.receive(3, receipt(1, Marks::new(1, 1))),
            |run| {
                let connection = &mut run.history.connections[0];
                connection.modern = false;
                let is_entry = |frame: &Frame| matches!(frame, Frame::Entry(_));
                connection.received.retain(|it| !is_entry(&it.frame));
            },
        ],
    ),
    ("NotListed", &[|run| run.history.lists[0].rows.clear()]),
    (
        "ListStale",
        &[
            |run| the_row(run).preview.message.push('!'),
            |run| the_row(run).preview.message.clear(),
            |run| the_row(run).preview.seq = 2,
            |run| the_row(run).newest_seq = 2,
            |run| the_row(run).newest_entry_seq = 2,
        ],
    ),
    (
        "UnreadDiffers",
        &[
            |run| the_row(run).unread = 0,
            |run| the_row(run).unread = 101,
        ],
    ),
    (
        "LogDiffers",
        &[
            |run| drop(any_held(run).pop()),
            |run| drop(any_held(run).remove(0)),
            |run| any_held(run).clear(),
            |run| any_held(run).swap(0, 1),
            |run| {
                let held = any_held(run);
                held.push(Arc::clone(&held[0]));
            },
        ],
    ),
    (
        "Malformed",
        &[
            |run| run.receive(0, Frame::parse(r#"{"type":"ack","seq":"1"}"#)),
            |run| run.receive(0, Frame::parse("")),
            |run| run.receive(0, Frame::parse(r#"{"type":"dance"}"#)),
            |run| run.receive(0, Frame::parse(ENTRY_WITHOUT_KIND)),
            |run| run.history.reads[0].outcome = Outcome::Malformed("{}".to_owned()),
            |run| run.history.lists[0].outcome = Outcome::Malformed("{}".to_owned()),
        ],
    ),
];

/// Returns all mutations, by the kinds of violations that they cause.
pub fn all() -> impl Iterator<Item = (&'static str, &'static [Mutation])> {
    let all = MUTATIONS.iter().chain(changes::MUTATIONS);
    all.chain(groups::MUTATIONS).copied()
}

/// Returns any mutation, with the violation that it causes.
pub fn any_mutation() -> impl Strategy<Value = (&'static str, Mutation)> {
    let all = all().flat_map(|(kind, mutations)| mutations.iter().map(move |it| (kind, *it)));
    let all: Vec<(&'static str, Mutation)> = all.collect();
    proptest::sample::select(all)
}

fn lose_the_last(run: &mut Run) {
    let lost = run.stored.pop().expect("there are messages");
    run.unsee(&lost);
}

fn acknowledge_as_new_twice(run: &mut Run) {
    let message = run.any_acked();
    for _ in 0..2 {
        run.receive(user(&message.sender_id), Frame::Ack(ack(&message, false)));
    }
}

fn store_again(run: &mut Run) {
    let mut again = any_plain(run, 0);
    again.message_id = "f".repeat(24);
    again.seq = run.log(0).len() as i64 + 1;
    again.timestamp.clone_from(&run.last().timestamp);
    run.stored.push(again);
    run.hold();
}

/// Returns a text of the first conversation that nothing has changed, but none of the `last` ones.
fn any_plain(run: &mut Run, last: usize) -> Message {
    let log = run.log(0);
    let plain = log.iter().filter(|it| run.is_plain(it));
    let plain: Vec<Arc<Message>> = plain.cloned().collect();
    let index = run.any(plain.len() - last);
    (*plain[index]).clone()
}

fn forget_one(run: &mut Run) {
    let forgotten = any_plain(run, 1);
    run.unsee(&forgotten);
    run.stored.retain(|stored| *stored != forgotten);
    let key = Key::of(&forgotten);
    run.history
        .sends
        .retain(|sent| Some(&sent.key) != key.as_ref());
    for connection in &mut run.history.connections {
        connection.received.retain(|received| {
            !matches!(&received.frame, Frame::Ack(ack) if ack.message_id == forgotten.message_id)
        });
    }
}

fn number_as_the_one_before(run: &mut Run) {
    // Else the one before might be a change, which pages of texts leave out.
    run.send(0, 1, true);
    run.hold();
    run.change_last(|seq, _| *seq -= 1);
    let last = run.last().clone();
    // Else it would be out of order as well.
    run.sent(&last).attempts[0].start = Duration::ZERO;
}

fn invent(run: &mut Run) {
    let key = Key::of(&run.any_acked());
    run.history
        .sends
        .retain(|sent| Some(&sent.key) != key.as_ref());
}

fn store_without_an_id(run: &mut Run) {
    let mut message = run.last().clone();
    message.message_id = "f".repeat(24);
    message.seq += 1;
    message.client_message_id = None;
    run.stored.push(message);
    run.hold();
}

pub fn any_sent(run: &mut Run) -> &mut Sent {
    let message = run.any_acked();
    run.sent(&message)
}

fn the_refused(run: &mut Run) -> &mut Sent {
    let mut sends = run.history.sends.iter_mut();
    let refused = sends.find(|sent| sent.refusal.is_some());
    refused.expect("there is one")
}

fn refuse_a_stored_one(run: &mut Run) {
    let mut sends = run.history.sends.iter_mut();
    let unknown = sends.find(|sent| matches!(sent.outcome(), Outcome::Unknown(_)));
    for attempt in &mut unknown.expect("there is one").attempts {
        attempt.outcome = Outcome::Failed("rate_limited".to_owned());
    }
}

fn skip(run: &mut Run) {
    let index = run.any(2);
    let read = &mut run.history.reads[0];
    read.messages.remove(index);
}

fn read_another_text(run: &mut Run) {
    let index = run.any(3);
    let message = &mut run.history.reads[0].messages[index];
    Arc::make_mut(message).message.push('!');
}

fn deliver_to_a_stranger(run: &mut Run) {
    let message = Arc::new(run.any_acked());
    run.receive(3, Frame::Message(message));
}

fn push_another_text(run: &mut Run) {
    let message = run.any_acked();
    let receiver = user(message.receiver_id.as_deref().expect("there is one"));
    run.receive(receiver, Frame::Message(Arc::new(message)));
    let frame = run.any_frame(|frame| matches!(frame, Frame::Message(_)));
    let Frame::Message(message) = frame else {
        unreachable!("only messages were sought");
    };
    Arc::make_mut(message).message.push('!');
}

fn push_what_is_not_stored(run: &mut Run) {
    let mut message = run.last().clone();
    message.seq += 1;
    run.receive(0, Frame::Message(Arc::new(message)));
}

fn the_row(run: &mut Run) -> &mut Row {
    &mut run.history.lists[0].rows[0]
}

fn any_held(run: &mut Run) -> &mut Vec<Arc<Message>> {
    // Of the first conversation, which has some messages in any run.
    let index = run.any(2);
    &mut run.history.held[index].messages
}

//! Mutations of the edits and deletions of a valid run.

use std::sync::Arc;

use ::tests::client::{Frame, Message, Row};
use chat::Kind;

use super::super::run::{DELETED, DELETION, EDIT_OF_DELETED, EDITED, EDITS, Run, pushed};
use super::{Mutation, any_held};
use crate::contents::Trace;
use crate::history::{Outcome, Sent};
use crate::texts;

/// The pages that are read after the changes, in both forms.
const TEXTS: usize = 1;
const LOG: usize = 2;

/// Kinds of violations, with mutations that cause them.
pub const MUTATIONS: &[(&str, &[Mutation])] = &[
    (
        "Altered",
        &[
            |run| sent_as(run, EDITS[0]).message.push('!'),
            |run| sent_as(run, EDITS[0]).target_seq = Some(1),
            |run| sent_as(run, DELETION).kind = Kind::Edit,
        ],
    ),
    (
        "BadTarget",
        &[
            |run| change_wrongly(run, Kind::Edit, 2),
            |run| change_wrongly(run, Kind::Delete, 2),
            |run| change_wrongly(run, Kind::Edit, EDITS[0]),
        ],
    ),
    (
        "WordingDiffers",
        &[
            |run| run.entry(EDITED).message.push('!'),
            |run| *run.entry(EDITED) = worded(run, EDITED, Some(EDITS[0])),
            |run| *run.entry(EDITED) = worded(run, EDITED, None),
            |run| run.entry(EDITED).edited_seq = Some(EDIT_OF_DELETED),
            |run| run.entry(DELETED).deleted_seq = None,
            |run| run.entry(DELETED).deleted_seq = Some(EDITS[0]),
            |run| run.entry(EDITED).deleted_seq = Some(DELETION),
        ],
    ),
    (
        "NotErased",
        &[
            |run| run.left = Some(trace(sent_as(run, DELETED))),
            |run| run.left = Some(trace(sent_as(run, EDIT_OF_DELETED))),
            |run| run.left = Some(trace(the_late(run))),
        ],
    ),
    (
        "WrongAnswer",
        &[
            |run| the_late(run).target_seq = Some(EDITED),
            |run| the_late(run).attempts[0].outcome = Outcome::Failed("id_conflict".to_owned()),
            |run| change_again(run, Kind::Edit),
            |run| change_again(run, Kind::Delete),
        ],
    ),
    (
        "PageSkips",
        &[
            |run| drop(run.history.reads[TEXTS].messages.remove(1)),
            |run| run.history.reads[TEXTS].messages.swap(0, 1),
        ],
    ),
    (
        "PageStale",
        &[
            |run| drop(run.history.reads[TEXTS].messages.pop()),
            |run| drop(run.history.reads[LOG].messages.pop()),
        ],
    ),
    (
        "PageDiffers",
        &[
            |run| read_as(run, EDITED).message.push('!'),
            |run| read_as(run, EDITED).edited_seq = Some(EDIT_OF_DELETED),
            |run| read_as(run, DELETED).deleted_seq = Some(EDITS[0]),
            |run| read_as(run, DELETION).target_seq = Some(EDITED),
            |run| read_as(run, EDITS[0]).message.clear(),
            |run| {
                let edit = Arc::new(run.entry(EDITS[0]).clone());
                run.history.reads[TEXTS].messages.push(edit);
            },
        ],
    ),
    (
        "PageOutdated",
        &[
            |run| *read_as(run, EDITED) = worded(run, EDITED, None),
            |run| *read_as(run, EDITED) = worded(run, EDITED, Some(EDITS[0])),
            |run| *read_as(run, DELETED) = worded(run, DELETED, None),
            |run| *read_as(run, DELETED) = worded(run, DELETED, Some(EDIT_OF_DELETED)),
            |run| *read_as(run, EDIT_OF_DELETED) = worded(run, EDIT_OF_DELETED, None),
            |run| {
                let deleted = Arc::new(worded(run, DELETED, None));
                run.history.reads[TEXTS].messages.push(deleted);
            },
        ],
    ),
    (
        "PushDiffers",
        &[|run| {
            let mut edit = worded(run, EDITS[0], None);
            edit.target_seq = Some(DELETED);
            run.receive(1, pushed(Arc::new(edit)));
        }],
    ),
    (
        "NotForOld",
        &[
            |run| push_to_old(run, EDITS[0]),
            |run| push_to_old(run, DELETION),
            |run| push_to_old(run, DELETED),
        ],
    ),
    (
        "ListStale",
        &[
            |run| the_row(run).newest_entry_seq = DELETION - 1,
            |run| the_row(run).preview.message = worded(run, EDITED, None).message,
            |run| the_row(run).preview.message = worded(run, EDITED, Some(EDITS[0])).message,
            |run| show(run, DELETED, DELETED),
            |run| show(run, 3, 3),
            |run| show(run, 0, DELETION),
        ],
    ),
    ("UnreadDiffers", &[|run| the_row(run).unread = 1]),
    (
        "LogDiffers",
        &[
            |run| hold_as(run, EDITED, None),
            |run| hold_as(run, EDITED, Some(EDITS[0])),
            |run| hold_as(run, DELETED, None),
            |run| hold_as(run, DELETED, Some(EDIT_OF_DELETED)),
        ],
    ),
];

fn the_row(run: &mut Run) -> &mut Row {
    &mut run.history.lists[1].rows[0]
}

/// Lets a row show another entry as the newest text.
fn show(run: &mut Run, newest_seq: i64, seq: i64) {
    let preview = worded(run, seq, None);
    let row = the_row(run);
    row.newest_seq = newest_seq;
    row.preview.seq = preview.seq;
    row.preview.message = preview.message;
}

fn sent_as(run: &mut Run, seq: i64) -> &mut Sent {
    let entry = run.entry(seq).clone();
    run.sent(&entry)
}

fn the_late(run: &mut Run) -> &mut Sent {
    let mut sends = run.history.sends.iter_mut();
    let late = sends.find(|sent| sent.key.client_message_id == "late");
    late.expect("there is one")
}

fn trace(sent: &Sent) -> Trace {
    let marker = texts::markers(&sent.message).next();
    Trace {
        collection: "members".to_owned(),
        marker: marker.expect("it is marked").to_owned(),
    }
}

/// Returns an entry of the first conversation as it was before a deletion, and before its edits or after one of them.
pub fn worded(run: &mut Run, seq: i64, edited_seq: Option<i64>) -> Message {
    Message {
        message: sent_as(run, edited_seq.unwrap_or(seq)).message.clone(),
        edited_seq,
        deleted_seq: None,
        ..run.entry(seq).clone()
    }
}

/// Stores a change of an entry that its sender may not change.
fn change_wrongly(run: &mut Run, kind: Kind, target_seq: i64) {
    run.change_by(0, kind, 0, target_seq, true);
    run.hold();
}

/// Stores a change of a text that is known to be deleted.
fn change_again(run: &mut Run, kind: Kind) {
    run.change(kind, 0, DELETED, true);
    *run.entry(DELETED) = Message {
        message: String::new(),
        edited_seq: Some(EDIT_OF_DELETED),
        ..run.entry(DELETED).clone()
    };
    if kind == Kind::Edit {
        run.last().message.clear();
    }
    run.hold();
}

fn read_as(run: &mut Run, seq: i64) -> &mut Message {
    let messages = &mut run.history.reads[LOG].messages;
    let message = messages.iter_mut().find(|message| message.seq == seq);
    Arc::make_mut(message.expect("it was read"))
}

fn hold_as(run: &mut Run, seq: i64, edited_seq: Option<i64>) {
    let older = worded(run, seq, edited_seq);
    let held = any_held(run);
    let entry = held.iter_mut().find(|held| held.seq == seq);
    *entry.expect("it is held") = Arc::new(older);
}

/// Pushes an entry to the second user, whose client is an old one.
fn push_to_old(run: &mut Run, seq: i64) {
    keep_as_old(run, 1);
    let entry = Arc::new(run.entry(seq).clone());
    run.receive(1, pushed(entry));
}

/// Makes the client of a user an old one, which gets texts only.
pub fn keep_as_old(run: &mut Run, user: usize) {
    let connection = &mut run.history.connections[user];
    connection.modern = false;
    connection
        .received
        .retain(|received| match &received.frame {
            Frame::Message(message) => message.is_visible_text(),
            frame => matches!(frame, Frame::Ack(_)),
        });
}

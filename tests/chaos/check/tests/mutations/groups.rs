//! Mutations of the group of a valid run.

use std::sync::Arc;

use ::tests::client::{Frame, Message, Receipt, Row};
use chat::{Kind, Marks};

use super::super::run::group::{
    DELETED_IN_GROUP, REMOVAL, TEXT_OF_B, TEXT_OF_C, group_id, says, titled, with_heir, with_role,
};
use super::super::run::{Run, pushed};
use super::Mutation;
use super::changes::keep_as_old;
use crate::check::lists::PREVIEW_CHARS;
use crate::contents::{Projection, Row as Stored};
use crate::history::{Attempt, Held, Outcome, Read, Roll, Sent};

/// The users by their index.
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const D: usize = 3;

/// Kinds of violations, with mutations that cause them.
pub const MUTATIONS: &[(&str, &[Mutation])] = &[
    (
        "NotPermitted",
        &[
            |run| write(run, C),
            |run| write(run, D),
            |run| add(run, B, titled(Kind::Rename, &[], "Three")),
            |run| add(run, B, says(Kind::Join, &[C])),
            |run| add(run, B, says(Kind::Leave, &[A])),
            |run| add(run, B, with_role(B, "owner")),
            |run| add(run, A, says(Kind::Join, &[B])),
            |run| add(run, A, says(Kind::Join, &[B, C])),
            |run| add(run, A, says(Kind::Leave, &[C])),
            |run| add(run, A, with_role(B, "member")),
            |run| add(run, A, with_role(A, "member")),
            |run| add(run, A, with_role(C, "owner")),
            |run| change_text_of_c(run, B, Kind::Delete),
            |run| change_text_of_c(run, A, Kind::Edit),
        ],
    ),
    (
        "BadOwner",
        &[
            |run| add(run, A, says(Kind::Leave, &[A])),
            |run| add(run, B, with_heir(B, A)),
            |run| add(run, A, with_heir(A, C)),
            name_one_who_came_later,
        ],
    ),
    (
        "Altered",
        &[
            |run| sent_as(run, 1).title = Some("Two".to_owned()),
            |run| sent_as(run, 1).history = Some("all".to_owned()),
            |run| sent_as(run, 3).users = vec!["b".to_owned()],
            |run| sent_as(run, 5).role = Some("member".to_owned()),
            |run| sent_as(run, REMOVAL).users = vec!["a".to_owned()],
        ],
    ),
    (
        "ProjectionDiffers",
        &[
            |run| run.groups.clear(),
            |run| projection(run).title = Some("One".to_owned()),
            |run| projection(run).members_seq = 1,
            |run| projection(run).members_seq = 100,
            |run| row(run, "a").joined_seq = 1,
            |run| row(run, "b").left_seq = 0,
            |run| row(run, "a").owner_seq = 0,
            |run| row(run, "b").owner_seq = i64::MAX,
            |run| projection(run).rows.retain(|user_id, _| user_id != "c"),
            |run| {
                projection(run)
                    .rows
                    .extend([("d".to_owned(), Stored::default())])
            },
        ],
    ),
    (
        "MembersDiffer",
        &[
            |run| drop(roll(run, A).members.pop()),
            |run| roll(run, A).members.swap(0, 1),
            |run| roll(run, A).members[0].role = "member".to_owned(),
            |run| roll(run, B).members[0].joined_seq = 1,
            |run| roll(run, B).members[1].user_id = "c".to_owned(),
            |run| roll(run, A).outcome = forbidden(),
            |run| tell(run, C),
            |run| tell(run, D),
        ],
    ),
    (
        "WrongAnswer",
        &[
            |run| refused(run, "forbidden", Kind::Text).attempts[0].outcome = failed("no_change"),
            |run| refused(run, "no_change", Kind::Join).attempts[0].outcome = failed("group_full"),
            |run| refused(run, "forbidden", Kind::Rename).key.sender_id = "a".to_owned(),
            |run| run.refuse_in_group(A, says(Kind::Join, &[C]), "no_change"),
            |run| run.refuse_in_group(B, says(Kind::Leave, &[B]), "forbidden"),
            refuse_what_was_acknowledged,
        ],
    ),
    (
        "PageAstray",
        &[
            |run| show(run, C, TEXT_OF_B, 0),
            |run| show(run, C, DELETED_IN_GROUP, 4),
            |run| read(run, D).outcome = Outcome::Ok,
        ],
    ),
    (
        "PageRefused",
        &[|run| refuse_page(run, A), |run| refuse_page(run, C)],
    ),
    ("PageSkips", &[|run| drop(read(run, C).messages.remove(1))]),
    (
        "PageStale",
        &[
            |run| drop(read(run, C).messages.pop()),
            |run| read(run, A).messages.clear(),
        ],
    ),
    (
        "Misdelivered",
        &[
            |run| push(run, C, TEXT_OF_B),
            |run| push(run, C, DELETED_IN_GROUP),
            |run| push(run, D, 5),
        ],
    ),
    ("NotForOld", &[push_to_old]),
    (
        "ReceiptAstray",
        &[
            |run| run.receive(A, receipt("d")),
            |run| run.receive(D, receipt("a")),
        ],
    ),
    (
        "GroupAstray",
        &[
            |run| run.history.lists[LIST].groups = false,
            |run| the_row(run).title = Some("Two".to_owned()),
            |run| the_row(run).role = Some("owner".to_owned()),
            list_a_former_one,
        ],
    ),
    ("NotListed", &[|run| run.history.lists[LIST].rows.clear()]),
    (
        "ListStale",
        &[
            |run| preview(run, TEXT_OF_B),
            |run| the_row(run).newest_entry_seq = 3,
        ],
    ),
    (
        "UnreadDiffers",
        &[
            |run| the_row(run).unread = 3,
            |run| run.history.lists[LIST + 1].rows[1].unread = 1,
        ],
    ),
    (
        "LogDiffers",
        &[
            |run| drop(held(run, A).pop()),
            |run| drop(held(run, A).remove(0)),
            |run| drop(held(run, C).pop()),
            |run| drop(held(run, C).remove(1)),
            |run| held(run, C).clear(),
            |run| hold(run, C, DELETED_IN_GROUP),
            |run| hold(run, D, 1),
        ],
    ),
];

/// The list of the third user, after which the first one reads one.
const LIST: usize = 2;

/// Adds an entry that nobody has got yet.
fn add(run: &mut Run, sender: usize, says: Message) {
    run.in_group(sender, says, &[]);
    run.hold();
}

fn write(run: &mut Run, sender: usize) {
    run.write_in_group(sender, &[]);
    run.hold();
}

/// Lets the last owner leave to the one of two members who has joined later.
fn name_one_who_came_later(run: &mut Run) {
    run.in_group(A, says(Kind::Join, &[C]), &[]);
    add(run, A, with_heir(A, C));
}

/// Stores a change of a text of the third user.
fn change_text_of_c(run: &mut Run, sender: usize, kind: Kind) {
    if kind == Kind::Delete {
        run.delete_in_group(sender, TEXT_OF_C);
    } else {
        run.edit_in_group(sender, TEXT_OF_C);
    }
    run.hold();
}

fn sent_as(run: &mut Run, seq: i64) -> &mut Sent {
    let entry = run.group_entry(seq).clone();
    run.sent(&entry)
}

fn projection(run: &mut Run) -> &mut Projection {
    run.groups.get_mut(&group_id()).expect("it is stored")
}

fn row<'a>(run: &'a mut Run, user_id: &str) -> &'a mut Stored {
    projection(run).rows.get_mut(user_id).expect("it is stored")
}

/// Returns the last time that a user read the members.
fn roll(run: &mut Run, user: usize) -> &mut Roll {
    let index = run.history.rolls.len() - 4 + user;
    &mut run.history.rolls[index]
}

/// Tells the members to a user who is not among them.
fn tell(run: &mut Run, user: usize) {
    let members = roll(run, A).members.clone();
    let roll = roll(run, user);
    roll.outcome = Outcome::Ok;
    roll.members = members;
}

fn forbidden() -> Outcome {
    failed("403 Forbidden")
}

fn failed(code: &str) -> Outcome {
    Outcome::Failed(code.to_owned())
}

/// Returns what was refused with a code.
fn refused<'a>(run: &'a mut Run, code: &str, kind: Kind) -> &'a mut Sent {
    let id = group_id();
    let mut sends = run.history.sends.iter_mut();
    let refused = sends.find(|sent| {
        let is_its = sent.key.conversation_id == id && sent.kind == kind;
        is_its && sent.attempts[0].outcome == failed(code)
    });
    refused.expect("there is one")
}

fn refuse_what_was_acknowledged(run: &mut Run) {
    let created = sent_as(run, 1);
    let last = created.attempts.last().expect("it was sent").clone();
    created.attempts.push(Attempt {
        start: last.end,
        outcome: failed("forbidden"),
        ..last
    });
}

/// Returns the last page of the group that a user read.
fn read(run: &mut Run, user: usize) -> &mut Read {
    let user_id = super::super::run::USERS[user];
    let id = group_id();
    let mut reads = run.history.reads.iter_mut().rev();
    let read = reads.find(|read| read.user_id == user_id && read.conversation_id == id);
    read.expect("it was read")
}

/// Lets a page show one more entry, at a place.
fn show(run: &mut Run, user: usize, seq: i64, place: usize) {
    let entry = Arc::new(run.group_entry(seq).clone());
    read(run, user).messages.insert(place, entry);
}

fn refuse_page(run: &mut Run, user: usize) {
    let read = read(run, user);
    read.outcome = forbidden();
    read.messages.clear();
}

fn push(run: &mut Run, user: usize, seq: i64) {
    let entry = Arc::new(run.group_entry(seq).clone());
    if user == D {
        run.history.connections[D].modern = true;
    }
    run.receive(user, pushed(entry));
}

fn push_to_old(run: &mut Run) {
    keep_as_old(run, B);
    push(run, B, TEXT_OF_C);
}

fn receipt(user_id: &str) -> Frame {
    Frame::Receipt(Receipt {
        conversation_id: group_id(),
        user_id: user_id.to_owned(),
        marks: Marks::new(1, 1),
    })
}

fn the_row(run: &mut Run) -> &mut Row {
    &mut run.history.lists[LIST].rows[0]
}

fn preview(run: &mut Run, seq: i64) {
    let text = run.group_entry(seq).message.clone();
    show_in(the_row(run), seq, &text);
}

/// Lists the group once more when the user is no longer in it.
fn list_a_former_one(run: &mut Run) {
    let mut list = run.history.lists[LIST].clone();
    let last = read(run, C);
    (list.start, list.end) = (last.start, last.end);
    let newest = run.group_log().len() as i64;
    let text = run.group_entry(newest).message.clone();
    let row = &mut list.rows[0];
    row.title = Some("Two".to_owned());
    row.newest_entry_seq = newest;
    row.unread = 2;
    show_in(row, newest, &text);
    run.history.lists.push(list);
}

fn show_in(row: &mut Row, seq: i64, text: &str) {
    row.newest_seq = seq;
    row.preview.seq = seq;
    row.preview.message = text.chars().take(PREVIEW_CHARS).collect();
}

fn held(run: &mut Run, user: usize) -> &mut Vec<Arc<Message>> {
    let user_id = super::super::run::USERS[user];
    let id = group_id();
    let mut held = run.history.held.iter_mut();
    let held: Option<&mut Held> =
        held.find(|held| held.user_id == user_id && held.conversation_id == id);
    &mut held.expect("there is a copy").messages
}

/// Adds an entry to what a user holds of the group.
fn hold(run: &mut Run, user: usize, seq: i64) {
    let entry = Arc::new(run.group_entry(seq).clone());
    held(run, user).push(entry);
}

//! A group in a valid run: users join, leave, come back, get roles and names, and all of it is read.
//!
//! ```text
//!  1 a creates it with b      6 b removes c     11 b leaves, so that a is the owner
//!  2 b writes                 7 b writes        12 a names it "Two"
//!  3 a invites c              8 a deletes that  13 a invites b
//!  4 c writes                 9 a leaves        14 a writes
//!  5 a makes b an owner      10 b invites a
//! ```

use std::sync::Arc;

use ::tests::client::list::Preview;
use ::tests::client::{Member, Message, Row};
use chat::{Kind, Marks};

use super::{Run, USERS, pushed};
use crate::check::lists::PREVIEW_CHARS;
use crate::contents::{self, Projection};
use crate::history::{self, Form, Held, Key, Listed, Outcome, Read, Roll, Sent};
use crate::roster::Roster;
use crate::texts;

/// The id under which the group is created.
const CREATION: &str = "g";

/// Numbers of the group: texts of each user, the removal of the third one, and the end.
pub const TEXT_OF_B: i64 = 2;
pub const TEXT_OF_C: i64 = 4;
pub const REMOVAL: i64 = 6;
pub const DELETED_IN_GROUP: i64 = 7;

pub fn group_id() -> String {
    history::group_id(USERS[0], CREATION)
}

fn ids(users: &[usize]) -> Vec<String> {
    users.iter().map(|user| USERS[*user].to_owned()).collect()
}

/// Returns what an entry says about users.
pub fn says(kind: Kind, users: &[usize]) -> Message {
    Message {
        kind,
        users: ids(users),
        ..Message::default()
    }
}

pub fn titled(kind: Kind, users: &[usize], title: &str) -> Message {
    Message {
        title: Some(title.to_owned()),
        ..says(kind, users)
    }
}

pub fn with_role(user: usize, role: &str) -> Message {
    Message {
        role: Some(role.to_owned()),
        ..says(Kind::Role, &[user])
    }
}

/// Returns what the leave of a user says that makes another one the owner.
pub fn with_heir(user: usize, heir: usize) -> Message {
    Message {
        new_owner: Some(USERS[heir].to_owned()),
        ..says(Kind::Leave, &[user])
    }
}

impl Run {
    /// Lets the users do everything in a group.
    pub(super) fn live_in_group(&mut self) {
        self.in_group(0, titled(Kind::Create, &[0, 1], "One"), &[1]);
        self.write_in_group(1, &[0]);
        self.in_group(0, says(Kind::Join, &[2]), &[1, 2]);
        self.write_in_group(2, &[0, 1]);
        self.ask_for_the_group(2);
        self.refuse_in_group(1, titled(Kind::Rename, &[], "Three"), "forbidden");
        self.refuse_in_group(0, says(Kind::Join, &[1, 2]), "no_change");
        self.in_group(0, with_role(1, "owner"), &[1, 2]);
        self.in_group(1, says(Kind::Leave, &[2]), &[0, 2]);
        self.refuse_in_group(2, says(Kind::Text, &[]), "forbidden");
        self.write_in_group(1, &[0]);
        self.delete_in_group(0, DELETED_IN_GROUP);
        self.in_group(0, says(Kind::Leave, &[0]), &[1]);
        self.in_group(1, says(Kind::Join, &[0]), &[0]);
        self.in_group(1, with_heir(1, 0), &[0]);
        self.in_group(0, titled(Kind::Rename, &[], "Two"), &[]);
        self.in_group(0, says(Kind::Join, &[1]), &[1]);
        self.write_in_group(0, &[1]);
        for user in 0..USERS.len() {
            self.read_group(user, 0, 100);
            self.call_roll(user);
        }
    }

    /// Asks for all that a member sees.
    fn ask_for_the_group(&mut self, user: usize) {
        self.read_group(user, 0, 100);
        self.call_roll(user);
        for user in [user, 0] {
            self.list_group(user);
        }
    }

    pub fn group_log(&self) -> Vec<Arc<Message>> {
        let id = group_id();
        let stored = self.stored.iter().filter(|it| it.conversation_id == id);
        stored.cloned().map(Arc::new).collect()
    }

    fn roster(&self) -> Roster {
        let mut roster = Roster::default();
        for entry in self.group_log() {
            roster.apply(&entry);
        }
        roster
    }

    pub fn write_in_group(&mut self, sender: usize, to: &[usize]) {
        let key = self.group_key(sender, Kind::Text);
        let text = Message {
            message: texts::marked(&key, &mut self.rng),
            ..Message::default()
        };
        self.in_group(sender, text, to);
    }

    pub fn delete_in_group(&mut self, sender: usize, target_seq: i64) {
        let seq = self.group_log().len() as i64 + 1;
        let target = self.group_entry(target_seq);
        target.message.clear();
        target.deleted_seq = Some(seq);
        let deletion = Message {
            target_seq: Some(target_seq),
            ..says(Kind::Delete, &[])
        };
        self.in_group(sender, deletion, &[]);
    }

    pub fn edit_in_group(&mut self, sender: usize, target_seq: i64) {
        let seq = self.group_log().len() as i64 + 1;
        let key = self.group_key(sender, Kind::Edit);
        let edit = Message {
            target_seq: Some(target_seq),
            message: texts::marked(&key, &mut self.rng),
            ..says(Kind::Edit, &[])
        };
        let target = self.group_entry(target_seq);
        target.message.clone_from(&edit.message);
        target.edited_seq = Some(seq);
        self.in_group(sender, edit, &[]);
    }

    /// Returns the stored entry of the group under a number.
    pub fn group_entry(&mut self, seq: i64) -> &mut contents::Stored {
        let id = group_id();
        let mut stored = self.stored.iter_mut();
        let entry = stored.find(|it| it.conversation_id == id && it.seq == seq);
        entry.expect("it is there")
    }

    fn group_key(&self, sender: usize, kind: Kind) -> Key {
        let client_message_id = match kind {
            Kind::Create => CREATION.to_owned(),
            _ => self.history.sends.len().to_string(),
        };
        Key {
            conversation_id: group_id(),
            sender_id: USERS[sender].to_owned(),
            client_message_id,
        }
    }

    /// Stores an entry of the group, pushes it to users, and acknowledges it.
    pub fn in_group(&mut self, sender: usize, says: Message, to: &[usize]) {
        let key = self.group_key(sender, says.kind);
        let number = self.history.sends.len();
        let mut attempts = vec![self.attempt(sender)];
        let entry = Message {
            message_id: format!("{number:024x}"),
            conversation_id: group_id(),
            seq: self.group_log().len() as i64 + 1,
            sender_id: USERS[sender].to_owned(),
            timestamp: format!("2026-11-22T11:15:03.{:03}Z", number / 2),
            client_message_id: Some(key.client_message_id.clone()),
            ..says
        };
        self.stored.push(entry.clone());
        for user in to {
            self.receive(*user, pushed(Arc::new(entry.clone())));
        }
        self.ack(sender, &entry, &mut attempts);
        self.history.sends.push(Sent {
            attempts,
            ..asked(key, entry)
        });
        self.project();
    }

    /// Lets the chat refuse an entry of the group.
    pub fn refuse_in_group(&mut self, sender: usize, says: Message, code: &str) {
        let key = self.group_key(sender, says.kind);
        let mut attempts = vec![self.attempt(sender)];
        attempts[0].outcome = Outcome::Failed(code.to_owned());
        self.history.sends.push(Sent {
            attempts,
            ..asked(key, says)
        });
    }

    /// Stores the members beside the log.
    fn project(&mut self) {
        let roster = self.roster();
        let row = |it: &crate::roster::Standing| contents::Row {
            joined_seq: it.joined_seq,
            left_seq: it.left_seq,
            owner_seq: if it.is_owner { i64::MAX } else { 0 },
            demoted_seq: 0,
        };
        let rows = roster
            .users
            .iter()
            .map(|(user, it)| (user.clone(), row(it)));
        let projection = Projection {
            title: roster.title.clone(),
            members_seq: self.group_log().len() as i64,
            rows: rows.collect(),
        };
        self.groups.insert(group_id(), projection);
    }

    /// Reads a page of the group, as far as a user may.
    pub fn read_group(&mut self, user: usize, after: i64, limit: usize) {
        let part = self.roster().readable(USERS[user]);
        let (first, last) = part.unwrap_or((1, 0));
        let log = self.group_log().into_iter();
        let page = log.filter(|it| it.seq > after && (first..=last).contains(&it.seq));
        let read = Read {
            reader: USERS[user].to_owned(),
            user_id: USERS[user].to_owned(),
            conversation_id: group_id(),
            form: Form::Log,
            after,
            limit,
            start: self.tick(),
            end: self.tick(),
            outcome: told(part.is_some()),
            messages: page.take(limit).collect(),
        };
        self.history.reads.push(read);
    }

    /// Reads the members of the group, which are told to members.
    pub fn call_roll(&mut self, user: usize) {
        let roster = self.roster();
        let is_told = roster.member(USERS[user]).is_some();
        let members = roster.members().filter(|_| is_told);
        let mut members: Vec<Member> = members
            .map(|(user_id, it)| Member {
                user_id: user_id.clone(),
                role: it.role().to_owned(),
                joined_seq: it.joined_seq,
            })
            .collect();
        members.sort_by_key(|member| member.joined_seq);
        let roll = Roll {
            user_id: USERS[user].to_owned(),
            conversation_id: group_id(),
            start: self.tick(),
            end: self.tick(),
            outcome: told(is_told),
            members,
        };
        self.history.rolls.push(roll);
    }

    /// Reads the list of a member, who has read nothing of the group.
    fn list_group(&mut self, user: usize) {
        let roster = self.roster();
        let log = self.group_log();
        let newest = log.last().expect("there are entries");
        let member = roster.member(USERS[user]).expect("a member");
        let unread = log.iter().filter(|it| {
            it.is_visible_text() && it.sender_id != USERS[user] && it.seq > member.joined_seq
        });
        let row = Row {
            conversation_id: group_id(),
            peer_id: None,
            title: roster.title.clone(),
            role: Some(member.role().to_owned()),
            newest_seq: newest.seq,
            newest_entry_seq: newest.seq,
            preview: Preview {
                seq: newest.seq,
                message: newest.message.chars().take(PREVIEW_CHARS).collect(),
            },
            unread: unread.count(),
            marks: Marks::default(),
            peer_read: 0,
            peer_delivered: 0,
        };
        let direct = (user < 2).then(|| self.row(user)).into_iter();
        let list = Listed {
            user_id: USERS[user].to_owned(),
            groups: true,
            start: self.tick(),
            end: self.tick(),
            outcome: Outcome::Ok,
            rows: direct.chain([row]).collect(),
        };
        self.history.lists.push(list);
    }

    /// Adds what the devices hold of the group in the end.
    pub(super) fn hold_group(&mut self) {
        let roster = self.roster();
        for user_id in USERS {
            let (first, last) = roster.readable(user_id).unwrap_or((1, 0));
            let log = self.group_log().into_iter();
            let part = log.filter(|it| (first..=last).contains(&it.seq));
            self.history.held.push(Held {
                device: user_id.to_owned(),
                user_id: user_id.to_owned(),
                conversation_id: group_id(),
                messages: part.collect(),
                dropped: 0,
                fetched: 0,
            });
        }
    }
}

/// Returns the record of an entry without attempts.
fn asked(key: Key, entry: Message) -> Sent {
    Sent {
        key,
        kind: entry.kind,
        target_seq: entry.target_seq,
        message: entry.message,
        users: entry.users,
        title: entry.title,
        role: entry.role,
        history: entry.history,
        ..Sent::default()
    }
}

fn told(is_told: bool) -> Outcome {
    if is_told {
        Outcome::Ok
    } else {
        Outcome::Failed("403 Forbidden".to_owned())
    }
}

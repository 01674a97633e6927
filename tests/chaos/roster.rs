//! Who is in a group and what they may do, by its entries alone: the rules of the contract, written down a second time,
//! so that they check the chat's.

use std::collections::BTreeMap;

use ::tests::client::Message;
use chat::Kind;

use crate::history::Sent;

/// The members that a group of a run may have.
pub const GROUP_SIZE: usize = 5;

/// The role of a member who may change the group.
pub const OWNER: &str = "owner";

/// The role of any other member.
pub const MEMBER: &str = "member";

/// A group after some of its entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// The name; none before the group exists.
    pub title: Option<String>,
    /// Whether those who join read everything.
    pub shows_all: bool,
    /// All users who have ever joined.
    pub users: BTreeMap<String, Standing>,
}

/// A user who has joined a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The entry by which the user joined last.
    pub joined_seq: i64,
    /// The entry by which the user left last; 0 if there is none.
    pub left_seq: i64,
    /// Whether the user is an owner.
    pub is_owner: bool,
}

impl Standing {
    /// Whether the user is in the group.
    pub fn is_member(&self) -> bool {
        self.joined_seq > self.left_seq
    }

    /// Returns the role of a member.
    pub fn role(&self) -> &'static str {
        if self.is_owner { OWNER } else { MEMBER }
    }
}

/// What an entry would do in a group.
pub struct Change<'a> {
    pub kind: Kind,
    pub sender_id: &'a str,
    pub users: &'a [String],
    pub role: Option<&'a str>,
    /// The user who has written the text that it edits or deletes.
    pub writer_id: Option<&'a str>,
}

impl<'a> Change<'a> {
    /// Returns what a stored entry does.
    pub fn of(entry: &'a Message, writer_id: Option<&'a str>) -> Self {
        Self {
            kind: entry.kind,
            sender_id: &entry.sender_id,
            users: &entry.users,
            role: entry.role.as_deref(),
            writer_id,
        }
    }

    /// Returns what a client asks for.
    pub fn asked(sent: &'a Sent, writer_id: Option<&'a str>) -> Self {
        Self {
            kind: sent.kind,
            sender_id: &sent.key.sender_id,
            users: &sent.users,
            role: sent.role.as_deref(),
            writer_id,
        }
    }

    fn is_of_other(&self) -> bool {
        self.writer_id
            .is_some_and(|writer| writer != self.sender_id)
    }
}

impl Roster {
    /// Returns the membership of a user who is in the group.
    pub fn member(&self, user_id: &str) -> Option<&Standing> {
        self.users.get(user_id).filter(|it| it.is_member())
    }

    /// Returns the members with their ids.
    pub fn members(&self) -> impl Iterator<Item = (&String, &Standing)> {
        self.users.iter().filter(|(_, it)| it.is_member())
    }

    /// Returns the first and the last number that a user may read; `None` for one who has never joined.
    pub fn readable(&self, user_id: &str) -> Option<(i64, i64)> {
        let user = self.users.get(user_id)?;
        let first = if self.shows_all { 1 } else { user.joined_seq };
        let last = if user.is_member() {
            i64::MAX
        } else {
            user.left_seq
        };
        Some((first, last))
    }

    /// Whether nobody could change the group any more, though it has members.
    pub fn lacks_an_owner(&self) -> bool {
        let mut members = self.members().peekable();
        members.peek().is_some() && !members.any(|(_, it)| it.is_owner)
    }

    /// Applies the next entry.
    pub fn apply(&mut self, entry: &Message) {
        if let Some(title) = &entry.title {
            self.title = Some(title.clone());
        }
        for (index, user_id) in entry.users.iter().enumerate() {
            match entry.kind {
                Kind::Create => self.join(user_id, entry.seq, index == 0),
                Kind::Join => self.join(user_id, entry.seq, false),
                Kind::Leave => self.leave(user_id, entry.seq),
                Kind::Role => self.set_owner(user_id, entry.role.as_deref() == Some(OWNER)),
                _ => {}
            }
        }
        if entry.kind == Kind::Create {
            self.shows_all = entry.history.as_deref() == Some("all");
        }
        if let Some(heir) = &entry.new_owner {
            self.set_owner(heir, true);
        }
    }

    fn join(&mut self, user_id: &str, seq: i64, is_owner: bool) {
        let left_seq = self.users.get(user_id).map_or(0, |it| it.left_seq);
        let user = Standing {
            joined_seq: seq,
            left_seq,
            is_owner,
        };
        self.users.insert(user_id.to_owned(), user);
    }

    fn leave(&mut self, user_id: &str, seq: i64) {
        if let Some(user) = self.users.get_mut(user_id) {
            user.left_seq = seq;
            user.is_owner = false;
        }
    }

    fn set_owner(&mut self, user_id: &str, is_owner: bool) {
        if let Some(user) = self.users.get_mut(user_id) {
            user.is_owner = is_owner;
        }
    }

    /// Returns the code with which the chat must refuse a change, if it must.
    pub fn refusal(&self, change: &Change) -> Option<&'static str> {
        let Some(sender) = self.member(change.sender_id) else {
            let begins = change.kind == Kind::Create && self.title.is_none();
            return (!begins).then_some("forbidden");
        };
        let needs_owner = match change.kind {
            Kind::Text => false,
            Kind::Leave => change.users != [change.sender_id],
            Kind::Delete => change.is_of_other(),
            Kind::Join | Kind::Rename | Kind::Role => true,
            Kind::Edit if !change.is_of_other() => false,
            Kind::Edit | Kind::Create => return Some("forbidden"),
        };
        if needs_owner && !sender.is_owner {
            return Some("forbidden");
        }
        match change.kind {
            Kind::Join => self.refusal_to_join(change.users),
            Kind::Leave => self.refusal_to_leave(change.users),
            Kind::Role => self.refusal_of_role(change),
            _ => None,
        }
    }

    fn refusal_to_join(&self, users: &[String]) -> Option<&'static str> {
        let new = users.iter().filter(|user| self.member(user).is_none());
        match new.count() {
            0 => Some("no_change"),
            new if self.members().count() + new > GROUP_SIZE => Some("group_full"),
            _ => None,
        }
    }

    fn refusal_to_leave(&self, users: &[String]) -> Option<&'static str> {
        let mut users = users.iter();
        let all_are_here = users.all(|user| self.member(user).is_some());
        (!all_are_here).then_some("no_change")
    }

    fn refusal_of_role(&self, change: &Change) -> Option<&'static str> {
        let user_id = change.users.first();
        let Some(user_id) = user_id.filter(|user| self.member(user).is_some()) else {
            return Some("no_change");
        };
        let mut after = self.clone();
        after.set_owner(user_id, change.role == Some(OWNER));
        (after == *self || after.lacks_an_owner()).then_some("no_change")
    }
}

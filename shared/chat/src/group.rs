//! Groups: who is in one, and who may do what. All of it follows from the entries of the group.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::entry::{Content, Draft, Entry, Kind};
use crate::{Code, Rejection, UserId};

/// The role of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Invites and removes, renames, gives roles, deletes any message.
    Owner,
    /// Reads and writes.
    Member,
}

/// What a member may read of the time before joining.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// Nothing.
    #[default]
    Joined,
    /// Everything.
    All,
}

impl History {
    /// Returns whether it is what a group has if nothing else is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The name of a group: 1–[`Title::MAX_BYTES`] bytes without control characters, as received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Title(String);

impl Title {
    /// Size limit in bytes of UTF-8.
    pub const MAX_BYTES: usize = 256;

    /// Returns the title as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Title {
    type Error = Rejection;

    /// # Errors
    ///
    /// [`Code::InvalidFrame`]: empty, too long, or with a control character.
    fn try_from(title: String) -> Result<Self, Rejection> {
        if (1..=Self::MAX_BYTES).contains(&title.len()) && !title.chars().any(char::is_control) {
            return Ok(Self(title));
        }
        Err(Rejection::new(
            Code::InvalidFrame,
            "`title` must have 1 to 256 bytes and no control characters.",
        ))
    }
}

/// A user in a group, by the newest entries that have changed something for the user. These numbers only grow, so
/// entries may be applied late, repeatedly and in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Membership {
    /// The entry by which the user joined last; 0 for a user who never has.
    pub joined_seq: i64,
    /// The entry by which the user left last.
    pub left_seq: i64,
    /// The entry that made the user an owner.
    pub owner_seq: i64,
    /// The entry that took that back.
    pub demoted_seq: i64,
}

impl Membership {
    /// Returns whether the user is in the group.
    pub fn is_member(&self) -> bool {
        self.joined_seq > self.left_seq
    }

    /// Returns whether an entry goes to the user, by its number: to the members of its time, and to whom it removes.
    /// A user who has joined again since gets nothing from before.
    pub fn gets(&self, seq: i64) -> bool {
        self.joined_seq <= seq && (self.is_member() || seq <= self.left_seq)
    }

    /// Returns the role of a member.
    pub fn role(&self) -> Role {
        if self.is_member() && self.owner_seq > self.demoted_seq.max(self.left_seq) {
            Role::Owner
        } else {
            Role::Member
        }
    }

    fn changed_seq(&self) -> i64 {
        let seqs = [
            self.joined_seq,
            self.left_seq,
            self.owner_seq,
            self.demoted_seq,
        ];
        seqs.into_iter().max().expect("four numbers")
    }
}

/// A group as of some entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// The name; `None` before the group exists.
    pub title: Option<Title>,
    /// The entry that gave the name.
    pub title_seq: i64,
    /// What a member may read of the time before joining.
    pub history: History,
    members: BTreeMap<UserId, Membership>,
}

impl Group {
    /// Returns a group as it is stored beside the log.
    pub fn new(
        title: Option<(Title, i64)>,
        history: History,
        members: impl IntoIterator<Item = (UserId, Membership)>,
    ) -> Self {
        let (title, title_seq) = title.unzip();
        Self {
            title,
            title_seq: title_seq.unwrap_or(0),
            history,
            members: members.into_iter().collect(),
        }
    }

    /// Returns the membership of a user.
    pub fn membership(&self, user: &UserId) -> Membership {
        self.members.get(user).copied().unwrap_or_default()
    }

    /// Returns whether a user is in the group.
    pub fn has(&self, user: &UserId) -> bool {
        self.membership(user).is_member()
    }

    /// Returns the first and the last number that a user may read; `None` for one who was never in the group.
    pub fn readable(&self, user: &UserId) -> Option<(i64, i64)> {
        let membership = self.membership(user);
        let first = match self.history {
            History::Joined => membership.joined_seq,
            History::All => 1,
        };
        let last = if membership.is_member() {
            i64::MAX
        } else {
            membership.left_seq
        };
        (membership.joined_seq > 0).then_some((first, last))
    }

    /// Returns the members, in the order of their ids.
    pub fn members(&self) -> impl Iterator<Item = (&UserId, &Membership)> {
        self.members.iter().filter(|(_, it)| it.is_member())
    }

    /// Returns the users to whom an entry goes, by its number, in the order of their ids. It need not be the newest.
    pub fn recipients(&self, seq: i64) -> impl Iterator<Item = &UserId> {
        let recipients = self.members.iter().filter(move |(_, it)| it.gets(seq));
        recipients.map(|(user, _)| user)
    }

    /// Returns the number of the newest entry that has changed something.
    pub fn changed_seq(&self) -> i64 {
        let members = self.members.values().map(Membership::changed_seq);
        members.max().unwrap_or(0).max(self.title_seq)
    }

    /// Returns the memberships that an entry after `seq` has changed.
    pub fn changed_after(&self, seq: i64) -> impl Iterator<Item = (&UserId, &Membership)> {
        self.members
            .iter()
            .filter(move |(_, it)| it.changed_seq() > seq)
    }

    /// Applies an entry.
    pub fn apply(&mut self, entry: &Entry) {
        let seq = entry.seq;
        for user in &entry.users {
            let membership = self.members.entry(user.clone()).or_default();
            let changed = match (entry.kind, entry.role) {
                (Kind::Create | Kind::Join, _) => &mut membership.joined_seq,
                (Kind::Leave, _) => &mut membership.left_seq,
                (Kind::Role, Some(Role::Owner)) => &mut membership.owner_seq,
                (Kind::Role, _) => &mut membership.demoted_seq,
                _ => continue,
            };
            *changed = seq.max(*changed);
        }
        let creator = entry.users.first().filter(|_| entry.kind == Kind::Create);
        for user in creator.into_iter().chain(&entry.new_owner) {
            let membership = self.members.entry(user.clone()).or_default();
            membership.owner_seq = seq.max(membership.owner_seq);
        }
        if entry.kind == Kind::Create {
            self.history = entry.history;
        }
        if let Some(title) = entry.title.as_ref().filter(|_| seq > self.title_seq) {
            (self.title, self.title_seq) = (Some(title.clone()), seq);
        }
    }

    /// Checks that an entry may follow those of which this group is made. Returns what it says then: an invitation
    /// leaves out who is in the group already, and the last owner who leaves names the next one.
    ///
    /// # Errors
    ///
    /// - [`Code::Forbidden`]: the sender is not in the group, or is no owner. That the group does not exist makes no
    ///   difference.
    /// - [`Code::NoChange`]: it would change nothing, or leave the group without an owner.
    /// - [`Code::GroupFull`]: the group would have more than `max_members`.
    pub fn permit<'a>(
        &self,
        draft: &'a Draft,
        max_members: usize,
    ) -> Result<Cow<'a, Content>, Rejection> {
        let content = &draft.content;
        if let Content::Create { users, .. } = content {
            check_size(users.len(), max_members)?;
            return if self.title.is_none() {
                Ok(Cow::Borrowed(content))
            } else {
                Err(not_yours())
            };
        }
        let sender = self.membership(&draft.sender_id);
        if !sender.is_member() {
            return Err(not_yours());
        }
        let leaves = matches!(content, Content::Leave { user, .. } if *user == draft.sender_id);
        if content.needs_owner() && !leaves && sender.role() != Role::Owner {
            return Err(Rejection::new(
                Code::Forbidden,
                "Only owners of the group can do this.",
            ));
        }
        match content {
            Content::Join { users } => self.permit_join(users, max_members).map(Cow::Owned),
            Content::Leave { user, .. } => self.permit_leave(user).map(Cow::Owned),
            Content::SetRole { user, role } => self
                .permit_role(user, *role)
                .map(|()| Cow::Borrowed(content)),
            _ => Ok(Cow::Borrowed(content)),
        }
    }

    fn permit_join(&self, users: &[UserId], max_members: usize) -> Result<Content, Rejection> {
        let new = users.iter().filter(|user| !self.has(user));
        let users: Vec<UserId> = new.cloned().collect();
        if users.is_empty() {
            return Err(no_change("They are in the group already."));
        }
        check_size(self.members().count() + users.len(), max_members)?;
        Ok(Content::Join { users })
    }

    /// The next owner is part of the entry: a projection that is ahead in some members only could not tell who
    /// was the longest one.
    fn permit_leave(&self, user: &UserId) -> Result<Content, Rejection> {
        if !self.has(user) {
            return Err(not_a_member());
        }
        let remaining = || self.members().filter(|(member, _)| *member != user);
        let new_owner = if remaining().any(|(_, it)| it.role() == Role::Owner) {
            None
        } else {
            remaining().min_by_key(|(_, it)| it.joined_seq)
        };
        Ok(Content::Leave {
            user: user.clone(),
            new_owner: new_owner.map(|(member, _)| member.clone()),
        })
    }

    fn permit_role(&self, user: &UserId, role: Role) -> Result<(), Rejection> {
        let membership = self.membership(user);
        if !membership.is_member() {
            return Err(not_a_member());
        }
        if membership.role() == role {
            return Err(no_change("The user has this role already."));
        }
        let mut owners = self.members().filter(|(_, it)| it.role() == Role::Owner);
        if role == Role::Member && owners.all(|(owner, _)| owner == user) {
            return Err(no_change("A group needs an owner."));
        }
        Ok(())
    }
}

fn not_a_member() -> Rejection {
    no_change("That user is not in the group.")
}

fn check_size(members: usize, max: usize) -> Result<(), Rejection> {
    if members <= max {
        return Ok(());
    }
    Err(Rejection::new(
        Code::GroupFull,
        format!("A group has at most {max} members."),
    ))
}

fn no_change(sentence: &str) -> Rejection {
    Rejection::new(Code::NoChange, sentence)
}

/// Returns the rejection of a conversation that is not the user's. Whether it exists makes no difference.
pub(crate) fn not_yours() -> Rejection {
    Rejection::new(Code::Forbidden, "That is no conversation of yours.")
}

#[cfg(test)]
mod tests;

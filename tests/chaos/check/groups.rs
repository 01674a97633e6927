//! Rules of groups: who is in one, by its log, and what is stored and told of that.

use std::time::Duration;

use ::tests::client::{Member, Message};
use chat::Kind;

use super::Violation;
use super::facts::Facts;
use crate::contents::{Projection, Row};
use crate::history::{Outcome, Roll, is_group};
use crate::roster::{Change, Roster};

/// An entry of a group is one that its sender may write at its place: no member who was removed has one after the
/// removal, and only owners change the group.
pub fn permitted(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for (id, timeline) in &facts.groups {
        for (entry, (before, after)) in facts.log(id).iter().zip(timeline.steps()) {
            let conversation_id = || (*id).to_owned();
            if !is_permitted(facts, entry, before) {
                found.push(Violation::NotPermitted {
                    conversation_id: conversation_id(),
                    seq: entry.seq,
                });
            } else if after.lacks_an_owner() || !is_heir_needed(entry, before, after) {
                found.push(Violation::BadOwner {
                    conversation_id: conversation_id(),
                    seq: entry.seq,
                });
            }
        }
    }
    found
}

fn is_permitted(facts: &Facts, entry: &Message, before: &Roster) -> bool {
    let change = Change::of(
        entry,
        facts.writer(&entry.conversation_id, entry.target_seq),
    );
    // The server leaves out of an invitation who is there already.
    let is_new = |user: &String| before.member(user).is_none();
    let joins = entry.kind != Kind::Join || entry.users.iter().all(is_new);
    joins && before.refusal(&change).is_none()
}

/// Whether an entry names a new owner only where the group would have none, and then the longest member.
fn is_heir_needed(entry: &Message, before: &Roster, after: &Roster) -> bool {
    let Some(heir) = &entry.new_owner else {
        return true;
    };
    let mut without = before.clone();
    without.apply(&Message {
        new_owner: None,
        ..entry.clone()
    });
    let longest = after.members().map(|(_, it)| it.joined_seq).min();
    let heir = after.member(heir).map(|it| it.joined_seq);
    without.lacks_an_owner() && heir.is_some() && heir == longest
}

/// What is stored of a group beside the log is what the log says, up to the last change that was acknowledged or pushed
/// at least.
pub fn projected(facts: &Facts) -> Vec<Violation> {
    let none = Projection::default();
    let mut found = Vec::new();
    for id in facts.groups.keys() {
        let stored = facts.contents.groups.get(*id).unwrap_or(&none);
        let rosters = facts.projections(id, Duration::MAX, Duration::MAX);
        let last = facts.log(id).last().map_or(0, |entry| entry.seq);
        let is_complete = (facts.last_known_change(id)..=last).contains(&stored.members_seq);
        let is_named = rosters.iter().any(|it| it.title == stored.title);
        let mut users: Vec<&String> = stored.rows.keys().collect();
        users.extend(rosters.iter().flat_map(|it| it.users.keys()));
        let is_stored = |user: &&String| {
            let row = stored.rows.get(*user).copied();
            rosters.iter().any(|it| is_row(it, user, row))
        };
        if !(is_complete && is_named && users.iter().all(is_stored)) {
            found.push(Violation::ProjectionDiffers {
                conversation_id: (*id).to_owned(),
                projection: stored.clone(),
            });
        }
    }
    found
}

/// Whether a row has the membership of a user.
fn is_row(roster: &Roster, user_id: &str, row: Option<Row>) -> bool {
    let (row, user) = match (row, roster.users.get(user_id)) {
        (None, None) => return true,
        (Some(row), Some(user)) => (row, user),
        _ => return false,
    };
    let is_owner = row.owner_seq > row.demoted_seq.max(row.left_seq);
    (row.joined_seq, row.left_seq) == (user.joined_seq, user.left_seq)
        && (!user.is_member() || is_owner == user.is_owner)
}

/// The members that somebody reads are those of the log, at some moment between the request and the response. They are
/// told to members alone.
pub fn rolls(facts: &Facts) -> Vec<Violation> {
    let rolls = facts.history.rolls.iter();
    let wrong = rolls.filter(|roll| !is_right(facts, roll));
    wrong
        .map(|roll| Violation::MembersDiffer { roll: roll.clone() })
        .collect()
}

fn is_right(facts: &Facts, roll: &Roll) -> bool {
    let rosters = facts.moments(&roll.conversation_id, roll.start, roll.end);
    let mut rosters = rosters.into_iter();
    let user_id = &roll.user_id;
    match &roll.outcome {
        Outcome::Ok => rosters.any(|it| it.member(user_id).is_some() && is_roll(it, &roll.members)),
        outcome if outcome.is_forbidden() => rosters.any(|it| it.member(user_id).is_none()),
        _ => true,
    }
}

/// Whether these are the members of a group, the longest first.
fn is_roll(roster: &Roster, members: &[Member]) -> bool {
    let is_member = |member: &Member| {
        let standing = roster.member(&member.user_id);
        standing.is_some_and(|it| (it.role(), it.joined_seq) == (&member.role, member.joined_seq))
    };
    members.is_sorted_by_key(|member| member.joined_seq)
        && members.len() == roster.members().count()
        && members.iter().all(is_member)
}

impl Facts<'_> {
    /// Returns the user who has written the text that a change is about.
    pub fn writer(&self, conversation_id: &str, target_seq: Option<i64>) -> Option<&str> {
        let target = target_seq.and_then(|seq| self.entry(conversation_id, seq));
        target.map(|target| target.sender_id.as_str())
    }

    /// Returns the parts of a conversation that a user may read at some moment between two times, by their first and
    /// last numbers; none for a user who has never been in the group.
    pub fn parts(
        &self,
        conversation_id: &str,
        user_id: &str,
        start: Duration,
        end: Duration,
    ) -> Vec<(i64, i64)> {
        if !is_group(conversation_id) {
            return vec![(1, i64::MAX)];
        }
        let rosters = self.moments(conversation_id, start, end).into_iter();
        let mut parts: Vec<(i64, i64)> = rosters.filter_map(|it| it.readable(user_id)).collect();
        parts.dedup();
        parts
    }
}

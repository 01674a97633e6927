//! Checks one conversation, entry by entry. It remembers no text: the pairs of a text and what changes it are left to
//! [`changes`](super::changes).

use std::collections::BTreeMap;

use chat::store::inspect::ConversationRow;
use chat::store::{MESSAGES, Member};
use chat::{
    ConversationId, Entry, Group, Kind, Membership, Role, Text, UserId, Withheld, timestamp,
};
use chrono::{DateTime, TimeDelta, Utc};

use super::damage::Damage;

/// How far the clock of who has written an entry may be ahead.
const AHEAD: TimeDelta = TimeDelta::hours(1);

/// The documents of a conversation beside its log.
#[derive(Default)]
pub struct Projection {
    /// Its own.
    pub conversation: Option<ConversationRow>,
    /// Those of its members.
    pub members: Vec<Member>,
}

/// A conversation as of the entries that it was shown so far.
pub struct Check {
    id: ConversationId,
    /// The number below which entries were removed.
    first_seq: i64,
    newest_seq: Option<i64>,
    /// The latest time, and the last entry that has it.
    newest_time: Option<(DateTime<Utc>, i64)>,
    group: Group,
    /// The users of a direct conversation, and whether they have written a text.
    users: BTreeMap<UserId, bool>,
    damages: Vec<Damage>,
}

impl Check {
    /// Returns the check of a conversation, of which entries were removed if there is a `first_seq`.
    pub fn new(id: ConversationId, first_seq: Option<i64>) -> Self {
        Self {
            id,
            first_seq: first_seq.unwrap_or(i64::MIN),
            newest_seq: None,
            newest_time: None,
            group: Group::default(),
            users: BTreeMap::new(),
            damages: Vec::new(),
        }
    }

    /// Returns the number below which entries were removed.
    pub fn first_seq(&self) -> i64 {
        self.first_seq
    }

    /// Adds what was found elsewhere.
    pub fn report(&mut self, damage: Damage) {
        self.damages.push(damage);
    }

    /// Adds a document that cannot be read.
    pub fn unreadable(&mut self, collection: &'static str, document_id: String) {
        self.report(Damage::Unreadable {
            collection,
            document_id,
        });
    }

    /// Goes over an entry that cannot be read.
    pub fn skip(&mut self, document_id: String) {
        self.unreadable(MESSAGES, document_id);
        self.newest_seq = self.newest_seq.map(|newest| newest + 1);
    }

    /// Returns whether the sender of the entry that was shown last may delete the texts of others.
    pub fn is_by_owner(&self, entry: &Entry) -> bool {
        let sender = UserId::try_from(entry.sender_id.clone());
        sender.is_ok_and(|sender| self.group.membership(&sender).role() == Role::Owner)
    }

    /// Shows the next entry.
    pub fn entry(&mut self, entry: &Entry) {
        self.check_number(entry.seq);
        self.check_time(entry);
        self.check_text(entry);
        if !self.permits(entry) {
            self.report(Damage::NotPermitted { seq: entry.seq });
        }
        self.group.apply(entry);
    }

    fn check_number(&mut self, seq: i64) {
        // Those of the old system end at 0.
        let expected = self.newest_seq.map_or(seq.min(1), |newest| newest + 1);
        // Below the floor there is what has changed a group, and what an interrupted run has left.
        let expected = expected.max(self.first_seq);
        if seq > expected {
            self.report(Damage::Hole {
                from: expected,
                to: seq - 1,
            });
        }
        if self.newest_seq == Some(seq) {
            self.report(Damage::NumberTwice { seq });
        }
        self.newest_seq = Some(seq);
    }

    fn check_time(&mut self, entry: &Entry) {
        let seq = entry.seq;
        // The old system took any text for a time.
        let is_own = seq > 0;
        let Some(time) = timestamp::parse(&entry.timestamp) else {
            if is_own {
                self.report(Damage::NoTime { seq });
            }
            return;
        };
        if self.newest_time.is_none_or(|(newest, _)| newest <= time) {
            self.newest_time = Some((time, seq));
        } else if is_own {
            self.report(Damage::Earlier { seq });
        }
    }

    fn check_text(&mut self, entry: &Entry) {
        let (seq, is_empty) = (entry.seq, entry.message.is_empty());
        let is_wrong = match entry.kind {
            Kind::Delete if !is_empty => return self.report(Damage::TextLeft { seq }),
            Kind::Text => is_empty && entry.deleted_seq.is_none(),
            // That of an edit goes with its text.
            Kind::Edit => false,
            _ => !is_empty,
        };
        // The old system took any text.
        if seq > 0 && (is_wrong || entry.message.len() > Text::MAX_BYTES) {
            self.report(Damage::WrongText { seq });
        }
    }

    fn permits(&mut self, entry: &Entry) -> bool {
        let Ok(sender) = UserId::try_from(entry.sender_id.clone()) else {
            // The old system took any id.
            return entry.seq <= 0;
        };
        if self.id.is_group() {
            return self.permits_in_group(entry, &sender);
        }
        let receiver = entry.receiver_id.clone().map(UserId::try_from);
        let Some(Ok(receiver)) = receiver else {
            return entry.seq <= 0;
        };
        let is_theirs = ConversationId::direct(&sender, &receiver) == self.id;
        if is_theirs {
            self.users.entry(receiver).or_default();
            let wrote = self.users.entry(sender).or_default();
            *wrote |= entry.kind.is_text();
        }
        is_theirs
    }

    fn permits_in_group(&self, entry: &Entry, sender: &UserId) -> bool {
        if entry.kind == Kind::Create {
            return self.group.title.is_none();
        }
        let is_own = entry.kind == Kind::Leave && entry.users == [sender.clone()];
        let needs_owner = matches!(
            entry.kind,
            Kind::Join | Kind::Leave | Kind::Rename | Kind::Role
        );
        let membership = self.group.membership(sender);
        membership.is_member() && (is_own || !needs_owner || membership.role() == Role::Owner)
    }

    /// Compares the log with the other documents. Returns all that was found.
    pub fn finish(mut self, projection: &Projection) -> Vec<Damage> {
        let Some(newest) = self.newest_seq else {
            if !self.has_settings_only(projection) {
                self.report(Damage::NoLog);
            }
            return self.damages;
        };
        self.check_twice(&projection.members);
        let members = projection.members.iter();
        let members: BTreeMap<&UserId, &Member> = members.map(|it| (&it.user_id, it)).collect();
        if self.id.is_group() {
            self.compare_group(projection.conversation.as_ref());
        }
        for (user, is_as_recorded) in self.expected(&members) {
            if !is_as_recorded {
                self.report(Damage::MemberDiffers { user_id: user });
            }
        }
        self.check_rows(&members, newest);
        self.check_future(Utc::now());
        if self.first_seq > newest {
            self.report(Damage::FloorTooLarge);
        }
        let reached = projection.conversation.as_ref();
        if reached.and_then(|row| row.reached_seq) > Some(newest) {
            self.report(Damage::ReachedTooLarge);
        }
        self.damages
    }

    fn check_future(&mut self, now: DateTime<Utc>) {
        if let Some((time, seq)) = self.newest_time
            && seq > 0
            && time > now + AHEAD
        {
            self.report(Damage::InFuture { seq });
        }
    }

    /// Returns whether there is only what users have set before the first message.
    fn has_settings_only(&self, projection: &Projection) -> bool {
        let users = self.id.users().map(Vec::from).unwrap_or_default();
        let mut members = projection.members.iter();
        projection.conversation.is_none()
            && members
                .all(|it| users.contains(&it.user_id) && it.last_seq == 0 && it.marks.is_none())
    }

    /// Returns the users of the log, and whether their documents say the same.
    fn expected(&self, members: &BTreeMap<&UserId, &Member>) -> Vec<(UserId, bool)> {
        let row = |user: &UserId| members.get(user);
        let in_group = self.group.changed_after(0).map(|(user, membership)| {
            (
                user,
                row(user).is_some_and(|row| row.membership == *membership),
            )
        });
        let direct = self
            .users
            .iter()
            .map(|(user, wrote)| (user, row(user).is_some_and(|row| row.wrote || !wrote)));
        let all = in_group.chain(direct);
        all.map(|(user, is_same)| (user.clone(), is_same)).collect()
    }

    fn compare_group(&mut self, row: Option<&ConversationRow>) {
        let row = row.cloned().unwrap_or_default();
        let group = &self.group;
        let is_same = row.title == group.title
            && row.title_seq == group.title_seq
            && row.history == group.history
            && row.members_seq == group.changed_seq();
        if !is_same {
            self.report(Damage::GroupDiffers);
        }
    }

    /// Looks for two documents of one user, which are in the order of users.
    fn check_twice(&mut self, members: &[Member]) {
        for pair in members.windows(2) {
            if pair[0].user_id == pair[1].user_id {
                let user_id = pair[0].user_id.clone();
                self.report(Damage::MemberTwice { user_id });
            }
        }
    }

    fn check_rows(&mut self, members: &BTreeMap<&UserId, &Member>, newest: i64) {
        for (user, row) in members {
            let user_id = || (*user).clone();
            let is_known = self.users.contains_key(*user)
                || self.group.membership(user) != Membership::default();
            if !is_known {
                self.report(Damage::NoMember { user_id: user_id() });
            }
            let marks = row.marks;
            // The marks of a conversation of the old system are 0.
            if marks.read.max(marks.delivered).max(row.last_seq) > newest.max(0) {
                self.report(Damage::MarkTooLarge { user_id: user_id() });
            }
            // A hint may be that of the old system.
            if marks.read.min(marks.delivered) < 0 || row.last_seq < newest.min(0) {
                self.report(Damage::MarkNegative { user_id: user_id() });
            }
            if marks.read > marks.delivered {
                self.report(Damage::ReadNotDelivered { user_id: user_id() });
            }
            if !self.may_withhold(&row.withheld, newest) {
                self.report(Damage::WithheldWrong { user_id: user_id() });
            }
        }
    }

    /// Returns whether these numbers may be withheld from a user: only those of a direct conversation, in their order. A
    /// block that has just begun withholds what comes next.
    fn may_withhold(&self, withheld: &Withheld, newest: i64) -> bool {
        let next = newest.max(0) + 1;
        let ends = |(first, end)| [first, end];
        let numbers: Vec<i64> = withheld.ranges().flat_map(ends).collect();
        let has_peer = || self.id.users().is_some_and(|[a, b]| a != b);
        let is_known = |number: &i64| *number <= next || *number == i64::MAX;
        numbers.is_empty()
            || (has_peer() && numbers.is_sorted_by(|a, b| a < b) && numbers.iter().all(is_known))
    }
}

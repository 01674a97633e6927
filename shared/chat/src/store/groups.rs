//! Groups, as this process knows them.
//!
//! **The number is a fence.** Whether a user may write is checked against the group as of the newest number that
//! this process knows, and the entry is inserted under the next number. If that succeeds, nobody was removed in
//! between. If the number is taken, the process reads the entries that it has missed, and checks again. So no
//! entry of a removed member ever has a number after the removal, and a process that knows the group reads nothing for
//! the check.
//!
//! The documents in `members` and `conversations` are a projection of the log. Whoever appends writes what is missing in
//! it, then raises `members_seq`: all entries up to there are in the projection. A process that does not know the
//! group reads the projection and the entries of the log behind it.

use mongodb::bson::{self, Document, doc};
use serde::Deserialize;

use super::filter::numbers_from;
use super::members::OF_GROUP;
use super::memory::{Memory, Tail};
use super::stored_entry::StoredEntry;
use super::updates::upsert_all;
use super::{CONVERSATIONS, MEMBERS, OPERATION_TIMEOUT, Store, perform};
use crate::entry::Kind;
use crate::group::{Group, History, Title, not_yours};
use crate::{ConversationId, Deadline, Entry, Result, UserId};

/// The entries that are read to catch up with a group; if there are more, the group is loaded anew.
const MAX_MISSED: i64 = 200;

/// A group, and how far its projection is known to be complete.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownGroup {
    pub(super) group: Group,
    projected_seq: i64,
}

/// The fields of a group in its document of `conversations`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Projection {
    members_seq: i64,
    title: Option<Title>,
    title_seq: i64,
    history: History,
}

impl Store {
    /// Returns a group as of now, for `user`, when its projection is complete.
    ///
    /// # Errors
    ///
    /// - [`Code::Forbidden`](crate::Code::Forbidden): the user was never in it.
    /// - [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn group_of(
        &self,
        conversation_id: &ConversationId,
        user: &UserId,
        deadline: Deadline,
    ) -> Result<Group> {
        let lock = self.lock(conversation_id);
        let mut memory = lock.lock().await;
        self.look_at_group(conversation_id, &mut memory, deadline)
            .await?;
        let known = memory.group.as_mut();
        let known = known.filter(|known| known.group.membership(user).joined_seq > 0);
        let known = known.ok_or_else(not_yours)?;
        self.complete_projection(conversation_id, known, deadline)
            .await?;
        Ok(known.group.clone())
    }

    /// Writes what a sender that was killed has left out of the projection of a group.
    async fn complete_projection(
        &self,
        conversation_id: &ConversationId,
        known: &mut KnownGroup,
        deadline: Deadline,
    ) -> Result<()> {
        if known.group.changed_seq() > known.projected_seq {
            // The sender may have written it since this process looked.
            let projection = self.find_projection(conversation_id, deadline).await?;
            known.projected_seq = known.projected_seq.max(projection.members_seq);
            self.project(conversation_id, known, deadline).await?;
        }
        Ok(())
    }

    /// Returns the members of a group as this process remembers it, or as of now if `user` is none of these.
    ///
    /// # Errors
    ///
    /// As [`Store::group_of`], and [`Code::Forbidden`](crate::Code::Forbidden) for a former member.
    pub async fn members_of(
        &self,
        conversation_id: &ConversationId,
        user: &UserId,
        deadline: Deadline,
    ) -> Result<Vec<UserId>> {
        let list = |group: &Group| group.members().map(|(user, _)| user.clone()).collect();
        self.read_as_member(conversation_id, user, deadline, list)
            .await
    }

    /// Checks that a user is in a group, as this process remembers it or else as of now.
    ///
    /// # Errors
    ///
    /// As [`Store::members_of`].
    pub async fn check_member(
        &self,
        conversation_id: &ConversationId,
        user: &UserId,
        deadline: Deadline,
    ) -> Result<()> {
        self.read_as_member(conversation_id, user, deadline, |_| ())
            .await
    }

    async fn read_as_member<T>(
        &self,
        conversation_id: &ConversationId,
        user: &UserId,
        deadline: Deadline,
        read: impl FnOnce(&Group) -> T,
    ) -> Result<T> {
        let lock = self.lock(conversation_id);
        let mut memory = lock.lock().await;
        if !memory.has_member(user) {
            self.look_at_group(conversation_id, &mut memory, deadline)
                .await?;
        }
        let known = memory.group.as_ref().filter(|_| memory.has_member(user));
        Ok(read(&known.ok_or_else(not_yours)?.group))
    }

    /// Returns those users of a range of ids, both ends included, to whom an entry of a group goes. The projection
    /// must have come as far as the entry, as it has when [`Store::append`] has returned.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn recipients_between(
        &self,
        conversation_id: &ConversationId,
        seq: i64,
        [first, last]: [&UserId; 2],
        deadline: Deadline,
    ) -> Result<Vec<UserId>> {
        let filter = doc! {
            "conversation_id": conversation_id.as_str(),
            "user_id": {"$gte": first.as_str(), "$lte": last.as_str()},
        };
        let rows = self.find_members(filter, "look-up of members between two", deadline);
        let recipients = rows.await?.into_iter();
        let recipients = recipients.filter(|row| row.membership.gets(seq));
        Ok(recipients.map(|row| row.user_id).collect())
    }

    /// Brings the memory of a group up to its newest entry.
    pub(super) async fn look_at_group(
        &self,
        conversation_id: &ConversationId,
        memory: &mut Memory,
        deadline: Deadline,
    ) -> Result<()> {
        if memory.group.is_some() && memory.tail.seq > 0 {
            let range = numbers_from(conversation_id, memory.tail.seq);
            let entries = self.find_entries(range, Some(MAX_MISSED), deadline).await?;
            let is_complete = (entries.len() as i64) < MAX_MISSED;
            let begins = entries.first().map(|entry| entry.seq);
            if is_complete && begins == Some(memory.tail.seq) {
                memory.catch_up(entries);
                return Ok(());
            }
        }
        let (known, tail) = self.load_group(conversation_id, deadline).await?;
        memory.group = Some(known);
        memory.learn(tail);
        Ok(())
    }

    /// Reads a group: first how far its projection is complete, then the projection and the newest number, then the
    /// entries in between. What the projection has beyond that number does no harm: the next insert would fail.
    async fn load_group(
        &self,
        conversation_id: &ConversationId,
        deadline: Deadline,
    ) -> Result<(KnownGroup, Tail)> {
        let projection = self.find_projection(conversation_id, deadline).await?;
        let members_seq = projection.members_seq;
        let unknown = Memory::new(false);
        let after = Some(members_seq).filter(|seq| *seq > 0);
        let of_group = doc! {"conversation_id": conversation_id.as_str()};
        let (rows, tail) = tokio::try_join!(
            self.find_members(of_group, "look-up of the members of a group", deadline),
            self.read_tail(conversation_id, after, &unknown, deadline),
        )?;
        let rows = rows.into_iter().map(|row| (row.user_id, row.membership));
        let title = projection.title.map(|title| (title, projection.title_seq));
        let mut known = KnownGroup {
            group: Group::new(title, projection.history, rows),
            projected_seq: members_seq,
        };
        if tail.seq > members_seq {
            for change in self
                .changes_after(conversation_id, members_seq, deadline)
                .await?
            {
                known.group.apply(&change);
            }
        }
        Ok((known, tail))
    }

    /// Returns the entries after a number that change a group, in order.
    async fn changes_after(
        &self,
        conversation_id: &ConversationId,
        seq: i64,
        deadline: Deadline,
    ) -> Result<Vec<Entry>> {
        // Few, and by the index on the kinds on any database.
        let of_kind = |kind: &&str| {
            doc! {
                "conversation_id": conversation_id.as_str(),
                "kind": *kind,
                "seq": {"$gt": seq},
            }
        };
        let kinds: Vec<Document> = Kind::OF_GROUPS.iter().map(of_kind).collect();
        let mut changes = self
            .find_entries(doc! {"$or": kinds}, None, deadline)
            .await?;
        changes.sort_by_key(|entry| entry.seq);
        Ok(changes.into_iter().map(Entry::from).collect())
    }

    /// Writes the whole projection of a group again, from all entries that have changed it. No number becomes smaller.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): it may be half done, and may be repeated.
    pub async fn rebuild_group(
        &self,
        conversation_id: &ConversationId,
        deadline: Deadline,
    ) -> Result<()> {
        let mut known = KnownGroup::default();
        for change in self.changes_after(conversation_id, 0, deadline).await? {
            known.group.apply(&change);
        }
        self.project(conversation_id, &mut known, deadline).await
    }

    async fn find_projection(
        &self,
        conversation_id: &ConversationId,
        deadline: Deadline,
    ) -> Result<Projection> {
        let conversations = self.conversations.clone_with_type::<Projection>();
        let filter = doc! {"_id": conversation_id.as_str()};
        let find = async move {
            let find = conversations.find_one(filter);
            find.max_time(OPERATION_TIMEOUT).await
        };
        let found = perform("look-up of a group", deadline, find).await?;
        Ok(found.unwrap_or_default())
    }

    /// Writes what is missing in the projection of a group.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): it may be half done. Whoever appends next completes it.
    pub(super) async fn project(
        &self,
        conversation_id: &ConversationId,
        known: &mut KnownGroup,
        deadline: Deadline,
    ) -> Result<()> {
        let changed_seq = known.group.changed_seq();
        if changed_seq <= known.projected_seq {
            return Ok(());
        }
        let members = known.group.changed_after(known.projected_seq);
        let members = members.map(|(user, membership)| {
            doc! {
                "q": {"conversation_id": conversation_id.as_str(), "user_id": user.as_str()},
                "u": {"$max": {
                    "joined_seq": membership.joined_seq, "left_seq": membership.left_seq,
                    "owner_seq": membership.owner_seq, "demoted_seq": membership.demoted_seq,
                    "last_seq": membership.joined_seq, "last_at": OF_GROUP,
                }},
                "upsert": true,
            }
        });
        let members: Vec<Document> = members.collect();
        // A new title changes no member.
        if !members.is_empty() {
            let database = self.database.clone();
            let record = async move { upsert_all(&database, MEMBERS, members).await };
            perform("record of the members of a group", deadline, record).await?;
        }
        self.project_group(conversation_id, &known.group, changed_seq, deadline)
            .await?;
        known.projected_seq = changed_seq;
        Ok(())
    }

    /// Writes the title of a group, then how far its projection is complete.
    async fn project_group(
        &self,
        conversation_id: &ConversationId,
        group: &Group,
        changed_seq: i64,
        deadline: Deadline,
    ) -> Result<()> {
        let id = conversation_id.as_str();
        let title = group.title.as_ref().map(Title::as_str);
        let history = bson::serialize_to_bson(&group.history).expect("a string");
        let newer = doc! {"title_seq": {"$gt": group.title_seq}};
        let updates = vec![
            doc! {"q": {"_id": id}, "u": {"$setOnInsert": {"members_seq": 0_i64}}, "upsert": true},
            doc! {
                "q": {"_id": id, "$nor": [newer]},
                "u": {"$set": {"title": title, "title_seq": group.title_seq}},
            },
            doc! {"q": {"_id": id}, "u": {"$set": {"history": history}, "$max": {"members_seq": changed_seq}}},
        ];
        let database = self.database.clone();
        let record = async move { upsert_all(&database, CONVERSATIONS, updates).await };
        perform("record of a group", deadline, record).await
    }
}

impl Memory {
    /// Applies entries that follow, the first of which is known.
    fn catch_up(&mut self, entries: Vec<StoredEntry>) {
        let Some(newest) = entries.last().map(Tail::of) else {
            return;
        };
        if let Some(known) = &mut self.group {
            for entry in entries {
                known.group.apply(&entry.into());
            }
        }
        self.learn(newest);
    }

    fn has_member(&self, user: &UserId) -> bool {
        let known = self.group.as_ref();
        known.is_some_and(|known| known.group.has(user))
    }

    /// Applies an entry that this process has appended.
    pub(super) fn apply(&mut self, entry: &Entry) {
        if let Some(known) = &mut self.group {
            known.group.apply(entry);
        }
    }

    /// Returns the users to whom an entry goes, which need not be the newest; those of a group in the order of their
    /// ids.
    pub(super) fn recipients(&self, entry: &Entry) -> Vec<UserId> {
        match &self.group {
            Some(known) => known.group.recipients(entry.seq).cloned().collect(),
            None => entry.direct_users(),
        }
    }
}

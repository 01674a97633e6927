//! What a user has set for a conversation: that it is muted, and in a direct one that the other user is blocked.
//!
//! All of it stands in the user's own document in [`members`](super::members), so nothing is written in the log, and
//! neither the other user nor the sending of a message has anything to do with it. Two copies of the blocks are made
//! from there, each before the answer: the document of the user lists who is blocked, for connections that open
//! later, and so do the connections that are open, for whoever pushes to them.

use mongodb::bson::{self, Document, doc};
use serde::Serialize;

use super::members::{Member, NEVER};
use super::memory::Memory;
use super::updates::upsert_all;
use super::{Store, USERS, is_duplicate_key, perform};
use crate::conversation::{ConversationChange, ConversationSettings};
use crate::group::not_yours;
use crate::{
    Code, ConnectionId, ConversationId, Deadline, Entry, Error, Marks, Recipient, Rejection,
    Result, UserId, Withheld,
};

/// The users whom a user can block: each connection of the user lists them.
pub const MAX_BLOCKS: usize = 500;

/// The name of a change, in errors.
const CHANGE: &str = "change of a conversation";

/// Attempts of a change that other changes of the same document come before.
const ATTEMPTS: usize = 16;

impl Store {
    /// Changes what a user has set for a conversation, and returns all of it. A block is in force everywhere when
    /// this returns.
    ///
    /// # Errors
    ///
    /// - [`Code::InvalidRequest`]: nobody can be blocked in a group, nor oneself, nor more than 500 users.
    /// - [`Code::Forbidden`]: a group in which the user never was.
    /// - [`Error::Unavailable`]: it may or may not be changed, or only in part. It is safe to try again.
    pub async fn change_conversation(
        &self,
        user_id: &UserId,
        recipient: &Recipient,
        change: ConversationChange,
        deadline: Deadline,
    ) -> Result<ConversationSettings> {
        let id = recipient.conversation_id(user_id);
        let Some(blocked) = change.blocked else {
            let set = self.change_member(&id, user_id, change, deadline).await?;
            return Ok(set.of(id));
        };
        let peer_id = blockable(recipient, user_id)?;
        if blocked {
            self.check_blocks(user_id, peer_id, deadline).await?;
        }
        let set = self.change_member(&id, user_id, change, deadline).await?;
        let copying = self.copy_block(&id, user_id, peer_id, set, deadline);
        Ok(copying.await?.of(id))
    }

    /// Copies once more whether a user blocks another one: a change may have been interrupted before its copies.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: only some copies may be made. It is safe to try again.
    pub async fn copy_block_again(
        &self,
        user_id: &UserId,
        peer_id: &UserId,
        deadline: Deadline,
    ) -> Result<()> {
        let id = ConversationId::direct(user_id, peer_id);
        let member = self.member(&id, user_id, deadline).await?;
        let set = member.map(Set::from).unwrap_or_default();
        let copying = self.copy_block(&id, user_id, peer_id, set, deadline);
        copying.await?;
        Ok(())
    }

    /// Returns those of `users` who have not muted the conversation of an entry, and from whom it is not withheld.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn without_muting(
        &self,
        entry: &Entry,
        users: Vec<UserId>,
        deadline: Deadline,
    ) -> Result<Vec<UserId>> {
        let is_left_out = |member: &Member| member.muted || member.withheld.contains(entry.seq);
        self.without(is_left_out, entry, users, deadline).await
    }

    /// Returns those of `users` from whom an entry is not withheld; nobody's own are.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn not_withheld(
        &self,
        entry: &Entry,
        users: Vec<UserId>,
        deadline: Deadline,
    ) -> Result<Vec<UserId>> {
        let is_own = |member: &Member| member.user_id.as_str() == entry.sender_id;
        let is_left_out = |member: &Member| !is_own(member) && member.withheld.contains(entry.seq);
        self.without(is_left_out, entry, users, deadline).await
    }

    async fn without(
        &self,
        is_left_out: impl Fn(&Member) -> bool,
        entry: &Entry,
        mut users: Vec<UserId>,
        deadline: Deadline,
    ) -> Result<Vec<UserId>> {
        let ids: Vec<&str> = users.iter().map(UserId::as_str).collect();
        let id = entry.conversation_id.as_str();
        let filter = doc! {"conversation_id": id, "user_id": {"$in": ids}};
        let found = self.find_members(filter, "look-up of members", deadline);
        for member in found.await? {
            if is_left_out(&member) {
                users.retain(|user| *user != member.user_id);
            }
        }
        Ok(users)
    }

    /// Returns the users whom a user blocks.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub(super) async fn blocks_of(
        &self,
        user_id: &UserId,
        deadline: Deadline,
    ) -> Result<Vec<UserId>> {
        let mut found = self
            .find_users(std::slice::from_ref(user_id), deadline)
            .await?;
        Ok(found
            .remove(user_id)
            .map(|user| user.blocks)
            .unwrap_or_default())
    }

    /// Gives a connection the blocks that its user has got since it was inserted, and takes those that have ended.
    pub(super) async fn correct_blocks(
        &self,
        (connection_id, user_id): (&ConnectionId, &UserId),
        before: &[UserId],
        now: &[UserId],
        deadline: Deadline,
    ) -> Result<()> {
        for (of, not_of, is_blocked) in [(now, before, true), (before, now, false)] {
            for peer_id in of.iter().filter(|peer_id| !not_of.contains(peer_id)) {
                let connections = self.connections.clone();
                let filter = doc! {"_id": connection_id.as_str(), "user_id": user_id.as_str()};
                let update = listing(peer_id, is_blocked);
                let correct = async move { connections.update_one(filter, update).await };
                perform("correction of a connection", deadline, correct).await?;
            }
        }
        Ok(())
    }

    async fn check_blocks(
        &self,
        user_id: &UserId,
        peer_id: &UserId,
        deadline: Deadline,
    ) -> Result<()> {
        let blocks = self.blocks_of(user_id, deadline).await?;
        if blocks.len() < MAX_BLOCKS || blocks.contains(peer_id) {
            return Ok(());
        }
        let sentence = format!("You can block {MAX_BLOCKS} users. Unblock one first.");
        Err(Rejection::new(Code::InvalidRequest, sentence).into())
    }

    /// Changes the document of a user in a conversation, and returns what it says.
    ///
    /// That of a direct conversation is made if there is none: a block may come before the first message.
    async fn change_member(
        &self,
        conversation_id: &ConversationId,
        user_id: &UserId,
        change: ConversationChange,
        deadline: Deadline,
    ) -> Result<Set> {
        let newest = match change.blocked {
            Some(_) => {
                let nothing = Memory::new(false);
                let tail = self.read_tail(conversation_id, None, &nothing, deadline);
                tail.await?.seq
            }
            None => 0,
        };
        for _ in 0..ATTEMPTS {
            let member = self.member(conversation_id, user_id, deadline).await?;
            if member.is_none() && conversation_id.is_group() {
                return Err(not_yours().into());
            }
            let marks = member.as_ref().map(|member| member.marks);
            let before = member.map(Set::from).unwrap_or_default();
            let after = before.changed(change, newest, marks.unwrap_or_default());
            if after == before {
                return Ok(after);
            }
            let written = self.write_set(conversation_id, user_id, &before, &after, deadline);
            if written.await? {
                return Ok(after);
            }
        }
        Err(Error::unavailable(CHANGE)("others come before it"))
    }

    /// Writes what a user has set for a conversation, if that is still what was read. Returns whether it is written.
    async fn write_set(
        &self,
        conversation_id: &ConversationId,
        user_id: &UserId,
        before: &Set,
        after: &Set,
        deadline: Deadline,
    ) -> Result<bool> {
        let mut filter = before.filter();
        filter.insert("conversation_id", conversation_id.as_str());
        filter.insert("user_id", user_id.as_str());
        let mut update =
            doc! {"$set": bson::serialize_to_document(after).expect("a flag and numbers")};
        let is_group = conversation_id.is_group();
        if !is_group {
            update.insert("$setOnInsert", doc! {"last_seq": 0_i64, "last_at": NEVER});
        }
        let members = self.members.clone();
        let write = async move {
            match members.update_one(filter, update).upsert(!is_group).await {
                Ok(updated) => Ok(updated.matched_count > 0 || updated.upserted_id.is_some()),
                // The document is there, and says something else by now.
                Err(error) if is_duplicate_key(&error) => Ok(false),
                Err(error) => Err(error),
            }
        };
        perform(CHANGE, deadline, write).await
    }

    /// Copies whether a user blocks another one to the document of the user and to the open connections. Returns what
    /// the user has set for the conversation.
    ///
    /// Two changes at once may be copied in another order than they were made. So each looks afterwards whether it was
    /// the last, and if not copies the last one again.
    async fn copy_block(
        &self,
        conversation_id: &ConversationId,
        user_id: &UserId,
        peer_id: &UserId,
        mut set: Set,
        deadline: Deadline,
    ) -> Result<Set> {
        for _ in 0..ATTEMPTS {
            let is_blocked = set.withheld.is_blocked();
            self.list_block(user_id, peer_id, is_blocked, deadline)
                .await?;
            let member = self.member(conversation_id, user_id, deadline).await?;
            set = member.map(Set::from).unwrap_or_default();
            if set.withheld.is_blocked() == is_blocked {
                return Ok(set);
            }
        }
        Err(Error::unavailable(CHANGE)("others come after it"))
    }

    /// Lists a blocked user in the document of the user, then in the open connections; or in none of them.
    async fn list_block(
        &self,
        user_id: &UserId,
        peer_id: &UserId,
        is_blocked: bool,
        deadline: Deadline,
    ) -> Result<()> {
        let update = listing(peer_id, is_blocked);
        let of_user = doc! {"q": {"_id": user_id.as_str()}, "u": update.clone(), "upsert": true};
        let (database, connections) = (self.database.clone(), self.connections.clone());
        let filter = doc! {"user_id": user_id.as_str()};
        let list = async move {
            upsert_all(&database, USERS, vec![of_user]).await?;
            connections.update_many(filter, update).await
        };
        perform("listing of a block", deadline, list).await?;
        Ok(())
    }
}

/// What a user has set for a conversation, as the document has it.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Set {
    muted: bool,
    withheld: Withheld,
    marks_at_block: Marks,
}

impl From<Member> for Set {
    fn from(member: Member) -> Self {
        Self {
            muted: member.muted,
            withheld: member.withheld,
            marks_at_block: member.marks_at_block,
        }
    }
}

impl Set {
    fn of(self, conversation_id: ConversationId) -> ConversationSettings {
        ConversationSettings {
            conversation_id,
            muted: self.muted,
            blocked: self.withheld.is_blocked(),
        }
    }

    fn changed(&self, change: ConversationChange, newest: i64, marks: Marks) -> Self {
        let is_blocked = change.blocked.unwrap_or(self.withheld.is_blocked());
        let begins = is_blocked && !self.withheld.is_blocked();
        Self {
            muted: change.muted.unwrap_or(self.muted),
            withheld: self.withheld.changed(is_blocked, newest),
            marks_at_block: if begins { marks } else { self.marks_at_block },
        }
    }

    /// Returns the filter of a document that says so.
    fn filter(&self) -> Document {
        let muted = if self.muted {
            doc! {"$eq": true}
        } else {
            doc! {"$ne": true}
        };
        let withheld = bson::serialize_to_bson(&self.withheld).expect("numbers");
        if self.withheld.is_empty() {
            // No document has an empty list at first.
            doc! {"muted": muted, "withheld.0": {"$exists": false}}
        } else {
            doc! {"muted": muted, "withheld": withheld}
        }
    }
}

/// Returns the other user of a direct conversation.
fn blockable<'a>(recipient: &'a Recipient, user_id: &UserId) -> Result<&'a UserId, Rejection> {
    match recipient {
        Recipient::User(peer_id) if peer_id != user_id => Ok(peer_id),
        _ => Err(Rejection::new(
            Code::InvalidRequest,
            "Only another user can be blocked, in a direct conversation.",
        )),
    }
}

/// Returns the update that lists a blocked user, or no longer lists one.
fn listing(peer_id: &UserId, is_blocked: bool) -> Document {
    let operator = if is_blocked { "$addToSet" } else { "$pull" };
    doc! {operator: {"blocks": peer_id.as_str()}}
}

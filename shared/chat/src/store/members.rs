//! One document per user and conversation: what is the user's own in it.
//!
//! ```json
//! {"_id": ObjectId("…"), "conversation_id": "direct:1:a:b", "user_id": "a",
//!  "wrote": true, "read": 12, "delivered": 14, "last_seq": 14, "last_at": {"$date": "…"},
//!  "muted": true, "withheld": [6, 10, 13], "marks_at_block": {"read": 12, "delivered": 12}}
//! ```
//!
//! A conversation gets its two documents with its first message, from the process that stores it, and those from
//! before this collection from the migration. Every mark and hint only grows, by `$max`, so a write that is late or
//! repeated does no harm.
//!
//! `last_seq` and `last_at` are hints: the newest message has this number and time, or a larger one. A process
//! writes them for a conversation once a minute at most. They tell where in the log the newest message is, and
//! order the many conversations of a user; the list itself is made from the log.

use std::num::NonZeroUsize;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt;
use lru::LruCache;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{self, Document, doc};
use mongodb::options::ReturnDocument;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::updates::upsert_all;
use super::{MANY, MEMBERS, OPERATION_TIMEOUT, Store, date, is_duplicate_key, perform};
use crate::{
    ConversationId, Deadline, Entry, HiddenTexts, Marks, Membership, Result, UserId, Withheld,
    timestamp,
};

/// The time for which the hints of a conversation are left as they are.
const PAUSE: TimeDelta = TimeDelta::seconds(60);

/// Conversations and senders whose documents a warm process remembers to have written.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// The document of a user in a conversation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Member {
    pub(super) _id: ObjectId,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The user.
    pub user_id: UserId,
    /// Whether the user has ever written in it.
    #[serde(default)]
    pub wrote: bool,
    /// How far the user has it.
    #[serde(flatten)]
    pub marks: Marks,
    /// The membership in a group.
    #[serde(flatten)]
    pub membership: Membership,
    /// Whether the user wants no notifications of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub muted: bool,
    /// The numbers in which the other user's texts are withheld.
    #[serde(default, skip_serializing_if = "Withheld::is_empty")]
    pub withheld: Withheld,
    /// The marks at the beginning of the last block.
    #[serde(default, skip_serializing_if = "Marks::is_none")]
    pub(super) marks_at_block: Marks,
    /// The newest message has this number, or a larger one.
    pub last_seq: i64,
    pub(super) last_at: bson::DateTime,
}

impl Member {
    /// The document of a user who has written in a conversation, where there is none.
    pub(super) fn unrecorded(conversation_id: ConversationId, user_id: UserId) -> Self {
        Self {
            _id: ObjectId::new(),
            conversation_id,
            user_id,
            wrote: true,
            marks: Marks::default(),
            membership: Membership::default(),
            muted: false,
            withheld: Withheld::default(),
            marks_at_block: Marks::default(),
            last_seq: 0,
            last_at: NEVER,
        }
    }

    /// Returns the texts that the user does not see; `None` if there never were any.
    pub fn hidden_texts(&self) -> Option<HiddenTexts> {
        let peer_id = self.peer_id().filter(|_| !self.withheld.is_empty())?;
        Some(HiddenTexts {
            peer_id,
            withheld: self.withheld.clone(),
        })
    }

    /// Returns the other user of a direct conversation: the user, if it is with oneself.
    pub(super) fn peer_id(&self) -> Option<UserId> {
        let [a, b] = self.conversation_id.users()?;
        Some(if a == self.user_id { b } else { a })
    }

    /// Returns the marks that the other user is told: during a block those from before it.
    pub(super) fn told_marks(&self) -> Marks {
        if self.withheld.is_blocked() {
            self.marks_at_block
        } else {
            self.marks
        }
    }
}

/// How far the marks of a user have moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The marks now.
    pub marks: Marks,
    /// Whether the user blocks the other one, who is not to hear of it.
    pub is_secret: bool,
}

/// What is read of a document when its marks move.
#[derive(Debug, Default, Deserialize)]
struct Marked {
    #[serde(flatten)]
    marks: Marks,
    #[serde(default)]
    withheld: Withheld,
}

/// The `last_at` of a member of a group, whose hints stand elsewhere: so the lists of direct conversations end
/// before these documents, and functions from before groups can read them.
pub(super) const OF_GROUP: bson::DateTime = bson::DateTime::from_millis(0);

/// The `last_at` of a direct conversation that has no message yet: lists end with it.
pub(super) const NEVER: bson::DateTime = bson::DateTime::from_millis(1);

/// The documents that this process has written lately, by conversation and sender.
pub(super) struct Written(Mutex<LruCache<(ConversationId, String), DateTime<Utc>>>);

impl Default for Written {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Written {
    /// Returns whether the documents for `message` were written within a minute before `now`.
    fn is_recent(&self, entry: &Entry, now: DateTime<Utc>) -> bool {
        let mut written = self.0.lock();
        let at = written.get(&Self::key(entry));
        at.is_some_and(|at| timestamp::is_recent(*at, now, PAUSE))
    }

    fn remember(&self, entry: &Entry, now: DateTime<Utc>) {
        self.0.lock().put(Self::key(entry), now);
    }

    fn key(entry: &Entry) -> (ConversationId, String) {
        (entry.conversation_id.clone(), entry.sender_id.clone())
    }
}

impl Store {
    /// Records the members of a stored message's conversation, unless this process has done so within the last
    /// minute. Other entries follow a message, and do not move the conversation up in lists.
    /// A group has its members from elsewhere. A message is in the lists of both users once this has returned.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): the conversation may be missing in their lists; a
    /// resend of the message records it again.
    pub async fn record_members(
        &self,
        entry: &Entry,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<()> {
        let receiver_id = match &entry.receiver_id {
            Some(receiver_id) if entry.kind.is_text() => receiver_id,
            _ => return Ok(()),
        };
        if self.members_written.is_recent(entry, now) {
            return Ok(());
        }
        let hints = Hints {
            last_seq: entry.seq,
            last_at: timestamp::parse(&entry.timestamp).unwrap_or(now),
        };
        let is_own = entry.sender_id == *receiver_id;
        let other = (!is_own).then_some((receiver_id.as_str(), false));
        let users = [(entry.sender_id.as_str(), true)].into_iter().chain(other);
        let updates = users
            .map(|(user, wrote)| hints.update(&entry.conversation_id, user, wrote))
            .collect();
        let database = self.database.clone();
        let record = async move { upsert_all(&database, MEMBERS, updates).await };
        perform("record of the members", deadline, record).await?;
        self.members_written.remember(entry, now);
        Ok(())
    }

    /// Moves the marks of a user forward, but no further than the newest message. Returns them if they moved, and whether
    /// the other user may hear of it.
    ///
    /// Is one operation where this process knows a number as large in the conversation.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable): they may or may not have moved.
    pub async fn mark(
        &self,
        conversation_id: &ConversationId,
        user_id: &UserId,
        marks: Marks,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Option<Moved>> {
        if marks.delivered < 1 {
            return Ok(None);
        }
        let newest = self
            .newest(conversation_id, marks.delivered, deadline)
            .await?;
        let marks = marks.up_to(newest);
        if marks.delivered < 1 {
            return Ok(None);
        }
        let members = self.members.clone_with_type::<Marked>();
        let filter =
            doc! {"conversation_id": conversation_id.as_str(), "user_id": user_id.as_str()};
        let is_group = conversation_id.is_group();
        let last_at = if is_group { OF_GROUP } else { date(now) };
        let update = doc! {
            "$max": {"read": marks.read, "delivered": marks.delivered},
            // From before this collection, and not migrated.
            "$setOnInsert": {"last_seq": newest, "last_at": last_at},
        };
        let mark = async move {
            let mark_once = async || {
                members
                    .find_one_and_update(filter.clone(), update.clone())
                    .upsert(true)
                    .return_document(ReturnDocument::Before)
                    .max_time(OPERATION_TIMEOUT)
                    .await
            };
            match mark_once().await {
                // Another first write of the document came between.
                Err(error) if is_duplicate_key(&error) => mark_once().await,
                outcome => outcome,
            }
        };
        let before = perform("record of a mark", deadline, mark).await?;
        let before = before.unwrap_or_default();
        let after = before.marks.max(marks);
        Ok((after != before.marks).then_some(Moved {
            marks: after,
            is_secret: before.withheld.is_blocked(),
        }))
    }

    /// Returns those of `peers` who have written to `user_id` and to whom the user has written, and of whom neither
    /// blocks the other.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn acquaintances(
        &self,
        user_id: &UserId,
        peers: &[UserId],
        deadline: Deadline,
    ) -> Result<Vec<UserId>> {
        let conversation = |peer| ConversationId::direct(user_id, peer);
        let ids: Vec<_> = peers.iter().map(conversation).collect();
        let filter = doc! {
            "conversation_id": {"$in": ids.iter().map(ConversationId::as_str).collect::<Vec<_>>()},
            "wrote": true,
        };
        let found = self
            .find_members(filter, "look-up of acquaintances", deadline)
            .await?;
        let wrote = |user: &UserId, id: &ConversationId| {
            let mut found = found.iter();
            found.any(|member| {
                member.user_id == *user
                    && member.conversation_id == *id
                    && !member.withheld.is_blocked()
            })
        };
        let mutual = peers.iter().zip(&ids);
        let mutual = mutual.filter(|(peer, id)| wrote(user_id, id) && wrote(peer, id));
        Ok(mutual.map(|(peer, _)| peer.clone()).collect())
    }

    /// Returns the document of a user in a conversation, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn member(
        &self,
        conversation_id: &ConversationId,
        user_id: &UserId,
        deadline: Deadline,
    ) -> Result<Option<Member>> {
        let filter =
            doc! {"conversation_id": conversation_id.as_str(), "user_id": user_id.as_str()};
        let members = self.members.clone();
        let find = async move { members.find_one(filter).max_time(OPERATION_TIMEOUT).await };
        perform("look-up of a user in a conversation", deadline, find).await
    }

    pub(super) async fn find_members(
        &self,
        filter: Document,
        operation: &'static str,
        deadline: Deadline,
    ) -> Result<Vec<Member>> {
        let members = self.members.clone();
        let find = async move {
            let find = members.find(filter).batch_size(MANY);
            find.max_time(OPERATION_TIMEOUT).await?.try_collect().await
        };
        perform(operation, deadline, find).await
    }
}

/// The number and time of a message of a conversation, as the hints of its documents.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hints {
    pub(crate) last_seq: i64,
    pub(crate) last_at: DateTime<Utc>,
}

impl Hints {
    /// Returns the update of a user's document, which is made if there is none; `wrote` if the user has written.
    pub(crate) fn update(
        self,
        conversation_id: &ConversationId,
        user_id: &str,
        wrote: bool,
    ) -> Document {
        let last_at = date(self.last_at);
        let mut update = doc! {"$max": {"last_seq": self.last_seq, "last_at": last_at}};
        if wrote {
            update.insert("$set", doc! {"wrote": true});
        }
        doc! {
            "q": {"conversation_id": conversation_id.as_str(), "user_id": user_id},
            "u": update,
            "upsert": true,
        }
    }
}

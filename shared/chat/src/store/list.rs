//! The conversations of a user, newest first.
//!
//! A page is read in three steps: the user's own documents in [`members`](super::members), in the order of their
//! hints; then at once for all conversations of the page the newest message, and the marks and settings of the others;
//! then the count of unread messages up to the newest one. What is shown comes from the log; only the order over many pages rests on the
//! hints, and is right to a minute.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::str::FromStr;

use futures_util::TryStreamExt;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{self, Document, doc};
use mongodb::options::ReadConcern;
use serde::Deserialize;

use super::members::Member;
use super::messages::StoredMessage;
use super::{OPERATION_TIMEOUT, Store, perform};
use crate::{ConversationId, Deadline, Marks, Message, Result, UserId, timestamp};

/// The count of unread messages at which counting ends.
const MAX_UNREAD: i64 = 100;

/// The messages that are looked at for it: the user's own are among them.
const MAX_COUNTED: i64 = 1_000;

/// A place in a user's list, behind a conversation that a page has ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListCursor {
    last_at: bson::DateTime,
    id: ObjectId,
}

/// In the form in which a query has it: milliseconds and an id, with a dot between.
impl std::fmt::Display for ListCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.last_at.timestamp_millis(), self.id)
    }
}

impl FromStr for ListCursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (millis, id) = text.split_once('.').ok_or(())?;
        Ok(Self {
            last_at: bson::DateTime::from_millis(millis.parse().map_err(|_| ())?),
            id: id.parse().map_err(|_| ())?,
        })
    }
}

impl ListCursor {
    fn of(member: &Member) -> Self {
        Self {
            last_at: member.last_at,
            id: member._id,
        }
    }

    /// Returns the filter of the documents behind it.
    fn filter(self) -> Document {
        doc! {
            "last_at": {"$lte": self.last_at},
            "$or": [{"last_at": {"$lt": self.last_at}}, {"_id": {"$lt": self.id}}],
        }
    }
}

/// A page of a user's list.
pub struct ListPage {
    /// The conversations, newest first.
    pub conversations: Vec<ListedConversation>,
    /// Where the next page begins, if there is one.
    pub next: Option<ListCursor>,
}

/// A conversation in its user's list.
pub struct ListedConversation {
    /// The newest message.
    pub newest: Message,
    /// The messages of others that the user has not read, up to 100.
    pub unread: i64,
    /// The user's own marks.
    pub marks: Marks,
    /// Those of the other user, if both show them.
    pub peer_marks: Option<Marks>,
    /// The other user; the user if the conversation is with oneself.
    pub peer_id: UserId,
}

impl Store {
    /// Reads up to `limit` conversations of a user from their newest on, or from a place in the list on.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn list(
        &self,
        user_id: &UserId,
        before: Option<ListCursor>,
        limit: usize,
        deadline: Deadline,
    ) -> Result<ListPage> {
        let mut rows = self.find_rows(user_id, before, limit + 1, deadline).await?;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| has_more).map(ListCursor::of);
        let conversations = if rows.is_empty() {
            Vec::new()
        } else {
            self.listed(user_id, &rows, deadline).await?
        };
        Ok(ListPage {
            conversations,
            next,
        })
    }

    /// Reads the conversations of a user's documents, newest first.
    async fn listed(
        &self,
        user_id: &UserId,
        rows: &[Member],
        deadline: Deadline,
    ) -> Result<Vec<ListedConversation>> {
        let peers = rows.iter().map(|row| peer(&row.conversation_id, user_id));
        let peers: Vec<Option<UserId>> = peers.collect();
        let users = peers.iter().flatten().chain([user_id]);
        let users: Vec<UserId> = users.cloned().collect();
        let (newest, others, settings) = tokio::try_join!(
            self.newest_messages(rows, deadline),
            self.marks_of_others(rows, user_id, deadline),
            self.settings_of(&users, deadline),
        )?;
        let unread = self.count_unread(rows, &newest, user_id, deadline).await?;
        let shows_receipts = |user: &UserId| settings.get(user).is_some_and(|it| it.receipts);
        let listed = |(row, peer_id): (&Member, Option<UserId>)| {
            let (id, peer_id) = (&row.conversation_id, peer_id?);
            let is_shown = shows_receipts(user_id) && shows_receipts(&peer_id);
            Some(ListedConversation {
                newest: newest.get(id)?.clone().into(),
                unread: unread.get(id).copied().unwrap_or(0).min(MAX_UNREAD),
                marks: row.marks,
                peer_marks: is_shown.then(|| others.get(id).copied().unwrap_or_default()),
                peer_id,
            })
        };
        let mut conversations: Vec<_> = rows.iter().zip(peers).filter_map(listed).collect();
        conversations.sort_by_key(|it| Reverse(timestamp::parse(&it.newest.timestamp)));
        Ok(conversations)
    }

    async fn find_rows(
        &self,
        user_id: &UserId,
        before: Option<ListCursor>,
        limit: usize,
        deadline: Deadline,
    ) -> Result<Vec<Member>> {
        let mut filter = doc! {"user_id": user_id.as_str()};
        filter.extend(before.map(ListCursor::filter).unwrap_or_default());
        let members = self.members.clone();
        let find = async move {
            let found = members
                .find(filter)
                .sort(doc! {"last_at": -1, "_id": -1})
                .limit(limit as i64)
                .batch_size(limit as u32)
                .max_time(OPERATION_TIMEOUT)
                .await?;
            found.try_collect().await
        };
        perform("look-up of a user's conversations", deadline, find).await
    }

    /// Returns the newest message of each conversation.
    async fn newest_messages(
        &self,
        rows: &[Member],
        deadline: Deadline,
    ) -> Result<HashMap<ConversationId, StoredMessage>> {
        // A short range each, on any database.
        let from_hint = |row: &Member| {
            doc! {"conversation_id": row.conversation_id.as_str(), "seq": {"$gte": row.last_seq}}
        };
        let filter = doc! {"$or": rows.iter().map(from_hint).collect::<Vec<_>>()};
        let messages = self.messages.clone();
        let find = async move {
            let mut found = messages
                .find(filter)
                // A failover must not roll back a message that a reader has seen.
                .read_concern(ReadConcern::majority())
                .max_time(OPERATION_TIMEOUT)
                .await?;
            let mut newest = HashMap::<_, StoredMessage>::new();
            while let Some(message) = found.try_next().await? {
                let known = newest.get(&message.conversation_id);
                if known.is_none_or(|known| known.seq < message.seq) {
                    newest.insert(message.conversation_id.clone(), message);
                }
            }
            Ok(newest)
        };
        perform("look-up of newest messages", deadline, find).await
    }

    /// Counts the messages of others that the user has not read, among the first thousand after the user's
    /// mark of each conversation, and up to its newest message: a client adds those that are pushed later.
    async fn count_unread(
        &self,
        rows: &[Member],
        newest: &HashMap<ConversationId, StoredMessage>,
        user_id: &UserId,
        deadline: Deadline,
    ) -> Result<HashMap<ConversationId, i64>> {
        #[derive(Deserialize)]
        struct Count {
            _id: ConversationId,
            unread: i64,
        }
        let after_mark = |row: &Member| {
            let read = row.marks.read;
            let newest = newest.get(&row.conversation_id)?.seq;
            let range = doc! {"$gt": read, "$lte": newest.min(read + MAX_COUNTED)};
            let id = row.conversation_id.as_str();
            (newest > read).then(|| doc! {"conversation_id": id, "seq": range})
        };
        let unread: Vec<Document> = rows.iter().filter_map(after_mark).collect();
        if unread.is_empty() {
            return Ok(HashMap::new());
        }
        let pipeline = [
            doc! {"$match": {"$or": unread}},
            doc! {"$match": {"sender_id": {"$ne": user_id.as_str()}}},
            doc! {"$group": {"_id": "$conversation_id", "unread": {"$sum": 1_i64}}},
        ];
        let messages = self.messages.clone();
        let count = async move {
            let counts = messages
                .aggregate(pipeline)
                .with_type::<Count>()
                .read_concern(ReadConcern::majority())
                .max_time(OPERATION_TIMEOUT)
                .await?;
            counts
                .map_ok(|count| (count._id, count.unread))
                .try_collect()
                .await
        };
        perform("count of unread messages", deadline, count).await
    }

    /// Returns the marks of the other member of each conversation.
    async fn marks_of_others(
        &self,
        rows: &[Member],
        user_id: &UserId,
        deadline: Deadline,
    ) -> Result<HashMap<ConversationId, Marks>> {
        let ids: Vec<&str> = rows
            .iter()
            .map(|row| row.conversation_id.as_str())
            .collect();
        let filter = doc! {
            "conversation_id": {"$in": ids},
            "user_id": {"$ne": user_id.as_str()},
        };
        let found = self
            .find_members(filter, "look-up of marks", deadline)
            .await?;
        let marks = found
            .into_iter()
            .map(|member| (member.conversation_id, member.marks));
        Ok(marks.collect())
    }
}

/// Returns the other user of a direct conversation: the user, if it is with oneself.
fn peer(conversation_id: &ConversationId, user_id: &UserId) -> Option<UserId> {
    let [a, b] = conversation_id.users()?;
    Some(if a == *user_id { b } else { a })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_is_read_as_it_was_written(millis: i64, id: [u8; 12]) {
            let cursor = ListCursor {
                last_at: bson::DateTime::from_millis(millis),
                id: ObjectId::from_bytes(id),
            };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in [
            "",
            ".",
            "1",
            "1.",
            "1.x",
            ".507f1f77bcf86cd799439011",
            "{\"$gt\":0}",
        ] {
            assert_eq!(text.parse::<ListCursor>(), Err(()), "{text}");
        }
    }
}

//! The conversations of a user, newest first.
//!
//! A page is read in three steps: the user's own documents in [`members`](super::members), in the order of their
//! hints; then at once for all conversations of the page the newest entry and the newest text, and the marks and
//! settings of the others; then the count of unread texts up to the newest entry, and the newest text where there are
//! only other entries after the hint. Groups have no hints in `members`: their documents in `conversations` are one more
//! step, and the first page has all of them. What is shown comes from the log; only the order over many pages rests on the
//! hints, and is right to a minute.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::str::FromStr;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{self, Document, doc};
use serde::Deserialize;

use super::filter::visible_text;
use super::members::{Member, OF_GROUP};
use super::stored_entry::StoredEntry;
use super::{OPERATION_TIMEOUT, Store, perform};
use crate::{ConversationId, Deadline, Entry, Marks, Result, Role, Title, UserId, timestamp};

/// The groups of a user that are listed at most: those that the user joined last.
const MAX_GROUPS: i64 = 200;

/// The entries before a hint that are looked at for the newest text.
const LOOK_BACK: i64 = 50;

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
            "last_at": {"$gt": OF_GROUP, "$lte": self.last_at},
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
    /// The number of the newest entry, of any kind.
    pub newest_entry_seq: i64,
    /// The newest text that is not deleted. The newest entry, if there is none among the last few.
    pub preview: Entry,
    /// The texts of others that the user has not read, up to 100.
    pub unread: i64,
    /// The user's own marks.
    pub marks: Marks,
    /// Those of the other user, if both show them.
    pub peer_marks: Option<Marks>,
    /// Whether the user wants no notifications of it.
    pub muted: bool,
    /// Whether the user blocks the other one.
    pub blocked: bool,
    /// The other side.
    pub with: ListedWith,
}

/// The other side of a listed conversation.
pub enum ListedWith {
    /// The other user; the user if the conversation is with oneself.
    Peer(UserId),
    /// A group.
    Group {
        /// Its name.
        title: Title,
        /// The user's role.
        role: Role,
    },
}

impl Store {
    /// Reads up to `limit` direct conversations of a user from their newest on, or from a place in the list on. With
    /// `groups`, also all groups of the user.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn list(
        &self,
        user_id: &UserId,
        before: Option<ListCursor>,
        limit: usize,
        groups: bool,
        deadline: Deadline,
    ) -> Result<ListPage> {
        let (rows, groups) = tokio::try_join!(
            self.find_rows(user_id, before, limit + 1, deadline),
            async {
                if groups {
                    self.find_group_rows(user_id, deadline).await
                } else {
                    Ok(Vec::new())
                }
            }
        )?;
        let mut rows = rows;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| has_more).map(ListCursor::of);
        let titles = self.add_groups(&mut rows, groups, deadline).await?;
        let conversations = if rows.is_empty() {
            Vec::new()
        } else {
            self.listed(user_id, &rows, titles, deadline).await?
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
        mut titles: HashMap<ConversationId, Title>,
        deadline: Deadline,
    ) -> Result<Vec<ListedConversation>> {
        let with = |row: &Member| match row.peer_id() {
            Some(peer) => Some(ListedWith::Peer(peer)),
            None => Some(ListedWith::Group {
                title: titles.remove(&row.conversation_id)?,
                role: row.membership.role(),
            }),
        };
        let with: Vec<Option<ListedWith>> = rows.iter().map(with).collect();
        let mut users = vec![user_id.clone()];
        users.extend(with.iter().flatten().filter_map(ListedWith::peer).cloned());
        let (mut ends, others, settings) = tokio::try_join!(
            self.find_ends(rows, deadline),
            self.marks_of_others(rows, user_id, deadline),
            self.settings_of(&users, deadline),
        )?;
        let (unread, texts) = tokio::try_join!(
            self.count_unread(rows, |id| ends.newest_seq(id), user_id, deadline),
            self.find_earlier_texts(rows, &ends, deadline),
        )?;
        for text in texts {
            ends.add(seen(rows, text.into()));
        }
        let shows_receipts = |user: &UserId| settings.get(user).is_some_and(|it| it.receipts);
        let listed = |(row, with): (&Member, Option<ListedWith>)| {
            let (id, with) = (&row.conversation_id, with?);
            let is_shown = shows_receipts(user_id) && with.peer().is_some_and(shows_receipts);
            let end = ends.ends.get(id)?;
            Some(ListedConversation {
                newest_entry_seq: end.newest.seq,
                preview: end.text.as_ref().unwrap_or(&end.newest).clone(),
                unread: unread.get(id).copied().unwrap_or_default(),
                marks: row.marks,
                peer_marks: is_shown.then(|| others.get(id).copied().unwrap_or_default()),
                muted: row.muted,
                blocked: row.withheld.is_blocked(),
                with,
            })
        };
        let mut conversations: Vec<_> = rows.iter().zip(with).filter_map(listed).collect();
        conversations.sort_by_key(|it| Reverse(timestamp::parse(&it.preview.timestamp)));
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
        let all = || doc! {"last_at": {"$gt": OF_GROUP}};
        filter.extend(before.map_or_else(all, ListCursor::filter));
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

    /// Returns the documents of a user in the groups that the user is in.
    async fn find_group_rows(&self, user_id: &UserId, deadline: Deadline) -> Result<Vec<Member>> {
        let filter = doc! {"user_id": user_id.as_str(), "last_at": OF_GROUP};
        let members = self.members.clone();
        let find = async move {
            let found = members
                .find(filter)
                .sort(doc! {"_id": -1})
                .limit(MAX_GROUPS)
                .max_time(OPERATION_TIMEOUT)
                .await?;
            found.try_collect().await
        };
        let mut rows: Vec<Member> = perform("look-up of a user's groups", deadline, find).await?;
        rows.retain(|row| row.membership.is_member());
        Ok(rows)
    }

    /// Adds groups to the rows of a page, with a number that each has reached as its hint. Returns their titles.
    async fn add_groups(
        &self,
        rows: &mut Vec<Member>,
        groups: Vec<Member>,
        deadline: Deadline,
    ) -> Result<HashMap<ConversationId, Title>> {
        if groups.is_empty() {
            return Ok(HashMap::new());
        }
        let ids = groups.iter().map(|row| row.conversation_id.as_str());
        let found = self.find_groups(ids.collect(), deadline).await?;
        for mut row in groups {
            if let Some(group) = found.get(&row.conversation_id) {
                row.last_seq = group.reached_seq.max(row.membership.joined_seq);
                rows.push(row);
            }
        }
        let titles = found.into_iter().map(|(id, group)| (id, group.title));
        Ok(titles.collect())
    }

    async fn find_groups(
        &self,
        ids: Vec<&str>,
        deadline: Deadline,
    ) -> Result<HashMap<ConversationId, GroupDocument>> {
        let conversations = self.conversations.clone_with_type::<GroupDocument>();
        let filter = doc! {"_id": {"$in": ids}, "title": {"$exists": true}};
        let find = async move {
            let found = conversations
                .find(filter)
                .max_time(OPERATION_TIMEOUT)
                .await?;
            let by_id = found.map_ok(|group| (group._id.clone(), group));
            by_id.try_collect().await
        };
        perform("look-up of groups", deadline, find).await
    }

    /// Returns the end of each conversation.
    async fn find_ends(&self, rows: &[Member], deadline: Deadline) -> Result<Ends> {
        // A short range each, on any database.
        let from_hint = |row: &Member| {
            doc! {"conversation_id": row.conversation_id.as_str(), "seq": {"$gte": row.last_seq}}
        };
        let filter = doc! {"$or": rows.iter().map(from_hint).collect::<Vec<_>>()};
        let mut ends = Ends::new(self.hidden_before());
        for entry in self.find_entries(filter, None, deadline).await? {
            ends.add(seen(rows, entry.into()));
        }
        Ok(ends)
    }

    /// Returns the texts shortly before the hints of those conversations whose end has no text.
    async fn find_earlier_texts(
        &self,
        rows: &[Member],
        ends: &Ends,
        deadline: Deadline,
    ) -> Result<Vec<StoredEntry>> {
        let without_text = |row: &&Member| {
            let end = ends.ends.get(&row.conversation_id);
            end.is_some_and(|end| end.text.is_none())
        };
        let before_hint = |row: &Member| {
            // What comes since a block is withheld, however much that is.
            let end = row.withheld.blocked_from().unwrap_or(i64::MAX);
            let end = end.min(row.last_seq);
            let first = (end - LOOK_BACK).max(row.membership.joined_seq);
            let range = doc! {"$gte": first, "$lt": end};
            doc! {"conversation_id": row.conversation_id.as_str(), "seq": range}
        };
        let ranges: Vec<Document> = rows.iter().filter(without_text).map(before_hint).collect();
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        let mut filter = doc! {"$or": ranges};
        filter.extend(visible_text(self.hidden_before()));
        self.find_entries(filter, None, deadline).await
    }

    /// Returns the marks of the other member of each direct conversation.
    async fn marks_of_others(
        &self,
        rows: &[Member],
        user_id: &UserId,
        deadline: Deadline,
    ) -> Result<HashMap<ConversationId, Marks>> {
        let direct = rows.iter().filter(|row| !row.conversation_id.is_group());
        let ids = direct.map(|row| row.conversation_id.as_str());
        let ids: Vec<&str> = ids.collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let filter = doc! {
            "conversation_id": {"$in": ids},
            "user_id": {"$ne": user_id.as_str()},
        };
        let found = self
            .find_members(filter, "look-up of marks", deadline)
            .await?;
        let marks = found
            .into_iter()
            .map(|member| (member.conversation_id.clone(), member.told_marks()));
        Ok(marks.collect())
    }
}

impl ListedWith {
    fn peer(&self) -> Option<&UserId> {
        match self {
            Self::Peer(peer) => Some(peer),
            Self::Group { .. } => None,
        }
    }
}

/// The document of a group in `conversations`.
#[derive(Deserialize)]
struct GroupDocument {
    _id: ConversationId,
    title: Title,
    #[serde(default)]
    reached_seq: i64,
}

/// The ends of conversations.
struct Ends {
    ends: HashMap<ConversationId, End>,
    /// The time before which texts are hidden.
    hidden_before: Option<DateTime<Utc>>,
}

/// The end of a conversation.
struct End {
    /// The newest entry.
    newest: Entry,
    /// The newest text that is not deleted.
    text: Option<Entry>,
}

impl Ends {
    fn new(hidden_before: Option<DateTime<Utc>>) -> Self {
        Self {
            ends: HashMap::new(),
            hidden_before,
        }
    }

    /// Returns the number of the newest entry of a conversation.
    fn newest_seq(&self, id: &ConversationId) -> Option<i64> {
        self.ends.get(id).map(|end| end.newest.seq)
    }

    /// Adds an entry, in any order.
    fn add(&mut self, mut entry: Entry) {
        if let Some(time) = self.hidden_before {
            entry.hide_before(time);
        }
        let text = entry.is_visible_text().then(|| entry.clone());
        match self.ends.entry(entry.conversation_id.clone()) {
            Vacant(slot) => drop(slot.insert(End {
                newest: entry,
                text,
            })),
            Occupied(mut slot) => {
                let end = slot.get_mut();
                if let Some(text) = text {
                    let known = end.text.take().filter(|known| known.seq > text.seq);
                    end.text = Some(known.unwrap_or(text));
                }
                if end.newest.seq < entry.seq {
                    end.newest = entry;
                }
            }
        }
    }
}

/// Returns an entry as the user of these documents sees it.
fn seen(rows: &[Member], entry: Entry) -> Entry {
    let mut hiding = rows.iter().filter(|row| !row.withheld.is_empty());
    let row = hiding.find(|row| row.conversation_id == entry.conversation_id);
    match row.and_then(Member::hidden_texts) {
        Some(hidden) => hidden.apply(entry),
        None => entry,
    }
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

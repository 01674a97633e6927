//! Documents as they are stored, in the order of their conversations, for the operator's program. No request of a
//! client reads like this.

use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt, TryStreamExt};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{self, Document, doc};
use mongodb::error::Error as DriverError;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::filter::numbered;
use super::stored_entry::StoredEntry;
use super::updates::upsert_all;
use super::{
    CONNECTIONS, CONVERSATIONS, Connection, MEMBERS, MESSAGES, Member, OPERATION_TIMEOUT, Store,
    USERS, User, perform, time,
};
use crate::group::{History, Title};
use crate::settings::Settings;
use crate::{ConversationId, Deadline, Entry, Error, Marks, Result, UserId};

/// Documents that are fetched at once.
const BATCH: u32 = 1_000;

/// The conversations that are inspected.
#[derive(Debug, Clone)]
pub enum Part {
    /// All, or those from one on in the order of their ids.
    From(Option<ConversationId>),
    /// One.
    One(ConversationId),
}

impl Part {
    fn filter(&self, field: &str) -> Document {
        let id = match self {
            Self::One(id) => bson::Bson::from(id.as_str()),
            Self::From(id) => doc! {"$gte": id.as_ref().map_or("", ConversationId::as_str)}.into(),
        };
        doc! {field: id}
    }
}

/// A document of a conversation.
pub struct Inspected<T> {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The `_id` of the document, as text.
    pub document_id: String,
    /// The document, if all its fields are there and of their types.
    pub document: Option<T>,
}

/// A document of a collection that is not ordered by conversations.
pub struct Stored<T> {
    /// Its `_id`, as text.
    pub id: String,
    /// The document, if all its fields are there and of their types.
    pub document: Option<T>,
}

/// The users whom a user blocks, as the user's own document lists them.
#[derive(Debug, Clone, Deserialize)]
pub struct BlockList {
    /// The user.
    #[serde(rename = "_id")]
    pub user_id: UserId,
    /// The users whom the user blocks.
    #[serde(default)]
    pub blocks: Vec<UserId>,
}

/// The document of a conversation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ConversationRow {
    /// A number that the conversation has reached.
    pub reached_seq: Option<i64>,
    /// The first number, if older entries were removed for their age.
    pub first_seq: Option<i64>,
    /// The entry up to which the members are complete.
    pub members_seq: i64,
    /// The name of a group.
    pub title: Option<Title>,
    /// The entry that gave the name.
    pub title_seq: i64,
    /// What members may read of the time before joining.
    pub history: History,
}

/// The document of a user.
#[derive(Debug, Clone, Default)]
pub struct UserRow {
    /// When the user was last seen, if that is known.
    pub last_seen: Option<DateTime<Utc>>,
    /// What the user shows to others.
    pub settings: Settings,
    /// The users whom the user blocks.
    pub blocks: Vec<UserId>,
}

impl Store {
    /// Reads the log, in the order of conversations and numbers.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], also of each item.
    pub async fn inspect_entries(
        &self,
        part: &Part,
    ) -> Result<impl Stream<Item = Result<Inspected<Entry>>> + use<>> {
        let order = ["conversation_id", "seq"];
        let entries = self.inspect::<StoredEntry>(MESSAGES, &order, part).await?;
        Ok(entries.map_ok(|it| Inspected {
            conversation_id: it.conversation_id,
            document_id: it.document_id,
            document: it.document.map(Entry::from),
        }))
    }

    /// Reads the members of conversations, in the order of conversations and users.
    ///
    /// # Errors
    ///
    /// As [`Store::inspect_entries`].
    pub async fn inspect_members(
        &self,
        part: &Part,
    ) -> Result<impl Stream<Item = Result<Inspected<Member>>> + use<>> {
        let order = ["conversation_id", "user_id"];
        self.inspect(MEMBERS, &order, part).await
    }

    /// Reads the documents of conversations, in their order.
    ///
    /// # Errors
    ///
    /// As [`Store::inspect_entries`].
    pub async fn inspect_conversations(
        &self,
        part: &Part,
    ) -> Result<impl Stream<Item = Result<Inspected<ConversationRow>>> + use<>> {
        self.inspect(CONVERSATIONS, &["_id"], part).await
    }

    async fn inspect<T: DeserializeOwned + Send + 'static>(
        &self,
        collection: &'static str,
        order: &[&'static str],
        part: &Part,
    ) -> Result<impl Stream<Item = Result<Inspected<T>>> + use<T>> {
        let field = order[0];
        let sort: Document = order
            .iter()
            .map(|field| ((*field).to_owned(), 1.into()))
            .collect();
        self.find_inspected(collection, field, part.filter(field), sort)
            .await
    }

    /// Reads documents whose conversation stands in `field`.
    async fn find_inspected<T: DeserializeOwned + Send + 'static>(
        &self,
        collection: &'static str,
        field: &'static str,
        filter: Document,
        sort: Document,
    ) -> Result<impl Stream<Item = Result<Inspected<T>>> + use<T>> {
        let collection = self.database.collection::<Document>(collection);
        let find = collection.find(filter).sort(sort).batch_size(BATCH);
        let found = find.await.map_err(failed)?;
        Ok(found.map(move |document| {
            let document = document.map_err(failed)?;
            // The filter asks for text.
            let id = document.get_str(field).unwrap_or_default();
            Ok(Inspected {
                conversation_id: id.to_owned().into(),
                document_id: id_of(&document),
                document: bson::deserialize_from_document(document).ok(),
            })
        }))
    }

    /// Reads the memberships of a user, in any order.
    ///
    /// # Errors
    ///
    /// As [`Store::inspect_entries`].
    pub async fn inspect_memberships(
        &self,
        user_id: &UserId,
    ) -> Result<impl Stream<Item = Result<Member>> + use<>> {
        let filter = doc! {"user_id": user_id.as_str()};
        let found = self.members.find(filter).batch_size(BATCH).await;
        Ok(found.map_err(failed)?.map_err(failed))
    }

    /// Reads the memberships of a user, and makes one up for each other conversation in which the user has written: a
    /// sender that was killed between its insert and the rows of the members has left none. Reads the whole log.
    ///
    /// # Errors
    ///
    /// As [`Store::inspect_entries`].
    pub async fn inspect_memberships_by_log(&self, user_id: &UserId) -> Result<Vec<Member>> {
        let found = self.inspect_memberships(user_id).await?;
        let mut memberships: Vec<Member> = found.try_collect().await?;
        let own = doc! {"sender_id": user_id.as_str()};
        let written = self.messages.distinct("conversation_id", own).await;
        for id in written.map_err(failed)? {
            // Documents of other forms have no membership.
            let Ok(id) = bson::deserialize_from_bson::<ConversationId>(id) else {
                continue;
            };
            if memberships.iter().all(|it| it.conversation_id != id) {
                memberships.push(Member::unrecorded(id, user_id.clone()));
            }
        }
        Ok(memberships)
    }

    /// Reads the users whom each user blocks, in any order.
    ///
    /// # Errors
    ///
    /// As [`Store::inspect_entries`].
    pub async fn inspect_block_lists(
        &self,
    ) -> Result<impl Stream<Item = Result<Stored<BlockList>>> + use<>> {
        self.inspect_all(USERS, doc! {}).await
    }

    /// Reads the ids of the documents of a collection whose conversation is no text, so that no walk through
    /// conversations meets them: `None` of a message without one, which the migration has not numbered.
    ///
    /// # Errors
    ///
    /// As [`Store::inspect_entries`].
    pub async fn inspect_strays(
        &self,
        collection: &'static str,
    ) -> Result<impl Stream<Item = Result<Option<String>>> + use<>> {
        let field = match collection {
            CONVERSATIONS => "_id",
            _ => "conversation_id",
        };
        let documents = self.database.collection::<Document>(collection);
        let strays = documents
            .find(doc! {"$nor": [{field: {"$type": "string"}}]})
            .projection(doc! {"_id": 1, field: 1})
            .batch_size(BATCH);
        Ok(strays.await.map_err(failed)?.map(move |document| {
            let document = document.map_err(failed)?;
            let is_unnumbered = collection == MESSAGES && !document.contains_key(field);
            Ok((!is_unnumbered).then(|| id_of(&document)))
        }))
    }

    /// Returns those of some pairs, each a user and another one, of which a copy does not say what the user's document
    /// in the conversation says: whether the other one is blocked.
    ///
    /// A document that cannot be read says nothing, and a pair is left out if it is the one that decides.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn differing_blocks(
        &self,
        pairs: &[(UserId, UserId)],
    ) -> Result<Vec<(UserId, UserId)>> {
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let users: Vec<&str> = pairs.iter().map(|(user, _)| user.as_str()).collect();
        let ids = pairs.iter().map(|(a, b)| ConversationId::direct(a, b));
        let ids: Vec<_> = ids.map(|id| bson::Bson::from(id.as_str())).collect();
        let lists = self.inspect_all(USERS, doc! {"_id": {"$in": &users}});
        let lists: Vec<Stored<BlockList>> = lists.await?.try_collect().await?;
        let rows = self.inspect_all(CONNECTIONS, doc! {"user_id": {"$in": &users}});
        let rows: Vec<Stored<Connection>> = rows.await?.try_collect().await?;
        let members = doc! {"conversation_id": {"$in": ids}};
        let members = self.find_inspected(MEMBERS, "conversation_id", members, doc! {});
        let members: Vec<Inspected<Member>> = members.await?.try_collect().await?;
        let differs = |(user_id, peer_id): &&(UserId, UserId)| {
            let lists = lists.iter().filter_map(|it| it.document.as_ref());
            let mut lists = lists.filter(|it| it.user_id == *user_id);
            let is_listed = lists.any(|it| it.blocks.contains(peer_id));
            let rows = rows.iter().filter_map(|it| it.document.as_ref());
            let mut rows = rows.filter(|it| it.user_id == *user_id);
            let is_blocked = is_blocked(&members, user_id, peer_id);
            is_blocked.is_some_and(|is_blocked| {
                is_listed != is_blocked || rows.any(|it| it.blocks.contains(peer_id) != is_blocked)
            })
        };
        Ok(pairs.iter().filter(differs).cloned().collect())
    }

    /// Reads the rows of all connections, in any order, also those that cannot be read.
    ///
    /// # Errors
    ///
    /// As [`Store::inspect_entries`].
    pub async fn inspect_connection_rows(
        &self,
    ) -> Result<impl Stream<Item = Result<Stored<Connection>>> + use<>> {
        self.inspect_all(CONNECTIONS, doc! {}).await
    }

    async fn inspect_all<T: DeserializeOwned + Send + 'static>(
        &self,
        collection: &'static str,
        filter: Document,
    ) -> Result<impl Stream<Item = Result<Stored<T>>> + use<T>> {
        let collection = self.database.collection::<Document>(collection);
        let found = collection.find(filter).batch_size(BATCH).await;
        Ok(found.map_err(failed)?.map(|document| {
            let document = document.map_err(failed)?;
            Ok(Stored {
                id: id_of(&document),
                document: bson::deserialize_from_document(document).ok(),
            })
        }))
    }

    /// Reads the rows of all connections, in any order. One that cannot be read is an error.
    ///
    /// # Errors
    ///
    /// As [`Store::inspect_entries`]; also of a row that cannot be read, by its id.
    pub async fn inspect_connections(
        &self,
    ) -> Result<impl Stream<Item = Result<Connection>> + use<>> {
        let connections = self.connections.clone_with_type::<Document>();
        let found = connections.find(doc! {}).batch_size(BATCH).await;
        Ok(found
            .map_err(failed)?
            .map(|row| connection(row.map_err(failed)?)))
    }

    /// Returns whether anything is stored of a user: settings, a connection, a conversation, or a message. Reads the whole
    /// log if there is none of the others.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn knows(&self, user_id: &UserId, deadline: Deadline) -> Result<bool> {
        let user = std::slice::from_ref(user_id);
        if !self.find_users(user, deadline).await?.is_empty()
            || !self.open_connections_of(user, deadline).await?.is_empty()
        {
            return Ok(true);
        }
        let members = self.members.clone();
        let filter = doc! {"user_id": user_id.as_str()};
        let find = async move { members.find_one(filter).max_time(OPERATION_TIMEOUT).await };
        let found = perform("look-up of a user's conversations", deadline, find);
        if found.await?.is_some() {
            return Ok(true);
        }
        let entries = self.messages.clone_with_type::<Document>();
        let written = entries.find_one(doc! {"sender_id": user_id.as_str()});
        Ok(written.await.map_err(failed)?.is_some())
    }

    /// Returns the document of a user; that of a user who has set nothing and was never seen, if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn inspect_user(&self, user_id: &UserId, deadline: Deadline) -> Result<UserRow> {
        let mut users = self
            .find_users(std::slice::from_ref(user_id), deadline)
            .await?;
        let row = |user: User| UserRow {
            last_seen: user.last_seen.map(time),
            settings: user.settings,
            blocks: user.blocks,
        };
        Ok(users.remove(user_id).map(row).unwrap_or_default())
    }

    /// Returns the entries that were written at a time or later, in about the order of their writing: the clocks of
    /// processes differ.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn entries_since(
        &self,
        time: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Vec<Entry>> {
        let (messages, filter) = (self.messages.clone(), written_since(time));
        let find = async move {
            let found = messages.find(filter).sort(doc! {"_id": 1});
            found.await?.try_collect::<Vec<StoredEntry>>().await
        };
        let entries = perform("look-up of new entries", deadline, find).await?;
        Ok(entries.into_iter().map(Entry::from).collect())
    }

    /// Returns the entries under some numbers of a conversation, in any order; those that are missing are left out.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn entries_under(
        &self,
        conversation_id: &ConversationId,
        numbers: &[i64],
        deadline: Deadline,
    ) -> Result<Vec<Entry>> {
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let numbers = numbers.iter().map(|seq| numbered(conversation_id, *seq));
        let filter = doc! {"$or": numbers.collect::<Vec<_>>()};
        let entries = self.find_entries(filter, None, deadline).await?;
        Ok(entries.into_iter().map(Entry::from).collect())
    }

    /// Takes the text of an entry away.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn blank(
        &self,
        conversation_id: &ConversationId,
        seq: i64,
        deadline: Deadline,
    ) -> Result<()> {
        let messages = self.messages.clone();
        let entry = numbered(conversation_id, seq);
        let update = async move {
            let blank = doc! {"$set": {"message": ""}};
            messages.update_one(entry, blank).await
        };
        perform("blanking of an entry", deadline, update).await?;
        Ok(())
    }

    /// Lowers the recorded number of a conversation to its newest one.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn clamp_reached(
        &self,
        conversation_id: &ConversationId,
        newest: i64,
        deadline: Deadline,
    ) -> Result<()> {
        let conversations = self.conversations.clone();
        let filter = doc! {"_id": conversation_id.as_str(), "reached_seq": {"$gt": newest}};
        let update = doc! {"$min": {"reached_seq": newest}};
        let update = async move { conversations.update_one(filter, update).await };
        perform("correction of a number", deadline, update).await?;
        Ok(())
    }

    /// Lowers the numbers of a user in a conversation to its newest one, where they are larger.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn clamp_marks(
        &self,
        conversation_id: &ConversationId,
        user_id: &UserId,
        newest: i64,
        deadline: Deadline,
    ) -> Result<()> {
        let lower = |field: &str| {
            doc! {
                "q": {
                    "conversation_id": conversation_id.as_str(),
                    "user_id": user_id.as_str(),
                    field: {"$gt": newest},
                },
                "u": {"$min": {field: newest}},
            }
        };
        let updates = ["read", "delivered", "last_seq"].map(lower).to_vec();
        let database = self.database.clone();
        let update = async move { upsert_all(&database, MEMBERS, updates).await };
        perform("correction of marks", deadline, update).await
    }

    /// Raises the numbers of a user in a conversation to the least that they may be: 0, and as much delivered as read.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn raise_marks(
        &self,
        conversation_id: &ConversationId,
        user_id: &UserId,
        deadline: Deadline,
    ) -> Result<()> {
        const CORRECTION: &str = "correction of marks";
        let own = doc! {"conversation_id": conversation_id.as_str(), "user_id": user_id.as_str()};
        let found = self.find_members(own.clone(), CORRECTION, deadline).await?;
        let updates = found.into_iter().map(|member| {
            let marks = Marks::new(member.marks.read, member.marks.delivered);
            let least = doc! {"read": marks.read, "delivered": marks.delivered, "last_seq": 0_i64};
            doc! {"q": own.clone(), "u": {"$max": least}}
        });
        let (database, updates) = (self.database.clone(), updates.collect::<Vec<_>>());
        let update = async move { upsert_all(&database, MEMBERS, updates).await };
        perform(CORRECTION, deadline, update).await
    }
}

/// Returns the filter of the documents that were made in the second of a time or later, by their ids.
pub fn written_since(time: DateTime<Utc>) -> Document {
    doc! {"_id": {"$gte": id_at(time)}}
}

/// Returns the smallest id of a document that is made in the second of a time.
pub(crate) fn id_at(time: DateTime<Utc>) -> ObjectId {
    // The first four bytes of an id are its time in seconds.
    let mut id = [0; 12];
    let seconds = u32::try_from(time.timestamp()).unwrap_or_default();
    id[..4].copy_from_slice(&seconds.to_be_bytes());
    ObjectId::from_bytes(id)
}

/// Returns whether a user blocks another one, by the documents of their conversation; `None` if one of them cannot be
/// read.
fn is_blocked(members: &[Inspected<Member>], user_id: &UserId, peer_id: &UserId) -> Option<bool> {
    let id = ConversationId::direct(user_id, peer_id);
    let rows = members.iter().filter(|it| it.conversation_id == id);
    let rows: Option<Vec<&Member>> = rows.map(|it| it.document.as_ref()).collect();
    let mut own = rows?.into_iter().filter(|it| it.user_id == *user_id);
    Some(own.any(|it| it.withheld.is_blocked()))
}

/// Returns the `_id` of a document as text.
fn id_of(document: &Document) -> String {
    match document.get("_id") {
        Some(bson::Bson::ObjectId(id)) => id.to_hex(),
        Some(bson::Bson::String(id)) => id.clone(),
        Some(id) => id.to_string(),
        None => String::new(),
    }
}

/// Reads the row of a connection.
fn connection(row: Document) -> Result<Connection> {
    let id = id_of(&row);
    bson::deserialize_from_document(row).map_err(|error| {
        Error::unavailable("reading of a row in connections")(format!(
            "the row with the _id {id} is malformed: {error}; delete it, it is of no use to anybody"
        ))
    })
}

fn failed(error: DriverError) -> Error {
    Error::unavailable("inspection of a collection")(error)
}

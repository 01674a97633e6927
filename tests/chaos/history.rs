//! The record of everything that a run did and saw.
//!
//! All times are since the start of the run, by a monotonic clock. Each operation has its start,
//! its end and its outcome; a frame that came in has the time of its arrival.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chat::{ConversationId, Kind, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, deserialize_from_bson, doc, oid::ObjectId};
use mongodb::options::ReadConcern;
use mongodb::{Collection, Database};
use serde::Serialize;
use tests::client::{Error, Frame, Message, Row};

use crate::texts;

/// Everything that a run did and saw.
#[derive(Debug, Clone, Default, Serialize)]
pub struct History {
    /// The texts, edits and deletions that were sent, each with all its attempts.
    pub sends: Vec<Sent>,
    /// The attempts to open a connection.
    pub handshakes: Vec<Handshake>,
    /// The connections, with all that they received.
    pub connections: Vec<Connection>,
    /// The pages of conversations that were read, by pollers and by devices with a gap.
    pub reads: Vec<Read>,
    /// The lists of conversations that were read.
    pub lists: Vec<Listed>,
    /// The copy of each conversation on each device at the end.
    pub held: Vec<Held>,
}

/// A text, an edit or a deletion that was sent.
#[derive(Debug, Clone, Serialize)]
pub struct Sent {
    /// The key by which the contract knows it.
    pub key: Key,
    /// The receiver.
    pub receiver_id: String,
    /// The kind.
    pub kind: Kind,
    /// The number of the text that it changes.
    pub target_seq: Option<i64>,
    /// The text; empty for a deletion.
    pub message: String,
    /// The code with which the chat must refuse it, if it must.
    pub refusal: Option<String>,
    /// The attempts, in order; at least one.
    pub attempts: Vec<Attempt>,
}

impl Key {
    /// Returns the key of a message, if its sender gave it an id.
    pub fn of(message: &Message) -> Option<Self> {
        Some(Self {
            conversation_id: message.conversation_id.clone(),
            sender_id: message.sender_id.clone(),
            client_message_id: message.client_message_id.clone()?,
        })
    }
}

impl Sent {
    /// Returns the time of the first attempt.
    pub fn start(&self) -> Duration {
        self.attempts.first().expect("it was sent").start
    }

    /// Returns the time at which its fate was known, or at which it was given up.
    pub fn end(&self) -> Duration {
        self.attempts.last().expect("it was sent").end
    }

    /// Returns the outcome of all attempts: acknowledged by any of them, refused by all of them, or
    /// unknown.
    pub fn outcome(&self) -> Outcome {
        let mut outcomes = self.attempts.iter().map(|attempt| &attempt.outcome);
        let known = outcomes.clone().find(|outcome| **outcome == Outcome::Ok);
        let is_open = |outcome: &&Outcome| matches!(outcome, Outcome::Unknown(_));
        let known = known.or_else(|| outcomes.clone().find(is_open));
        let known = known.or_else(|| outcomes.next_back());
        known.expect("it was sent").clone()
    }
}

/// The key by which the contract knows a message, however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Key {
    /// The conversation.
    pub conversation_id: String,
    /// The sender.
    pub sender_id: String,
    /// The sender's own id for it.
    pub client_message_id: String,
}

/// An attempt to send a message.
#[derive(Debug, Clone, Serialize)]
pub struct Attempt {
    /// The connection on which it left: [`Connection::id`].
    pub connection: u64,
    /// Time just before it left.
    pub start: Duration,
    /// Time of its reply, or at which it was given up.
    pub end: Duration,
    /// The outcome by its reply.
    pub outcome: Outcome,
}

/// The outcome of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// Done.
    Ok,
    /// Not done, and never will be: the code or status of the refusal.
    Failed(String),
    /// Done or not: the reason why that is not known.
    Unknown(String),
    /// The reply has not the expected form: its text.
    Malformed(String),
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(status) => Self::Failed(status.to_string()),
            Error::Unknown(reason) => Self::Unknown(reason),
            Error::Malformed(text) => Self::Malformed(text),
        }
    }
}

/// An attempt to open a connection.
#[derive(Debug, Clone, Serialize)]
pub struct Handshake {
    /// The user.
    pub user_id: String,
    /// Time just before it began.
    pub start: Duration,
    /// Time of its end.
    pub end: Duration,
    /// Its outcome.
    pub outcome: Outcome,
}

/// An open connection.
#[derive(Debug, Clone, Serialize)]
pub struct Connection {
    /// Number of the connection in this run.
    pub id: u64,
    /// The user.
    pub user_id: String,
    /// Whether its client gets every kind of frame.
    pub modern: bool,
    /// Time at which it was open.
    pub opened: Duration,
    /// Time of its end.
    pub ended: Duration,
    /// Reason of its end.
    pub why: String,
    /// The frames that came in, in order.
    pub received: Vec<Received>,
}

/// A frame that came in.
#[derive(Debug, Clone, Serialize)]
pub struct Received {
    /// Time of its arrival.
    pub at: Duration,
    /// The frame.
    pub frame: Frame,
}

/// A form of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Form {
    /// The numbered log of a conversation.
    Log,
    /// The texts of two users, for old clients.
    Texts,
}

/// A page that was requested.
#[derive(Debug, Clone, Serialize)]
pub struct Read {
    /// The reader: a poller, or a device.
    pub reader: String,
    /// The conversation.
    pub conversation_id: String,
    /// The form that it asked for.
    pub form: Form,
    /// The number after which the page was to begin.
    pub after: i64,
    /// The limit of the page.
    pub limit: usize,
    /// Time just before the request.
    pub start: Duration,
    /// Time of the response, or at which it was given up.
    pub end: Duration,
    /// The outcome of the request.
    pub outcome: Outcome,
    /// The messages of the page.
    pub messages: Vec<Arc<Message>>,
}

/// A list that was requested.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// The user.
    pub user_id: String,
    /// Time just before the request.
    pub start: Duration,
    /// Time of the response, or at which it was given up.
    pub end: Duration,
    /// The outcome of the request.
    pub outcome: Outcome,
    /// The conversations.
    pub rows: Vec<Row>,
}

/// The copy of a conversation on a device, at the end.
#[derive(Debug, Clone, Serialize)]
pub struct Held {
    /// The device.
    pub device: String,
    /// The conversation.
    pub conversation_id: String,
    /// Its entries, in the order of their numbers, with the changes applied.
    pub messages: Vec<Arc<Message>>,
    /// Number of messages that came again, and were dropped.
    pub dropped: u64,
    /// Number of messages that were read from the history.
    pub fetched: u64,
}

/// A message as the database holds it.
pub type Stored = Message;

/// Returns the id of the conversation of two users.
///
/// # Panics
///
/// One of them is not a valid user id.
pub fn conversation_id(a: &str, b: &str) -> String {
    let user = |id: &str| UserId::try_from(id.to_owned()).expect("a valid user id");
    ConversationId::direct(&user(a), &user(b)).to_string()
}

/// Reads all messages from the database, by conversation and number.
///
/// # Errors
///
/// The database does not respond, or holds a document that is not a message of the new system.
pub async fn read_stored(database: &Database) -> Result<Vec<Stored>> {
    let messages: Collection<Document> = database.collection("chat_messages");
    let find = messages.find(doc! {});
    let cursor = find.read_concern(ReadConcern::majority()).await?;
    let documents: Vec<Document> = cursor.try_collect().await?;
    let stored: Result<Vec<Stored>> = documents.iter().map(stored).collect();
    let mut stored = stored?;
    stored.sort_by(|a, b| (&a.conversation_id, a.seq).cmp(&(&b.conversation_id, b.seq)));
    Ok(stored)
}

/// A marked text in a document of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The collection.
    pub collection: String,
    /// The [marker](texts::markers) of the text.
    pub marker: String,
}

/// Reads the markers of all texts in all collections of the database.
///
/// # Errors
///
/// The database does not respond.
pub async fn read_traces(database: &Database) -> Result<Vec<Trace>> {
    let mut traces = Vec::new();
    for collection in database.list_collection_names().await? {
        let documents = database.collection::<Document>(&collection);
        let mut cursor = documents.find(doc! {}).await?;
        while let Some(document) = cursor.try_next().await? {
            let text = document.to_string();
            traces.extend(texts::markers(&text).map(|marker| Trace {
                collection: collection.clone(),
                marker: marker.to_owned(),
            }));
        }
    }
    Ok(traces)
}

fn stored(document: &Document) -> Result<Stored> {
    let id: ObjectId = document.get_object_id("_id")?;
    let text = |name| {
        let text = document.get_str(name);
        let text = text.with_context(|| format!("{name} of message {}", id.to_hex()));
        text.map(str::to_owned)
    };
    let number = |name| {
        let is_there = document.contains_key(name);
        is_there.then(|| document.get_i64(name)).transpose()
    };
    let kind = document
        .get("kind")
        .cloned()
        .map(deserialize_from_bson)
        .transpose()?;
    Ok(Stored {
        message_id: id.to_hex(),
        conversation_id: text("conversation_id")?,
        seq: document.get_i64("seq")?,
        sender_id: text("sender_id")?,
        receiver_id: text("receiver_id")?,
        kind: kind.unwrap_or_default(),
        target_seq: number("target_seq")?,
        message: text("message")?,
        timestamp: text("timestamp")?,
        client_message_id: if document.contains_key("client_message_id") {
            Some(text("client_message_id")?)
        } else {
            None
        },
        edited_seq: number("edited_seq")?,
        deleted_seq: number("deleted_seq")?,
    })
}

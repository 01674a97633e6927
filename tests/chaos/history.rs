//! What a run did and saw.
//!
//! All times are since the start of the run, by a clock that never goes back. Each operation has its
//! start, its end and its outcome; of a frame that came in, the time is that of its arrival.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chat::{ConversationId, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc, oid::ObjectId};
use mongodb::options::ReadConcern;
use mongodb::{Collection, Database};
use serde::Serialize;
use tests::client::{Error, Frame, Message};

/// Everything that a run did and saw.
#[derive(Debug, Clone, Default, Serialize)]
pub struct History {
    /// The messages that were sent, each with all its attempts.
    pub sends: Vec<Sent>,
    /// The attempts to open a socket.
    pub handshakes: Vec<Handshake>,
    /// The sockets that opened, with all that they received.
    pub sockets: Vec<Socket>,
    /// The pages of conversations that were read, by pollers and by devices that lacked something.
    pub reads: Vec<Read>,
    /// What each device holds of each of its conversations at the end.
    pub held: Vec<Held>,
}

/// A message on its way into the log.
#[derive(Debug, Clone, Serialize)]
pub struct Sent {
    /// What it is known by.
    pub key: Key,
    /// Who shall get it.
    pub receiver_id: String,
    /// The text.
    pub message: String,
    /// The code with which the chat must refuse it, if it is no good.
    pub refusal: Option<String>,
    /// Each time that it was sent, in order; at least one.
    pub attempts: Vec<Attempt>,
}

impl Key {
    /// The key of a message, if its sender gave it an id.
    pub fn of(message: &Message) -> Option<Self> {
        Some(Self {
            conversation_id: message.conversation_id.clone(),
            sender_id: message.sender_id.clone(),
            client_message_id: message.client_message_id.clone()?,
        })
    }
}

impl Sent {
    /// When it was sent for the first time.
    pub fn start(&self) -> Duration {
        self.attempts.first().expect("it was sent").start
    }

    /// When its fate was known, or given up.
    pub fn end(&self) -> Duration {
        self.attempts.last().expect("it was sent").end
    }

    /// What is known of it: acknowledged by any attempt; refused by every one of them; or unknown.
    pub fn outcome(&self) -> Outcome {
        let mut outcomes = self.attempts.iter().map(|attempt| &attempt.outcome);
        let told = outcomes.clone().find(|outcome| **outcome == Outcome::Ok);
        let is_open = |outcome: &&Outcome| matches!(outcome, Outcome::Unknown(_));
        let told = told.or_else(|| outcomes.clone().find(is_open));
        let told = told.or_else(|| outcomes.next_back());
        told.expect("it was sent").clone()
    }
}

/// What the contract knows a message by, however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Key {
    /// The conversation.
    pub conversation_id: String,
    /// Who sends it.
    pub sender_id: String,
    /// The sender's own id for it.
    pub client_message_id: String,
}

/// One time that a message was sent.
#[derive(Debug, Clone, Serialize)]
pub struct Attempt {
    /// The socket on which it left: [`Socket::id`].
    pub socket: u64,
    /// Just before it left.
    pub start: Duration,
    /// When its answer came, or was given up.
    pub end: Duration,
    /// What the answer said.
    pub outcome: Outcome,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// It is done.
    Ok,
    /// It is not done and never will be: the code or status of the refusal.
    Failed(String),
    /// It may or may not be done: why that is not known.
    Unknown(String),
    /// It was answered by something that is no answer: its text.
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

/// One attempt to open a socket.
#[derive(Debug, Clone, Serialize)]
pub struct Handshake {
    /// Who wanted it.
    pub user_id: String,
    /// Just before it began.
    pub start: Duration,
    /// When it was over.
    pub end: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// An open socket.
#[derive(Debug, Clone, Serialize)]
pub struct Socket {
    /// The number of the socket in this run.
    pub id: u64,
    /// Whose it is.
    pub user_id: String,
    /// When it was open.
    pub opened: Duration,
    /// When it ended.
    pub ended: Duration,
    /// Why.
    pub why: String,
    /// The frames that came, in order.
    pub received: Vec<Received>,
}

/// A frame that came in.
#[derive(Debug, Clone, Serialize)]
pub struct Received {
    /// When.
    pub at: Duration,
    /// The frame.
    pub frame: Frame,
}

/// One page that was asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Read {
    /// Who asked: a poller, or a device.
    pub reader: String,
    /// The conversation.
    pub conversation_id: String,
    /// The number after which the page was to begin.
    pub after: i64,
    /// The most messages that it was to hold.
    pub limit: usize,
    /// Just before it was asked for.
    pub start: Duration,
    /// When it was there, or given up.
    pub end: Duration,
    /// Whether it came.
    pub outcome: Outcome,
    /// The page.
    pub messages: Vec<Arc<Message>>,
}

/// What a device that follows the contract holds of a conversation at the end.
#[derive(Debug, Clone, Serialize)]
pub struct Held {
    /// The device.
    pub device: String,
    /// The conversation.
    pub conversation_id: String,
    /// Its messages, in the order of their numbers.
    pub messages: Vec<Arc<Message>>,
    /// How many messages came that it had already, and were dropped.
    pub dropped: u64,
    /// How many it had to fetch from the history.
    pub fetched: u64,
}

/// A message as the database holds it.
pub type Stored = Message;

/// The id of the conversation of two users.
///
/// # Panics
///
/// One of them is no valid user id.
pub fn conversation_id(a: &str, b: &str) -> String {
    let user = |id: &str| UserId::try_from(id.to_owned()).expect("a valid user id");
    ConversationId::direct(&user(a), &user(b)).to_string()
}

/// Reads all messages, by conversation and number.
///
/// # Errors
///
/// The database does not answer, or holds a document that is no message of the new system.
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

fn stored(document: &Document) -> Result<Stored> {
    let id: ObjectId = document.get_object_id("_id")?;
    let text = |name| {
        let text = document.get_str(name);
        let text = text.with_context(|| format!("{name} of message {}", id.to_hex()));
        text.map(str::to_owned)
    };
    Ok(Stored {
        message_id: id.to_hex(),
        conversation_id: text("conversation_id")?,
        seq: document.get_i64("seq")?,
        sender_id: text("sender_id")?,
        receiver_id: text("receiver_id")?,
        message: text("message")?,
        timestamp: text("timestamp")?,
        client_message_id: if document.contains_key("client_message_id") {
            Some(text("client_message_id")?)
        } else {
            None
        },
    })
}

//! The record of everything that a run did and saw.
//!
//! All times are since the start of the run, by a monotonic clock. Each operation has its start,
//! its end and its outcome; a frame that came in has the time of its arrival.

use std::sync::Arc;
use std::time::Duration;

use chat::{ClientMessageId, ConversationId, Kind, UserId};
use serde::Serialize;
use tests::client::{Error, Frame, Member, Message, Row};

/// Everything that a run did and saw.
#[derive(Debug, Clone, Default, Serialize)]
pub struct History {
    /// The entries that were sent, each with all its attempts.
    pub sends: Vec<Sent>,
    /// The attempts to open a connection.
    pub handshakes: Vec<Handshake>,
    /// The connections, with all that they received.
    pub connections: Vec<Connection>,
    /// The pages of conversations that were read, by pollers and by devices with a gap.
    pub reads: Vec<Read>,
    /// The lists of conversations that were read.
    pub lists: Vec<Listed>,
    /// The members of groups that were read.
    pub rolls: Vec<Roll>,
    /// The copy of each conversation on each device at the end.
    pub held: Vec<Held>,
}

/// An entry that was sent.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sent {
    /// The key by which the contract knows it.
    pub key: Key,
    /// The receiver; none in a group.
    pub receiver_id: Option<String>,
    /// The kind.
    pub kind: Kind,
    /// The number of the text that it changes.
    pub target_seq: Option<i64>,
    /// The text; empty for what is neither a text nor an edit.
    pub message: String,
    /// The users of whom a change of a group is.
    pub users: Vec<String>,
    /// The name that it gives the group.
    pub title: Option<String>,
    /// The role that it gives.
    pub role: Option<String>,
    /// What those who join may read.
    pub history: Option<String>,
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
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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

impl Outcome {
    /// Whether it is refused because of who asks.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Failed(status) if status.starts_with("403"))
    }
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
    /// The user who reads.
    pub user_id: String,
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
    /// Whether groups were asked for.
    pub groups: bool,
    /// Time just before the request.
    pub start: Duration,
    /// Time of the response, or at which it was given up.
    pub end: Duration,
    /// The outcome of the request.
    pub outcome: Outcome,
    /// The conversations.
    pub rows: Vec<Row>,
}

/// The members of a group that were requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Roll {
    /// The user who asked.
    pub user_id: String,
    /// The group.
    pub conversation_id: String,
    /// Time just before the request.
    pub start: Duration,
    /// Time of the response, or at which it was given up.
    pub end: Duration,
    /// The outcome of the request.
    pub outcome: Outcome,
    /// The members.
    pub members: Vec<Member>,
}

/// The copy of a conversation on a device, at the end.
#[derive(Debug, Clone, Serialize)]
pub struct Held {
    /// The device.
    pub device: String,
    /// Its user.
    pub user_id: String,
    /// The conversation.
    pub conversation_id: String,
    /// Its entries, in the order of their numbers, with the changes applied.
    pub messages: Vec<Arc<Message>>,
    /// Number of messages that came again, and were dropped.
    pub dropped: u64,
    /// Number of messages that were read from the history.
    pub fetched: u64,
}

/// Whether an id is that of a group.
pub fn is_group(conversation_id: &str) -> bool {
    ConversationId::from(conversation_id.to_owned()).is_group()
}

/// Returns the id of the conversation of two users.
///
/// # Panics
///
/// One of them is not a valid user id.
pub fn conversation_id(a: &str, b: &str) -> String {
    ConversationId::direct(&user(a), &user(b)).to_string()
}

/// Returns the id of the group that a user creates under an id.
///
/// # Panics
///
/// One of them is not valid.
pub fn group_id(creator: &str, client_message_id: &str) -> String {
    let id = ClientMessageId::try_from(client_message_id.to_owned());
    ConversationId::group(&user(creator), &id.expect("a valid id")).to_string()
}

fn user(id: &str) -> UserId {
    UserId::try_from(id.to_owned()).expect("a valid user id")
}

//! The store, in MongoDB.
//!
//! - [`indexes`]: the indexes of all collections, each with its reason
//! - `stored_entry`, `append`, `page`: the log of entries with its delivery contract: dense numbers,
//!   idempotent resends, times that never decrease
//! - `changes`: edits and deletions, applied to the texts that they are about
//! - `completion`: what follows from an entry, for a sender that was killed before it
//! - `groups`: who is in a group, as this process knows it, and the documents that say so
//! - `memory`: the newest number of each conversation, as this process remembers it
//! - `search`: the ranges that are read for a page
//! - `reached`: a number that a conversation has reached, so that the newest one is found in a short range
//! - `connections`: one document per open connection
//! - `members`: one document per user and conversation, with the user's marks
//! - `blocks`: what a user has set for a conversation, and whom the user blocks
//! - `users`: one document per user, with settings and the time at which the user was last seen
//! - `unread`: the count of unread texts
//! - `list`: the conversations of a user, newest first
//! - `rate_limits`: the rate limits of users and groups, each a `token_bucket` in one document
//! - `config`: the connection string, and the settings of the driver that follow
//! - `connection_string`: options that are ignored, and the mistake in a connection string
//! - [`inspect`]: documents as they are stored, for the operator's program
//! - `filter`: filters that are short ranges on any database
//! - `batch`: several requests of a process served by one operation

mod append;
mod batch;
mod blocks;
mod changes;
mod completion;
mod config;
mod connection_string;
mod connections;
pub(crate) mod filter;
mod groups;
pub mod indexes;
pub mod inspect;
mod list;
mod members;
mod memory;
mod page;
mod rate_limits;
mod reached;
mod search;
mod stored_entry;
mod token_bucket;
mod unread;
mod updates;
mod users;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lru::LruCache;
use mongodb::bson::{self, doc};
use mongodb::error::{Error as DriverError, ErrorKind, WriteFailure};
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection, Database};
use parking_lot::Mutex;
use tracing::Instrument;
use tracing::field::Empty;

use crate::{ConversationId, Deadline, Error, Result, UserId};

pub use append::Appended;
use append::ConversationLock;
use batch::Batch;
pub(crate) use changes::blanking;
use config::OPERATION_TIMEOUT;
pub use config::{StoreConfig, client_options};
pub use connections::Connection;
pub(crate) use inspect::id_at;
pub use list::{ListCursor, ListPage, ListedConversation, ListedWith};
pub(crate) use members::Hints;
use members::Written;
pub use members::{Member, Moved};
pub use page::{Page, Range, ReaderView, View};
pub use rate_limits::Limited;
use rate_limits::TokenBucket;
use reached::Conversation;
use stored_entry::StoredEntry;
pub use token_bucket::{RateLimit, TokensLeft};
pub(crate) use updates::{update_all, upsert_all};
pub use users::Presence;
use users::User;

/// Name of the collection of the entries of all conversations.
pub const MESSAGES: &str = "chat_messages";

/// Name of the collection of conversations.
pub const CONVERSATIONS: &str = "conversations";

/// Name of the collection of connections.
pub const CONNECTIONS: &str = "connections";

/// Name of the collection of users in conversations.
pub const MEMBERS: &str = "members";

/// Name of the collection of users.
pub const USERS: &str = "users";

/// Name of the collection of the migration's records.
pub const MIGRATIONS: &str = "migrations";

/// Name of the collection of jobs.
pub const JOBS: &str = "jobs";

/// Name of the collection of token buckets.
pub const RATE_LIMITS: &str = "rate_limits";

/// The server's error code for a key that a unique index has already.
pub(crate) const DUPLICATE_KEY: i32 = 11_000;

/// Conversations whose newest number a warm process remembers.
const REMEMBERED_CONVERSATIONS: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// The members that a group may have, where nothing else is set.
pub const DEFAULT_GROUP_SIZE: usize = 100;

/// Documents that one operation reads of a group. A server gives 101 at first, and the rest only to another one.
const MANY: u32 = 1_000;

/// Longer than the driver's own timeouts for a ping, and shorter than the ten seconds that Lambda gives
/// the start of a process.
const PING_TIMEOUT: Duration = Duration::from_secs(8);

/// The collections. Opened once at start and shared by all requests of a process; clones share the
/// driver's client and all that the process remembers.
#[derive(Clone)]
pub struct Store {
    database: Database,
    connections: Collection<Connection>,
    conversations: Collection<Conversation>,
    messages: Collection<StoredEntry>,
    members: Collection<Member>,
    rate_limits: Collection<TokenBucket>,
    users: Collection<User>,
    locks: Arc<Mutex<LruCache<ConversationId, ConversationLock>>>,
    /// Whether what this process remembers of a conversation is trusted from the start: with many
    /// requests at once, it is probably the only process that writes.
    trusts_memory: bool,
    inserts: Arc<Batch<Arc<StoredEntry>, bool>>,
    look_ups: Arc<Batch<Vec<UserId>, Vec<Connection>>>,
    members_written: Arc<Written>,
    /// The members that a group may have.
    group_size: usize,
    /// The age at which texts are hidden; `None` for never.
    retention: Option<TimeDelta>,
}

impl Store {
    /// Prepares a client with settings that fit Lambda. The connection string overrides them, except
    /// that writes always wait for the majority and reads always go to the primary.
    ///
    /// Nothing is connected yet, except that a `mongodb+srv` name is resolved.
    ///
    /// # Errors
    ///
    /// - [`Error::Config`]: the connection string is malformed.
    /// - [`Error::Unavailable`]: its name could not be resolved.
    pub async fn open(config: &StoreConfig) -> Result<Self> {
        let options = client_options(config).await?;
        match Self::with_options(options, &config.database) {
            Ok(store) => Ok(Self {
                trusts_memory: config.concurrency > 1,
                ..store
            }),
            Err(_) => Err(config.invalid().await),
        }
    }

    /// Like [`Store::open`] for one request at a time, with driver settings that the caller made.
    ///
    /// # Errors
    ///
    /// The driver's: the settings contradict each other.
    pub fn with_options(
        options: ClientOptions,
        database: &str,
    ) -> std::result::Result<Self, DriverError> {
        let client = Client::with_options(options)?;
        let database = client.database(database);
        Ok(Self {
            connections: database.collection(CONNECTIONS),
            conversations: database.collection(CONVERSATIONS),
            messages: database.collection(MESSAGES),
            members: database.collection(MEMBERS),
            rate_limits: database.collection(RATE_LIMITS),
            users: database.collection(USERS),
            locks: Arc::new(Mutex::new(LruCache::new(REMEMBERED_CONVERSATIONS))),
            trusts_memory: false,
            inserts: Arc::default(),
            look_ups: Arc::default(),
            members_written: Arc::default(),
            group_size: DEFAULT_GROUP_SIZE,
            retention: None,
            database,
        })
    }

    /// Limits the members of groups to another number.
    pub fn with_group_size(self, group_size: usize) -> Self {
        Self { group_size, ..self }
    }

    /// Hides the texts that are older, from readers. [`retention`](crate::retention) removes them.
    pub fn with_retention(self, retention: Option<TimeDelta>) -> Self {
        Self { retention, ..self }
    }

    /// Returns the time before which texts are hidden.
    fn hidden_before(&self) -> Option<DateTime<Utc>> {
        Utc::now().checked_sub_signed(self.retention?)
    }

    /// Pings the server. That opens the first connection, so that its cost falls into the start of a
    /// process and not into its first request.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: no server responds. A process may go on: later requests try again.
    pub async fn ping(&self) -> Result<()> {
        let database = self.database.clone();
        let deadline = Deadline::after(PING_TIMEOUT);
        let ping = async move { database.run_command(doc! {"ping": 1}).await };
        perform("ping of the database", deadline, ping).await?;
        Ok(())
    }

    /// Returns the database, for the migration.
    pub fn database(&self) -> &Database {
        &self.database
    }
}

/// Performs an operation of the driver until it is done or the deadline has passed, in a span of its
/// own, which is timed and traced.
///
/// The operation is a task of its own and is never dropped half-way: the driver asks that its futures
/// be allowed to finish.
///
/// # Errors
///
/// [`Error::Unavailable`]: the database failed or the deadline passed. In the latter case the
/// operation may still succeed later.
async fn perform<T: Send + 'static>(
    operation: &'static str,
    deadline: Deadline,
    action: impl Future<Output = Result<T, DriverError>> + Send + 'static,
) -> Result<T> {
    let span = tracing::info_span!("database", operation, fault = Empty);
    let recorded = span.clone();
    let action = async move {
        action.await.map_err(|error| {
            recorded.record("fault", true);
            Error::unavailable(operation)(error)
        })
    };
    deadline.run(operation, action.instrument(span)).await
}

/// Returns whether a unique index has rejected a document.
fn is_duplicate_key(error: &DriverError) -> bool {
    match &*error.kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.code == DUPLICATE_KEY,
        ErrorKind::Command(error) => error.code == DUPLICATE_KEY,
        _ => false,
    }
}

/// Returns a time as the database has it.
fn date(time: DateTime<Utc>) -> bson::DateTime {
    bson::DateTime::from_millis(time.timestamp_millis())
}

/// Returns a time of the database; 1970 if it is beyond those of the calendar.
fn time(date: bson::DateTime) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(date.timestamp_millis()).unwrap_or_default()
}

//! The store, in MongoDB.
//!
//! - [`indexes`]: the indexes of all collections, each with its reason
//! - `messages`, `append`, `page`: the log of messages with its delivery contract: dense numbers,
//!   idempotent resends, times that never decrease
//! - `connections`: one document per open connection
//! - `rate_limits`: one token bucket per user who has sent lately
//! - `batch`: several requests of a process served by one operation

mod append;
mod batch;
mod connections;
pub mod indexes;
mod messages;
mod page;
mod rate_limits;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use mongodb::bson::doc;
use mongodb::error::{Error as DriverError, ErrorKind, WriteFailure};
use mongodb::options::{Acknowledgment, ClientOptions, ReadPreference};
use mongodb::{Client, Collection, Database};
use parking_lot::Mutex;
use tracing::Instrument;
use tracing::field::Empty;

use crate::secret::Secret;
use crate::{ConversationId, Deadline, Error, Result, UserId};

pub use append::Appended;
use append::ConversationLock;
use batch::Batch;
pub use connections::Connection;
use messages::StoredMessage;
pub use page::{Page, Range};
use rate_limits::TokenBucket;
pub use rate_limits::{RateLimit, TokensLeft};

/// Name of the collection of messages.
pub const MESSAGES: &str = "chat_messages";

/// Name of the collection of connections.
pub const CONNECTIONS: &str = "connections";

/// Name of the collection of token buckets.
pub const RATE_LIMITS: &str = "rate_limits";

/// The server's error code for a key that a unique index has already.
pub(crate) const DUPLICATE_KEY: i32 = 11_000;

/// Conversations whose newest number a warm process remembers.
const REMEMBERED_CONVERSATIONS: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// The time limit of the server for one read, and for the majority to confirm one write. The driver
/// has no timeout of its own for a response.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// Longer than the driver's own timeouts for a ping, and shorter than the ten seconds that Lambda gives
/// the start of a process.
const PING_TIMEOUT: Duration = Duration::from_secs(8);

/// Settings of the store.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The connection string: `mongodb://` or `mongodb+srv://`. It may hold a password.
    pub uri: Secret,
    /// The environment variable that the connection string comes from, for errors.
    pub variable: &'static str,
    /// The name of the database.
    pub database: String,
    /// Requests served at once by one process. The connection pool grows with it.
    pub concurrency: u32,
}

impl StoreConfig {
    /// The name of the database where none is configured.
    pub const DEFAULT_DATABASE: &str = "meetme";

    /// Returns the settings of a program that does one thing at a time.
    pub fn new(uri: &str, database: &str) -> Self {
        Self {
            uri: uri.to_owned().into(),
            variable: "MONGODB_URI",
            database: database.to_owned(),
            concurrency: 1,
        }
    }

    fn invalid(&self, problem: &str) -> Error {
        Error::Config {
            variable: self.variable,
            problem: problem.to_owned(),
        }
    }
}

/// The collections. Opened once at start and shared by all requests of a process; clones share the
/// driver's client and all that the process remembers.
#[derive(Clone)]
pub struct Store {
    database: Database,
    connections: Collection<Connection>,
    messages: Collection<StoredMessage>,
    rate_limits: Collection<TokenBucket>,
    locks: Arc<Mutex<LruCache<ConversationId, ConversationLock>>>,
    inserts: Arc<Batch<Arc<StoredMessage>, bool>>,
    look_ups: Arc<Batch<Vec<UserId>, Vec<Connection>>>,
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
        // The driver's sentence may quote the connection string, and with it a password.
        Self::with_options(options, &config.database)
            .map_err(|_| config.invalid("has settings that contradict each other"))
    }

    /// Like [`Store::open`], with driver settings that the caller made.
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
            messages: database.collection(MESSAGES),
            rate_limits: database.collection(RATE_LIMITS),
            locks: Arc::new(Mutex::new(LruCache::new(REMEMBERED_CONVERSATIONS))),
            inserts: Arc::default(),
            look_ups: Arc::default(),
            database,
        })
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

/// Returns driver settings for a process that serves `config.concurrency` requests at once.
///
/// # Errors
///
/// As [`Store::open`].
pub async fn client_options(config: &StoreConfig) -> Result<ClientOptions> {
    let uri = config.uri.expose().trim();
    let mut options = ClientOptions::parse(uri)
        .await
        .map_err(|error| match *error.kind {
            // The driver's sentence may quote the connection string, and with it a password.
            ErrorKind::InvalidArgument { .. } => config.invalid("holds no valid connection string"),
            _ => Error::unavailable("look-up of the database's address")(error),
        })?;
    options.app_name.get_or_insert("meetme-chat".to_owned());
    // A request uses two connections at most; the others are for retries beside stuck ones.
    options.max_pool_size.get_or_insert(config.concurrency + 3);
    options.max_idle_time.get_or_insert(Duration::from_secs(60));
    options
        .connect_timeout
        .get_or_insert(Duration::from_secs(2));
    options
        .server_selection_timeout
        .get_or_insert(Duration::from_secs(3));
    // Acknowledged means stored, whatever the connection string says.
    let concern = options.write_concern.get_or_insert_default();
    concern.w = Some(Acknowledgment::Majority);
    concern.w_timeout.get_or_insert(OPERATION_TIMEOUT);
    options.selection_criteria = Some(ReadPreference::Primary.into());
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_show_in_debug_output() {
        let config = StoreConfig::new("mongodb://user:hunter2@host", "meetme");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

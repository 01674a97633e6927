//! MongoDB: the open sockets, the log of messages, and how fast users send.
//!
//! - `connections`: one document per open socket
//! - `messages`: the log, with the delivery contract: dense numbers, idempotent resends, times that
//!   never decrease
//! - `limits`: one document per user who has sent lately, the token bucket
//! - `batch`: several requests of a process served by one operation

mod batch;
mod connections;
mod limits;
mod messages;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lru::LruCache;
use mongodb::bson::doc;
use mongodb::error::{Error as DriverError, ErrorKind, WriteFailure};
use mongodb::options::{Acknowledgment, ClientOptions, ReadPreference};
use mongodb::{Client, Collection, Database};
use tracing::Instrument;
use tracing::field::Empty;

use crate::secret::Secret;
use crate::{ConversationId, Error, Result, UserId};

use batch::Batch;
pub use connections::Connection;
use limits::Bucket;
pub use limits::{Balance, RateLimit};
pub use messages::{Appended, Page, Range};
pub(crate) use messages::{CLIENT_MESSAGE_ID_INDEX, SEQ_INDEX};
use messages::{Line, StoredMessage};

/// Name of the collection of messages.
pub const MESSAGES: &str = "chat_messages";

/// Name of the collection of open sockets.
pub const CONNECTIONS: &str = "connections";

/// Name of the collection of token buckets.
pub const RATE_LIMITS: &str = "rate_limits";

/// The server's error code for a key that a unique index has already.
pub(crate) const DUPLICATE_KEY: i32 = 11_000;

/// Conversations of which a warm process remembers the newest number.
const REMEMBERED_CONVERSATIONS: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// How long the server may work on one read, and wait for the majority on one write. The driver has
/// no time-out of its own for an answer.
const OPERATION_TIME: Duration = Duration::from_secs(5);

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

/// The collections. Made once at start and shared by all requests of a process.
pub struct Store {
    database: Database,
    connections: Collection<Connection>,
    messages: Collection<StoredMessage>,
    rate_limits: Collection<Bucket>,
    lines: Mutex<LruCache<ConversationId, Line>>,
    inserts: Batch<Arc<StoredMessage>, bool>,
    look_ups: Batch<[UserId; 2], Vec<Connection>>,
}

impl Store {
    /// Prepares a client with settings that fit Lambda; what the connection string says wins, except
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
            lines: Mutex::new(LruCache::new(REMEMBERED_CONVERSATIONS)),
            inserts: Batch::default(),
            look_ups: Batch::default(),
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
        let ping = self.database.run_command(doc! {"ping": 1});
        perform("ping of the database", ping).await?;
        Ok(())
    }

    /// The database, for the migration.
    pub fn database(&self) -> &Database {
        &self.database
    }
}

/// Performs an operation of the driver in a span of its own, by which it is timed and traced.
///
/// # Errors
///
/// [`Error::Unavailable`].
async fn perform<T>(
    operation: &'static str,
    action: impl IntoFuture<Output = Result<T, DriverError>>,
) -> Result<T> {
    let span = tracing::info_span!("database", operation, fault = Empty);
    let result = action.into_future().instrument(span.clone()).await;
    result.map_err(|error| {
        span.record("fault", true);
        Error::unavailable(operation)(error)
    })
}

/// Whether a unique index has refused a document.
fn is_duplicate_key(error: &DriverError) -> bool {
    match &*error.kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.code == DUPLICATE_KEY,
        ErrorKind::Command(error) => error.code == DUPLICATE_KEY,
        _ => false,
    }
}

/// Driver settings for a process that serves `config.concurrency` requests at once.
///
/// # Errors
///
/// As [`Store::open`].
pub async fn client_options(config: &StoreConfig) -> Result<ClientOptions> {
    let mut options = ClientOptions::parse(config.uri.expose().trim())
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
    concern.w_timeout.get_or_insert(OPERATION_TIME);
    options.selection_criteria = Some(ReadPreference::Primary.into());
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        let config = StoreConfig::new("mongodb://user:hunter2@host", "meetme");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

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

use crate::config::DatabaseConfig;
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
    /// Nothing is connected yet, except that a secret is read and a `mongodb+srv` name resolved.
    ///
    /// # Errors
    ///
    /// - [`Error::Config`]: the connection string is malformed.
    /// - [`Error::Unavailable`]: its name could not be resolved, or its secret not be read.
    pub async fn open(config: &DatabaseConfig) -> Result<Self> {
        let options = client_options(config).await?;
        // The driver's sentence may quote the connection string, and with it a password.
        Self::with_options(options, &config.database).map_err(|_| {
            config
                .uri
                .invalid("has settings that contradict each other")
        })
    }

    /// Opens a store and its first connection, for the start of a function. Without a database the
    /// process starts all the same: later requests try again.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub async fn open_warm(config: &DatabaseConfig) -> Result<Self> {
        let store = Self::open(config).await?;
        if let Err(error) = store.warm().await {
            tracing::warn!(cause = error.chain(), "starting without the database");
        }
        Ok(store)
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

    /// Opens the first connection, so that its cost falls into the start of a process and not into
    /// its first request.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: no server answers. A process may go on: later requests try again.
    pub async fn warm(&self) -> Result<()> {
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
pub async fn client_options(config: &DatabaseConfig) -> Result<ClientOptions> {
    let uri = config.uri.resolve().await?;
    let mut options =
        ClientOptions::parse(uri.expose().trim())
            .await
            .map_err(|error| match *error.kind {
                // The driver's sentence may quote the connection string, and with it a password.
                ErrorKind::InvalidArgument { .. } => {
                    config.uri.invalid("holds no valid connection string")
                }
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

//! The open connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_util::sync::CancellationToken;

use crate::lambda::shares::Caller;

/// Limit of frames that wait for a slow client. Further posts are rejected. [U]: API Gateway
/// documents a bounded buffer, but not its size.
const OUTBOX_FRAMES: usize = 256;

/// Bytes that may wait for a slow client, as above: two of the largest messages.
const OUTBOX_BYTES: usize = 256 * 1024;

/// Bytes that may wait for all slow clients together.
const OUTBOXES_BYTES: usize = 64 * 1024 * 1024;

/// The client of a connection, as all its events describe it.
pub struct Client {
    /// The id of the connection.
    pub connection_id: String,
    /// Time of the handshake.
    pub connected_at: DateTime<Utc>,
    /// The client's address.
    pub source_ip: String,
    /// The `User-Agent` of the handshake.
    pub user_agent: Option<String>,
    /// The `Host` of the handshake.
    pub domain_name: String,
    /// The authorizer's part of the events, once it has allowed the connection.
    pub authorizer: Option<Value>,
}

impl Client {
    /// Returns the caller: the user, by the principal of the authorizer, else the connection.
    pub fn caller(&self) -> Caller {
        let authorizer = self.authorizer.as_ref();
        match authorizer.and_then(|context| context["principalId"].as_str()) {
            Some(principal_id) => Caller::User(principal_id.to_owned()),
            None => Caller::Connection(self.connection_id.clone()),
        }
    }
}

/// An open connection.
pub struct Connection {
    /// Its client.
    pub client: Client,
    /// Cancelled when the frames that wait for a process are dropped.
    pub drop_frames: CancellationToken,
    close_reason: watch::Sender<Option<CloseReason>>,
    last_active_ms: AtomicI64,
    outbox: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
    room_of_all: Arc<Semaphore>,
}

/// A frame on its way to the client.
pub struct Outgoing {
    /// The frame.
    pub message: Message,
    /// Its room in the outbox, and in those of all connections. A close frame needs none.
    pub room: Option<[OwnedSemaphorePermit; 2]>,
}

/// The reason why a connection is closed from our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The backend has deleted the connection.
    Deleted,
    /// Its TCP connection is to break: a fault on demand.
    Cut,
    /// The client does not read.
    NotReading,
}

impl Connection {
    /// Returns a connection, with the other end of its outbox.
    fn new(client: Client, room_of_all: Arc<Semaphore>) -> (Arc<Self>, mpsc::Receiver<Outgoing>) {
        let (outbox, frames) = mpsc::channel(OUTBOX_FRAMES);
        let connection = Self {
            close_reason: watch::Sender::new(None),
            drop_frames: CancellationToken::new(),
            last_active_ms: AtomicI64::new(client.connected_at.timestamp_millis()),
            outbox,
            room: Arc::new(Semaphore::new(OUTBOX_BYTES)),
            room_of_all,
            client,
        };
        (Arc::new(connection), frames)
    }

    /// Returns the id of the connection.
    pub fn id(&self) -> &str {
        &self.client.connection_id
    }

    /// Puts a text frame into the outbox.
    ///
    /// # Errors
    ///
    /// [`NotSent`].
    pub fn send(&self, text: Utf8Bytes) -> Result<(), NotSent> {
        let bytes = u32::try_from(text.len()).map_err(|_| NotSent::Full)?;
        let take = |room: &Arc<Semaphore>| {
            let taken = Arc::clone(room).try_acquire_many_owned(bytes);
            taken.map_err(|_| NotSent::Full)
        };
        let room = Some([take(&self.room)?, take(&self.room_of_all)?]);
        self.put(Outgoing {
            message: Message::Text(text),
            room,
        })?;
        self.touch();
        Ok(())
    }

    /// Sends a close frame.
    pub fn send_close(&self, code: CloseCode, reason: &'static str) {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        // A full outbox belongs to a client that does not read; its connection ends with its task.
        let _ = self.put(Outgoing {
            message: Message::Close(Some(frame)),
            room: None,
        });
    }

    /// Closes the connection.
    pub fn close(&self, reason: CloseReason) {
        self.close_reason.send_replace(Some(reason));
    }

    /// Waits for [`Connection::close`]; returns its reason.
    pub async fn closed(&self) -> CloseReason {
        let mut reason = self.close_reason.subscribe();
        let closed = reason.wait_for(Option::is_some).await.map(|reason| *reason);
        // The sender lives as long as self.
        closed.ok().flatten().unwrap_or(CloseReason::Cut)
    }

    /// Stores the time of a message.
    pub fn touch(&self) {
        let now = Utc::now().timestamp_millis();
        self.last_active_ms.store(now, Ordering::Relaxed);
    }

    /// Returns the time of the last message in either direction.
    pub fn last_active(&self) -> DateTime<Utc> {
        let millis = self.last_active_ms.load(Ordering::Relaxed);
        DateTime::from_timestamp_millis(millis).unwrap_or(self.client.connected_at)
    }

    fn put(&self, frame: Outgoing) -> Result<(), NotSent> {
        self.outbox.try_send(frame).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotSent::Full,
            mpsc::error::TrySendError::Closed(_) => NotSent::Gone,
        })
    }
}

/// The reason why a frame was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    /// The connection is closed.
    Gone,
    /// The client reads too slowly.
    Full,
}

/// All connections that are up: past `$connect` and not yet closed.
pub struct Connections {
    by_id: Mutex<HashMap<String, Arc<Connection>>>,
    /// Room in the outboxes of all connections.
    room: Arc<Semaphore>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            by_id: Mutex::default(),
            room: Arc::new(Semaphore::new(OUTBOXES_BYTES)),
        }
    }
}

impl Connections {
    /// Adds a connection. Returns it with the other end of its outbox.
    pub fn insert(&self, client: Client) -> (Arc<Connection>, mpsc::Receiver<Outgoing>) {
        let (connection, outbox) = Connection::new(client, Arc::clone(&self.room));
        let id = connection.id().to_owned();
        self.by_id.lock().insert(id, Arc::clone(&connection));
        (connection, outbox)
    }

    /// Removes a connection.
    pub fn remove(&self, connection_id: &str) {
        self.by_id.lock().remove(connection_id);
    }

    /// Returns the connection with an id.
    pub fn get(&self, connection_id: &str) -> Option<Arc<Connection>> {
        self.by_id.lock().get(connection_id).cloned()
    }

    /// Returns all connections.
    pub fn all(&self) -> Vec<Arc<Connection>> {
        self.by_id.lock().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_connections_of_a_principal_are_one_caller() {
        let caller = |connection_id: &str, authorizer: Option<Value>| {
            let client = Client {
                connection_id: connection_id.to_owned(),
                connected_at: DateTime::UNIX_EPOCH,
                source_ip: "127.0.0.1".to_owned(),
                user_agent: None,
                domain_name: String::new(),
                authorizer,
            };
            client.caller()
        };
        let principal = |id: &str| Some(json!({"principalId": id, "integrationLatency": 1}));
        assert_eq!(caller("a", principal("u")), caller("b", principal("u")));
        assert_ne!(caller("a", principal("u")), caller("a", principal("v")));
        assert_ne!(caller("a", None), caller("b", None));
        assert_ne!(caller("u", None), caller("a", principal("u")));
    }
}

//! The open sockets.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

/// Frames that may wait for a slow client before posts to it are refused. [U]: that API Gateway's
/// buffer is bounded is documented, its size is not.
const OUTBOX_FRAMES: usize = 256;

/// Bytes that may wait for a slow client, as above: two of the largest messages.
const OUTBOX_BYTES: usize = 256 * 1024;

/// A socket from its handshake on.
pub struct Socket {
    /// Its id.
    pub connection_id: String,
    /// When the handshake began; the same in all its events.
    pub connected_at: DateTime<Utc>,
    /// The client's address.
    pub source_ip: String,
    /// The `User-Agent` of the handshake.
    pub user_agent: Option<String>,
    /// The `Host` of the handshake.
    pub domain_name: String,
    /// What the authorizer said, as all events show it.
    pub authorizer: OnceLock<Value>,
    end: watch::Sender<Option<End>>,
    last_active_ms: AtomicI64,
    outbox: mpsc::Sender<Message>,
    outbox_bytes: AtomicUsize,
}

/// Why a socket is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The backend has deleted the connection.
    Deleted,
    /// Its TCP connection is to break: a fault on demand.
    Cut,
}

impl Socket {
    /// A socket, with the other end of its outbox.
    pub fn new(
        connection_id: String,
        source_ip: String,
        user_agent: Option<String>,
        domain_name: String,
    ) -> (Arc<Self>, mpsc::Receiver<Message>) {
        let (outbox, frames) = mpsc::channel(OUTBOX_FRAMES);
        let now = Utc::now();
        let socket = Self {
            connection_id,
            connected_at: now,
            source_ip,
            user_agent,
            domain_name,
            authorizer: OnceLock::new(),
            end: watch::Sender::new(None),
            last_active_ms: AtomicI64::new(now.timestamp_millis()),
            outbox,
            outbox_bytes: AtomicUsize::new(0),
        };
        (Arc::new(socket), frames)
    }

    /// Puts a text frame into the outbox.
    ///
    /// # Errors
    ///
    /// [`NotSent`].
    pub fn send(&self, text: &str) -> Result<(), NotSent> {
        let waiting = self.outbox_bytes.fetch_add(text.len(), Ordering::Relaxed);
        let sent = match waiting > 0 && waiting + text.len() > OUTBOX_BYTES {
            true => Err(NotSent::Full),
            false => self.put(Message::text(text)),
        };
        match sent {
            Ok(()) => self.touch(),
            Err(_) => self.has_left(text.len()),
        }
        sent
    }

    /// Notes that so many bytes have left the outbox.
    pub fn has_left(&self, bytes: usize) {
        self.outbox_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Asks the client to close.
    pub fn close(&self, code: CloseCode, reason: &'static str) {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        // A full outbox belongs to a client that does not read; its socket ends with its task.
        let _ = self.put(Message::Close(Some(frame)));
    }

    /// Ends the socket.
    pub fn end(&self, end: End) {
        self.end.send_replace(Some(end));
    }

    /// Waits until the socket is to end.
    pub async fn ended(&self) -> End {
        let mut end = self.end.subscribe();
        let ended = end.wait_for(Option::is_some).await.map(|end| *end);
        // The sender lives as long as self.
        ended.ok().flatten().unwrap_or(End::Cut)
    }

    /// Notes that the client sent something.
    pub fn touch(&self) {
        let now = Utc::now().timestamp_millis();
        self.last_active_ms.store(now, Ordering::Relaxed);
    }

    /// When something was last sent either way.
    pub fn last_active(&self) -> DateTime<Utc> {
        let millis = self.last_active_ms.load(Ordering::Relaxed);
        DateTime::from_timestamp_millis(millis).unwrap_or(self.connected_at)
    }

    fn put(&self, frame: Message) -> Result<(), NotSent> {
        self.outbox.try_send(frame).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotSent::Full,
            mpsc::error::TrySendError::Closed(_) => NotSent::Gone,
        })
    }
}

/// Why a frame was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    /// The socket is closed.
    Gone,
    /// The client reads too slowly.
    Full,
}

/// All sockets that are up: past `$connect` and not yet closed.
#[derive(Default)]
pub struct Connections(Mutex<HashMap<String, Arc<Socket>>>);

impl Connections {
    /// Adds a socket.
    pub fn insert(&self, socket: Arc<Socket>) {
        self.lock().insert(socket.connection_id.clone(), socket);
    }

    /// Removes a socket.
    pub fn remove(&self, connection_id: &str) {
        self.lock().remove(connection_id);
    }

    /// The socket with an id.
    pub fn get(&self, connection_id: &str) -> Option<Arc<Socket>> {
        self.lock().get(connection_id).cloned()
    }

    /// All sockets.
    pub fn all(&self) -> Vec<Arc<Socket>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Socket>>> {
        self.0.lock().expect("no holder panics")
    }
}

//! One connection of a user from its handshake to its end, with its record.

use std::sync::Arc;
use std::time::Duration;

use tests::client::{Connect, Connection, Frame};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;

use crate::history::{self, Handshake, Outcome, Received};
use crate::recorder::Recorder;

/// Time limit of a handshake, of a request, and of the sending of a frame.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Silence after which a client sends a ping, and silence after the ping after which it gives up.
const SILENCE: Duration = Duration::from_secs(10);

/// An open connection.
pub struct Session {
    connection: Connection,
    record: history::Connection,
    silent_until: Instant,
    has_asked: bool,
    recorder: Arc<Recorder>,
}

impl Session {
    /// Opens a connection of a user at an origin, as a modern client or an old one; `None` if that fails.
    pub async fn open(
        ws: &str,
        user_id: &str,
        modern: bool,
        recorder: &Arc<Recorder>,
    ) -> Option<Self> {
        let start = recorder.now();
        let mut connect = Connect::user(ws, user_id).timeout(REQUEST_TIMEOUT);
        if modern {
            connect = connect.header("sec-websocket-protocol", "chat.v1");
        }
        let opened = connect.open().await;
        let end = recorder.now();
        let error = opened.as_ref().err().cloned();
        let outcome = error.map_or(Outcome::Ok, Outcome::from);
        let user_id = user_id.to_owned();
        recorder.record(|history| {
            history.handshakes.push(Handshake {
                user_id: user_id.clone(),
                start,
                end,
                outcome,
            });
        });
        Some(Self {
            connection: opened.ok()?,
            record: history::Connection {
                id: recorder.next_connection(),
                user_id,
                modern,
                opened: end,
                ended: end,
                why: String::new(),
                received: Vec::new(),
            },
            silent_until: Instant::now() + SILENCE,
            has_asked: false,
            recorder: Arc::clone(recorder),
        })
    }

    /// Returns the number of the connection.
    pub fn id(&self) -> u64 {
        self.record.id
    }

    /// Returns the next frame. Cancelling the call loses nothing.
    ///
    /// # Errors
    ///
    /// Why the connection is of no use any more.
    pub async fn next(&mut self) -> Result<Frame, String> {
        loop {
            match timeout_at(self.silent_until, self.connection.next()).await {
                Ok(text) => return text.map(|text| self.on_text(&text)),
                Err(_) if self.has_asked => return Err("it is silent".to_owned()),
                Err(_) => {
                    self.silent_until += SILENCE;
                    self.has_asked = true;
                    self.send(r#"{"action":"ping"}"#.to_owned()).await?;
                }
            }
        }
    }

    fn on_text(&mut self, text: &str) -> Frame {
        self.silent_until = Instant::now() + SILENCE;
        self.has_asked = false;
        let frame = self.recorder.share_frame(Frame::parse(text));
        self.record.received.push(Received {
            at: self.recorder.now(),
            frame: frame.clone(),
        });
        frame
    }

    /// Sends a frame.
    ///
    /// # Errors
    ///
    /// Why the connection is of no use any more.
    pub async fn send(&mut self, text: String) -> Result<(), String> {
        self.connection.send(text).await
    }

    /// Closes the connection, with a close frame or by dropping the TCP connection.
    pub async fn end(mut self, why: String, properly: bool) {
        if properly {
            // It may be broken already.
            let _ = self.connection.send_message(Message::Close(None)).await;
        }
        self.record.ended = self.recorder.now();
        self.record.why = why;
        self.recorder
            .record(|history| history.connections.push(self.record));
    }
}

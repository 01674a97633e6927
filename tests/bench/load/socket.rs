//! A client that is small, so that there can be many, and to which refusals and ends happen.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// What is read at once, in bytes: each socket has a buffer of this size.
const READ_BUFFER_BYTES: usize = 2 * 1024;

/// How long a handshake may take: a little longer than API Gateway lets a function take.
const PATIENCE: Duration = Duration::from_secs(35);

/// An open socket.
pub struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Opens a socket on a connection to the chat at `url` (`ws://127.0.0.1:3001`).
    ///
    /// # Errors
    ///
    /// Why the handshake failed: the status, or a word.
    pub async fn open(url: &str, user_id: &str) -> Result<Self, String> {
        let address = url.trim_start_matches("ws://");
        let stream = TcpStream::connect(address).await;
        Self::upgrade(stream.map_err(|error| error.to_string())?, url, user_id).await
    }

    /// The same on a connection that there is.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn upgrade(stream: TcpStream, url: &str, user_id: &str) -> Result<Self, String> {
        // As browsers have it.
        stream.set_nodelay(true).expect("a TCP socket");
        let url = format!("{url}/?user_id={user_id}");
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
        let handshake = client_async_with_config(url, stream, Some(config));
        match timeout(PATIENCE, handshake).await {
            Ok(Ok((socket, _))) => Ok(Self(socket)),
            Ok(Err(Error::Http(response))) => Err(response.status().as_u16().to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        }
    }

    /// Closes the socket and waits until it is closed.
    pub async fn close(mut self) {
        // The other side may have been quicker.
        let _ = self.0.close(None).await;
        while self.next().await.is_some() {}
    }

    /// Sends a frame. That the socket has ended shows when it is read.
    pub async fn send(&mut self, frame: impl ToString) {
        let _ = self.0.send(Message::text(frame.to_string())).await;
    }

    /// The next JSON frame; `None` when the socket has ended.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match self.0.next().await? {
                Ok(Message::Text(text)) => {
                    return Some(serde_json::from_str(&text).expect("a frame is JSON"));
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

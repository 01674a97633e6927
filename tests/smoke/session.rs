//! A socket that says what went wrong.

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tests::client::encode;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// An open socket.
pub struct Session(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Session {
    /// Opens a socket as `user_id`.
    ///
    /// # Errors
    ///
    /// The handshake is refused, or nobody answers.
    pub async fn open(url: &str, user_id: &str) -> Result<Self> {
        let url = format!("{url}?user_id={}", encode(user_id));
        match connect_async(url).await {
            Ok((stream, _)) => Ok(Self(stream)),
            Err(Error::Http(response)) => bail!("the handshake is refused: {}", response.status()),
            Err(error) => Err(error).context("no connection"),
        }
    }

    /// Sends a frame.
    ///
    /// # Errors
    ///
    /// The socket is closed.
    pub async fn send(&mut self, frame: &Value) -> Result<()> {
        let frame = Message::text(frame.to_string());
        self.0.send(frame).await.context("the socket is closed")
    }

    /// The next frame of a type, which any resent message may come before.
    ///
    /// # Errors
    ///
    /// A frame of another type comes, or the socket is closed.
    pub async fn next(&mut self, kind: &str) -> Result<Value> {
        loop {
            let next = self.0.next().await.context("the socket is closed")?;
            let text = match next.context("the socket broke")? {
                Message::Text(text) => text,
                Message::Close(frame) => bail!("the socket is closed: {frame:?}"),
                _ => continue,
            };
            let frame: Value = serde_json::from_str(&text).with_context(|| text.to_string())?;
            match frame["type"] == kind {
                true => return Ok(frame),
                false if frame["type"] == "message" => {}
                false => bail!("expected {kind}, got {frame}"),
            }
        }
    }

    /// Closes the socket and waits until it is closed.
    ///
    /// # Errors
    ///
    /// It broke before.
    pub async fn close(mut self) -> Result<()> {
        self.0.close(None).await?;
        while let Some(Ok(_)) = self.0.next().await {}
        Ok(())
    }
}

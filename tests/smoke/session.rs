//! A socket that says what went wrong.

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use hyper::header::{AUTHORIZATION, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use hyper::{HeaderMap, StatusCode};
use serde_json::Value;
use tests::client::encode;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How a client shows its token.
#[derive(Clone, Copy)]
pub enum Entrance<'a> {
    /// Not at all.
    Without,
    /// By a header, as apps do.
    Header(&'a str),
    /// By a subprotocol, as browsers do.
    Subprotocol(&'a str),
}

/// An open socket.
pub struct Session(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Session {
    /// Opens a socket as `user_id`.
    ///
    /// # Errors
    ///
    /// The handshake is refused, or nobody answers, or the subprotocol is not answered.
    pub async fn open(url: &str, user_id: &str, entrance: Entrance<'_>) -> Result<Self> {
        match shake_hands(url, user_id, entrance).await? {
            Ok(stream) => Ok(Self(stream)),
            Err(status) => bail!("the handshake is refused: {status}"),
        }
    }

    /// The status with which a handshake is refused.
    ///
    /// # Errors
    ///
    /// It is not, or nobody answers.
    pub async fn refusal(url: &str, user_id: &str, entrance: Entrance<'_>) -> Result<StatusCode> {
        match shake_hands(url, user_id, entrance).await? {
            Ok(_) => bail!("the handshake succeeds"),
            Err(status) => Ok(status),
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

impl Entrance<'_> {
    fn add_to(self, headers: &mut HeaderMap) -> Result<()> {
        let (name, value) = match self {
            Self::Without => return Ok(()),
            Self::Header(token) => (AUTHORIZATION, format!("Bearer {token}")),
            Self::Subprotocol(token) => {
                (SEC_WEBSOCKET_PROTOCOL, format!("chat.v1, bearer.{token}"))
            }
        };
        let value = HeaderValue::try_from(value).context("a token fits into a header")?;
        headers.insert(name, value);
        Ok(())
    }
}

/// The error inside is the status of a refusal.
async fn shake_hands(
    url: &str,
    user_id: &str,
    entrance: Entrance<'_>,
) -> Result<Result<WebSocketStream<MaybeTlsStream<TcpStream>>, StatusCode>> {
    let url = format!("{url}?user_id={}", encode(user_id));
    let mut request = url.into_client_request().context("a URL")?;
    entrance.add_to(request.headers_mut())?;
    match connect_async(request).await {
        Ok((stream, _)) => Ok(Ok(stream)),
        Err(Error::Http(response)) => Ok(Err(response.status())),
        Err(error) => Err(error).context("no connection"),
    }
}

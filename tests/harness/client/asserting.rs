//! A WebSocket client for tests: whatever should not happen is a panic.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::HeaderMap;
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{Connect, Connection, Error};
use crate::in_time;

/// A client with an open connection.
pub struct Client(Connection);

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// The status of a handshake that is refused.
    pub async fn connect(url: &str) -> Result<Self, StatusCode> {
        Self::connect_with(url, &[]).await.map(|(client, _)| client)
    }

    /// Connects by `wss` to a server whose certificate these authorities have signed.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_trusting(
        url: &str,
        authorities: Arc<ClientConfig>,
    ) -> Result<Self, StatusCode> {
        let opened = Connect::to(url).trusting(authorities).open().await;
        match opened {
            Ok(connection) => Ok(Self(connection)),
            Err(Error::Rejected(status)) => Err(status),
            Err(error) => panic!("no connection: {error}"),
        }
    }

    /// Connects with this `User-Agent`.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_as(url: &str, user_agent: &str) -> Result<Self, StatusCode> {
        let connected = Self::connect_with(url, &[("user-agent", user_agent)]).await;
        connected.map(|(client, _)| client)
    }

    /// Connects with further headers; returns those of the response as well.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<(Self, HeaderMap), StatusCode> {
        let connect = headers
            .iter()
            .fold(Connect::to(url), |connect, (name, value)| {
                connect.header(name, value)
            });
        match connect.open_with_headers().await {
            Ok((connection, headers)) => Ok((Self(connection), headers)),
            Err(Error::Rejected(status)) => Err(status),
            Err(error) => panic!("no connection: {error}"),
        }
    }

    /// Sends a frame of any text.
    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.send_raw(Message::text(text.into())).await;
    }

    /// Sends a JSON frame.
    pub async fn send(&mut self, frame: &Value) {
        self.send_text(frame.to_string()).await;
    }

    /// Sends any WebSocket message.
    pub async fn send_raw(&mut self, message: Message) {
        let sent = self.0.send_message(message).await;
        sent.expect("the connection is open");
    }

    /// Sends a message by `sendMessage` and returns its ack or error. Frames that come before are
    /// dropped.
    pub async fn send_message(&mut self, receiver_id: &str, message: &str) -> Value {
        let id = format!("{:016x}", fastrand::u64(..));
        self.send(&json!({
            "action": "sendMessage",
            "receiver_id": receiver_id,
            "message": message,
            "client_message_id": id,
        }))
        .await;
        loop {
            let frame = self.next().await;
            if frame["client_message_id"] == id.as_str() && frame["type"] != "message" {
                return frame;
            }
        }
    }

    /// Returns the next JSON frame.
    pub async fn next(&mut self) -> Value {
        match self.next_raw().await {
            Message::Text(text) => serde_json::from_str(&text).expect("a frame is JSON"),
            other => panic!("not a text frame: {other:?}"),
        }
    }

    /// Returns the next WebSocket message, pongs and closes included.
    pub async fn next_raw(&mut self) -> Message {
        let next = in_time("a frame", self.0.next_message()).await;
        next.expect("the connection is open and its frames are well-formed")
    }

    /// Checks that everything under way brings no frame: the next frame is the pong of a ping.
    pub async fn expect_nothing(&mut self) {
        // Frames of one connection may overtake each other, the pongs of two pings in a row do not.
        for _ in 0..2 {
            self.send(&json!({"action": "ping"})).await;
            assert_eq!(self.next().await["type"], "pong");
        }
    }

    /// Closes the connection and waits until it is closed.
    pub async fn close(self) {
        self.0.close().await.expect("the connection is open");
    }

    /// Waits until the connection has ended; returns all messages that came before, also a close frame.
    pub async fn rest(&mut self) -> Vec<Message> {
        let mut rest = Vec::new();
        let end = async {
            while let Ok(message) = self.0.next_message().await {
                rest.push(message);
            }
        };
        in_time("the end of a connection", end).await;
        rest
    }

    /// Waits for the server's close frame.
    pub async fn closed(&mut self) -> CloseFrame {
        loop {
            if let Message::Close(frame) = self.next_raw().await {
                return frame.expect("a close frame has a code");
            }
        }
    }
}

//! One WebSocket connection. Every wait has a time limit, and every failure is a value.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config,
    connect_async_tls_with_config,
};

use super::{Error, encode};
use crate::TIMEOUT;

/// The part of a handshake that carries the token.
#[derive(Debug, Clone, Copy)]
pub enum Token<'a> {
    /// It has none.
    None,
    /// In the header `Authorization`, as apps do.
    Header(&'a str),
    /// As a subprotocol, as browsers do.
    Subprotocol(&'a str),
}

/// A handshake that has not been sent yet.
#[derive(Clone)]
#[must_use = "nothing is sent before `open`"]
pub struct Connect {
    url: String,
    headers: Vec<(HeaderName, String)>,
    config: WebSocketConfig,
    connector: Option<Connector>,
    timeout: Duration,
}

impl Connect {
    /// A handshake for a URL.
    pub fn to(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            config: WebSocketConfig::default(),
            connector: None,
            timeout: TIMEOUT,
        }
    }

    /// A handshake for the chat at a URL, with or without a stage, as `user_id`.
    pub fn user(chat: &str, user_id: &str) -> Self {
        // A URL without a path has none before its query either.
        let slash = if chat.split('/').count() > 3 { "" } else { "/" };
        Self::to(format!("{chat}{slash}?user_id={}", encode(user_id)))
    }

    /// Adds a header.
    ///
    /// # Panics
    ///
    /// The name is no name of a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = name.parse().expect("the name of a header");
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Shows a token.
    pub fn token(self, token: Token<'_>) -> Self {
        match token {
            Token::None => self,
            Token::Header(token) => self.header(AUTHORIZATION.as_str(), &format!("Bearer {token}")),
            Token::Subprotocol(token) => {
                let offer = format!("chat.v1, bearer.{token}");
                self.header(SEC_WEBSOCKET_PROTOCOL.as_str(), &offer)
            }
        }
    }

    /// Sets the size of the read buffer: the default is too large for thousands of connections.
    pub fn read_buffer_bytes(mut self, bytes: usize) -> Self {
        self.config = self.config.read_buffer_size(bytes);
        self
    }

    /// Trusts these certificate authorities alone, for `wss`.
    pub fn trusting(mut self, authorities: Arc<ClientConfig>) -> Self {
        self.connector = Some(Connector::Rustls(authorities));
        self
    }

    /// Sets the time limit of the handshake, and of each later send.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// - [`Error::Rejected`]: the server refuses the handshake.
    /// - [`Error::Unknown`]: there is no response, or not in time.
    pub async fn open(self) -> Result<Connection, Error> {
        Ok(self.open_with_headers().await?.0)
    }

    /// Opens a connection; returns the headers of the response as well.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_with_headers(self) -> Result<(Connection, HeaderMap), Error> {
        let (request, config) = (self.request()?, Some(self.config));
        // TCP_NODELAY, as browsers have it.
        let connector = self.connector.clone();
        let opening = connect_async_tls_with_config(request, config, true, connector);
        self.finish(opening).await
    }

    /// Opens a connection on a TCP stream.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_on(self, stream: TcpStream) -> Result<Connection, Error> {
        let (request, config) = (self.request()?, Some(self.config));
        stream.set_nodelay(true).map_err(Error::unknown)?;
        let opening = client_async_tls_with_config(request, stream, config, None);
        Ok(self.finish(opening).await?.0)
    }

    fn request(&self) -> Result<Request, Error> {
        let mut request = self.url.as_str().into_client_request();
        for (name, value) in &self.headers {
            let value = HeaderValue::from_str(value).map_err(Error::unknown)?;
            let request = request.as_mut().map_err(|error| Error::unknown(&*error))?;
            request.headers_mut().append(name, value);
        }
        request.map_err(Error::unknown)
    }

    async fn finish(
        &self,
        opening: impl Future<Output = Result<(Stream, Response), tungstenite::Error>>,
    ) -> Result<(Connection, HeaderMap), Error> {
        match timeout(self.timeout, opening).await {
            Ok(Ok((stream, response))) => {
                let connection = Connection {
                    stream,
                    timeout: self.timeout,
                };
                Ok((connection, response.into_parts().0.headers))
            }
            Ok(Err(tungstenite::Error::Http(response))) => Err(Error::Rejected(response.status())),
            Ok(Err(error)) => Err(Error::unknown(error)),
            Err(_) => Err(Error::no_response()),
        }
    }
}

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    timeout: Duration,
}

impl Connection {
    /// Sends a text frame.
    ///
    /// # Errors
    ///
    /// Why the connection is of no use any more. It is not known whether the frame has left.
    pub async fn send(&mut self, text: impl Into<String>) -> Result<(), String> {
        self.send_message(Message::text(text.into())).await
    }

    /// Sends any WebSocket message.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_message(&mut self, message: Message) -> Result<(), String> {
        let sent = timeout(self.timeout, self.stream.send(message)).await;
        let sent = sent.map_err(|_| "it takes no frame".to_owned())?;
        sent.map_err(|error| error.to_string())
    }

    /// Returns the text of the next text frame, without a time limit. Cancelling the call loses nothing.
    ///
    /// # Errors
    ///
    /// Why there is none: the connection has ended.
    pub async fn next(&mut self) -> Result<String, String> {
        loop {
            match self.next_message().await? {
                Message::Text(text) => return Ok(text.to_string()),
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Close(Some(close)) => return Err(format!("closed: {close}")),
                other => return Err(format!("it sends {other:?}")),
            }
        }
    }

    /// Returns the next WebSocket message, pongs and closes included, without a time limit.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn next_message(&mut self) -> Result<Message, String> {
        match self.stream.next().await {
            Some(Ok(message)) => Ok(message),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("it ends".to_owned()),
        }
    }

    /// Closes the connection, and waits until the server has closed it too.
    ///
    /// # Errors
    ///
    /// The connection broke before, or the server does not close it in time.
    pub async fn close(mut self) -> Result<(), String> {
        let closing = async {
            let closed = self.stream.close(None).await;
            while let Some(Ok(_)) = self.stream.next().await {}
            closed.map_err(|error| error.to_string())
        };
        let closed = timeout(self.timeout, closing).await;
        closed.unwrap_or_else(|_| Err("it does not close".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::client::Http;

    /// Starts a server that sends these bytes to every caller, and no more; returns its address.
    async fn server(response: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                // Unread bytes would make the end of the connection a reset.
                let _ = caller.read(&mut [0; 4_096]).await;
                let _ = caller.write_all(response.as_bytes()).await;
            }
        });
        address.to_string()
    }

    async fn connect(address: &str) -> Option<Error> {
        let connect = Connect::user(&format!("ws://{address}"), "a");
        connect.open().await.err()
    }

    async fn get(address: &str) -> Option<Error> {
        let url = format!("http://{address}/");
        Http::default().get(&url, None, TIMEOUT).await.err()
    }

    #[tokio::test]
    async fn a_refusal_is_rejected_and_a_broken_connection_is_unknown() {
        let refusing =
            server("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
        let breaking = server("").await;
        let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let absent = nobody.local_addr().expect("an address").to_string();
        drop(nobody);
        let rejected = Error::Rejected(StatusCode::SERVICE_UNAVAILABLE);

        assert_eq!(connect(&refusing).await.as_ref(), Some(&rejected));
        assert_eq!(get(&refusing).await, Some(rejected));
        for address in [breaking, absent] {
            let broken = connect(&address).await;
            assert!(matches!(broken, Some(Error::Unknown(_))), "{broken:?}");
            let broken = get(&address).await;
            assert!(matches!(broken, Some(Error::Unknown(_))), "{broken:?}");
        }
    }

    #[test]
    fn a_user_goes_into_the_query_of_a_url_with_and_without_a_stage() {
        for (chat, url) in [
            ("ws://127.0.0.1:3001", "ws://127.0.0.1:3001/?user_id=a%2Bb"),
            ("wss://x.example/prod", "wss://x.example/prod?user_id=a%2Bb"),
        ] {
            assert_eq!(Connect::user(chat, "a+b").url, url);
        }
    }
}

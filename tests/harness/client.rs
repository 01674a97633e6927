//! A WebSocket client and an HTTP client.

use anyhow::Result;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::TIMEOUT;

/// Encodes a value for a query string or a path.
pub fn encode(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

/// A WebSocket client whose waits end in an error, not in silence.
pub struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    /// Opens a socket.
    ///
    /// # Errors
    ///
    /// The handshake is refused: the status.
    pub async fn connect(url: &str) -> Result<Self, StatusCode> {
        Self::open(url).await.map(|(client, _)| client)
    }

    /// Opens a socket whose handshake has this `User-Agent`.
    ///
    /// # Errors
    ///
    /// The handshake is refused: the status.
    pub async fn connect_as(url: &str, user_agent: &str) -> Result<Self, StatusCode> {
        let opened = Self::connect_with(url, &[("user-agent", user_agent)]).await;
        opened.map(|(client, _)| client)
    }

    /// Opens a socket whose handshake has further headers; gives those of the answer as well.
    ///
    /// # Errors
    ///
    /// The handshake is refused: the status.
    pub async fn connect_with(
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<(Self, HeaderMap), StatusCode> {
        let mut request = url.into_client_request().expect("a URL");
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            let value = HeaderValue::from_str(value).expect("it has no line breaks");
            request.headers_mut().append(name, value);
        }
        Self::open(request).await
    }

    async fn open(
        request: impl IntoClientRequest + Unpin,
    ) -> Result<(Self, HeaderMap), StatusCode> {
        // TCP_NODELAY, as browsers have it.
        match tokio_tungstenite::connect_async_with_config(request, None, true).await {
            Ok((stream, response)) => Ok((Self(stream), response.into_parts().0.headers)),
            Err(Error::Http(response)) => Err(response.status()),
            Err(error) => panic!("no socket: {error}"),
        }
    }

    /// Sends a frame of any text.
    pub async fn send_text(&mut self, text: impl Into<String>) {
        let frame = Message::text(text.into());
        self.0.send(frame).await.expect("the socket is open");
    }

    /// Sends a JSON frame.
    pub async fn send(&mut self, frame: &Value) {
        self.send_text(frame.to_string()).await;
    }

    /// Sends any WebSocket message.
    pub async fn send_raw(&mut self, message: Message) {
        self.0.send(message).await.expect("the socket is open");
    }

    /// Sends a message by `sendMessage` and returns its ack or error. Other frames that come first
    /// are dropped.
    pub async fn say(&mut self, receiver_id: &str, message: &str) -> Value {
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

    /// The next JSON frame.
    pub async fn next(&mut self) -> Value {
        match self.next_raw().await {
            Message::Text(text) => serde_json::from_str(&text).expect("a frame is JSON"),
            other => panic!("not a text frame: {other:?}"),
        }
    }

    /// The next WebSocket message, pongs and closes included.
    pub async fn next_raw(&mut self) -> Message {
        let next = tokio::time::timeout(TIMEOUT, self.0.next()).await;
        next.expect("a frame comes in time")
            .expect("the socket is open")
            .expect("the frame is well-formed")
    }

    /// Checks that all that is under way brings no frame: the next one answers a ping.
    pub async fn expect_nothing(&mut self) {
        // Frames of one socket may overtake each other, the answers to two pings in a row not.
        for _ in 0..2 {
            self.send(&json!({"action": "ping"})).await;
            assert_eq!(self.next().await["type"], "pong");
        }
    }

    /// Closes the socket and waits until it is closed.
    pub async fn close(mut self) {
        self.0.close(None).await.expect("the socket is open");
        while self.0.next().await.is_some_and(|frame| frame.is_ok()) {}
    }

    /// Waits until the connection has ended; gives all that came before: frames, also a close frame.
    pub async fn rest(&mut self) -> Vec<Message> {
        let mut rest = Vec::new();
        let end = async {
            while let Some(Ok(frame)) = self.0.next().await {
                rest.push(frame);
            }
        };
        let ended = tokio::time::timeout(TIMEOUT, end).await;
        ended.expect("the connection ends in time");
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

/// An HTTP answer.
#[derive(Debug)]
pub struct HttpResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl HttpResponse {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// The body as a JSON array of messages; the status must be 200.
    pub fn messages(&self) -> Vec<Value> {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self.json().as_array().expect("an array").clone()
    }

    /// A header as text; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// The query of the link with a relation (`next`), if there is one.
    pub fn link(&self, relation: &str) -> Option<String> {
        let links = self.header("link").split(", ");
        let target = links.filter_map(|link| link.split_once(">; rel="));
        let mut found = target.filter(|(_, rel)| rel.trim_matches('"') == relation);
        let (target, _) = found.next()?;
        Some(target.trim_start_matches('<').to_owned())
    }
}

/// An HTTP client that keeps its connections.
pub struct Http(HttpClient<HttpConnector, Full<Bytes>>);

impl Default for Http {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(HttpClient::builder(TokioExecutor::new()).build(connector))
    }
}

impl Http {
    /// Sends a request.
    pub async fn request(&self, method: Method, url: &str, body: Vec<u8>) -> HttpResponse {
        let answer = self.try_request(method, url, body).await;
        answer.expect("an answer")
    }

    /// Sends a request to somebody who may not answer.
    ///
    /// # Errors
    ///
    /// There is no answer, or it breaks off.
    pub async fn try_request(
        &self,
        method: Method,
        url: &str,
        body: Vec<u8>,
    ) -> Result<HttpResponse> {
        let request = Request::builder().method(method).uri(url);
        self.send(request.body(Full::new(Bytes::from(body)))?).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<HttpResponse> {
        let (parts, body) = self.0.request(request).await?.into_parts();
        Ok(HttpResponse {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await?.to_bytes(),
        })
    }
}

/// Sends a GET request on a connection of its own.
pub async fn get(url: &str) -> HttpResponse {
    request(Method::GET, url, Vec::new()).await
}

/// Sends a GET request with a token on a connection of its own.
pub async fn get_as(token: &str, url: &str) -> HttpResponse {
    let bearer = format!("Bearer {token}");
    send(Method::GET, url, &[("authorization", &bearer)]).await
}

/// Sends a request without a body, with these headers, on a connection of its own.
pub async fn send(method: Method, url: &str, headers: &[(&str, &str)]) -> HttpResponse {
    let request = Request::builder().method(method).uri(url);
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    let request = request.body(Full::default()).expect("a URL and headers");
    let answer = Http::default().send(request).await;
    answer.expect("an answer")
}

/// Sends a request on a connection of its own.
pub async fn request(method: Method, url: &str, body: Vec<u8>) -> HttpResponse {
    Http::default().request(method, url, body).await
}

//! A WebSocket client that returns everything it receives: the response to a rejected handshake,
//! every frame, every close code.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::header::HeaderMap;
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tests::TIMEOUT;
use tests::client::HttpResponse;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::target::Target;
use crate::web;

/// The nonce of a handshake: 16 bytes in base64, as in RFC 6455.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A handshake request.
pub struct Handshake(hyper::http::request::Builder);

impl Handshake {
    /// Returns a handshake at a stage, with `query` (`token=x&room=1`) if it is not empty.
    pub fn new(target: &Target, query: &str) -> Self {
        let mark = if query.is_empty() { "" } else { "?" };
        Self::at(&format!("{}{mark}{query}", target.ws))
    }

    /// Returns a handshake at any URL.
    pub fn at(url: &str) -> Self {
        Self(Request::builder().uri(url))
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", KEY)
    }

    /// Adds a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// Adds instructions for the probe at `connect`, `authorize` and `disconnect`.
    pub fn instruct(self, instructions: &Value) -> Self {
        self.header("User-Agent", &instructions.to_string())
    }

    /// Sends the handshake and returns the open socket.
    ///
    /// # Errors
    ///
    /// The handshake is rejected: the whole response.
    pub async fn attempt(self) -> Result<Socket, HttpResponse> {
        let request = self
            .0
            .body(Full::<Bytes>::default())
            .expect("a URL and headers");
        let mut response = web::exchange(request).await;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(web::read(response).await);
        }
        let headers = response.headers().clone();
        assert_eq!(
            headers["sec-websocket-accept"],
            derive_accept_key(KEY.as_bytes())
        );
        let stream = hyper::upgrade::on(&mut response).await.expect("an upgrade");
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Client, None);
        Ok(Socket {
            headers,
            stream: stream.await,
        })
    }

    /// Sends the handshake, which must succeed.
    pub async fn open(self) -> Socket {
        self.attempt()
            .await
            .unwrap_or_else(|rejection| panic!("{rejection:?}"))
    }

    /// Sends the handshake, which must fail, and returns the response.
    pub async fn rejection(self) -> HttpResponse {
        match self.attempt().await {
            Ok(_) => panic!("the handshake succeeds"),
            Err(rejection) => rejection,
        }
    }
}

/// Opens a socket without instructions for the probe.
pub async fn connect(target: &Target) -> Socket {
    Handshake::new(target, "token=any").open().await
}

/// Returns a frame for a route, with `instructions` for the probe. Its shape suits the route
/// selection expressions of all three templates.
pub fn frame(route: &str, instructions: &Value) -> Value {
    json!({
        "action": route,
        "service": "probe",
        "command": {"name": route},
        "probe": instructions,
    })
}

/// An open socket. Each wait for a frame has a timeout, and fails the test at its end.
pub struct Socket {
    /// The headers of the 101.
    pub headers: HeaderMap,
    stream: WebSocketStream<TokioIo<Upgraded>>,
}

impl Socket {
    /// Sends any WebSocket message.
    pub async fn send_raw(&mut self, message: Message) {
        self.stream.send(message).await.expect("the socket is open");
    }

    /// Sends a text frame.
    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.send_raw(Message::text(text.into())).await;
    }

    /// Sends a text message in fragments of at most `size` bytes.
    pub async fn send_in_fragments(&mut self, text: &str, size: usize) {
        let pieces: Vec<_> = text.as_bytes().chunks(size).collect();
        for (index, piece) in pieces.iter().enumerate() {
            let kind = if index == 0 {
                Data::Text
            } else {
                Data::Continue
            };
            let is_last = index + 1 == pieces.len();
            let frame = Frame::message(piece.to_vec(), OpCode::Data(kind), is_last);
            self.send_raw(Message::Frame(frame)).await;
        }
    }

    /// Sends a frame to a route, with `instructions` for the probe.
    pub async fn send(&mut self, route: &str, instructions: &Value) {
        self.send_text(frame(route, instructions).to_string()).await;
    }

    /// Sends a frame to a route, on a socket that may be closed.
    ///
    /// # Errors
    ///
    /// The socket is closed.
    pub async fn try_send(&mut self, route: &str) -> Result<(), tungstenite::Error> {
        let text = frame(route, &Value::Null).to_string();
        self.stream.send(Message::text(text)).await
    }

    /// Waits for the next WebSocket message, including pong and close frames.
    pub async fn next_raw(&mut self) -> Message {
        let next = tokio::time::timeout(TIMEOUT, self.stream.next()).await;
        next.expect("a frame arrives in time")
            .expect("the socket is open")
            .expect("the frame is well-formed")
    }

    /// Waits for the next frame, which must be text.
    pub async fn next_text(&mut self) -> String {
        match self.next_raw().await {
            Message::Text(text) => text.to_string(),
            other => panic!("not a text frame: {other:?}"),
        }
    }

    /// Waits for the next frame, which must be JSON text.
    pub async fn next(&mut self) -> Value {
        let text = self.next_text().await;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"))
    }

    /// Sends a frame to a two-way route and returns the response.
    pub async fn request(&mut self, route: &str, instructions: &Value) -> Value {
        self.send(route, instructions).await;
        self.next().await
    }

    /// Sends a frame to the two-way route `reply` and returns the event of this frame.
    pub async fn event(&mut self) -> Value {
        self.request("reply", &Value::Null).await
    }

    /// Returns the connection id, from the event of a frame.
    pub async fn id(&mut self) -> String {
        let event = self.event().await;
        let id = event["requestContext"]["connectionId"].as_str();
        id.unwrap_or_else(|| panic!("not an event: {event}"))
            .to_owned()
    }

    /// Checks that nothing has been sent to this socket: the next frame is the response to the
    /// request that is sent now.
    pub async fn expect_nothing(&mut self) {
        let fence = json!({"fence": fastrand::u32(..)});
        let instructions = json!({"return": {"statusCode": 200, "body": fence.to_string()}});
        assert_eq!(self.request("reply", &instructions).await, fence);
    }

    /// Closes the socket with a code, or without one, and waits until it is closed.
    pub async fn close(mut self, code: Option<u16>) {
        let frame = code.map(|code| CloseFrame {
            code: CloseCode::from(code),
            reason: "".into(),
        });
        self.stream.close(frame).await.expect("the socket is open");
        let rest = async { while self.stream.next().await.is_some_and(|next| next.is_ok()) {} };
        let closed = tokio::time::timeout(TIMEOUT, rest).await;
        closed.expect("the server closes too");
    }

    /// Discards frames up to the server's close frame, and returns its code.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.next_raw().await {
                return frame.expect("a close frame has a code").code.into();
            }
        }
    }

    /// Waits for the server's close frame, at most for `timeout`, and returns its code.
    pub async fn closed_within(&mut self, timeout: std::time::Duration) -> u16 {
        loop {
            let next = tokio::time::timeout(timeout, self.stream.next()).await;
            match next.expect("the socket closes in time") {
                Some(Ok(Message::Close(frame))) => {
                    return frame.expect("a close frame has a code").code.into();
                }
                Some(Ok(_)) => {}
                other => panic!("no close frame but {other:?}"),
            }
        }
    }
}

/// A socket to which the probe reports its events.
pub struct Observer {
    /// The connection id.
    pub id: String,
    socket: Socket,
}

impl Observer {
    /// Opens a socket and asks for its connection id.
    pub async fn open(target: &Target) -> Self {
        let mut socket = connect(target).await;
        let id = socket.id().await;
        Self { id, socket }
    }

    /// Waits for the next reported event.
    pub async fn next(&mut self) -> Value {
        self.socket.next().await
    }

    /// Waits for the next reported event, at most for `timeout`. Sends a frame each `interval`, so
    /// that the socket does not become idle.
    pub async fn next_within(
        &mut self,
        timeout: std::time::Duration,
        interval: std::time::Duration,
    ) -> Value {
        let event = async {
            loop {
                match tokio::time::timeout(interval, self.socket.stream.next()).await {
                    Ok(next) => {
                        let next = next
                            .expect("the socket is open")
                            .expect("the frame is well-formed");
                        let text = next.into_text().expect("a text frame");
                        return serde_json::from_str(&text).expect("an event");
                    }
                    Err(_) => self.socket.send("notify", &Value::Null).await,
                }
            }
        };
        tokio::time::timeout(timeout, event)
            .await
            .expect("an event arrives in time")
    }

    /// Checks that no event has been reported.
    pub async fn expect_nothing(&mut self) {
        self.socket.expect_nothing().await;
    }

    /// Closes the socket. Functions with the instruction `await_gone` for it continue.
    pub async fn close(self) {
        self.socket.close(Some(1000)).await;
    }
}

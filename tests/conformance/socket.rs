//! A WebSocket client that sees everything: the refusal, every frame, every close code.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::header::HeaderMap;
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tests::client::Answer;
use tests::stack::PATIENCE;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::target::Target;
use crate::web;

/// A nonce as RFC 6455 has it: 16 bytes in base64.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A request for a socket.
pub struct Handshake(hyper::http::request::Builder);

impl Handshake {
    /// A handshake at a stage, with `query` (`token=x&room=1`) if it is not empty.
    pub fn new(target: &Target, query: &str) -> Self {
        let mark = if query.is_empty() { "" } else { "?" };
        Self::at(&format!("{}{mark}{query}", target.ws))
    }

    /// A handshake at any URL.
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

    /// Tells the probe what to do at `connect`, `authorize` and `disconnect`.
    pub fn tell(self, instructions: &Value) -> Self {
        self.header("User-Agent", &instructions.to_string())
    }

    /// Opens the socket.
    ///
    /// # Errors
    ///
    /// The handshake is refused: the whole answer.
    pub async fn attempt(self) -> Result<Socket, Answer> {
        let request = self
            .0
            .body(Full::<Bytes>::default())
            .expect("a URL and headers");
        let mut response = web::exchange(request).await;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(web::answer(response).await);
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

    /// Opens the socket; the handshake must succeed.
    pub async fn open(self) -> Socket {
        self.attempt()
            .await
            .unwrap_or_else(|refusal| panic!("{refusal:?}"))
    }

    /// The refusal; the handshake must fail.
    pub async fn refused(self) -> Answer {
        match self.attempt().await {
            Ok(_) => panic!("the socket opens"),
            Err(refusal) => refusal,
        }
    }
}

/// Opens a socket that tells the probe nothing.
pub async fn connect(target: &Target) -> Socket {
    Handshake::new(target, "token=any").open().await
}

/// A frame for the route with this key, in the shape of all three templates, with `instructions`
/// for the probe.
pub fn frame(route: &str, instructions: &Value) -> Value {
    json!({
        "action": route,
        "service": "probe",
        "command": {"name": route},
        "probe": instructions,
    })
}

/// An open socket whose waits end in an error, not in silence.
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

    /// Sends one text message in frames of at most `size` bytes.
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

    /// Sends a frame to a route of a socket that may be closing.
    ///
    /// # Errors
    ///
    /// It is closed already.
    pub async fn try_send(&mut self, route: &str) -> Result<(), tungstenite::Error> {
        let text = frame(route, &Value::Null).to_string();
        self.stream.send(Message::text(text)).await
    }

    /// The next WebSocket message, pongs and closes included.
    pub async fn next_raw(&mut self) -> Message {
        let next = tokio::time::timeout(PATIENCE, self.stream.next()).await;
        next.expect("a frame comes in time")
            .expect("the socket is open")
            .expect("the frame is well-formed")
    }

    /// The next text frame.
    pub async fn next_text(&mut self) -> String {
        match self.next_raw().await {
            Message::Text(text) => text.to_string(),
            other => panic!("not a text frame: {other:?}"),
        }
    }

    /// The next text frame, which is JSON.
    pub async fn next(&mut self) -> Value {
        let text = self.next_text().await;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"))
    }

    /// The answer of a two-way route.
    pub async fn ask(&mut self, route: &str, instructions: &Value) -> Value {
        self.send(route, instructions).await;
        self.next().await
    }

    /// The event of a frame to the two-way route `reply`.
    pub async fn event(&mut self) -> Value {
        self.ask("reply", &Value::Null).await
    }

    /// Its connection id.
    pub async fn id(&mut self) -> String {
        let event = self.event().await;
        let id = event["requestContext"]["connectionId"].as_str();
        id.unwrap_or_else(|| panic!("not an event: {event}"))
            .to_owned()
    }

    /// Checks that nothing has been sent to this socket: the next frame answers what is asked now.
    pub async fn expect_nothing(&mut self) {
        let fence = json!({"fence": fastrand::u32(..)});
        let told = json!({"return": {"statusCode": 200, "body": fence.to_string()}});
        assert_eq!(self.ask("reply", &told).await, fence);
    }

    /// Closes the socket with this code, or without one, and waits until it is closed.
    pub async fn close(mut self, code: Option<u16>) {
        let frame = code.map(|code| CloseFrame {
            code: CloseCode::from(code),
            reason: "".into(),
        });
        self.stream.close(frame).await.expect("the socket is open");
        let rest = async { while self.stream.next().await.is_some_and(|next| next.is_ok()) {} };
        let closed = tokio::time::timeout(PATIENCE, rest).await;
        closed.expect("the server closes too");
    }

    /// Waits for the server's close frame, past any other, and gives its code.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.next_raw().await {
                return frame.expect("a close frame has a code").code.into();
            }
        }
    }

    /// The server's close code, waited for longer than usual.
    pub async fn closed_within(&mut self, patience: std::time::Duration) -> u16 {
        loop {
            let next = tokio::time::timeout(patience, self.stream.next()).await;
            match next.expect("it closes in time") {
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
    /// Its connection id.
    pub id: String,
    socket: Socket,
}

impl Observer {
    /// Opens the socket.
    pub async fn open(target: &Target) -> Self {
        let mut socket = connect(target).await;
        let id = socket.id().await;
        Self { id, socket }
    }

    /// The next event that was reported.
    pub async fn next(&mut self) -> Value {
        self.socket.next().await
    }

    /// The next event, waited for at most this long, while the socket is kept from being idle.
    pub async fn next_within(
        &mut self,
        patience: std::time::Duration,
        beat: std::time::Duration,
    ) -> Value {
        let event = async {
            loop {
                match tokio::time::timeout(beat, self.socket.stream.next()).await {
                    Ok(next) => {
                        let next = next
                            .expect("the socket is open")
                            .expect("it is well-formed");
                        let text = next.into_text().expect("a text frame");
                        return serde_json::from_str(&text).expect("an event");
                    }
                    Err(_) => self.socket.send("notify", &Value::Null).await,
                }
            }
        };
        tokio::time::timeout(patience, event)
            .await
            .expect("it comes in time")
    }

    /// Checks that no event has been reported.
    pub async fn expect_nothing(&mut self) {
        self.socket.expect_nothing().await;
    }

    /// Closes the socket, which lets everything go on that awaits its end.
    pub async fn close(self) {
        self.socket.close(Some(1000)).await;
    }
}

//! A TCP connection that sends any bytes, and reads the response as bytes.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::in_time;

/// A TCP connection.
pub struct Raw(pub TcpStream);

impl Raw {
    /// Connects to the address of a URL, and sends nothing.
    ///
    /// # Errors
    ///
    /// The server does not accept, or this process has too many files open.
    pub async fn open(url: &str) -> io::Result<Self> {
        let (address, _) = split(url);
        let stream = in_time("a connection", TcpStream::connect(address)).await?;
        Ok(Self(stream))
    }

    /// Connects to a URL and opens a WebSocket on it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), or the handshake is refused; the error holds the response.
    pub async fn upgrade(url: &str) -> io::Result<Self> {
        let mut raw = Self::open(url).await?;
        raw.send(handshake(url)).await;
        raw.accepted().await?;
        Ok(raw)
    }

    /// Reads the response to a handshake, and not further.
    ///
    /// # Errors
    ///
    /// The handshake is refused; the error holds the response.
    pub async fn accepted(&mut self) -> io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(in_time("the response to a handshake", self.0.read_u8()).await?);
        }
        if head.starts_with(b"HTTP/1.1 101 ") {
            return Ok(());
        }
        Err(io::Error::other(
            String::from_utf8_lossy(&head).into_owned(),
        ))
    }

    /// Sends bytes. A closed connection is no error here: it shows when the response is read.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.0.write_all(bytes.as_ref());
        let _ = in_time("the server to take bytes", sent).await;
    }

    /// Reads until the server closes the connection; returns the bytes.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = self.0.read_to_end(&mut bytes);
        // A reset is an end as well.
        let _ = in_time("the end of a connection", read).await;
        bytes
    }

    /// Returns the code of the server's close frame; drops the frames before it. `None`: the connection
    /// ends without a close frame, or the frame has no code.
    pub async fn close_code(&mut self) -> Option<u16> {
        let code = in_time("a close frame", self.read_close_code()).await;
        code.ok().flatten()
    }

    async fn read_close_code(&mut self) -> io::Result<Option<u16>> {
        loop {
            let (opcode, payload) = self.read_frame().await?;
            if opcode == 8 {
                return Ok(payload.first_chunk().copied().map(u16::from_be_bytes));
            }
        }
    }

    /// Returns the opcode and the payload of the next frame.
    ///
    /// # Errors
    ///
    /// The connection ends.
    pub async fn frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        in_time("a frame", self.read_frame()).await
    }

    async fn read_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let stream = &mut self.0;
        let (first, second) = (stream.read_u8().await?, stream.read_u8().await?);
        let length = match second & 0x7F {
            126 => u64::from(stream.read_u16().await?),
            127 => stream.read_u64().await?,
            length => u64::from(length),
        };
        let mut payload = Vec::new();
        stream.take(length).read_to_end(&mut payload).await?;
        Ok((first & 0x0F, payload))
    }
}

/// Returns a request that opens a WebSocket.
pub fn handshake(url: &str) -> String {
    let (address, path) = split(url);
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{UPGRADE}\r\n")
}

/// The headers of a request that opens a WebSocket.
pub const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
                           Sec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Returns a frame as clients send it. `first` is its first byte: FIN (0x80), reserved bits, opcode. The
/// mask is zero, so that the payload is sent as it is.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = client_frame_head(first, payload.len() as u64);
    frame.extend(payload);
    frame
}

/// Returns the head of a frame that announces `length` bytes, with its mask.
pub fn client_frame_head(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match length {
        0..126 => head.push(0x80 | length as u8),
        126..65_536 => {
            head.push(0x80 | 126);
            head.extend((length as u16).to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend(length.to_be_bytes());
        }
    }
    head.extend([0; 4]);
    head
}

/// Returns the statuses of all HTTP responses in the bytes of a server. No body in the tests looks like one.
pub fn statuses(bytes: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(bytes);
    let responses = text.split("HTTP/1.1 ").skip(1);
    responses
        .map(|response| response.get(..3).and_then(|status| status.parse().ok()))
        .map(|status| status.expect("a response has a status"))
        .collect()
}

/// Splits a URL into its address and its path.
fn split(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    }
}

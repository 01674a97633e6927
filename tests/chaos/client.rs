//! A WebSocket and an HTTP client that come to no harm, whatever the other side does: every wait
//! ends, and every failure is a value.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::{Method, StatusCode};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::history::Outcome;

/// How long a handshake or a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the other side may take to let a frame go.
const SEND_PATIENCE: Duration = Duration::from_secs(5);

/// An open WebSocket.
pub struct Line(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Line {
    /// Opens one.
    ///
    /// # Errors
    ///
    /// Refused, and with what status; or there was no answer.
    pub async fn open(url: &str) -> Result<Self, Outcome> {
        let opening = connect_async_with_config(url, None, true);
        match timeout(PATIENCE, opening).await {
            Ok(Ok((stream, _))) => Ok(Self(stream)),
            Ok(Err(Error::Http(answer))) => Err(Outcome::Failed(answer.status().to_string())),
            Ok(Err(error)) => Err(Outcome::Unknown(error.to_string())),
            Err(_) => Err(Outcome::Unknown("no answer".to_owned())),
        }
    }

    /// Sends a frame.
    ///
    /// # Errors
    ///
    /// Why the socket is of no use any more; whether the frame has left is not known.
    pub async fn send(&mut self, text: String) -> Result<(), String> {
        let sent = timeout(SEND_PATIENCE, self.0.send(Message::text(text))).await;
        let sent = sent.map_err(|_| "it takes no frame".to_owned())?;
        sent.map_err(|error| error.to_string())
    }

    /// The text of the next frame. It may be dropped before it is done, and nothing is lost.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn next(&mut self) -> Result<String, String> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(Some(close)))) => return Err(format!("closed: {close}")),
                Some(Ok(other)) => return Err(format!("it sends {other:?}")),
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err("it ends".to_owned()),
            }
        }
    }

    /// Closes the socket properly, as far as the other side goes along.
    pub async fn close(mut self) {
        let _ = timeout(SEND_PATIENCE, self.0.close(None)).await;
    }
}

/// An HTTP client that keeps its connections.
#[derive(Default)]
pub struct Http(::tests::client::Http);

impl Http {
    /// The body of the answer to a GET request.
    ///
    /// # Errors
    ///
    /// Another status than 200; or there was no answer.
    pub async fn get(&self, url: &str) -> Result<Bytes, Outcome> {
        let got = timeout(PATIENCE, self.0.try_request(Method::GET, url, Vec::new())).await;
        let got = got.map_err(|_| Outcome::Unknown("no answer".to_owned()))?;
        let answer = got.map_err(|error| Outcome::Unknown(error.to_string()))?;
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            status => Err(Outcome::Failed(status.to_string())),
        }
    }
}

/// The pause before another try, by how many have failed: any time up to a bound that doubles.
pub fn backoff(failures: u32, rng: &mut fastrand::Rng) -> Duration {
    const FIRST_MS: u64 = 50;
    const LONGEST_MS: u64 = 2_000;
    let bound_ms = (FIRST_MS << failures.min(10)).min(LONGEST_MS);
    Duration::from_millis(rng.u64(0..=bound_ms))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// An address where every caller is answered with these bytes, and no more.
    async fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                // What is left unread would make the end of the connection a reset.
                let _ = caller.read(&mut [0; 4_096]).await;
                let _ = caller.write_all(answer.as_bytes()).await;
            }
        });
        address.to_string()
    }

    #[tokio::test]
    async fn a_refusal_is_known_and_a_broken_connection_leaves_all_open() {
        let refusing =
            server("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
        let breaking = server("").await;
        let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let absent = nobody.local_addr().expect("an address").to_string();
        drop(nobody);
        let failed = Outcome::Failed("503 Service Unavailable".to_owned());

        let refused = Line::open(&format!("ws://{refusing}/")).await.err();
        assert_eq!(refused.as_ref(), Some(&failed));
        let refused = Http::default().get(&format!("http://{refusing}/")).await;
        assert_eq!(refused.err(), Some(failed));
        for address in [breaking, absent] {
            let broken = Line::open(&format!("ws://{address}/")).await.err();
            assert!(matches!(broken, Some(Outcome::Unknown(_))), "{broken:?}");
            let broken = Http::default()
                .get(&format!("http://{address}/"))
                .await
                .err();
            assert!(matches!(broken, Some(Outcome::Unknown(_))), "{broken:?}");
        }
    }
}

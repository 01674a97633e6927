//! An HTTP/1.1 server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::recorder::Recorder;

/// How long a client may take to send the head of a request, and a connection may wait for the next.
pub const HEAD_PATIENCE: Duration = Duration::from_secs(15);

/// How long a client may take to send the body of a request.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// The most that is read of a head, in bytes.
const MAX_READ_BYTES: usize = 64 * 1024;

/// The largest head of a request, in bytes. Documented of HTTP APIs, and taken to hold of handshakes
/// too \[U\].
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
pub const MAX_HEAD_BYTES: usize = 10_240;

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// The client.
    pub peer: SocketAddr,
    /// Our port.
    pub port: u16,
}

/// How the clients of a listener are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// They are ours, and may be silent for as long as they like.
    Ours,
    /// They may be anybody: [`HEAD_PATIENCE`] holds.
    Anybody,
    /// The same, and each head is kept, in the request's extensions as a [`Head`].
    Recorded,
}

/// Serves HTTP/1.1 to clients of ours until `stop`.
pub async fn serve<H, F>(listener: TcpListener, stop: CancellationToken, handler: H)
where
    H: Fn(Request<Incoming>, Ends) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    serve_with(listener, stop, Clients::Ours, handler).await;
}

/// Serves HTTP/1.1, with upgrades, until `stop`.
pub async fn serve_with<H, F>(
    listener: TcpListener,
    stop: CancellationToken,
    clients: Clients,
    handler: H,
) where
    H: Fn(Request<Incoming>, Ends) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let port = listener.local_addr().map_or(0, |address| address.port());
    let mut is_failing = false;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                is_failing = false;
                let ends = Ends { peer, port };
                let (stop, handler) = (stop.clone(), handler.clone());
                tokio::spawn(serve_one(stream, ends, stop, clients, handler));
            }
            Err(error) => {
                // Out of file descriptors, most likely: let some sockets close.
                if !is_failing {
                    tracing::warn!("cannot accept connections for now: {error}");
                }
                is_failing = true;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve_one<H, F>(
    stream: TcpStream,
    ends: Ends,
    stop: CancellationToken,
    clients: Clients,
    handler: H,
) where
    H: Fn(Request<Incoming>, Ends) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    // Small frames that wait for an acknowledgement would cost 40 ms each.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("TCP_NODELAY: {error}");
    }
    let (stream, head) = Recorder::new(stream, clients == Clients::Recorded);
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(head.clone());
        let answer = handler(request, ends);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout((clients != Clients::Ours).then_some(HEAD_PATIENCE))
        .max_buf_size(MAX_READ_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!("connection from {} ended: {error}", ends.peer);
    }
}

/// The size of a request's head as it was sent, but for its version.
pub fn head_bytes(request: &Request<Incoming>) -> usize {
    let headers = request.headers().iter();
    let headers: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    request.method().as_str().len() + request.uri().to_string().len() + headers
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
///
/// 413 if it is larger, 400 if it breaks off or is malformed, 408 if it takes too long.
pub async fn read_body(body: Incoming, limit: usize) -> Result<Bytes, StatusCode> {
    let body = Limited::new(body, limit).collect();
    match tokio::time::timeout(BODY_PATIENCE, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// A response with a JSON body.
pub fn json_response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    response(status, body.to_string().into())
}

/// A response with a body that is JSON already, or empty.
pub fn response(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::new(body))
        .expect("the header is constant")
}

/// An error as AWS services give it; SDKs find its kind in the header.
pub fn aws_error(status: StatusCode, kind: &str, message: &str) -> Response<Full<Bytes>> {
    let mut refusal = json_response(status, &json!({"message": message}));
    let kind = kind.parse().expect("kinds are words");
    refusal.headers_mut().insert("x-amzn-errortype", kind);
    refusal
}

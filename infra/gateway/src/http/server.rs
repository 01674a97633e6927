//! An HTTP/1.1 server, plain and over TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_io_timeout::TimeoutWriter;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::recorder::Recorder;
use super::tls::MaybeTls;

/// Timeout of the head of a request, and of the wait for the next request of a connection.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// Timeout of the body of a request.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Timeout of a write: the time in which a client that has something to read must read some of it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// Read buffer of a connection, in bytes. It is larger than [`MAX_HEAD_BYTES`], so that a head that
/// is too large gets a 431.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// The largest head of a request, in bytes. Documented of HTTP APIs, and taken to hold of
/// handshakes too \[U\].
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
pub const MAX_HEAD_BYTES: usize = 10_240;

/// The address of a client, and the port that it has connected to.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddr {
    /// The client.
    pub peer: SocketAddr,
    /// Our port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub is_tls: bool,
}

impl ClientAddr {
    /// Returns the scheme of its requests.
    pub fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }
}

/// Options of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerOptions {
    /// Timeout of the head of a request, and of the wait for the next request of a connection.
    pub header_timeout: Option<Duration>,
    /// Timeout of a write, also after an upgrade.
    pub write_timeout: Option<Duration>,
    /// Whether the head of each request is kept as the client has written it: in the request's
    /// extensions, as a [`Head`](super::recorder::Head).
    pub keep_raw_head: bool,
}

impl ListenerOptions {
    /// A listener for functions of ours, which may be silent for as long as they like.
    pub const INTERNAL: Self = Self {
        header_timeout: None,
        write_timeout: None,
        keep_raw_head: false,
    };

    /// A listener for any client.
    pub const PUBLIC: Self = Self {
        header_timeout: Some(HEAD_TIMEOUT),
        write_timeout: Some(WRITE_TIMEOUT),
        keep_raw_head: false,
    };
}

/// Serves HTTP/1.1 with [`ListenerOptions::INTERNAL`] until `shutdown`.
pub async fn serve<H, F>(listener: TcpListener, shutdown: CancellationToken, handler: H)
where
    H: Fn(Request<Incoming>, ClientAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    serve_with(listener, shutdown, ListenerOptions::INTERNAL, None, handler).await;
}

/// Serves HTTP/1.1, with upgrades, until `shutdown`; with an acceptor, also over TLS.
pub async fn serve_with<H, F>(
    listener: TcpListener,
    shutdown: CancellationToken,
    options: ListenerOptions,
    acceptor: Option<TlsAcceptor>,
    handler: H,
) where
    H: Fn(Request<Incoming>, ClientAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let port = listener.local_addr().map_or(0, |address| address.port());
    let mut is_failing = false;
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                is_failing = false;
                let client = ClientAddr {
                    peer,
                    port,
                    is_tls: false,
                };
                // Small frames that wait for an acknowledgement would cost 40 ms each.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!("TCP_NODELAY: {error}");
                }
                let stream = MaybeTls::new(stream, acceptor.clone());
                let (shutdown, handler) = (shutdown.clone(), handler.clone());
                tokio::spawn(serve_one(stream, client, shutdown, options, handler));
            }
            Err(error) => {
                // Most likely there are no file descriptors left: wait until some connections
                // close.
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
    stream: MaybeTls,
    client: ClientAddr,
    shutdown: CancellationToken,
    options: ListenerOptions,
    handler: H,
) where
    H: Fn(Request<Incoming>, ClientAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let is_tls = stream.is_tls();
    let (stream, head) = Recorder::new(stream, options.keep_raw_head);
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(options.write_timeout);
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(head.clone());
        let is_tls = is_tls.load(Ordering::Relaxed);
        let response = handler(request, ClientAddr { is_tls, ..client });
        async { Ok::<_, Infallible>(response.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(READ_BUFFER_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!("connection from {} ended: {error}", client.peer);
    }
}

/// Returns the size of a request's head as it was sent, without its version, in bytes.
pub fn head_bytes(request: &Request<Incoming>) -> usize {
    let headers = request.headers().iter();
    let headers: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    request.method().as_str().len() + request.uri().to_string().len() + headers
}

/// Reads a body of at most `limit` bytes, of a program that belongs to us. Those of any client are read by
/// a [`BodyLimit`](super::body::BodyLimit).
///
/// # Errors
///
/// 413 if it is larger, 400 if it breaks off or is malformed, 408 if it takes too long.
pub async fn read_body(body: Incoming, limit: usize) -> Result<Bytes, StatusCode> {
    let body = Limited::new(body, limit).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// Returns a response with a JSON body.
pub fn json_response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    response(status, body.to_string().into())
}

/// Returns a response with a body that is JSON already, or empty.
pub fn response(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::new(body))
        .expect("the header is constant")
}

/// Returns the error for a body that was not read, by its status, as AWS services do. SDKs retry a 503.
pub fn unread_body(status: StatusCode) -> Response<Full<Bytes>> {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            let message = "too many bodies of requests are being read or handled";
            aws_error(status, "ServiceUnavailableException", message)
        }
        status => aws_error(status, "BadRequestException", "The body is malformed"),
    }
}

/// Returns an error as AWS services do; SDKs read its kind from the header.
pub fn aws_error(status: StatusCode, kind: &str, message: &str) -> Response<Full<Bytes>> {
    let mut response = json_response(status, &json!({"message": message}));
    let kind = kind.parse().expect("kinds are words");
    response.headers_mut().insert("x-amzn-errortype", kind);
    response
}

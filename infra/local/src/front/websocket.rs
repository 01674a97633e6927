//! Handshakes and frames of the WebSocket API.
//!
//! A handshake is pending until `$connect` has answered. Frames of one socket are dispatched at
//! once, each in a task of its own, so their answers may come in any order: as on API Gateway.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HOST, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE, USER_AGENT,
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

use super::{json_response, management};
use crate::connections::Socket;
use crate::event::{self, QueryPairs, new_id};
use crate::gateway::Gateway;
use crate::runtime::InvokeError;

/// The largest frame from a client, in bytes.
const MAX_FRAME_BYTES: usize = 32 * 1024;

/// The largest message from a client, in bytes.
const MAX_MESSAGE_BYTES: usize = 128 * 1024;

/// How long a client may take to answer a close frame.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// The path form of the old system, `/ws/chat/{user_id}`; it means `?user_id=`.
const OLD_PATH: &str = "/ws/chat/";

/// Answers a request to the WebSocket port: `@connections`, or a handshake.
pub async fn answer(
    gateway: Arc<Gateway>,
    request: Request<Incoming>,
    peer: IpAddr,
) -> Response<Full<Bytes>> {
    let stage = &gateway.template.websocket.stage;
    if let Some(id) = management::connection_id(request.uri().path(), stage) {
        return management::answer(&gateway, &id, request).await;
    }
    let Some(query) = handshake_query(&request, stage) else {
        return refusal(StatusCode::FORBIDDEN, "Forbidden", None);
    };
    let Some(accept) = accept_key(&request) else {
        return refusal(StatusCode::UPGRADE_REQUIRED, "Upgrade Required", None);
    };
    handshake(gateway, request, peer, query, accept).await
}

/// The query of a handshake, `None` if its path is not that of the API.
fn handshake_query(request: &Request<Incoming>, stage: &str) -> Option<QueryPairs> {
    let mut query = event::query_pairs(request.uri().query().unwrap_or_default());
    let path = request.uri().path();
    if let Some(user_id) = path.strip_prefix(OLD_PATH) {
        if user_id.contains('/') {
            return None;
        }
        let user_id = percent_decode_str(user_id).decode_utf8().ok()?;
        query.push(("user_id".to_owned(), user_id.into_owned()));
        return Some(query);
    }
    let path = path.trim_matches('/');
    (path.is_empty() || path == stage).then_some(query)
}

/// The answer to the client's key, `None` if this is no WebSocket handshake.
fn accept_key(request: &Request<Incoming>) -> Option<String> {
    let upgrade = request.headers().get(UPGRADE)?.to_str().ok()?;
    let key = request.headers().get(SEC_WEBSOCKET_KEY)?;
    upgrade
        .eq_ignore_ascii_case("websocket")
        .then(|| derive_accept_key(key.as_bytes()))
}

async fn handshake(
    gateway: Arc<Gateway>,
    mut request: Request<Incoming>,
    peer: IpAddr,
    query: QueryPairs,
    accept: String,
) -> Response<Full<Bytes>> {
    let start = Instant::now();
    // A socket whose row is being written is to get its $disconnect before we end.
    let _pending = gateway.sockets.token();
    let header = |name| {
        let value = request.headers().get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let (socket, outbox) = Socket::new(
        new_id(),
        peer.to_string(),
        header(USER_AGENT),
        header(HOST).unwrap_or_default(),
    );
    let event = event::connect(
        &gateway.template.websocket,
        &socket,
        request.headers(),
        &query,
    );
    let status = connect_status(&gateway, &event).await;
    tracing::info!(
        "$connect {} {} in {:.1} ms",
        socket.connection_id,
        status.as_u16(),
        start.elapsed().as_secs_f64() * 1e3
    );
    if !status.is_success() {
        let reason = status.canonical_reason().unwrap_or_default();
        return refusal(status, reason, Some(&socket.connection_id));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let task_gateway = Arc::clone(&gateway);
    gateway.sockets.spawn(async move {
        serve_socket(task_gateway, socket, outbox, upgrade).await;
    });
    switching_protocols(&accept)
}

/// What `$connect` says. Its status is the status of the handshake; an error is 502.
async fn connect_status(gateway: &Gateway, event: &Value) -> StatusCode {
    match gateway.invoke_route("$connect", event).await {
        None => StatusCode::OK,
        Some(Ok(payload)) => {
            let answer: Value = serde_json::from_slice(&payload).unwrap_or_default();
            let status = answer["statusCode"].as_u64().unwrap_or_default();
            let status = u16::try_from(status).unwrap_or_default();
            StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)
        }
        Some(Err(InvokeError::TimedOut)) => StatusCode::GATEWAY_TIMEOUT,
        Some(Err(InvokeError::Function(_))) => StatusCode::BAD_GATEWAY,
    }
}

fn switching_protocols(accept: &str) -> Response<Full<Bytes>> {
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, HeaderValue::from_static("Upgrade"))
        .header(UPGRADE, HeaderValue::from_static("websocket"))
        .header(SEC_WEBSOCKET_ACCEPT, accept)
        .body(Full::default())
        .expect("base64 is a valid header value")
}

fn refusal(
    status: StatusCode,
    message: &str,
    connection_id: Option<&str>,
) -> Response<Full<Bytes>> {
    let mut body = json!({"message": message, "requestId": new_id()});
    if let Some(connection_id) = connection_id {
        body["connectionId"] = connection_id.into();
    }
    json_response(status, &body)
}

/// The life of a socket that is up.
async fn serve_socket(
    gateway: Arc<Gateway>,
    socket: Arc<Socket>,
    outbox: mpsc::Receiver<Message>,
    upgrade: OnUpgrade,
) {
    let (code, reason) = match upgrade.await {
        Ok(upgraded) => {
            let config = WebSocketConfig::default()
                .max_frame_size(Some(MAX_FRAME_BYTES))
                .max_message_size(Some(MAX_MESSAGE_BYTES));
            let io = TokioIo::new(upgraded);
            let stream = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
            let (sink, mut frames) = stream.split();
            gateway.connections.insert(Arc::clone(&socket));
            let mut writer = tokio::spawn(write(sink, outbox));
            let end = read(&gateway, &socket, &mut frames).await;
            gateway.connections.remove(&socket.connection_id);
            // Ends the writer if nothing else has.
            socket.close(CloseCode::Normal, "");
            linger(&mut writer, frames).await;
            // It would wait for frames that are still being answered.
            writer.abort();
            end
        }
        Err(_) => (CloseCode::Abnormal, String::new()),
    };
    let code = u16::from(code);
    tracing::info!("$disconnect {} {code}", socket.connection_id);
    let event = event::disconnect(&gateway.template.websocket, &socket, code, &reason);
    if let Some(Err(error)) = gateway.invoke_route("$disconnect", &event).await {
        tracing::warn!("$disconnect failed: {error:?}");
    }
}

type Stream = WebSocketStream<TokioIo<Upgraded>>;

/// Sends what comes into the outbox. Ends with a close frame or a broken socket.
async fn write(
    mut sink: SplitSink<Stream, Message>,
    mut outbox: mpsc::Receiver<Message>,
) -> SplitSink<Stream, Message> {
    while let Some(frame) = outbox.recv().await {
        let is_close = frame.is_close();
        let sent = sink.feed(frame).await;
        let flushed = match outbox.is_empty() || is_close {
            true => sink.flush().await,
            false => Ok(()),
        };
        if is_close || sent.and(flushed).is_err() {
            break;
        }
    }
    sink
}

/// Reads frames until the socket closes; returns the close code and reason for `$disconnect`.
async fn read(
    gateway: &Arc<Gateway>,
    socket: &Arc<Socket>,
    frames: &mut SplitStream<Stream>,
) -> (CloseCode, String) {
    let stop = gateway.stop.cancelled();
    let mut stop = std::pin::pin!(stop);
    loop {
        let frame = tokio::select! {
            frame = frames.next() => frame,
            () = stop.as_mut() => return close(socket, CloseCode::Away, "Going away"),
            () = socket.deleted.cancelled() => {
                return close(socket, CloseCode::Normal, "Connection Closed Normally");
            }
        };
        match frame {
            Some(Ok(Message::Text(text))) => {
                socket.touch();
                let (gateway, socket) = (Arc::clone(gateway), Arc::clone(socket));
                let dispatcher = Arc::clone(&gateway);
                gateway.sockets.spawn(async move {
                    dispatch(&dispatcher, &socket, text.as_str()).await;
                });
            }
            Some(Ok(Message::Binary(_))) => {
                return close(socket, CloseCode::Unsupported, "Binary is not supported");
            }
            Some(Err(WebSocketError::Capacity(_))) => {
                return close(socket, CloseCode::Size, "Message too long");
            }
            Some(Ok(Message::Close(Some(frame)))) => return (frame.code, frame.reason.to_string()),
            Some(Ok(Message::Close(None))) => {
                return (
                    CloseCode::Status,
                    "Client-side close frame status not set".to_owned(),
                );
            }
            // The library answers pings by itself.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Err(WebSocketError::Utf8(_))) => {
                return close(socket, CloseCode::Invalid, "Invalid UTF-8");
            }
            Some(Err(WebSocketError::Protocol(violation)))
                if violation != ProtocolError::ResetWithoutClosingHandshake =>
            {
                return close(socket, CloseCode::Protocol, "Protocol error");
            }
            Some(Err(_)) | None => return (CloseCode::Abnormal, String::new()),
        }
    }
}

/// Closes from our side.
fn close(socket: &Socket, code: CloseCode, reason: &'static str) -> (CloseCode, String) {
    socket.close(code, reason);
    (code, reason.to_owned())
}

/// Lets the close frames of both sides pass before the connection ends: an answer to the client's
/// leaves with the next read, and a connection that ends with bytes unread is reset, which can
/// overtake our own.
async fn linger(
    writer: &mut JoinHandle<SplitSink<Stream, Message>>,
    mut frames: SplitStream<Stream>,
) {
    let closing = async {
        while let Some(Ok(_)) = frames.next().await {}
        let sink = writer.await?;
        let mut io = frames.reunite(sink)?.into_inner();
        io.shutdown().await?;
        tokio::io::copy(&mut io, &mut tokio::io::sink()).await?;
        anyhow::Ok(())
    };
    match tokio::time::timeout(CLOSE_PATIENCE, closing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a socket ended roughly: {error}"),
        Err(_) => tracing::debug!("a client did not close its side in time"),
    }
}

/// Invokes the function of a frame's route and sends what the client is to get.
async fn dispatch(gateway: &Gateway, socket: &Socket, text: &str) {
    let start = Instant::now();
    let api = &gateway.template.websocket;
    let Some(key) = gateway.route_of(text) else {
        tracing::info!("no route {} {} bytes", socket.connection_id, text.len());
        send_error(socket, "Forbidden");
        return;
    };
    let event = event::message(api, socket, &key, text);
    let result = gateway.invoke_route(&key, &event).await;
    tracing::info!(
        "{key} {} {} bytes in {:.1} ms",
        socket.connection_id,
        text.len(),
        start.elapsed().as_secs_f64() * 1e3
    );
    match result {
        Some(Ok(payload)) if api.routes[&key].two_way => reply(socket, &payload),
        Some(Ok(_)) | None => {}
        Some(Err(InvokeError::TimedOut)) => send_error(socket, "Endpoint request timed out"),
        Some(Err(InvokeError::Function(error))) => {
            tracing::warn!(
                "{key} failed: {}: {}",
                error.error_type,
                error.error_message
            );
            send_error(socket, "Internal server error");
        }
    }
}

/// The body of a two-way route's answer, at any status.
fn reply(socket: &Socket, payload: &[u8]) {
    let answer: Value = serde_json::from_slice(payload).unwrap_or_default();
    if answer.get("statusCode").is_none() {
        send_error(socket, "Internal server error");
    } else if let Some(body) = answer["body"].as_str() {
        // The client may be gone or slow; a reply is not retried.
        let _ = socket.send(body);
    }
}

/// An error frame of the gateway itself, spaced as API Gateway does.
fn send_error(socket: &Socket, message: &str) {
    let _ = socket.send(&format!(
        "{{\"message\": \"{message}\", \"connectionId\":\"{}\", \"requestId\":\"{}\"}}",
        socket.connection_id,
        new_id()
    ));
}

//! The task of an open connection.
//!
//! Each frame of a connection is dispatched at once in a task of its own, so the responses may come
//! in any order, as on API Gateway.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use super::dispatch::dispatch;
use crate::apigw::event::websocket as event;
use crate::apigw::registry::{CloseReason, Connection, Outgoing};
use crate::apigw::state::Gateway;
use crate::lambda::Invocation;
use crate::model::WebSocketApi;

/// Size limit of a frame from a client, in bytes.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>
const MAX_FRAME_BYTES: usize = 32 * 1024;

/// Size limit of a message from or to a client, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 128 * 1024;

/// Frames of one connection processed concurrently; further frames wait. [U]: API Gateway closes
/// the connections of clients that send too much with 1008, and does not document the limit.
const MAX_IN_HAND: usize = 128;

/// Read buffer of each connection, in bytes.
const READ_BUFFER_BYTES: usize = 2 * 1024;

/// Limit of the bytes that wait to be written: two of the largest messages, and pongs.
const WRITE_BUFFER_BYTES: usize = 4 * MAX_MESSAGE_BYTES;

/// Frames are sent together up to so many bytes, while more of them wait.
const FLUSH_BYTES: usize = 64 * 1024;

/// Whether a ping of the client counts as a sign of life. [U]
const PING_IS_ACTIVITY: bool = false;

/// The close code for text that is not UTF-8. [U]
const NOT_UTF8: CloseCode = CloseCode::Invalid;

/// Whether the event `$disconnect` has the reason of the client's close frame. [U]
const CLIENT_REASON_IS_FORWARDED: bool = true;

/// The reason in the event `$disconnect` of a connection that ended without a close frame. [U]
const ABNORMAL_REASON: &str = "";

/// Timeout of the client's close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

type Stream = WebSocketStream<TokioIo<Upgraded>>;

/// How a connection ends.
enum Closing {
    /// Its TCP connection breaks, as a fault on demand.
    Cut,
    /// The client closes it, or the gateway shuts down: its frames that wait are still served.
    Closed(Disconnect),
    /// The gateway closes it and drops its frames that wait.
    Dropped(Disconnect),
}

/// Code and reason of the event `$disconnect`.
struct Disconnect {
    code: CloseCode,
    reason: String,
}

/// Serves a connection from its handshake to its `$disconnect`.
pub async fn serve(
    gateway: Arc<Gateway>,
    api: Arc<WebSocketApi>,
    connection: Arc<Connection>,
    outbox: mpsc::Receiver<Outgoing>,
    upgrade: OnUpgrade,
) {
    let disconnect = match upgrade.await {
        Ok(upgraded) => run(&gateway, &api, &connection, outbox, upgraded).await,
        Err(_) => {
            gateway.connections.remove(connection.id());
            Disconnect::abnormally()
        }
    };
    let code = u16::from(disconnect.code);
    tracing::info!("$disconnect {} {code}", connection.id());
    invoke_disconnect(&gateway, &api, &connection, code, &disconnect.reason).await;
}

/// Invokes the function of `$disconnect`, unless a fault says otherwise.
async fn invoke_disconnect(
    gateway: &Gateway,
    api: &WebSocketApi,
    connection: &Connection,
    code: u16,
    reason: &str,
) {
    let (Some(route), Some(delay)) = (api.routes.get("$disconnect"), gateway.faults.disconnect())
    else {
        return;
    };
    tokio::select! {
        () = tokio::time::sleep(delay), if !delay.is_zero() => {}
        // A shutdown does not wait for a fault.
        () = gateway.closing.cancelled(), if !delay.is_zero() => {}
        else => {}
    }
    let event = event::disconnect(api, &connection.client, code, reason);
    let invocation = Invocation {
        function: &route.function,
        cause: "$disconnect",
        connection_id: Some(connection.id()),
        caller: Some(connection.client.caller()),
        payload: event.to_string().into(),
        timeout: route.timeout,
        dropped: None,
    };
    if let Err(error) = gateway.functions.invoke_from_task(invocation).await {
        tracing::warn!("$disconnect failed: {error}");
    }
}

async fn run(
    gateway: &Arc<Gateway>,
    api: &Arc<WebSocketApi>,
    connection: &Arc<Connection>,
    outbox: mpsc::Receiver<Outgoing>,
    upgraded: Upgraded,
) -> Disconnect {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES)
        .max_frame_size(Some(MAX_FRAME_BYTES))
        .max_message_size(Some(MAX_MESSAGE_BYTES));
    let io = TokioIo::new(upgraded);
    let stream = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let (sink, mut frames) = stream.split();
    let mut writer = tokio::spawn(write(Arc::clone(connection), sink, outbox));
    let closing = read(gateway, api, connection, &mut frames).await;
    gateway.connections.remove(connection.id());
    let disconnect = match closing {
        Closing::Cut => {
            writer.abort();
            return Disconnect::abnormally();
        }
        Closing::Closed(disconnect) => disconnect,
        Closing::Dropped(disconnect) => {
            // The queue takes no more of them from here on, and then drops those that it has.
            connection.drop_frames.cancel();
            gateway.functions.drop_events(connection.id());
            disconnect
        }
    };
    // Ends the writer if nothing else has.
    connection.send_close(CloseCode::Normal, "");
    linger(&mut writer, frames).await;
    // It would wait for frames whose functions still run.
    writer.abort();
    disconnect
}

/// Sends what comes into the outbox. Ends with a close frame or a broken connection, and closes that of a
/// client that does not read.
async fn write(
    connection: Arc<Connection>,
    mut sink: SplitSink<Stream, Message>,
    mut outbox: mpsc::Receiver<Outgoing>,
) -> SplitSink<Stream, Message> {
    match write_all(&mut sink, &mut outbox).await {
        Err(WebSocketError::Io(error)) if error.kind() == ErrorKind::TimedOut => {
            connection.close(CloseReason::NotReading);
        }
        // The reader notices a broken connection, and why it has broken.
        _ => {}
    }
    sink
}

/// Sends frames until a close frame. Their room becomes free when they have left the process.
async fn write_all(
    sink: &mut SplitSink<Stream, Message>,
    outbox: &mut mpsc::Receiver<Outgoing>,
) -> Result<(), WebSocketError> {
    let (mut unflushed, mut unflushed_bytes) = (Vec::new(), 0);
    while let Some(Outgoing { message, room }) = outbox.recv().await {
        let is_close = message.is_close();
        unflushed_bytes += message.len();
        sink.feed(message).await?;
        unflushed.push(room);
        if outbox.is_empty() || is_close || unflushed_bytes >= FLUSH_BYTES {
            sink.flush().await?;
            unflushed.clear();
            unflushed_bytes = 0;
        }
        if is_close {
            break;
        }
    }
    Ok(())
}

/// Reads frames until the connection closes.
async fn read(
    gateway: &Arc<Gateway>,
    api: &Arc<WebSocketApi>,
    connection: &Arc<Connection>,
    frames: &mut SplitStream<Stream>,
) -> Closing {
    let slots = Arc::new(Semaphore::new(MAX_IN_HAND));
    let closing = closed_from_our_side(gateway, connection);
    let mut closing = std::pin::pin!(closing);
    loop {
        let frame = tokio::select! {
            frame = frames.next() => frame,
            closing = closing.as_mut() => return closing,
        };
        match frame {
            Some(Ok(Message::Text(text))) => {
                connection.touch();
                if gateway.faults.cut() {
                    return Closing::Cut;
                }
                let slot = tokio::select! {
                    slot = Arc::clone(&slots).acquire_owned() => slot,
                    closing = closing.as_mut() => return closing,
                };
                let slot = slot.expect("the semaphore is never closed");
                let tasks = gateway.tasks.clone();
                let (gateway, api) = (Arc::clone(gateway), Arc::clone(api));
                let connection = Arc::clone(connection);
                tasks.spawn(async move {
                    dispatch(&gateway, &api, &connection, text, slot).await;
                });
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                // The library responds to pings by itself.
                if PING_IS_ACTIVITY {
                    connection.touch();
                }
            }
            last => return last_frame(connection, last),
        }
    }
}

/// Waits until the connection is closed from our side.
async fn closed_from_our_side(gateway: &Gateway, connection: &Connection) -> Closing {
    let going_away = || close(connection, CloseCode::Away, "Going away");
    tokio::select! {
        () = gateway.closing.cancelled() => Closing::Closed(going_away()),
        () = expire(gateway, connection) => Closing::Dropped(going_away()),
        reason = connection.closed() => match reason {
            CloseReason::Deleted => {
                let reason = "Connection Closed Normally";
                Closing::Dropped(close(connection, CloseCode::Normal, reason))
            }
            CloseReason::Cut => Closing::Cut,
            CloseReason::NotReading => Closing::Dropped(Disconnect::abnormally()),
        },
    }
}

/// Waits until the connection has been silent for too long, or is too old.
async fn expire(gateway: &Gateway, connection: &Connection) {
    let age = tokio::time::sleep(gateway.settings.lifetime);
    let idle = async {
        loop {
            let silent = (Utc::now() - connection.last_active())
                .to_std()
                .unwrap_or_default();
            match gateway.settings.idle_timeout.checked_sub(silent) {
                Some(rest) if !rest.is_zero() => tokio::time::sleep(rest).await,
                _ => return,
            }
        }
    };
    tokio::select! {
        () = age => {}
        () = idle => {}
    }
}

/// Returns how the last frame of a client, or its lack, ends the connection.
fn last_frame(connection: &Connection, last: Option<Result<Message, WebSocketError>>) -> Closing {
    let (code, reason) = match last {
        Some(Ok(Message::Binary(_))) => (CloseCode::Unsupported, "Binary is not supported"),
        Some(Err(WebSocketError::Capacity(_))) => (CloseCode::Size, "Message too long"),
        Some(Err(WebSocketError::Utf8(_))) => (NOT_UTF8, "Invalid UTF-8"),
        Some(Err(WebSocketError::Protocol(violation)))
            if violation != ProtocolError::ResetWithoutClosingHandshake =>
        {
            (CloseCode::Protocol, "Protocol error")
        }
        Some(Ok(Message::Close(frame))) => return Closing::Closed(closed_by_client(frame)),
        _ => return Closing::Closed(Disconnect::abnormally()),
    };
    Closing::Dropped(close(connection, code, reason))
}

/// Returns the disconnect that the close frame of a client causes.
fn closed_by_client(frame: Option<CloseFrame>) -> Disconnect {
    let Some(frame) = frame else {
        return Disconnect::new(CloseCode::Status, "Client-side close frame status not set");
    };
    let usual = match frame.code {
        CloseCode::Normal => "Connection Closed Normally",
        CloseCode::Away => "Going away",
        _ => "",
    };
    if CLIENT_REASON_IS_FORWARDED && !frame.reason.is_empty() {
        Disconnect::new(frame.code, &frame.reason)
    } else {
        Disconnect::new(frame.code, usual)
    }
}

impl Disconnect {
    fn new(code: CloseCode, reason: &str) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
        }
    }

    fn abnormally() -> Self {
        Self::new(CloseCode::Abnormal, ABNORMAL_REASON)
    }
}

/// Closes from our side.
fn close(connection: &Connection, code: CloseCode, reason: &'static str) -> Disconnect {
    connection.send_close(code, reason);
    Disconnect::new(code, reason)
}

/// Waits until the close frames of both sides have passed. Our response to the client's close frame
/// leaves with the next read. A TCP connection that is closed with unread bytes is reset, and the
/// reset can overtake our close frame.
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
    match tokio::time::timeout(CLOSE_TIMEOUT, closing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a connection ended roughly: {error}"),
        Err(_) => tracing::debug!("a client did not close its side in time"),
    }
}

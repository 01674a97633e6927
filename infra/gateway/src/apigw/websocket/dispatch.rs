//! A frame of a client: its route, the invocation of the route's function, and the reply.

use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::connection::MAX_MESSAGE_BYTES;
use crate::apigw::event::websocket as event;
use crate::apigw::registry::Connection;
use crate::apigw::response::ProxyResponse;
use crate::apigw::routing::match_frame;
use crate::apigw::state::Gateway;
use crate::ids::new_id;
use crate::lambda::{Invocation, InvokeError};
use crate::model::WebSocketApi;

/// The frame for a message above its route's throttle. [U]
const THROTTLED: &str = "Too Many Requests";

/// Whether a response without a body on a two-way route sends an empty message. [U]
const EMPTY_REPLY_IS_SENT: bool = true;

/// Size limit of a response on a two-way route, in bytes; a larger one is an error. [U]
const MAX_REPLY_BYTES: usize = MAX_MESSAGE_BYTES;

/// Invokes the function of a frame's route and sends its response.
pub async fn dispatch(
    gateway: &Gateway,
    api: &WebSocketApi,
    connection: &Connection,
    text: Utf8Bytes,
    _slot: OwnedSemaphorePermit,
) {
    let Some(key) = match_frame(api, &text) else {
        tracing::info!("no route {} {} bytes", connection.id(), text.len());
        send_error(connection, "Forbidden");
        return;
    };
    let route = &api.routes[&key];
    if let Some(why) = &route.denied {
        tracing::warn!("{key} lets nobody in: {why}");
        send_error(connection, "Forbidden");
        return;
    }
    let buckets = &gateway.websocket_buckets;
    if !buckets.admit(&key, api.stage.throttle(&key), Instant::now()) {
        tracing::info!("{key} {} throttled", connection.id());
        send_error(connection, THROTTLED);
        return;
    }
    let invocation = Invocation {
        function: &route.function,
        cause: &key,
        connection_id: Some(connection.id()),
        caller: Some(connection.client.caller()),
        payload: event::message(api, &connection.client, &key, &text),
        timeout: route.timeout,
        dropped: Some(&connection.drop_frames),
    };
    // The event has it too, and may have to wait.
    drop(text);
    match gateway.functions.invoke_from_task(invocation).await {
        Ok(payload) => reply(connection, &key, route.two_way, &payload),
        Err(InvokeError::Dropped) => tracing::info!("{key} {} dropped", connection.id()),
        Err(InvokeError::TimedOut) => send_error(connection, "Endpoint request timed out"),
        Err(error) => {
            tracing::warn!("{key} failed: {error}");
            send_error(connection, "Internal server error");
        }
    }
}

/// Sends the body of the response to the client on a two-way route, at any status. A response that
/// is no proxy response, or is too long, is an error on any route.
fn reply(connection: &Connection, key: &str, two_way: bool, payload: &[u8]) {
    let response = ProxyResponse::parse(payload);
    match response.filter(|response| response.body.len() <= MAX_REPLY_BYTES) {
        None => {
            tracing::warn!("the response of {key} is no proxy response");
            send_error(connection, "Internal server error");
        }
        // The client may be gone or slow; a reply is not retried.
        Some(response) if two_way && (EMPTY_REPLY_IS_SENT || !response.body.is_empty()) => {
            let _ = connection.send(response.body.into());
        }
        Some(_) => {}
    }
}

/// Sends an error frame of the gateway itself, spaced as API Gateway does.
fn send_error(connection: &Connection, message: &str) {
    let frame = format!(
        "{{\"message\": \"{message}\", \"connectionId\":\"{}\", \"requestId\":\"{}\"}}",
        connection.id(),
        new_id()
    );
    let _ = connection.send(frame.into());
}

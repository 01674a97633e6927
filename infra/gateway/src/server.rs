//! The two listeners: the port of the WebSocket API, and that of the HTTP API.
//!
//! - [`invoke_api`]: Lambda's Invoke API, on the port of the WebSocket API
//! - [`control`]: faults on demand and counts of processes, on the same port

pub mod control;
pub mod invoke_api;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::ORIGIN;
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpListener;

use crate::apigw::http_api;
use crate::apigw::state::Gateway;
use crate::apigw::websocket::{handshake, management};
use crate::http::server::{ClientAddr, ListenerOptions, aws_error, serve_with};

/// Serves the port of the WebSocket API in the background until [`Gateway::shutdown`].
pub fn serve_websocket(gateway: &Arc<Gateway>, listener: TcpListener) {
    let (gateway, shutdown) = (Arc::clone(gateway), gateway.closed.clone());
    let handler = move |request, client| route(Arc::clone(&gateway), request, client);
    let options = ListenerOptions {
        keep_raw_head: true,
        ..ListenerOptions::PUBLIC
    };
    tokio::spawn(serve_with(listener, shutdown, options, handler));
}

/// Serves the port of the HTTP API in the background until [`Gateway::shutdown`].
pub fn serve_http(gateway: &Arc<Gateway>, listener: TcpListener) {
    let (gateway, shutdown) = (Arc::clone(gateway), gateway.closed.clone());
    let handler =
        move |request, client| http_api::handler::handle(Arc::clone(&gateway), request, client);
    tokio::spawn(serve_with(
        listener,
        shutdown,
        ListenerOptions::PUBLIC,
        handler,
    ));
}

/// Routes a request to the port of the WebSocket API by its path.
async fn route(
    gateway: Arc<Gateway>,
    request: Request<Incoming>,
    client: ClientAddr,
) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let function = invoke_api::function_name(path);
    let is_control = control::is_control(path);
    // A page of any origin could send these, so a request with `Origin` is rejected.
    if (function.is_some() || is_control) && request.headers().contains_key(ORIGIN) {
        let (kind, message) = ("AccessDeniedException", "not for web pages");
        return aws_error(StatusCode::FORBIDDEN, kind, message);
    }
    if let Some(name) = function {
        return invoke_api::handle(&gateway, &name, request).await;
    }
    if is_control {
        return control::handle(&gateway, request).await;
    }
    let Some(api) = &gateway.template.websocket else {
        return handshake::no_such_stage();
    };
    if let Some(id) = management::connection_id(path, &api.stage.name) {
        return management::handle(&gateway, &id, request).await;
    }
    let api = Arc::clone(api);
    handshake::handle(&gateway, api, request, client).await
}

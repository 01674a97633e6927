//! The two listeners: the port of the WebSocket API, and that of the HTTP API.
//!
//! - [`invoke_api`]: Lambda's Invoke API, on the port of the WebSocket API
//! - [`sqs_api`]: the API of queues, on the same port
//! - [`control`]: faults on demand and counts of processes, on the same port
//! - [`origin`]: the origins of web pages that send requests

pub mod control;
pub mod invoke_api;
pub mod origin;
pub mod sqs_api;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::ORIGIN;
use hyper::{Request, Response, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::apigw::http_api;
use crate::apigw::state::Gateway;
use crate::apigw::websocket::{handshake, management};
use crate::http::server::{ClientAddr, ListenerOptions, aws_error, json_response, serve_with};

/// Serves the port of the WebSocket API in the background until [`Gateway::shutdown`].
pub fn serve_websocket(
    gateway: &Arc<Gateway>,
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
) {
    let (gateway, shutdown) = (Arc::clone(gateway), gateway.closed.clone());
    let handler = move |request, client| route(Arc::clone(&gateway), request, client);
    let options = ListenerOptions {
        keep_raw_head: true,
        ..ListenerOptions::PUBLIC
    };
    tokio::spawn(serve_with(listener, shutdown, options, acceptor, handler));
}

/// Serves the port of the HTTP API in the background until [`Gateway::shutdown`].
pub fn serve_http(gateway: &Arc<Gateway>, listener: TcpListener, acceptor: Option<TlsAcceptor>) {
    let (gateway, shutdown) = (Arc::clone(gateway), gateway.closed.clone());
    let handler = move |request, client| route_http(Arc::clone(&gateway), request, client);
    tokio::spawn(serve_with(
        listener,
        shutdown,
        ListenerOptions::PUBLIC,
        acceptor,
        handler,
    ));
}

/// Passes on a request to the port of the HTTP API.
async fn route_http(
    gateway: Arc<Gateway>,
    request: Request<Incoming>,
    client: ClientAddr,
) -> Response<Full<Bytes>> {
    match refuse_page(&gateway, &request) {
        Some(refusal) => refusal,
        None => http_api::handler::handle(gateway, request, client).await,
    }
}

/// Refuses a request of a web page of another machine, if the settings say so.
fn refuse_page(gateway: &Gateway, request: &Request<Incoming>) -> Option<Response<Full<Bytes>>> {
    let message = gateway.settings.page_refusal?;
    let origin = origin::foreign(request.headers())?;
    // A browser does not show the response to a handshake.
    tracing::warn!("refused a request of the page {origin:?}: {message}");
    let body = json!({"message": message});
    Some(json_response(StatusCode::FORBIDDEN, &body))
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
    let action = sqs_api::action(request.headers());
    let api = gateway.template.websocket.as_ref();
    let connection = api.and_then(|api| management::connection_id(path, &api.stage.name));
    // Programs send these. A page of any origin could, too, so a request with `Origin` is rejected.
    let is_api = function.is_some() || connection.is_some() || action.is_some();
    let is_for_programs = is_api || is_control;
    if is_for_programs && request.headers().contains_key(ORIGIN) {
        let (kind, message) = ("AccessDeniedException", "not for web pages");
        return aws_error(StatusCode::FORBIDDEN, kind, message);
    }
    if let Some(name) = function {
        return invoke_api::handle(&gateway, &name, request).await;
    }
    if let Some(action) = action {
        return sqs_api::handle(&gateway, &action, request).await;
    }
    if is_control {
        return control::handle(&gateway, request).await;
    }
    if let Some(id) = connection {
        return management::handle(&gateway, &id, request).await;
    }
    let Some(api) = api else {
        return handshake::no_such_stage();
    };
    if let Some(refusal) = refuse_page(&gateway, &request) {
        return refusal;
    }
    let api = Arc::clone(api);
    handshake::handle(&gateway, api, request, client).await
}

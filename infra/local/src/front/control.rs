//! Faults on demand: `/_local/…` on the WebSocket port.
//!
//! - `GET` and `PUT /_local/faults`: the [`Faults`] in force; `PUT` sets all of them anew
//! - `POST /_local/cut`: breaks sockets at once, all or `{"connection_id": …}`; says how many
//! - `POST /_local/kill`: kills processes with an event in hand, of `{"function": …}`

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::{json_response, read_body};
use crate::connections::End;
use crate::faults::Faults;
use crate::gateway::Gateway;

/// The largest request, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Whether a path is one of these.
pub fn is_control(path: &str) -> bool {
    path.starts_with("/_local/")
}

/// Answers a request about faults.
pub async fn answer(gateway: &Gateway, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = read_body(body, MAX_BODY_BYTES).await.unwrap_or_default();
    match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/_local/faults") => show(gateway),
        (&Method::PUT, "/_local/faults") => set(gateway, &body),
        (&Method::POST, "/_local/cut") => cut(gateway, &body),
        (&Method::POST, "/_local/kill") => kill(gateway, &body),
        _ => refuse(
            StatusCode::NOT_FOUND,
            "there are GET and PUT /_local/faults, POST /_local/cut and POST /_local/kill",
        ),
    }
}

fn show(gateway: &Gateway) -> Response<Full<Bytes>> {
    json_response(StatusCode::OK, &json!(gateway.settings.faults.get()))
}

fn set(gateway: &Gateway, body: &Bytes) -> Response<Full<Bytes>> {
    let faults: Result<Faults, _> = String::from_utf8_lossy(body).parse();
    match faults {
        Ok(faults) => {
            tracing::warn!("faults: {}", json!(faults));
            gateway.settings.faults.set(faults);
            show(gateway)
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, &format!("{error:#}")),
    }
}

fn cut(gateway: &Gateway, body: &Bytes) -> Response<Full<Bytes>> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let sockets = match body["connection_id"].as_str() {
        Some(id) => gateway.connections.get(id).into_iter().collect(),
        None => gateway.connections.all(),
    };
    for socket in &sockets {
        socket.end(End::Cut);
    }
    json_response(StatusCode::OK, &json!({"cut": sockets.len()}))
}

fn kill(gateway: &Gateway, body: &Bytes) -> Response<Full<Bytes>> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let function = body["function"].as_str().unwrap_or_default();
    match gateway.template.function(function) {
        Some(function) => {
            gateway.kill_later(vec![(function.name.clone(), Duration::ZERO)]);
            json_response(StatusCode::OK, &json!({"function": function.name}))
        }
        None => refuse(StatusCode::BAD_REQUEST, "there is no such function"),
    }
}

fn refuse(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    json_response(status, &json!({"message": message}))
}

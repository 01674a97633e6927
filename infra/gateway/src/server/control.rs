//! Faults on demand, and counts: `/_local/…` on the WebSocket port.
//!
//! - `GET` and `PUT /_local/faults`: the [`Faults`] in force; `PUT` replaces all of them
//! - `GET /_local/processes`: how many processes of each function have started and ended so far:
//!   `{"ProbeFunction": {"started": 3, "exited": 1, "killed": 1}}`. `exited` ended with a status of
//!   their own, `killed` by a signal. Functions that run elsewhere are left out.
//! - `POST /_local/cut`: breaks connections at once, all or `{"connection_id": …}`; says how many
//! - `POST /_local/kill`: kills the processes of `{"function": …}` that have an event

use std::sync::Arc;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::apigw::registry::CloseReason;
use crate::apigw::state::Gateway;
use crate::faults::Faults;
use crate::http::server::{json_response, read_body};

/// Size limit of a request, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Whether a path is one of these.
pub fn is_control(path: &str) -> bool {
    path.starts_with("/_local/")
}

/// Handles a request.
pub async fn handle(gateway: &Arc<Gateway>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = match read_body(body, MAX_BODY_BYTES).await {
        Ok(body) => body,
        Err(status) => return error_response(status, "the body cannot be read"),
    };
    let result = match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/_local/faults") => Ok(json!(gateway.faults.get())),
        (&Method::PUT, "/_local/faults") => set(gateway, &body),
        (&Method::GET, "/_local/processes") => Ok(json!(gateway.functions.process_counts())),
        (&Method::POST, "/_local/cut") => cut(gateway, &body),
        (&Method::POST, "/_local/kill") => kill(gateway, &body),
        _ => {
            let there_are = "there are GET and PUT /_local/faults, GET /_local/processes, \
                             POST /_local/cut and /_local/kill";
            return error_response(StatusCode::NOT_FOUND, there_are);
        }
    };
    match result {
        Ok(body) => json_response(StatusCode::OK, &body),
        Err(error) => error_response(StatusCode::BAD_REQUEST, &format!("{error:#}")),
    }
}

fn set(gateway: &Gateway, body: &[u8]) -> Result<Value> {
    let faults: Faults = std::str::from_utf8(body)?.parse()?;
    tracing::warn!("faults: {}", json!(faults));
    gateway.set_faults(faults)?;
    Ok(json!(gateway.faults.get()))
}

/// Which connection; all if it names none.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cut {
    connection_id: Option<String>,
}

fn cut(gateway: &Gateway, body: &[u8]) -> Result<Value> {
    let which: Cut = match body {
        [] => Cut::default(),
        body => serde_json::from_slice(body)?,
    };
    let connections = match which.connection_id {
        Some(id) => gateway.connections.get(&id).into_iter().collect(),
        None => gateway.connections.all(),
    };
    for connection in &connections {
        connection.close(CloseReason::Cut);
    }
    Ok(json!({"cut": connections.len()}))
}

/// Which function.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kill {
    function: String,
}

fn kill(gateway: &Gateway, body: &[u8]) -> Result<Value> {
    let Kill { function } = serde_json::from_slice(body)?;
    let is_ours = gateway.functions.kill_busy(&function);
    ensure!(
        is_ours,
        "there is no function {function}, or it runs elsewhere"
    );
    Ok(json!({"function": function}))
}

fn error_response(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    json_response(status, &json!({"message": message}))
}

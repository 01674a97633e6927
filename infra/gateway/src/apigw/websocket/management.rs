//! The `@connections` API: `POST`, `GET` and `DELETE /{stage}/@connections/{connection id}`.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html>

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use chrono::SecondsFormat;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::connection::MAX_MESSAGE_BYTES;
use crate::apigw::registry::{CloseReason, Connection, NotSent};
use crate::apigw::state::Gateway;
use crate::faults::Moment;
use crate::http::server::{aws_error, json_response, response, unread_body};
use crate::http::sigv4::verify::Claim;

/// The status of a deletion. [U]: 204 in the model of the API; some have seen 200.
const DELETED: StatusCode = StatusCode::NO_CONTENT;

/// Delay of the response to a post of a process that is being killed.
const KILL_DELAY: Duration = Duration::from_millis(500);

/// Returns the connection id of a request to this API, `None` for any other path.
pub fn connection_id(path: &str, stage: &str) -> Option<String> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let rest = path.strip_prefix('/')?.strip_prefix(stage)?;
    rest.strip_prefix("/@connections/").map(str::to_owned)
}

/// Handles a request about the connection `id`.
pub async fn handle(
    gateway: &Arc<Gateway>,
    id: &str,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let claim = match gateway.settings.management_verifier.check_head(&parts) {
        Ok(claim) => claim,
        Err(rejection) => {
            tracing::info!("{} @connections 403", parts.method);
            return aws_error(StatusCode::FORBIDDEN, rejection.kind, &rejection.message);
        }
    };
    let response = match gateway.signed_bodies.read(body, MAX_MESSAGE_BYTES).await {
        Ok(body) => checked(gateway, id, &claim, &parts.method, &body.bytes).await,
        Err(StatusCode::PAYLOAD_TOO_LARGE) => too_large(),
        Err(status) => unread_body(status),
    };
    let (method, status) = (&parts.method, response.status().as_u16());
    tracing::info!("{method} @connections/{} {status}", id.escape_debug());
    response
}

/// Checks body and id, then handles the request by its method.
async fn checked(
    gateway: &Arc<Gateway>,
    id: &str,
    claim: &Claim<'_>,
    method: &Method,
    body: &Bytes,
) -> Response<Full<Bytes>> {
    if let Err(rejection) = claim.check_body(body) {
        return aws_error(StatusCode::FORBIDDEN, rejection.kind, &rejection.message);
    }
    if !URL_SAFE.decode(id).is_ok_and(|bytes| !bytes.is_empty()) {
        let message = format!("Invalid connectionId: {id}");
        return aws_error(StatusCode::BAD_REQUEST, "BadRequestException", &message);
    }
    match *method {
        Method::POST => post(gateway, id, body).await,
        Method::GET => get(gateway, id),
        Method::DELETE => delete(gateway, id),
        _ => aws_error(StatusCode::FORBIDDEN, "ForbiddenException", "Forbidden"),
    }
}

async fn post(gateway: &Gateway, id: &str, body: &Bytes) -> Response<Full<Bytes>> {
    let faults = &gateway.faults;
    if kill(gateway, Moment::BeforePush).await {
        return unavailable();
    }
    match faults.post_error() {
        Some(StatusCode::GONE) => return gone(),
        Some(StatusCode::TOO_MANY_REQUESTS) => return too_many(),
        Some(status) => return aws_error(status, "InternalServerException", "a fault on demand"),
        None => {}
    }
    let Some(connection) = gateway.connections.get(id) else {
        return gone();
    };
    match deliver(gateway, &connection, body) {
        Ok(()) => {
            kill(gateway, Moment::AfterPush).await;
            response(StatusCode::OK, Bytes::new())
        }
        Err(NotSent::Gone) => gone(),
        Err(NotSent::Full) => too_many(),
    }
}

/// Kills processes at a moment of a post, as a fault on demand. Delays the response, so that they
/// do not go on before they are dead. Returns false if no fault is due.
async fn kill(gateway: &Gateway, moment: Moment) -> bool {
    let kills = gateway.faults.kills(moment, None);
    for (function, delay) in &kills {
        tokio::time::sleep(*delay).await;
        gateway.functions.kill_busy(function);
    }
    if !kills.is_empty() {
        tokio::time::sleep(KILL_DELAY).await;
    }
    !kills.is_empty()
}

/// Sends a post to its client, at once unless a fault says otherwise.
fn deliver(gateway: &Gateway, connection: &Arc<Connection>, body: &Bytes) -> Result<(), NotSent> {
    // Clients get text frames whatever was posted.
    let lossy = |_| String::from_utf8_lossy(body).into_owned().into();
    let text = Utf8Bytes::try_from(body.clone()).unwrap_or_else(lossy);
    for delay in gateway.faults.deliveries() {
        if delay.is_zero() {
            connection.send(text.clone())?;
            continue;
        }
        let (connection, text) = (Arc::clone(connection), text.clone());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            // The post was accepted: as on a network, a later loss is not reported.
            let _ = connection.send(text);
        });
    }
    Ok(())
}

fn get(gateway: &Gateway, id: &str) -> Response<Full<Bytes>> {
    let Some(connection) = gateway.connections.get(id) else {
        return gone();
    };
    let client = &connection.client;
    let mut identity = json!({"sourceIp": client.source_ip});
    if let Some(user_agent) = &client.user_agent {
        identity["userAgent"] = user_agent.as_str().into();
    }
    let body = json!({
        "connectedAt": client.connected_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "lastActiveAt": connection.last_active().to_rfc3339_opts(SecondsFormat::Secs, true),
        "identity": identity,
    });
    json_response(StatusCode::OK, &body)
}

fn delete(gateway: &Gateway, id: &str) -> Response<Full<Bytes>> {
    let Some(connection) = gateway.connections.get(id) else {
        return gone();
    };
    gateway.connections.remove(id);
    connection.close(CloseReason::Deleted);
    response(DELETED, Bytes::new())
}

fn gone() -> Response<Full<Bytes>> {
    aws_error(StatusCode::GONE, "GoneException", "")
}

fn too_many() -> Response<Full<Bytes>> {
    let message = "The client does not read fast enough, or there are too many requests";
    aws_error(
        StatusCode::TOO_MANY_REQUESTS,
        "LimitExceededException",
        message,
    )
}

fn too_large() -> Response<Full<Bytes>> {
    let message = format!("A message has at most {MAX_MESSAGE_BYTES} bytes");
    aws_error(
        StatusCode::PAYLOAD_TOO_LARGE,
        "PayloadTooLargeException",
        &message,
    )
}

fn unavailable() -> Response<Full<Bytes>> {
    let message = "the process is being killed, as asked for";
    aws_error(
        StatusCode::SERVICE_UNAVAILABLE,
        "ServiceUnavailableException",
        message,
    )
}

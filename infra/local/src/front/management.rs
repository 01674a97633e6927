//! The `@connections` API: `POST`, `GET` and `DELETE /{stage}/@connections/{connection id}`.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html>

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use chrono::SecondsFormat;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::{json_response, response};
use crate::connections::NotSent;
use crate::gateway::Gateway;

/// The largest message to a client, in bytes.
const MAX_PAYLOAD_BYTES: usize = 128 * 1024;

/// The connection id of a request to this API, `None` for any other path.
pub fn connection_id(path: &str, stage: &str) -> Option<String> {
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let rest = path.strip_prefix('/')?.strip_prefix(stage)?;
    rest.strip_prefix("/@connections/").map(str::to_owned)
}

/// Answers a request about the socket `id`.
pub async fn answer(
    gateway: &Gateway,
    id: &str,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let method = request.method().clone();
    let answer = if !URL_SAFE.decode(id).is_ok_and(|bytes| !bytes.is_empty()) {
        refuse(
            StatusCode::BAD_REQUEST,
            "BadRequestException",
            &format!("Invalid connectionId: {id}"),
        )
    } else {
        match method {
            Method::POST => post(gateway, id, request).await,
            Method::GET => get(gateway, id),
            Method::DELETE => delete(gateway, id),
            _ => refuse(StatusCode::FORBIDDEN, "ForbiddenException", "Forbidden"),
        }
    };
    tracing::info!("{method} @connections/{id} {}", answer.status().as_u16());
    answer
}

async fn post(gateway: &Gateway, id: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let body = Limited::new(request.into_body(), MAX_PAYLOAD_BYTES);
    let Ok(body) = body.collect().await else {
        let message = "Message too long";
        return refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PayloadTooLargeException",
            message,
        );
    };
    let Some(socket) = gateway.connections.get(id) else {
        return gone();
    };
    // Clients get text frames whatever was posted.
    match socket.send(&String::from_utf8_lossy(&body.to_bytes())) {
        Ok(()) => response(StatusCode::OK, Bytes::new()),
        Err(NotSent::Gone) => gone(),
        Err(NotSent::Full) => refuse(
            StatusCode::TOO_MANY_REQUESTS,
            "LimitExceededException",
            "The client does not read fast enough",
        ),
    }
}

fn get(gateway: &Gateway, id: &str) -> Response<Full<Bytes>> {
    let Some(socket) = gateway.connections.get(id) else {
        return gone();
    };
    let mut identity = json!({"sourceIp": socket.source_ip});
    if let Some(user_agent) = &socket.user_agent {
        identity["userAgent"] = user_agent.as_str().into();
    }
    let body = json!({
        "connectedAt": socket.connected_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "lastActiveAt": socket.last_active().to_rfc3339_opts(SecondsFormat::Secs, true),
        "identity": identity,
    });
    json_response(StatusCode::OK, &body)
}

fn delete(gateway: &Gateway, id: &str) -> Response<Full<Bytes>> {
    let Some(socket) = gateway.connections.get(id) else {
        return gone();
    };
    socket.deleted.cancel();
    response(StatusCode::NO_CONTENT, Bytes::new())
}

fn gone() -> Response<Full<Bytes>> {
    refuse(StatusCode::GONE, "GoneException", "")
}

/// SDKs find the kind of an error in the header.
fn refuse(status: StatusCode, kind: &'static str, message: &str) -> Response<Full<Bytes>> {
    let mut refusal = json_response(status, &json!({"message": message}));
    let kind = hyper::header::HeaderValue::from_static(kind);
    refusal.headers_mut().insert("x-amzn-errortype", kind);
    refusal
}

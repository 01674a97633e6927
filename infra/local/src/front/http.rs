//! The HTTP API: requests as payload format 2.0, and its rules for a function's answer.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, SET_COOKIE, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::{json_response, response};
use crate::event;
use crate::gateway::Gateway;
use crate::routing::match_http;
use crate::runtime::InvokeError;

/// The largest request body: Lambda's limit, which binds before that of API Gateway.
const MAX_BODY_BYTES: usize = 6 * 1024 * 1024;

/// Headers that belong to the connection between client and gateway; a function cannot set them.
const OF_THE_CONNECTION: [HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];

/// Answers one request.
pub async fn answer(
    gateway: Arc<Gateway>,
    request: Request<Incoming>,
    peer: IpAddr,
) -> Response<Full<Bytes>> {
    let start = Instant::now();
    let what = format!("{} {}", request.method(), request.uri().path());
    let answer = call(&gateway, request, peer).await;
    tracing::info!(
        "{what} {} in {:.1} ms",
        answer.status().as_u16(),
        start.elapsed().as_secs_f64() * 1e3
    );
    answer
}

async fn call(
    gateway: &Gateway,
    request: Request<Incoming>,
    peer: IpAddr,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let routes = &gateway.template.http_routes;
    let Some(found) = match_http(routes, parts.method.as_str(), parts.uri.path()) else {
        return message(StatusCode::NOT_FOUND, "Not Found");
    };
    let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
        return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    // From here on the end of the gateway waits for the answer.
    let _pending = gateway.sockets.token();
    let event = event::http(&parts, &peer.to_string(), &body.to_bytes(), &found);
    match gateway.invoke(&found.route.function, &event).await {
        Ok(payload) => from_function(&payload).unwrap_or_else(|error| {
            tracing::warn!("the function's answer is malformed: {error:#}");
            message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }),
        Err(InvokeError::TimedOut) => {
            message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
        }
        Err(InvokeError::Function(_)) => {
            message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }
    }
}

fn message(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    json_response(status, &json!({"message": text}))
}

/// A payload without `statusCode` is itself the body of a 200.
fn from_function(payload: &Bytes) -> Result<Response<Full<Bytes>>> {
    let answer: Value = serde_json::from_slice(payload)?;
    let Some(status) = answer.get("statusCode") else {
        return Ok(response(StatusCode::OK, payload.clone()));
    };
    let status = status.as_u64().context("statusCode is not a number")?;
    let body = answer["body"].as_str().unwrap_or_default();
    let body = match answer["isBase64Encoded"].as_bool() {
        Some(true) => STANDARD.decode(body)?,
        _ => body.as_bytes().to_vec(),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(u16::try_from(status)?)?;
    let headers = response.headers_mut();
    for (name, value) in headers_of(&answer) {
        let name: HeaderName = name.parse()?;
        if !OF_THE_CONNECTION.contains(&name) {
            headers.append(name, HeaderValue::from_str(value)?);
        }
    }
    for cookie in answer["cookies"].as_array().into_iter().flatten() {
        let cookie = cookie.as_str().context("a cookie is not a string")?;
        headers.append(SET_COOKIE, HeaderValue::from_str(cookie)?);
    }
    Ok(response)
}

fn headers_of(answer: &Value) -> impl Iterator<Item = (&String, &str)> {
    let headers = answer["headers"].as_object().into_iter().flatten();
    headers.filter_map(|(name, value)| Some((name, value.as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(payload: Value) -> Response<Full<Bytes>> {
        from_function(&payload.to_string().into()).expect("well-formed")
    }

    #[test]
    fn a_payload_without_a_status_is_the_body() {
        let answer = answer(json!({"hello": "world"}));
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "application/json");
    }

    #[test]
    fn a_function_cannot_set_headers_of_the_connection() {
        let answer = answer(json!({
            "statusCode": 201,
            "headers": {"Content-Length": "999", "transfer-encoding": "chunked", "x-ours": "1"},
            "cookies": ["a=1", "b=2"],
            "body": "aGk=",
            "isBase64Encoded": true,
        }));
        assert_eq!(answer.status(), StatusCode::CREATED);
        assert_eq!(answer.headers().len(), 3, "{:?}", answer.headers());
        assert_eq!(answer.headers().get_all(SET_COOKIE).iter().count(), 2);
    }

    #[test]
    fn a_malformed_answer_is_an_error() {
        for payload in ["", "[", r#"{"statusCode":"x"}"#, r#"{"statusCode":99999}"#] {
            assert!(
                from_function(&Bytes::from_static(payload.as_bytes())).is_err(),
                "{payload}"
            );
        }
    }
}

//! The Invoke API of Lambda: `POST /2015-03-31/functions/{name}/invocations`. Requests are signed, as on AWS.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::de::IgnoredAny;

use crate::apigw::state::Gateway;
use crate::http::body::Body;
use crate::http::server::{aws_error, response, unread_body};
use crate::http::sigv4::verify::{Claim, Rejection};
use crate::lambda::{Invocation, InvokeError, MAX_PAYLOAD_BYTES, MAX_TIMEOUT, later};
use crate::model::function_arn;

/// Size limit of the payload of an asynchronous invocation, in bytes.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// What invokes the functions, in the log.
const CAUSE: &str = "Invoke API";

/// Returns the function that a path of this API names; `None` for any other path.
pub fn function_name(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/2015-03-31/functions/")?;
    let name = rest.strip_suffix("/invocations")?;
    Some(percent_decode_str(name).decode_utf8_lossy().into_owned())
}

/// Handles an invocation of the function `name`.
pub async fn handle(
    gateway: &Arc<Gateway>,
    name: &str,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let claim = match gateway.settings.invoke_verifier.check_head(&parts) {
        Ok(claim) => claim,
        Err(rejection) => return forbidden(&rejection),
    };
    let Some(function) = gateway.template.function(name) else {
        let message = format!("Function not found: {}", function_arn(name));
        return aws_error(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message);
    };
    if parts.method != Method::POST {
        return aws_error(StatusCode::FORBIDDEN, "AccessDeniedException", "only POST");
    }
    let payload = match read_payload(gateway, body, &claim).await {
        Ok(payload) => payload,
        Err(rejection) => return rejection,
    };
    let function = &function.logical_id;
    let kind = parts.headers.get("x-amz-invocation-type");
    match kind.map_or(&b"RequestResponse"[..], HeaderValue::as_bytes) {
        b"RequestResponse" => outcome(invoke(gateway, function, payload).await),
        b"Event" if payload.bytes.len() > MAX_EVENT_BYTES => too_large(),
        b"Event" => {
            tokio::spawn(invoke_later(Arc::clone(gateway), function.clone(), payload));
            response(StatusCode::ACCEPTED, Bytes::new())
        }
        b"DryRun" => response(StatusCode::NO_CONTENT, Bytes::new()),
        _ => bad_request(
            "InvalidParameterValueException",
            "InvocationType is RequestResponse, Event or DryRun",
        ),
    }
}

/// Reads a payload, which is signed JSON. An empty one is that of an event without fields.
async fn read_payload(
    gateway: &Gateway,
    body: Incoming,
    claim: &Claim<'_>,
) -> Result<Body, Response<Full<Bytes>>> {
    let mut payload = match gateway.signed_bodies.read(body, MAX_PAYLOAD_BYTES).await {
        Ok(payload) => payload,
        Err(StatusCode::PAYLOAD_TOO_LARGE) => return Err(too_large()),
        Err(status) => return Err(unread_body(status)),
    };
    claim
        .check_body(&payload.bytes)
        .map_err(|rejection| forbidden(&rejection))?;
    if payload.bytes.is_empty() {
        payload.bytes = Bytes::from_static(b"{}");
        return Ok(payload);
    }
    match serde_json::from_slice::<IgnoredAny>(&payload.bytes) {
        Ok(_) => Ok(payload),
        Err(error) => {
            let message = format!("Could not parse request body into json: {error}");
            Err(bad_request("InvalidRequestContentException", &message))
        }
    }
}

/// Invokes a function whose result nobody waits for.
async fn invoke_later(gateway: Arc<Gateway>, function: String, payload: Body) {
    let (bytes, stop) = (payload.bytes.clone(), gateway.closing.clone());
    later::invoke(&gateway.functions, &function, CAUSE, bytes, stop).await;
}

async fn invoke(gateway: &Gateway, function: &str, payload: Body) -> Result<Bytes, InvokeError> {
    let invocation = Invocation {
        function,
        cause: CAUSE,
        connection_id: None,
        caller: None,
        payload: payload.bytes.clone(),
        timeout: MAX_TIMEOUT,
        dropped: None,
    };
    gateway.functions.invoke(invocation).await
}

fn outcome(outcome: Result<Bytes, InvokeError>) -> Response<Full<Bytes>> {
    let mut response = match outcome {
        Ok(result) => response(StatusCode::OK, result),
        Err(InvokeError::Function(error)) => {
            let mut response = response(StatusCode::OK, error.0.to_string().into());
            let unhandled = HeaderValue::from_static("Unhandled");
            response
                .headers_mut()
                .insert("x-amz-function-error", unhandled);
            response
        }
        Err(InvokeError::TooLarge) => return too_large(),
        Err(InvokeError::Busy) => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            return aws_error(status, "TooManyRequestsException", "Rate Exceeded.");
        }
        Err(error) => {
            let status = StatusCode::BAD_GATEWAY;
            return aws_error(status, "ServiceException", &error.to_string());
        }
    };
    let latest = HeaderValue::from_static("$LATEST");
    response
        .headers_mut()
        .insert("x-amz-executed-version", latest);
    response
}

fn forbidden(rejection: &Rejection) -> Response<Full<Bytes>> {
    aws_error(StatusCode::FORBIDDEN, rejection.kind, &rejection.message)
}

fn bad_request(kind: &str, message: &str) -> Response<Full<Bytes>> {
    aws_error(StatusCode::BAD_REQUEST, kind, message)
}

fn too_large() -> Response<Full<Bytes>> {
    let message = "Request must be smaller than 6291456 bytes for the InvokeFunction operation";
    aws_error(
        StatusCode::PAYLOAD_TOO_LARGE,
        "RequestTooLargeException",
        message,
    )
}

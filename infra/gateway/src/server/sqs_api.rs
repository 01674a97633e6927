//! The API of queues: `POST /` with the header `X-Amz-Target: AmazonSQS.SendMessage`. Requests are
//! signed, as on AWS.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html>

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::apigw::state::Gateway;
use crate::http::server::response;
use crate::http::sigv4::verify::Rejection;
use crate::sqs::error::ApiError;

/// Size limit of a request, in bytes: the messages of a batch, escaped, and room for the rest.
const MAX_REQUEST_BYTES: usize = 6 * 1024 * 1024;

/// The media type of requests and responses.
const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");

/// Returns the action of a request; `None` if it is not for this API.
pub fn action(headers: &HeaderMap) -> Option<String> {
    let target = headers.get("x-amz-target")?.to_str().ok()?;
    target.strip_prefix("AmazonSQS.").map(str::to_owned)
}

/// Handles a request of an action.
pub async fn handle(
    gateway: &Arc<Gateway>,
    action: &str,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    match call(gateway, action, request).await {
        Ok(Value::Null) => with_headers(response(StatusCode::OK, Bytes::new())),
        Ok(result) => with_headers(response(StatusCode::OK, result.to_string().into())),
        Err(error) => error_response(&error),
    }
}

/// Performs an action whose request is signed.
async fn call(
    gateway: &Arc<Gateway>,
    action: &str,
    request: Request<Incoming>,
) -> Result<Value, ApiError> {
    let (parts, body) = request.into_parts();
    let verifier = &gateway.settings.sqs_verifier;
    let claim = verifier.check_head(&parts).map_err(forbidden)?;
    let body = gateway.signed_bodies.read(body, MAX_REQUEST_BYTES).await;
    let body = body.map_err(unread)?;
    claim.check_body(&body.bytes).map_err(forbidden)?;
    gateway.sqs.call(action, &body.bytes).await
}

fn forbidden(rejection: Rejection) -> ApiError {
    ApiError::common(StatusCode::FORBIDDEN, rejection.kind, &rejection.message)
}

/// Returns the error for a body that was not read, by its status. SDKs retry a 503.
fn unread(status: StatusCode) -> ApiError {
    let (kind, message) = match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            let message = "too many bodies of requests are being read or handled";
            ("ServiceUnavailable", message)
        }
        StatusCode::PAYLOAD_TOO_LARGE => ("RequestEntityTooLarge", "The request is too large"),
        _ => ("SerializationException", "The body is malformed"),
    };
    ApiError::common(status, kind, message)
}

fn error_response(error: &ApiError) -> Response<Full<Bytes>> {
    let body = json!({"__type": error.kind, "message": error.message});
    let mut response = with_headers(response(error.status, body.to_string().into()));
    let code = format!("{};{}", error.code, error.fault());
    if let Ok(code) = HeaderValue::try_from(code) {
        response.headers_mut().insert("x-amzn-query-error", code);
    }
    response
}

fn with_headers(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let id = uuid::Uuid::new_v4().to_string();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

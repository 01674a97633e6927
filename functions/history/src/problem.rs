//! Errors as `application/problem+json` ([RFC 9457]).
//!
//! ```json
//! {"type":"about:blank","title":"Bad Request","status":400,"detail":"`user2` is missing."}
//! ```
//!
//! [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457

use chat::{Code, Error};
use lambda_http::Response;
use lambda_http::http::StatusCode;
use serde_json::json;

/// Returns the response to a request that failed, and logs its cause.
pub fn response(error: Error) -> Response<String> {
    let status = match &error {
        Error::Rejected(rejection) => {
            tracing::info!(
                code = ?rejection.code,
                monotonic_counter.Refusals = 1,
                "request refused"
            );
            match rejection.code {
                Code::Forbidden => StatusCode::FORBIDDEN,
                _ => StatusCode::BAD_REQUEST,
            }
        }
        Error::Unavailable { .. } | Error::Config { .. } => {
            tracing::error!(
                cause = error.chain(),
                monotonic_counter.Failures = 1,
                "history failed"
            );
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let problem = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": error.rejection().message,
    });
    Response::builder()
        .status(status)
        .header("content-type", "application/problem+json")
        .body(problem.to_string())
        .expect("the headers are constant")
}

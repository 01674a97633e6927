//! Errors of the HTTP API as `application/problem+json` ([RFC 9457]).
//!
//! ```json
//! {"type":"about:blank","title":"Bad Request","status":400,"detail":"`user2` is missing."}
//! ```
//!
//! [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457

use chat::{Code, Error};
use serde_json::json;

use crate::http_event::HttpResponse;

/// Returns the response to a request that failed, and logs its cause as `failure`.
pub fn response(error: Error, failure: &'static str) -> HttpResponse {
    let (status, title) = match &error {
        Error::Rejected(rejection) => {
            tracing::info!(
                code = ?rejection.code,
                monotonic_counter.Refusals = 1,
                monotonic_counter.RateLimited = u64::from(rejection.code == Code::RateLimited),
                "request refused"
            );
            match rejection.code {
                Code::Forbidden => (403, "Forbidden"),
                Code::RateLimited => (429, "Too Many Requests"),
                _ => (400, "Bad Request"),
            }
        }
        Error::Unavailable { .. } | Error::Config { .. } => {
            tracing::error!(
                cause = error.chain(),
                monotonic_counter.Failures = 1,
                "{failure}"
            );
            (503, "Service Unavailable")
        }
    };
    let rejection = error.rejection();
    let problem = json!({
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": rejection.message,
    });
    let response = HttpResponse::new(status)
        .header("content-type", "application/problem+json")
        .text(problem.to_string());
    match rejection.retry_after_ms {
        // In whole seconds, rounded up.
        Some(wait) => response.header("retry-after", wait.div_ceil(1_000).to_string()),
        None => response,
    }
}

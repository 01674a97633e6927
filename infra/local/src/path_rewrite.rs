//! The URLs of the old system at the WebSocket API: `/ws/chat/{user_id}` means `?user_id=`.
//!
//! On AWS the function `EdgeFunction` of the chat's template does this. One table of cases,
//! `path_rewrite/cases.json`, is the test of both.

use hyper::StatusCode;
use local_gateway::http::headers::{Pairs, query_pairs};
use percent_encoding::percent_decode_str;

/// The part of an old path before the user id.
pub const OLD_PATH: &str = "/ws/chat/";

/// The status of a handshake whose path names no user, as it is behind CloudFront.
const NO_USER: StatusCode = StatusCode::BAD_REQUEST;

/// Opens the chat at `/`, and at its old path; leaves other paths to the stage.
pub fn rewrite(path: &str, query: &str) -> Option<Result<Pairs, StatusCode>> {
    if path.starts_with(OLD_PATH) {
        return Some(old_query(path, query).ok_or(NO_USER));
    }
    (path == "/").then(|| Ok(query_pairs(query)))
}

/// Returns the decoded query of an old path: its own one and the user id. `None` if the path has no
/// user id or goes on after it, or the user id is not percent-encoded UTF-8.
fn old_query(path: &str, query: &str) -> Option<Pairs> {
    let encoded = path.strip_prefix(OLD_PATH)?;
    if encoded.is_empty() || encoded.contains('/') || !is_percent_encoded(encoded) {
        return None;
    }
    let user_id = percent_decode_str(encoded).decode_utf8().ok()?;
    let mut pairs = query_pairs(query);
    pairs.push(("user_id".to_owned(), user_id.into_owned()));
    Some(pairs)
}

/// Whether each `%` begins a byte of two hexadecimal digits.
fn is_percent_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests;

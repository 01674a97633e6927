//! Ids of the shapes that AWS gives them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use chrono::Utc;

/// Returns an id of the shape of API Gateway's request and connection ids: 16 characters of
/// URL-safe base64 ending in `=`.
pub fn new_id() -> String {
    let mut bytes = [0; 11];
    fastrand::fill(&mut bytes);
    URL_SAFE.encode(bytes)
}

/// Returns a trace id of the shape of X-Ray's: `Root=1-{seconds}-{random}`.
pub fn trace_id() -> String {
    let seconds = Utc::now().timestamp();
    let random = fastrand::u128(..) >> 32;
    format!("Root=1-{seconds:08x}-{random:024x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_looks_like_one_of_api_gateway() {
        for _ in 0..1_000 {
            let id = new_id();
            assert_eq!(id.len(), 16, "{id}");
            assert!(id.ends_with('='), "{id}");
            assert!(!id.contains(['+', '/']), "{id}");
        }
    }
}

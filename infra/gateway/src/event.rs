//! The events that functions get.
//!
//! - [`websocket`]: `$connect`, frames, `$disconnect`, and the authorizer of `$connect`
//! - [`http`]: requests in payload format 2.0, and their authorizers

pub mod http;
pub mod websocket;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::http::headers::Pairs;

/// Whether the map with single values has the last of several. [U]
const LAST_VALUE_COUNTS: bool = true;

/// An id of the shape of API Gateway's request and connection ids: 16 characters of URL-safe base64
/// ending in `=`.
pub fn new_id() -> String {
    let mut bytes = [0; 11];
    fastrand::fill(&mut bytes);
    URL_SAFE.encode(bytes)
}

/// A trace id of the shape of X-Ray's: `Root=1-{seconds}-{random}`.
pub fn trace_id() -> String {
    let seconds = Utc::now().timestamp();
    let random = fastrand::u128(..) >> 32;
    format!("Root=1-{seconds:08x}-{random:024x}")
}

/// Common log format: `09/Feb/2026:18:11:43 +0000`.
fn clf(time: DateTime<Utc>) -> String {
    time.format("%d/%b/%Y:%H:%M:%S +0000").to_string()
}

/// Adds a map with one value of each name and one with all of them.
fn put_maps(event: &mut Value, single: &str, multi: &str, pairs: &Pairs) {
    let (mut one, mut all) = (Map::new(), Map::new());
    for (name, value) in pairs {
        if LAST_VALUE_COUNTS || !one.contains_key(name) {
            one.insert(name.clone(), value.as_str().into());
        }
        let values = all.entry(name.clone()).or_insert_with(|| json!([]));
        values
            .as_array_mut()
            .expect("made just now")
            .push(value.as_str().into());
    }
    event[single] = one.into();
    event[multi] = all.into();
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

//! The events that functions get.
//!
//! - [`websocket`]: `$connect`, frames, `$disconnect`, and the authorizer of `$connect`
//! - [`http`]: requests in payload format 2.0, and their authorizers
//! - `http_v1`: requests in payload format 1.0

pub mod http;
mod http_v1;
pub mod websocket;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::http::headers::Pairs;

/// Whether the map with single values has the last of several. [U]
const LAST_VALUE_COUNTS: bool = true;

/// Formats a time in the common log format: `09/Feb/2026:18:11:43 +0000`.
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

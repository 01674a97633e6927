//! The fields of a span or an event.

use std::fmt::Debug;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};

/// The prefix of a field that is added to a metric, as in [tracing-opentelemetry].
///
/// [tracing-opentelemetry]: https://docs.rs/tracing-opentelemetry/latest/tracing_opentelemetry/struct.MetricsLayer.html
const COUNTER: &str = "monotonic_counter.";

/// The fields of a span or an event.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fields {
    /// Values by name; the sentence of an event is `message`.
    pub(super) values: Map<String, Value>,
    /// Metrics, and the values that are added to them.
    pub(super) counters: Vec<(&'static str, u64)>,
}

impl Fields {
    /// Adds the values whose names are not set yet.
    pub(super) fn inherit(&mut self, values: &Map<String, Value>) {
        for (name, value) in values {
            if !self.values.contains_key(name) {
                self.values.insert(name.clone(), value.clone());
            }
        }
    }

    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.values.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        match u64::try_from(value) {
            // A literal number is an i32.
            Ok(value) => self.record_u64(field, value),
            Err(_) => self.put(field, value),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name().strip_prefix(COUNTER) {
            Some(metric) => self.counters.push((metric, value)),
            None => self.put(field, value),
        }
    }
}

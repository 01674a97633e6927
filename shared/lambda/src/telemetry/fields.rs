//! The fields of a span or an event.

use std::fmt::Debug;

use serde::{Serialize, Serializer};
use serde_json::Value;
use tracing::field::{Field, Visit};

/// The prefix of a field that is added to a metric, as in [tracing-opentelemetry].
///
/// [tracing-opentelemetry]: https://docs.rs/tracing-opentelemetry/latest/tracing_opentelemetry/struct.MetricsLayer.html
const COUNTER: &str = "monotonic_counter.";

/// The fields of a span or an event.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fields {
    /// Values by name; the sentence of an event is `message`.
    pub(super) values: Values,
    /// Metrics, and the values that are added to them.
    pub(super) counters: Vec<(&'static str, u64)>,
}

/// Values by name, in the order of the names. They are few, and their names are constants: a list has no
/// text to copy and no tree to build.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Values(Vec<(&'static str, Value)>);

impl Values {
    /// Sets a value, in place of one that has the name already.
    pub(super) fn set(&mut self, name: &'static str, value: Value) {
        match self.position(name) {
            Ok(index) => self.0[index].1 = value,
            Err(index) => self.0.insert(index, (name, value)),
        }
    }

    /// Sets all values of `others`.
    pub(super) fn extend(&mut self, others: Self) {
        for (name, value) in others.0 {
            self.set(name, value);
        }
    }

    /// Adds the values of `others` whose names are not set yet.
    pub(super) fn inherit(&mut self, others: &Self) {
        for (name, value) in &others.0 {
            if let Err(index) = self.position(name) {
                self.0.insert(index, (name, value.clone()));
            }
        }
    }

    /// Removes a value and returns it.
    pub(super) fn remove(&mut self, name: &str) -> Option<Value> {
        let index = self.position(name).ok()?;
        Some(self.0.remove(index).1)
    }

    /// Returns a value.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let index = self.position(name).ok()?;
        Some(&self.0[index].1)
    }

    /// Returns all values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    /// Returns the index of a name, or the one at which it is to be inserted.
    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by_key(&name, |(name, _)| name)
    }
}

impl<const N: usize> From<[(&'static str, Value); N]> for Values {
    fn from(values: [(&'static str, Value); N]) -> Self {
        let mut sorted = Self::default();
        sorted.extend(Self(values.into()));
        sorted
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.values.set(field.name(), value.into());
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

//! The metrics of an invocation in CloudWatch's [embedded metric format]: one log line, from which
//! CloudWatch makes the metrics by itself.
//!
//! [embedded metric format]: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::report::Report;

/// The namespace of the metrics in CloudWatch.
const NAMESPACE: &str = "MeetMeChat";

/// The one dimension: two stacks of one account do not mix.
const DIMENSION: &str = "Stack";

/// Limit of the values of one metric in one document; further ones are left out.
const MAX_VALUES: usize = 100;

/// Limit of a property that is text, in bytes. A line that is longer than CloudWatch takes would lose
/// all its metrics.
const MAX_PROPERTY_BYTES: usize = 4_096;

/// The source of metrics.
pub(super) struct MetricSource {
    /// The stack, 1–1,024 bytes.
    pub(super) stack: String,
    /// The function.
    pub(super) function: String,
}

impl MetricSource {
    /// Returns the document of an invocation, or nothing if it has counted and timed nothing.
    ///
    /// Counters are numbers; durations are arrays of milliseconds. The properties of the invocation
    /// stand beside them, for queries.
    pub(super) fn document(&self, report: &Report, now: SystemTime) -> Option<Value> {
        let mut durations: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for call in &report.calls {
            let values = durations.entry(call.latency).or_default();
            if values.len() < MAX_VALUES {
                values.push(milliseconds(call.duration));
            }
        }
        let counters = report.counters.keys().map(|name| metric(name, "Count"));
        let timers = durations.keys().map(|name| metric(name, "Milliseconds"));
        let metrics: Vec<Value> = counters.chain(timers).collect();
        if metrics.is_empty() {
            return None;
        }
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut document = json!({
            "_aws": {
                "Timestamp": now.as_millis() as u64,
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [[DIMENSION]],
                    "Metrics": metrics,
                }],
            },
            "function": self.function,
        });
        let properties = report.properties.iter();
        for (name, value) in properties.filter(|(_, value)| !is_long(value)) {
            document[name] = value.clone();
        }
        for (name, count) in &report.counters {
            document[name] = (*count).into();
        }
        for (name, values) in durations {
            document[name] = values.into();
        }
        document[DIMENSION] = self.stack.as_str().into();
        Some(document)
    }
}

fn metric(name: &str, unit: &str) -> Value {
    json!({"Name": name, "Unit": unit})
}

/// Returns milliseconds with three decimals: more digits are noise.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}

fn is_long(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.len() > MAX_PROPERTY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::super::report::Call;
    use super::*;

    fn source() -> MetricSource {
        MetricSource {
            stack: "chat-prod".to_owned(),
            function: "chat-prod-Send".to_owned(),
        }
    }

    fn call(name: &'static str, latency: &'static str, micros: u64) -> Call {
        Call {
            name,
            latency,
            start: UNIX_EPOCH,
            duration: Duration::from_micros(micros),
            fields: serde_json::Map::new(),
        }
    }

    #[test]
    fn a_document_has_exactly_the_shape_of_the_specification() {
        let properties = json!({
            "requestId": "8f50",
            "connection_id": "PJqB0fHsqRcCHlw=",
            "seq": 12,
            "Stack": "of no weight",
        });
        let report = Report {
            counters: BTreeMap::from([("Sends", 1), ("PushesGone", 0)]),
            calls: vec![
                call("database", "DatabaseLatency", 740),
                call("push", "PushLatency", 1_500),
                call("database", "DatabaseLatency", 2_000),
            ],
            properties: properties.as_object().expect("an object").clone(),
        };
        let now = UNIX_EPOCH + Duration::from_millis(1_795_346_103_123);
        assert_eq!(
            source().document(&report, now),
            Some(json!({
                "_aws": {
                    "Timestamp": 1_795_346_103_123_u64,
                    "CloudWatchMetrics": [{
                        "Namespace": "MeetMeChat",
                        "Dimensions": [["Stack"]],
                        "Metrics": [
                            {"Name": "PushesGone", "Unit": "Count"},
                            {"Name": "Sends", "Unit": "Count"},
                            {"Name": "DatabaseLatency", "Unit": "Milliseconds"},
                            {"Name": "PushLatency", "Unit": "Milliseconds"},
                        ],
                    }],
                },
                "Stack": "chat-prod",
                "Sends": 1,
                "PushesGone": 0,
                "DatabaseLatency": [0.74, 2.0],
                "PushLatency": [1.5],
                "function": "chat-prod-Send",
                "requestId": "8f50",
                "connection_id": "PJqB0fHsqRcCHlw=",
                "seq": 12,
            }))
        );
    }

    #[test]
    fn a_document_stays_within_the_limits_of_the_specification() {
        let long = "x".repeat(300_000);
        let report = Report {
            calls: (0..250)
                .map(|micros| call("push", "PushLatency", micros))
                .collect(),
            properties: [("cause".to_owned(), long.into())].into_iter().collect(),
            ..Report::default()
        };
        let document = source().document(&report, UNIX_EPOCH).expect("a document");
        let values = document["PushLatency"].as_array().expect("an array");
        assert_eq!(values.len(), 100);
        assert!(document.to_string().len() < 10_000);
    }

    #[test]
    fn an_invocation_without_metrics_has_no_document() {
        let report = Report {
            properties: [("requestId".to_owned(), "8f50".into())]
                .into_iter()
                .collect(),
            ..Report::default()
        };
        assert_eq!(source().document(&report, UNIX_EPOCH), None);
    }
}

//! The metrics of an invocation in CloudWatch's [embedded metric format]: one log line, from which
//! CloudWatch makes the metrics by itself.
//!
//! [embedded metric format]: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::report::Report;

/// The namespace of the metrics in CloudWatch.
const NAMESPACE: &str = "MeetMeChat";

/// The one dimension: two stacks of one account do not mix.
const DIMENSION: &str = "Stack";

/// The members of a document that are neither metrics nor properties, beside the dimension.
const METADATA: &str = "_aws";
const FUNCTION: &str = "function";

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
    pub(super) fn document(&self, report: &Report, now: SystemTime) -> Option<String> {
        let mut durations: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for call in &report.calls {
            let values = durations.entry(call.latency).or_default();
            if values.len() < MAX_VALUES {
                values.push(milliseconds(call.duration));
            }
        }
        if report.counters.is_empty() && durations.is_empty() {
            return None;
        }
        let document = Document {
            source: self,
            report,
            durations,
            now,
        };
        Some(serde_json::to_string(&document).expect("its names are text"))
    }
}

/// The document of an invocation. It is written in one pass.
struct Document<'a> {
    source: &'a MetricSource,
    report: &'a Report,
    durations: BTreeMap<&'static str, Vec<f64>>,
    now: SystemTime,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_map(None)?;
        document.serialize_entry(METADATA, &self.metadata())?;
        document.serialize_entry(FUNCTION, &self.source.function)?;
        document.serialize_entry(DIMENSION, &self.source.stack)?;
        for (name, count) in &self.report.counters {
            document.serialize_entry(name, count)?;
        }
        for (name, values) in &self.durations {
            document.serialize_entry(name, values)?;
        }
        for (name, value) in self.report.properties.iter() {
            if !self.has(name) && !is_long(value) {
                document.serialize_entry(name, value)?;
            }
        }
        document.end()
    }
}

impl Document<'_> {
    fn metadata(&self) -> Metadata<'_> {
        let metric = |unit| move |name: &&'static str| Metric { name, unit };
        let counters = self.report.counters.keys().map(metric("Count"));
        let timers = self.durations.keys().map(metric("Milliseconds"));
        let now = self.now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Metadata {
            timestamp: now.as_millis() as u64,
            cloud_watch_metrics: [Directive {
                namespace: NAMESPACE,
                dimensions: [[DIMENSION]],
                metrics: counters.chain(timers).collect(),
            }],
        }
    }

    /// Returns whether a name stands in the document already, which no property may change.
    fn has(&self, name: &str) -> bool {
        [METADATA, FUNCTION, DIMENSION].contains(&name)
            || self.report.counters.contains_key(name)
            || self.durations.contains_key(name)
    }
}

/// Tells CloudWatch which members of the document are metrics.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'a> {
    timestamp: u64,
    cloud_watch_metrics: [Directive<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'static str,
    dimensions: [[&'static str; 1]; 1],
    metrics: Vec<Metric<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric<'a> {
    name: &'a str,
    unit: &'static str,
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
    use serde_json::json;

    use super::super::fields::Values;
    use super::super::report::Call;
    use super::*;

    fn source() -> MetricSource {
        MetricSource {
            stack: "chat-prod".to_owned(),
            function: "chat-prod-Send".to_owned(),
        }
    }

    fn document(report: &Report, now: SystemTime) -> Value {
        let document = source().document(report, now).expect("a document");
        serde_json::from_str(&document).expect("JSON")
    }

    fn call(name: &'static str, latency: &'static str, micros: u64) -> Call {
        Call {
            name,
            latency,
            start: UNIX_EPOCH,
            duration: Duration::from_micros(micros),
            fields: Values::default(),
        }
    }

    #[test]
    fn a_document_has_exactly_the_shape_of_the_specification() {
        let properties = Values::from([
            ("requestId", "8f50".into()),
            ("connection_id", "PJqB0fHsqRcCHlw=".into()),
            ("seq", 12.into()),
            ("Stack", "of no weight".into()),
            ("Sends", "of no weight".into()),
            ("PushLatency", "of no weight".into()),
            ("_aws", "of no weight".into()),
        ]);
        let report = Report {
            counters: BTreeMap::from([("Sends", 1), ("PushesGone", 0)]),
            calls: vec![
                call("database", "DatabaseLatency", 740),
                call("push", "PushLatency", 1_500),
                call("database", "DatabaseLatency", 2_000),
            ],
            properties,
        };
        let now = UNIX_EPOCH + Duration::from_millis(1_795_346_103_123);
        assert_eq!(
            document(&report, now),
            json!({
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
            })
        );
        let text = source().document(&report, now).expect("a document");
        for name in ["Stack", "Sends", "PushLatency", "_aws"] {
            let member = format!("\"{name}\":");
            assert_eq!(text.matches(&member).count(), 1, "{text}");
        }
    }

    #[test]
    fn a_document_stays_within_the_limits_of_the_specification() {
        let long = "x".repeat(300_000);
        let report = Report {
            calls: (0..250)
                .map(|micros| call("push", "PushLatency", micros))
                .collect(),
            properties: Values::from([("cause", long.into())]),
            ..Report::default()
        };
        let document = document(&report, UNIX_EPOCH);
        let values = document["PushLatency"].as_array().expect("an array");
        assert_eq!(values.len(), 100);
        assert!(document.to_string().len() < 10_000);
    }

    #[test]
    fn an_invocation_without_metrics_has_no_document() {
        let report = Report {
            properties: Values::from([("requestId", "8f50".into())]),
            ..Report::default()
        };
        assert_eq!(source().document(&report, UNIX_EPOCH), None);
    }
}

//! One log line for each event.
//!
//! ```json
//! {"timestamp": "2026-11-22T11:15:03.123Z", "level": "INFO", "message": "message stored",
//!  "requestId": "8f50…", "connection_id": "PJqB0fHsqRcCHlw=", "conversation_id": "direct:…",
//!  "seq": 12, "Sends": 1, "PushesDelivered": 2}
//! ```
//!
//! All fields are at the top, those of the spans around the event included, so that a query names
//! them as they are. The JSON formatter of tracing-subscriber would give a list of spans, in which
//! the place of the request id depends on how many there are.

use std::fmt::Write as _;
use std::io::Write as _;

use chat::timestamp;
use chrono::Utc;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;

/// Writes the lines to standard output, where Lambda collects them.
pub(super) struct Lines {
    /// Whether lines are JSON; else they are text.
    pub(super) json: bool,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(around) = span.extensions().get::<Fields>() {
                fields.inherit(&around.values);
            }
        }
        let level = *event.metadata().level();
        let line = if self.json {
            json(level, fields)
        } else {
            text(level, fields)
        };
        print(&line);
    }
}

/// Prints a line in one piece.
pub(super) fn print(line: &str) {
    // A log that cannot be written must not end the process.
    let _ = std::io::stdout()
        .lock()
        .write_all(format!("{line}\n").as_bytes());
}

fn json(level: Level, fields: Fields) -> String {
    let mut line = fields.values;
    line.extend(counted(fields.counters));
    // Lambda reads these two.
    line.insert("timestamp".to_owned(), timestamp::format(Utc::now()).into());
    line.insert("level".to_owned(), level.as_str().into());
    serde_json::Value::Object(line).to_string()
}

/// Returns a line for people, without the time and the trace: Lambda and the local gateway put the time
/// before each line themselves.
fn text(level: Level, mut fields: Fields) -> String {
    let message = fields.values.remove("message").unwrap_or_default();
    let message = message.as_str().unwrap_or_default();
    fields.values.remove("xrayTraceId");
    let mut line = format!("{level:>5} {message}");
    for (name, value) in fields.values.into_iter().chain(counted(fields.counters)) {
        write!(line, " {name}={value}").expect("a string takes all");
    }
    line
}

fn counted(
    counters: Vec<(&'static str, u64)>,
) -> impl Iterator<Item = (String, serde_json::Value)> {
    let counters = counters.into_iter();
    counters.map(|(metric, count)| (metric.to_owned(), count.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fields() -> Fields {
        let values = json!({"message": "message \"stored\"", "seq": 7, "connection_id": "PJ\n="});
        let mut fields = Fields {
            values: values.as_object().expect("an object").clone(),
            counters: vec![("Sends", 1)],
        };
        let around = json!({"requestId": "8f50", "connection_id": "around"});
        fields.inherit(around.as_object().expect("an object"));
        fields
    }

    #[test]
    fn a_json_line_has_all_fields_at_the_top_and_the_innermost_wins() {
        let line = json(Level::INFO, fields());
        assert!(!line.contains('\n'), "{line}");
        let mut line: Value = serde_json::from_str(&line).expect("JSON");
        let timestamp = line["timestamp"].take();
        chrono::DateTime::parse_from_rfc3339(timestamp.as_str().expect("a string")).expect("time");
        assert_eq!(
            line,
            json!({
                "timestamp": null,
                "level": "INFO",
                "message": "message \"stored\"",
                "requestId": "8f50",
                "connection_id": "PJ\n=",
                "seq": 7,
                "Sends": 1,
            })
        );
    }

    #[test]
    fn a_text_line_begins_with_its_level_and_its_sentence() {
        assert_eq!(
            text(Level::WARN, fields()),
            r#" WARN message "stored" connection_id="PJ\n=" requestId="8f50" seq=7 Sends=1"#
        );
    }
}

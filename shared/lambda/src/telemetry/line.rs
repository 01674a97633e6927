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
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;

/// Writes the lines to standard output, where Lambda collects them.
pub(super) struct Lines {
    /// Whether lines are JSON; else they are text.
    pub(super) json: bool,
    /// The least important level that is shown.
    pub(super) level: LevelFilter,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let level = *event.metadata().level();
        if level > self.level {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(around) = span.extensions().get::<Fields>() {
                fields.values.inherit(&around.values);
            }
        }
        print(if self.json {
            json(level, fields)
        } else {
            text(level, fields)
        });
    }
}

/// Prints a line in one piece.
pub(super) fn print(mut line: String) {
    line.push('\n');
    // A log that cannot be written must not end the process.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

fn json(level: Level, fields: Fields) -> String {
    let mut line = fields.values;
    for (metric, count) in fields.counters {
        line.set(metric, count.into());
    }
    // Lambda reads these two.
    line.set("timestamp", timestamp::format(Utc::now()).into());
    line.set("level", level.as_str().into());
    serde_json::to_string(&line).expect("its names are text")
}

/// Returns a line for people, without the time and the trace: Lambda and the local gateway put the time
/// before each line themselves.
fn text(level: Level, mut fields: Fields) -> String {
    let message = fields.values.remove("message").unwrap_or_default();
    let message = message.as_str().unwrap_or_default();
    fields.values.remove("xrayTraceId");
    let mut line = format!("{level:>5} {message}");
    for (name, value) in fields.values.iter() {
        write!(line, " {name}={value}").expect("a string takes all");
    }
    for (metric, count) in fields.counters {
        write!(line, " {metric}={count}").expect("a string takes all");
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fields::Values;
    use super::*;

    fn fields() -> Fields {
        let mut values = Values::from([
            ("message", "message \"stored\"".into()),
            ("seq", 7.into()),
            ("connection_id", "PJ\n=".into()),
        ]);
        values.inherit(&Values::from([
            ("requestId", "8f50".into()),
            ("connection_id", "around".into()),
        ]));
        let counters = vec![("Sends", 1)];
        Fields { values, counters }
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

//! Collects the counters and calls of each invocation, and reports them when it ends.
//!
//! The runtime opens a span around each invocation and closes it when its result has been posted,
//! before it asks for the next event: the caller has the response by then, and Lambda does not freeze
//! the process yet. An operation that outlasts its deadline keeps the span open: the report follows
//! when it ends.

use std::time::{Instant, SystemTime};

use serde_json::Value;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::emf::MetricSource;
use super::fields::Fields;
use super::line;
use super::report::{Call, Report};
use super::xray::{Daemon, Trace};

/// The span of an invocation, by its name in the runtime.
const INVOCATION: &str = "Lambda runtime invoke";

/// The spans of calls to the database, the management API and the queue, and the metrics of their durations.
const CALLS: [(&str, &str); 4] = [
    ("database", "DatabaseLatency"),
    ("push", "PushLatency"),
    ("queue", "QueueLatency"),
    ("topic", "TopicLatency"),
];

/// Collects the report of each invocation, and keeps the fields of all spans.
pub(super) struct Invocations {
    /// The source of the metrics, if they are turned on.
    pub(super) metric_source: Option<MetricSource>,
    /// Receives traces, if they are turned on.
    pub(super) daemon: Option<Daemon>,
}

/// A call that has not ended.
struct Running {
    latency: &'static str,
    start: SystemTime,
    clock: Instant,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Invocations {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let mut extensions = span.extensions_mut();
        extensions.insert(fields);
        if span.name() == INVOCATION {
            extensions.insert(Report::default());
        } else if let Some((_, latency)) = CALLS.iter().find(|(name, _)| *name == span.name()) {
            extensions.insert(Running {
                latency,
                start: SystemTime::now(),
                clock: Instant::now(),
            });
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(span) = context.event_span(event) else {
            return;
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        if fields.counters.is_empty() {
            return;
        }
        fields.values.remove("message");
        if *event.metadata().level() == Level::ERROR {
            for around in span.scope() {
                if let Some(around) = around.extensions().get::<Fields>() {
                    fields.values.inherit(&around.values);
                }
            }
            return self.send_failure(fields);
        }
        with_report(&span, |report| {
            for (metric, count) in fields.counters {
                *report.counters.entry(metric).or_default() += count;
            }
            report.properties.extend(fields.values);
        });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let fields = span.extensions_mut().remove::<Fields>();
        let fields = fields.unwrap_or_default().values;
        if let Some(mut report) = span.extensions_mut().remove::<Report>() {
            report.properties.extend(fields);
            self.send(report);
            return;
        }
        let running = span.extensions_mut().remove::<Running>();
        with_report(&span, |report| match running {
            Some(running) => report.calls.push(Call {
                name: span.name(),
                latency: running.latency,
                start: running.start,
                duration: running.clock.elapsed(),
                fields,
            }),
            None => report.properties.extend(fields),
        });
    }
}

/// Adds to the report of the invocation that a span belongs to, if there is one.
fn with_report<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>, add: impl FnOnce(&mut Report)) {
    if let Some(invocation) = span.scope().find(|span| span.name() == INVOCATION)
        && let Some(report) = invocation.extensions_mut().get_mut::<Report>()
    {
        add(report);
    }
}

impl Invocations {
    /// Reports a failure at once: an overdue operation keeps the span of the invocation open, and Lambda
    /// may end a process that it has frozen before the span closes.
    fn send_failure(&self, fields: Fields) {
        self.send(Report {
            counters: fields.counters.into_iter().collect(),
            properties: fields.values,
            calls: Vec::new(),
        });
    }

    fn send(&self, report: Report) {
        if let Some(source) = &self.metric_source
            && let Some(document) = source.document(&report, SystemTime::now())
        {
            line::print(document);
        }
        let header = report.properties.get("xrayTraceId").and_then(Value::as_str);
        if let Some(daemon) = &self.daemon
            && let Some(trace) = header.and_then(Trace::sampled)
        {
            for call in &report.calls {
                daemon.send(&trace, call);
            }
        }
    }
}

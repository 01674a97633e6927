//! Structured logs on standard output, where Lambda collects them.

use std::env;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Our own crates. Only they may log below INFO: there the runtime and the SDK show whole events and
/// requests, and with them the text of messages. (Release builds have no line below INFO at all.)
const OURS: [&str; 6] = [
    "chat",
    "connect",
    "disconnect",
    "history",
    "migrate",
    "send_message",
];

/// Starts logging as Lambda's [logging controls] ask: `AWS_LAMBDA_LOG_FORMAT` `JSON` or `Text`
/// (default), `AWS_LAMBDA_LOG_LEVEL` (default `INFO`).
///
/// [logging controls]: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html
pub fn start() {
    let level = env::var("AWS_LAMBDA_LOG_LEVEL")
        .ok()
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::INFO);
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_targets(OURS.map(|target| (target, level)));
    // A log that cannot be written is no reason to end.
    let lines = fmt::layer()
        .with_target(false)
        .with_ansi(false)
        .log_internal_errors(false);
    let json =
        env::var("AWS_LAMBDA_LOG_FORMAT").is_ok_and(|format| format.eq_ignore_ascii_case("json"));
    let lines = match json {
        true => lines.json().boxed(),
        // Lambda and the local gateway put the time before each line themselves.
        false => lines.without_time().boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .init();
}

//! Structured logs on standard output, where Lambda collects them.

use std::env;

use tracing::level_filters::LevelFilter;

/// Starts logging as Lambda's [logging controls] ask: `AWS_LAMBDA_LOG_FORMAT` `JSON` or `Text`
/// (default), `AWS_LAMBDA_LOG_LEVEL` (default `INFO`).
///
/// [logging controls]: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html
pub fn start() {
    let level = env::var("AWS_LAMBDA_LOG_LEVEL")
        .ok()
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::INFO);
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(false);
    if env::var("AWS_LAMBDA_LOG_FORMAT").is_ok_and(|format| format.eq_ignore_ascii_case("json")) {
        log.json().init();
    } else {
        // Lambda and the local gateway put the time before each line themselves.
        log.without_time().init();
    }
}

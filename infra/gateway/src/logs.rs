//! The log on standard error: a line for each request and each invocation, never the text of a
//! message.

use std::io::Write;
use std::time::Instant;

use chrono::Local;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Starts logging from `level` on.
pub fn start(level: LevelFilter) {
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_timer(WallClock)
        // A closed terminal must not end the gateway.
        .log_internal_errors(false)
        .init();
}

/// Prints a log line of a function, under its name.
pub fn function_line(name: &str, line: &str) {
    let mut stderr = std::io::stderr().lock();
    // As above.
    let _ = writeln!(stderr, "{} {name:>20} | {line}", wall_clock());
}

/// Returns the time since `start` in milliseconds, with one decimal: the field `duration_ms`.
pub fn millis(start: Instant) -> f64 {
    (start.elapsed().as_secs_f64() * 1e4).round() / 10.0
}

struct WallClock;

impl FormatTime for WallClock {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        writer.write_str(&wall_clock())
    }
}

fn wall_clock() -> String {
    Local::now().format("%H:%M:%S%.3f").to_string()
}

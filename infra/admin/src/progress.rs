//! Progress of long work, on standard error if that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Returns a line that counts entries, with the time left if their number is known.
pub fn of_entries(total: Option<u64>) -> ProgressBar {
    counting("entries", total)
}

/// Returns a line that counts conversations, with the time left.
pub fn of_conversations(total: u64) -> ProgressBar {
    counting("conversations", Some(total))
}

/// Returns a line that counts connections, with the time left.
pub fn of_connections(total: u64) -> ProgressBar {
    counting("connections", Some(total))
}

fn counting(what: &str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            format!("{{human_pos}} of {{human_len}} {what}, {{per_sec}}, {{eta}} left"),
        ),
        None => (
            ProgressBar::no_length(),
            format!("{{human_pos}} {what}, {{per_sec}}"),
        ),
    };
    let style = ProgressStyle::with_template(&template).expect("the template is well-formed");
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.with_style(style)
}

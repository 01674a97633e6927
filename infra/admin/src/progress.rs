//! Progress of long work, on standard error if that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Returns a line that counts entries, with the time left if their number is known.
pub fn of_entries(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{human_pos} of {human_len} entries, {per_sec}, {eta} left",
        ),
        None => (ProgressBar::no_length(), "{human_pos} entries, {per_sec}"),
    };
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.with_style(style)
}

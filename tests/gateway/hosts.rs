//! What runs the functions, mostly seen through the Invoke API.
//!
//! - [`processes`]: processes of the gateway's own, one event each or many
//! - [`failures`]: functions that take too long, crash, panic, or do not start
//! - [`endpoint`]: another Invoke API
//! - [`watch`]: `cargo lambda watch`

mod endpoint;
mod failures;
mod processes;
mod watch;

use rustix::process::{Pid, test_kill_process};
use serde_json::Value;

/// The process that a description is of.
fn process(description: &Value) -> Pid {
    let id = description["process_id"].as_i64();
    let id = id.unwrap_or_else(|| panic!("no description: {description}"));
    Pid::from_raw(i32::try_from(id).expect("an id")).expect("not 0")
}

/// Whether a process has neither ended nor been waited for.
fn is_alive(process: Pid) -> bool {
    test_kill_process(process).is_ok()
}

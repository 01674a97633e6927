//! The hosts of functions, mostly tested through the Invoke API.
//!
//! - [`processes`]: processes that the gateway starts, with one event each or many
//! - [`build`]: functions that the gateway builds first
//! - [`failures`]: functions that time out, crash, panic, or do not start
//! - [`endpoint`]: another Invoke API
//! - [`shares`]: events that are served at once while several clients send
//! - [`waiting`]: frames that wait for a process when their connection closes
//! - [`watch`]: `cargo lambda watch`

mod build;
mod endpoint;
mod failures;
mod processes;
mod shares;
mod waiting;
mod watch;

use rustix::process::{Pid, test_kill_process};
use serde_json::Value;

/// Returns the process of a description.
fn process(description: &Value) -> Pid {
    let id = description["process_id"].as_i64();
    let id = id.unwrap_or_else(|| panic!("no description: {description}"));
    Pid::from_raw(i32::try_from(id).expect("an id")).expect("not 0")
}

/// Returns whether a process exists. One that has exited exists until its parent has waited for it.
fn is_alive(process: Pid) -> bool {
    test_kill_process(process).is_ok()
}

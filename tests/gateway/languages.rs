//! Functions in Node and Python.
//!
//! - [`chat`]: a chat of the usual shape, end to end
//! - [`node`]: handlers, results and errors of Node
//! - [`python`]: those of Python
//! - [`code`]: where their code comes from: folders, the template, `sam build`
//! - [`reload`]: restarts after a change of the sources

mod chat;
mod code;
mod node;
mod python;
mod reload;

use serde_json::Value;

/// Checks the type of a function error, and a part of its message.
fn assert_error(outcome: Result<Value, Value>, kind: &str, part: &str) {
    let error = outcome.expect_err("a function error");
    assert_eq!(error["errorType"], kind, "{error}");
    let message = error["errorMessage"].as_str().unwrap_or_default();
    assert!(message.contains(part), "{error}");
}

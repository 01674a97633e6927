//! Errors of invocations.

use std::time::Duration;

use serde_json::{Value, json};

use super::MAX_PAYLOAD_BYTES;

/// The reason why an invocation has no result.
#[derive(Debug, Clone, PartialEq)]
pub enum InvokeError {
    /// The function reported an error, crashed, or exceeded its timeout.
    Function(FunctionError),
    /// The payload exceeds the limit of Lambda.
    TooLarge,
    /// All processes of the function are busy and stay so.
    Busy,
    /// The connection was closed before a process took the event.
    Dropped,
    /// The function cannot be reached; the sentence says why.
    NotInvocable(String),
    /// The caller's timeout has passed.
    TimedOut,
}

/// An error that a function reports, or that Lambda reports of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionError(pub Value);

impl FunctionError {
    /// Returns an error with a type (`Runtime.ExitError`) and a message.
    pub fn new(error_type: &str, message: &str) -> Self {
        Self(json!({"errorType": error_type, "errorMessage": message}))
    }

    /// Reads the error that a function posted; it need not be JSON.
    pub fn from_json(body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(value @ Value::Object(_)) => Self(value),
            _ => Self::new("Unhandled", "unknown"),
        }
    }

    /// Returns the error for a result that is larger than Lambda takes.
    pub fn too_large() -> Self {
        Self::new(
            "Function.ResponseSizeTooLarge",
            "Response payload size exceeded maximum allowed payload size (6291456 bytes).",
        )
    }

    /// Returns the error for an event that exceeded the function's timeout.
    pub fn timed_out(timeout: Duration) -> Self {
        let seconds = timeout.as_secs_f64();
        let message = format!("Error: Task timed out after {seconds:.2} seconds");
        Self::new("Sandbox.Timedout", &message)
    }

    /// Returns the type of the error.
    pub fn error_type(&self) -> &str {
        self.0["errorType"].as_str().unwrap_or("Unhandled")
    }

    /// Returns what to do about the error, after a colon; empty if that is not known.
    pub fn hint(&self) -> &'static str {
        let is_missing = |what| self.message().contains(what);
        match self.error_type() {
            "Runtime.ImportModuleError" if is_missing("No module named") => {
                ": for a missing package, run `sam build`, or `pip install -r requirements.txt -t .` in its folder"
            }
            "Runtime.ImportModuleError" if is_missing("Cannot find") => {
                ": for a missing package, run `sam build`, or `npm install` in its folder"
            }
            _ => "",
        }
    }

    /// Returns the message.
    pub fn message(&self) -> &str {
        self.0["errorMessage"].as_str().unwrap_or_default()
    }
}

impl std::fmt::Display for InvokeError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Function(error) => {
                write!(formatter, "{}: {}", error.error_type(), error.message())
            }
            Self::TooLarge => write!(
                formatter,
                "its payload is larger than {MAX_PAYLOAD_BYTES} bytes"
            ),
            Self::Busy => formatter.write_str(
                "all its processes are busy, and more are not allowed (--concurrency, --in-flight)",
            ),
            Self::Dropped => formatter.write_str("its connection was closed before"),
            Self::NotInvocable(why) => formatter.write_str(why),
            Self::TimedOut => formatter.write_str("it takes longer than the integration timeout"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_missing_package_says_how_to_install_it() {
        for (message, expected) in [
            (
                "Unable to import module 'app': No module named 'requests'",
                "pip install",
            ),
            ("Error: Cannot find package 'left-pad'", "npm install"),
            ("Unable to import module 'app': invalid syntax", ""),
        ] {
            let hint = FunctionError::new("Runtime.ImportModuleError", message).hint();
            assert_eq!(hint.is_empty(), expected.is_empty(), "{hint}");
            assert!(hint.contains(expected), "{hint}");
        }
        assert_eq!(FunctionError::new("KeyError", "No module named").hint(), "");
    }
}

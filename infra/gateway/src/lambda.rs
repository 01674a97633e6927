//! The functions as Lambda has them: a name, a payload, a result.
//!
//! - [`runtime`]: the Lambda Runtime API, one for each process of ours
//! - [`pool`]: the processes of a function: started when there is work, stopped
//! - [`endpoint`]: functions behind another Invoke API
//! - [`watch`]: `cargo lambda watch` as such an API

pub mod endpoint;
pub mod pool;
pub mod runtime;
pub mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use endpoint::RemoteFunction;
use pool::Pool;

/// The largest payload and the largest result of a function, in bytes.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const MAX_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

/// A function that can be invoked.
#[derive(Clone)]
pub enum Lambda {
    /// In processes of ours.
    Own(Arc<Pool>),
    /// Behind another Invoke API.
    Remote(Arc<RemoteFunction>),
}

/// The functions by logical id.
pub type Lambdas = BTreeMap<String, Lambda>;

/// Why an invocation gave no result.
#[derive(Debug, Clone, PartialEq)]
pub enum InvokeError {
    /// The function reported an error, crashed or took longer than it may.
    Function(FunctionError),
    /// The payload is larger than Lambda takes.
    TooLarge,
    /// All its processes are busy and stay so.
    Busy,
    /// The function cannot be reached; the sentence says why.
    NotInvocable(String),
    /// Whoever asked waits no longer.
    TimedOut,
}

/// What a function reports of an error, or Lambda of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionError(pub Value);

impl FunctionError {
    /// An error with a type (`Runtime.ExitError`) and a sentence.
    pub fn new(error_type: &str, message: &str) -> Self {
        Self(json!({"errorType": error_type, "errorMessage": message}))
    }

    /// What a function posted; it need not be JSON.
    pub fn from_json(body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(value @ Value::Object(_)) => Self(value),
            _ => Self::new("Unhandled", "unknown"),
        }
    }

    /// The result is larger than Lambda takes.
    pub fn too_large() -> Self {
        Self::new(
            "Function.ResponseSizeTooLarge",
            "Response payload size exceeded maximum allowed payload size (6291456 bytes).",
        )
    }

    /// The event has taken longer than it may.
    pub fn timed_out(after: Duration) -> Self {
        let seconds = after.as_secs_f64();
        let message = format!("Error: Task timed out after {seconds:.2} seconds");
        Self::new("Sandbox.Timedout", &message)
    }

    /// The kind of error.
    pub fn error_type(&self) -> &str {
        self.0["errorType"].as_str().unwrap_or("Unhandled")
    }

    /// The sentence.
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
            Self::NotInvocable(why) => formatter.write_str(why),
            Self::TimedOut => formatter.write_str("it takes longer than the integration timeout"),
        }
    }
}

impl Lambda {
    /// Invokes the function and waits for its result. A process of ours that takes the event is
    /// killed after `kill` if it still has it.
    ///
    /// # Errors
    ///
    /// [`InvokeError`], never `TimedOut`.
    pub async fn invoke(
        &self,
        payload: Bytes,
        kill: Option<Duration>,
    ) -> Result<Bytes, InvokeError> {
        if payload.len() > MAX_PAYLOAD_BYTES {
            return Err(InvokeError::TooLarge);
        }
        let result = match self {
            Self::Own(pool) => pool.invoke(payload, kill).await?,
            Self::Remote(function) => function.invoke(payload).await?,
        };
        match result.len() > MAX_PAYLOAD_BYTES {
            true => Err(InvokeError::Function(FunctionError::too_large())),
            false => Ok(result),
        }
    }

    /// Kills the processes that have an event in hand; false if they are not ours.
    pub fn kill_busy(&self) -> bool {
        match self {
            Self::Own(pool) => {
                pool.kill_busy();
                true
            }
            Self::Remote(_) => false,
        }
    }
}

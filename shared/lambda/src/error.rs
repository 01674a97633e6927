//! The error of a handler, as Lambda reports it.

use std::fmt;

use chat::Error;
use lambda_runtime::Diagnostic;

/// An error that fails the invocation.
pub struct HandlerError(Error);

impl From<Error> for HandlerError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// As [`Error::chain`]: the runtime logs the error of a handler by this.
impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Gives Lambda a fixed `errorType` for each variant: alarms key on it.
impl From<HandlerError> for Diagnostic {
    fn from(HandlerError(error): HandlerError) -> Self {
        let error_type = match error {
            Error::Rejected(_) => "Rejected",
            Error::Unavailable { .. } => "Unavailable",
            Error::Config { .. } => "Config",
        };
        Diagnostic {
            error_type: error_type.to_owned(),
            error_message: error.to_string(),
        }
    }
}

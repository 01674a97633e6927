//! Environment variables, read once at start.

use std::str::FromStr;

use chat::{Error, Result};

/// Returns the value of `variable`.
///
/// # Errors
///
/// [`Error::Config`]: it is not set, is empty, or is not UTF-8.
pub fn required(variable: &'static str) -> Result<String> {
    optional(variable)?.ok_or_else(|| invalid(variable, "is not set"))
}

/// Returns the value of `variable`, or `None` where it is not set or empty.
///
/// # Errors
///
/// [`Error::Config`]: it is not UTF-8.
pub fn optional(variable: &'static str) -> Result<Option<String>> {
    match std::env::var(variable) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(invalid(variable, "is not UTF-8")),
    }
}

/// Returns the number in `variable`, or `default` where it is not set or empty.
///
/// # Errors
///
/// [`Error::Config`]: it is not a number, or not one of this type.
pub fn number<T: FromStr>(variable: &'static str, default: T) -> Result<T> {
    match optional(variable)? {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_| invalid(variable, "is not a number, or is out of bounds")),
    }
}

/// Returns an [`Error::Config`] about `variable`.
pub fn invalid(variable: &'static str, problem: impl Into<String>) -> Error {
    Error::Config {
        variable,
        problem: problem.into(),
    }
}

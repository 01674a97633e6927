//! Settings from environment variables, read once at start.

use std::fmt;

use crate::{Error, Result};

/// The value of `variable`.
///
/// # Errors
///
/// [`Error::Config`]: it is not set, is empty, or is not UTF-8.
pub fn required(variable: &'static str) -> Result<String> {
    optional(variable)?.ok_or_else(|| invalid(variable, "is not set"))
}

/// The value of `variable`, or `None` where it is not set or empty.
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

/// An [`Error::Config`] about `variable`.
pub fn invalid(variable: &'static str, problem: impl Into<String>) -> Error {
    Error::Config {
        variable,
        problem: problem.into(),
    }
}

/// A value that no log may show: `Debug` prints `[secret]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Where the database is.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `MONGODB_URI`: connection string (`mongodb://` or `mongodb+srv://`); required. It may hold a
    /// password.
    pub uri: Secret,
    /// `MONGODB_DATABASE`: name of the database; default `meetme`.
    pub database: String,
    /// `AWS_LAMBDA_MAX_CONCURRENCY`: requests served at once by one process; default 1. The
    /// connection pool grows with it.
    pub concurrency: u32,
}

impl DatabaseConfig {
    /// The default of `MONGODB_DATABASE`.
    pub const DEFAULT_DATABASE: &str = "meetme";

    /// Settings for a program that does one thing at a time.
    pub fn new(uri: &str, database: &str) -> Self {
        Self {
            uri: uri.to_owned().into(),
            database: database.to_owned(),
            concurrency: 1,
        }
    }

    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: a variable is missing or malformed.
    pub fn from_env() -> Result<Self> {
        const CONCURRENCY: &str = "AWS_LAMBDA_MAX_CONCURRENCY";
        Ok(Self {
            uri: required("MONGODB_URI")?.into(),
            database: optional("MONGODB_DATABASE")?
                .unwrap_or_else(|| Self::DEFAULT_DATABASE.to_owned()),
            concurrency: match optional(CONCURRENCY)? {
                None => 1,
                Some(number) => number
                    .parse()
                    .map_err(|_| invalid(CONCURRENCY, "is not a whole number"))?,
            },
        })
    }
}

/// How to reach open sockets.
#[derive(Debug, Clone)]
pub struct PushConfig {
    /// `MANAGEMENT_ENDPOINT`: base URL of the `@connections` API, with the stage unless behind a
    /// custom domain (`https://{api}.execute-api.{region}.amazonaws.com/{stage}`); required.
    pub endpoint: String,
    /// `AWS_REGION`: set by Lambda; part of the signature.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`: set by Lambda from the execution role.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`: set by Lambda from the execution role.
    pub secret_access_key: Secret,
    /// `AWS_SESSION_TOKEN`: set by Lambda from the execution role; empty for a long-lived key.
    pub session_token: Option<Secret>,
}

impl PushConfig {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: a variable is missing or malformed.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            endpoint: management_endpoint()?,
            region: required("AWS_REGION")?,
            access_key_id: required("AWS_ACCESS_KEY_ID")?,
            secret_access_key: required("AWS_SECRET_ACCESS_KEY")?.into(),
            session_token: optional("AWS_SESSION_TOKEN")?.map(Secret::from),
        })
    }
}

/// `MANAGEMENT_ENDPOINT`, for a function that only records it.
///
/// # Errors
///
/// [`Error::Config`]: it is not set, or is not an `http` or `https` URL.
pub fn management_endpoint() -> Result<String> {
    const VARIABLE: &str = "MANAGEMENT_ENDPOINT";
    let endpoint = required(VARIABLE)?;
    if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
        return Err(invalid(VARIABLE, "does not start with https:// or http://"));
    }
    Ok(endpoint.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        let config = DatabaseConfig::new("mongodb://user:hunter2@host", "meetme");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

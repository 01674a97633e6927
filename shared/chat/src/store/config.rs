//! Settings of the store: where the database is, and how the driver talks to it.

use std::time::Duration;

use mongodb::error::ErrorKind;
use mongodb::options::{Acknowledgment, ClientOptions, ReadPreference};

use crate::secret::Secret;
use crate::{Error, Result};

/// The time limit of the server for one read, and for the majority to confirm one write. The driver
/// has no timeout of its own for a response.
pub(super) const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of the store.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The connection string: `mongodb://` or `mongodb+srv://`. It may hold a password.
    pub uri: Secret,
    /// The environment variable that the connection string comes from, for errors.
    pub variable: &'static str,
    /// The name of the database.
    pub database: String,
    /// Requests served at once by one process. The connection pool grows with it.
    pub concurrency: u32,
}

impl StoreConfig {
    /// The name of the database where none is configured.
    pub const DEFAULT_DATABASE: &str = "meetme";

    /// Returns the settings of a program that does one thing at a time.
    pub fn new(uri: &str, database: &str) -> Self {
        Self {
            uri: uri.to_owned().into(),
            variable: "MONGODB_URI",
            database: database.to_owned(),
            concurrency: 1,
        }
    }

    pub(super) fn invalid(&self, problem: &str) -> Error {
        Error::Config {
            variable: self.variable,
            problem: problem.to_owned(),
        }
    }
}

/// Returns driver settings for a process that serves `config.concurrency` requests at once.
///
/// # Errors
///
/// As [`Store::open`](super::Store::open).
pub async fn client_options(config: &StoreConfig) -> Result<ClientOptions> {
    let uri = config.uri.expose().trim();
    let mut options = ClientOptions::parse(uri)
        .await
        .map_err(|error| match *error.kind {
            // The driver's sentence may quote the connection string, and with it a password.
            ErrorKind::InvalidArgument { .. } => config.invalid("holds no valid connection string"),
            _ => Error::unavailable("look-up of the database's address")(error),
        })?;
    options.app_name.get_or_insert("meetme-chat".to_owned());
    // A request mostly uses two connections at once; the others are for retries beside stuck ones.
    options.max_pool_size.get_or_insert(config.concurrency + 3);
    options.max_idle_time.get_or_insert(Duration::from_secs(60));
    options
        .connect_timeout
        .get_or_insert(Duration::from_secs(2));
    options
        .server_selection_timeout
        .get_or_insert(Duration::from_secs(3));
    // Acknowledged means stored, whatever the connection string says.
    let concern = options.write_concern.get_or_insert_default();
    concern.w = Some(Acknowledgment::Majority);
    concern.w_timeout.get_or_insert(OPERATION_TIMEOUT);
    options.selection_criteria = Some(ReadPreference::Primary.into());
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_show_in_debug_output() {
        let config = StoreConfig::new("mongodb://user:hunter2@host", "meetme");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

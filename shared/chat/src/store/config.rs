//! Settings of the store: where the database is, and how the driver talks to it.

use std::time::Duration;

use mongodb::Client;
use mongodb::error::{Error as DriverError, ErrorKind};
use mongodb::options::{Acknowledgment, ClientOptions, ReadPreference};

use super::connection_string::{mistake, without_ignored};
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

    /// Returns the error of a connection string that the driver does not accept. The driver's own sentence may
    /// quote the string, and with it a password.
    pub(super) async fn invalid(&self) -> Error {
        let (uri, _) = without_ignored(self.uri.expose());
        Error::Config {
            variable: self.variable,
            problem: mistake(&uri, |uri| self.is_accepted(uri)).await,
        }
    }

    /// Returns whether the driver accepts a connection string with these settings. Options may be valid each by
    /// itself and contradict each other, or name a file that is missing: only a client finds that out.
    async fn is_accepted(&self, uri: String) -> bool {
        match self.parse(&uri).await {
            Ok(options) => Client::with_options(options).is_ok(),
            Err(error) => !is_malformed(&error),
        }
    }

    async fn parse(&self, uri: &str) -> Result<ClientOptions, DriverError> {
        let mut options = ClientOptions::parse(uri).await?;
        options.app_name.get_or_insert("meetme-chat".to_owned());
        // A request mostly uses two connections at once; the others are for retries beside stuck ones.
        options.max_pool_size.get_or_insert(self.concurrency + 3);
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
}

/// Returns driver settings for a process that serves `config.concurrency` requests at once. Options of the
/// connection string that are ignored are named in the log.
///
/// # Errors
///
/// As [`Store::open`](super::Store::open).
pub async fn client_options(config: &StoreConfig) -> Result<ClientOptions> {
    let (uri, ignored) = without_ignored(config.uri.expose());
    for option in ignored {
        let variable = config.variable;
        tracing::warn!(
            option,
            variable,
            "an option of the connection string is ignored"
        );
    }
    match config.parse(&uri).await {
        Ok(options) => Ok(options),
        Err(error) if is_malformed(&error) => Err(config.invalid().await),
        Err(error) => Err(Error::unavailable("look-up of the database's address")(
            error,
        )),
    }
}

fn is_malformed(error: &DriverError) -> bool {
    matches!(*error.kind, ErrorKind::InvalidArgument { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_show_in_debug_output() {
        let config = StoreConfig::new("mongodb://user:hunter2@host", "meetme");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    async fn problem(uri: &str) -> String {
        let config = StoreConfig::new(uri, "meetme");
        match crate::Store::open(&config).await.err() {
            Some(Error::Config { problem, .. }) => problem,
            other => panic!("{uri}: {other:?}"),
        }
    }

    /// Sentences, and connection strings that get them.
    const MISTAKES: &[(&str, &[&str])] = &[
        (
            "does not begin with mongodb:// or mongodb+srv://",
            &["", "localhost", "http://localhost"],
        ),
        (
            "has a user name or password that is not percent-encoded",
            &[
                "mongodb://a:hunter@2@localhost",
                "mongodb://a:hunter/2@localhost",
                "mongodb://a:hunter?2@localhost/?w=1",
                "mongodb://a:hunter%2@localhost",
            ],
        ),
        (
            "has an invalid host, port or database name",
            &[
                "mongodb://a:hunter2",
                "mongodb://localhost:99999",
                "mongodb://localhost/a b",
                "mongodb+srv://localhost:27017",
            ],
        ),
        (
            "has a wrong option: maxPoolSize",
            &[
                "mongodb://localhost/?maxPoolSize=many",
                "mongodb://localhost/?maxPoolSize=0&w=1",
            ],
        ),
        (
            "has a wrong option: conectTimeoutMS",
            &["mongodb://localhost/?w=1&conectTimeoutMS=1"],
        ),
        ("has a wrong option: w", &["mongodb://localhost/?w=1&w=2"]),
        (
            "has a wrong option: tlsCAFile",
            &["mongodb://localhost/?tlsCAFile=/no/such/file"],
        ),
        (
            "has wrong options: tls, retryWrites",
            &["mongodb://localhost/?tls=yes&retryWrites=1"],
        ),
        (
            "has a wrong option: one without `=`",
            &[
                "mongodb://localhost/?w=1&",
                "mongodb://localhost/?w=1&hunter2",
            ],
        ),
        (
            "has a wrong option: one with an odd name",
            &["mongodb://localhost/?hunter/2=1"],
        ),
        (
            "has wrong options: readPreferenceTags, x",
            &["mongodb://localhost/?readPreferenceTags=a:b&x=1"],
        ),
        (
            "has a wrong option: x",
            &["mongodb://localhost/?readPreferenceTags=a:b&readPreference=nearest&x=1"],
        ),
    ];

    #[tokio::test]
    async fn a_mistake_in_the_connection_string_is_named() {
        for (sentence, uris) in MISTAKES {
            for uri in *uris {
                assert_eq!(problem(uri).await, *sentence, "{uri}");
            }
        }
    }

    #[tokio::test]
    async fn options_of_other_drivers_that_change_nothing_here_are_ignored() {
        for options in [
            "compressors=zstd,snappy",
            "timeoutMS=5000&w=1",
            "w=1&SOCKETTIMEOUTMS=5000&retryWrites=false",
            "compressors=zlib&zlibCompressionLevel=9",
        ] {
            let config = StoreConfig::new(&format!("mongodb://localhost/?{options}"), "meetme");
            let accepted = client_options(&config).await;
            assert!(accepted.is_ok(), "{options}: {accepted:?}");
        }
        let wrong = problem("mongodb://localhost/?compressors=zstd&tls=maybe").await;
        assert_eq!(wrong, "has a wrong option: tls");
    }
}

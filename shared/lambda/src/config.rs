//! Settings from environment variables, read once at start.

use std::str::FromStr;

use chat::secret::Secret;
use chat::store::StoreConfig;
use chat::{Error, Push, Result, Store};

use crate::aws::AwsConfig;
use crate::secrets_manager::SecretReference;

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

/// The number that `variable` is, or `default` where it is not set or empty.
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

/// An [`Error::Config`] about `variable`.
pub fn invalid(variable: &'static str, problem: impl Into<String>) -> Error {
    Error::Config {
        variable,
        problem: problem.into(),
    }
}

/// Where the connection string of the database is: in `MONGODB_URI`, or in the secret that
/// `MONGODB_SECRET_ARN` names. It begins with `mongodb://` or `mongodb+srv://` and may hold a
/// password.
#[derive(Debug, Clone)]
pub enum ConnectionString {
    /// The string itself.
    Given(Secret),
    /// A secret whose text is the string, fetched once at start.
    Referred(Box<SecretReference>),
}

impl ConnectionString {
    const VARIABLE: &str = "MONGODB_URI";
    const SECRET_VARIABLE: &str = "MONGODB_SECRET_ARN";

    fn from_env() -> Result<Self> {
        let given = optional(Self::VARIABLE)?;
        match (given, optional(Self::SECRET_VARIABLE)?) {
            (Some(uri), None) => Ok(Self::Given(uri.into())),
            (None, Some(_)) => {
                let secret = SecretReference::from_env(Self::SECRET_VARIABLE)?;
                Ok(Self::Referred(Box::new(secret)))
            }
            (None, None) => Err(invalid(
                Self::VARIABLE,
                "is not set, and MONGODB_SECRET_ARN is not set either",
            )),
            (Some(_), Some(_)) => Err(invalid(
                Self::VARIABLE,
                "is set, and MONGODB_SECRET_ARN is set as well: which one is meant?",
            )),
        }
    }

    async fn resolve(&self) -> Result<Secret> {
        match self {
            Self::Given(uri) => Ok(uri.clone()),
            // Boxed: the types of the SDK's futures are deep, and would be part of all that wait.
            Self::Referred(secret) => Box::pin(secret.fetch()).await,
        }
    }

    /// The variable that it comes from.
    fn variable(&self) -> &'static str {
        match self {
            Self::Given(_) => Self::VARIABLE,
            Self::Referred(_) => Self::SECRET_VARIABLE,
        }
    }
}

/// Where the database is.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `MONGODB_URI` or `MONGODB_SECRET_ARN`: one of them is required.
    pub uri: ConnectionString,
    /// `MONGODB_DATABASE`: name of the database; default `meetme`.
    pub database: String,
    /// `AWS_LAMBDA_MAX_CONCURRENCY`: requests served at once by one process; default 1. The
    /// connection pool grows with it.
    pub concurrency: u32,
}

impl DatabaseConfig {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: a variable is missing or malformed.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            uri: ConnectionString::from_env()?,
            database: optional("MONGODB_DATABASE")?
                .unwrap_or_else(|| StoreConfig::DEFAULT_DATABASE.to_owned()),
            concurrency: number("AWS_LAMBDA_MAX_CONCURRENCY", 1)?,
        })
    }

    /// Opens the store. Nothing is connected yet, except that a secret is read and a `mongodb+srv`
    /// name resolved.
    ///
    /// # Errors
    ///
    /// As [`Store::open`], and [`Error::Unavailable`] if the secret cannot be read.
    pub async fn open_store(&self) -> Result<Store> {
        let config = StoreConfig {
            uri: self.uri.resolve().await?,
            variable: self.uri.variable(),
            database: self.database.clone(),
            concurrency: self.concurrency,
        };
        Store::open(&config).await
    }

    /// Opens the store and its first connection, for the start of a function. Without a database the
    /// process starts all the same: later requests try again.
    ///
    /// # Errors
    ///
    /// As [`DatabaseConfig::open_store`].
    pub async fn connect_store(&self) -> Result<Store> {
        let store = self.open_store().await?;
        if let Err(error) = store.ping().await {
            tracing::warn!(cause = error.chain(), "starting without the database");
        }
        Ok(store)
    }
}

/// `AUTH`: whether users have to prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `jwt`: by a token.
    Jwt,
    /// `open`: whoever names a user is believed to be that user, as in the old system.
    Open,
}

impl Auth {
    /// Reads the setting. It has no default: nobody is to be let in for want of a variable.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: it is not set, or neither of the two.
    pub fn from_env() -> Result<Self> {
        const VARIABLE: &str = "AUTH";
        match required(VARIABLE)?.as_str() {
            "jwt" => Ok(Self::Jwt),
            "open" => Ok(Self::Open),
            _ => Err(invalid(VARIABLE, "is neither jwt nor open")),
        }
    }
}

/// How to reach open sockets.
#[derive(Debug, Clone)]
pub struct PushConfig {
    /// `MANAGEMENT_ENDPOINT`: base URL of the `@connections` API, with the stage unless behind a
    /// custom domain (`https://{api}.execute-api.{region}.amazonaws.com/{stage}`); required.
    pub endpoint: String,
    /// Signs the calls.
    pub aws: AwsConfig,
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
            aws: AwsConfig::from_env()?,
        })
    }

    /// Returns the client of the management API. Nothing is loaded or connected yet.
    pub fn push(&self) -> Push {
        let sdk = self.aws.sdk_config(Some(&self.endpoint));
        Push::new(self.endpoint.clone(), sdk)
    }
}

fn management_endpoint() -> Result<String> {
    const VARIABLE: &str = "MANAGEMENT_ENDPOINT";
    let endpoint = required(VARIABLE)?;
    if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
        return Err(invalid(VARIABLE, "does not start with https:// or http://"));
    }
    Ok(endpoint.trim_end_matches('/').to_owned())
}

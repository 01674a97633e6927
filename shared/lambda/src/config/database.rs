//! Settings of the database.

use chat::secret::Secret;
use chat::store::StoreConfig;
use chat::{Result, Store};
use chrono::TimeDelta;

use crate::env::{invalid, number, optional};
use crate::secrets_manager::SecretReference;

/// The connection string of the database: in `MONGODB_URI`, or in the secret that
/// `MONGODB_SECRET_ARN` names. It begins with `mongodb://` or `mongodb+srv://` and may hold a
/// password.
#[derive(Debug, Clone)]
pub enum ConnectionString {
    /// The string itself.
    Literal(Secret),
    /// A secret whose text is the string, fetched once at start.
    InSecret(Box<SecretReference>),
}

impl ConnectionString {
    const VARIABLE: &str = "MONGODB_URI";
    const SECRET_VARIABLE: &str = "MONGODB_SECRET_ARN";

    fn from_env() -> Result<Self> {
        let given = optional(Self::VARIABLE)?;
        match (given, optional(Self::SECRET_VARIABLE)?) {
            (Some(uri), None) => Ok(Self::Literal(uri.into())),
            (None, Some(_)) => {
                let secret = SecretReference::from_env(Self::SECRET_VARIABLE)?;
                Ok(Self::InSecret(Box::new(secret)))
            }
            (None, None) => Err(invalid(
                Self::VARIABLE,
                "is not set, and MONGODB_SECRET_ARN is not set either",
            )),
            (Some(_), Some(_)) => Err(invalid(
                Self::VARIABLE,
                "is set, and MONGODB_SECRET_ARN is set as well: set only one of them",
            )),
        }
    }

    /// Returns the string itself.
    async fn resolve(&self) -> Result<Secret> {
        match self {
            Self::Literal(uri) => Ok(uri.clone()),
            // Boxed: the types of the SDK's futures are deep, and would be part of every caller's.
            Self::InSecret(secret) => Box::pin(secret.fetch()).await,
        }
    }

    /// Returns the variable that it comes from.
    fn variable(&self) -> &'static str {
        match self {
            Self::Literal(_) => Self::VARIABLE,
            Self::InSecret(_) => Self::SECRET_VARIABLE,
        }
    }
}

/// Settings of the database.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `MONGODB_URI` or `MONGODB_SECRET_ARN`: one of them is required.
    pub uri: ConnectionString,
    /// `MONGODB_DATABASE`: name of the database; default `meetme`.
    pub database: String,
    /// `AWS_LAMBDA_MAX_CONCURRENCY`: requests served at once by one process; default 1. The
    /// connection pool grows with it.
    pub concurrency: u32,
    /// `RETENTION_DAYS`: the age at which texts are hidden, and then removed; `None`, by default 0, for never.
    pub retention: Option<TimeDelta>,
}

impl DatabaseConfig {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](chat::Error::Config): a variable is missing or malformed.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            uri: ConnectionString::from_env()?,
            database: optional("MONGODB_DATABASE")?
                .unwrap_or_else(|| StoreConfig::DEFAULT_DATABASE.to_owned()),
            concurrency: number("AWS_LAMBDA_MAX_CONCURRENCY", 1)?,
            retention: Self::retention_from_env()?,
        })
    }

    fn retention_from_env() -> Result<Option<TimeDelta>> {
        const DAYS: &str = "RETENTION_DAYS";
        match number(DAYS, 0_u32)? {
            0 => Ok(None),
            days @ ..=36_500 => Ok(Some(TimeDelta::days(days.into()))),
            _ => Err(invalid(DAYS, "is more than 36500")),
        }
    }

    /// Opens the store. Nothing is connected yet, except that a secret is fetched and a `mongodb+srv`
    /// name is resolved.
    ///
    /// # Errors
    ///
    /// As [`Store::open`], and [`Error::Unavailable`](chat::Error::Unavailable) if the secret cannot be fetched.
    pub async fn open_store(&self) -> Result<Store> {
        let config = StoreConfig {
            uri: self.uri.resolve().await?,
            variable: self.uri.variable(),
            database: self.database.clone(),
            concurrency: self.concurrency,
        };
        let store = Store::open(&config).await?;
        Ok(store.with_retention(self.retention))
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

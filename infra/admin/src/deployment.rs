//! The deployment that is looked at: the environment names it as it does for the functions; else it is the chat that
//! `cargo local` runs in this checkout.

use anyhow::{Context, Result};
use chat::store::StoreConfig;
use chat::{Push, Store};
use chat_lambda::aws::AwsConfig;
use chat_lambda::config::{DatabaseConfig, PushConfig};
use chat_local::running::RunningChat;

/// The variables of which one has to be set.
const VARIABLES: [&str; 2] = ["MONGODB_URI", "MONGODB_SECRET_ARN"];

/// A running chat.
pub enum Deployment {
    /// That of the environment.
    Environment(Box<DatabaseConfig>),
    /// That of `cargo local`.
    Local(RunningChat),
}

impl Deployment {
    /// Finds the deployment.
    ///
    /// # Errors
    ///
    /// A variable is malformed, or none is set and no chat runs here.
    pub fn find() -> Result<Self> {
        let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if VARIABLES.iter().any(is_set) {
            return Ok(Self::Environment(Box::new(DatabaseConfig::from_env()?)));
        }
        let local = RunningChat::find(&std::env::current_dir()?).context(
            "set MONGODB_URI or MONGODB_SECRET_ARN as for the functions, or start cargo local in this folder",
        )?;
        Ok(Self::Local(local))
    }

    /// Opens the database.
    ///
    /// # Errors
    ///
    /// It does not respond.
    pub async fn store(&self) -> Result<Store> {
        let store = match self {
            Self::Environment(config) => config.open_store().await?,
            Self::Local(local) => {
                let uri = local.uri.clone();
                Store::open(&StoreConfig::new(&uri, &local.database)).await?
            }
        };
        store.ping().await?;
        Ok(store)
    }

    /// Returns the client of `@connections`.
    ///
    /// # Errors
    ///
    /// A variable is missing.
    pub fn push(&self) -> Result<Push> {
        let config = match self {
            Self::Environment(_) => PushConfig::from_env()?,
            Self::Local(local) => PushConfig {
                endpoint: local.management_endpoint.clone(),
                aws: local_identity(),
            },
        };
        Ok(config.push())
    }
}

/// Returns the identity that the local gateway accepts.
fn local_identity() -> AwsConfig {
    AwsConfig {
        region: "us-east-1".to_owned(),
        access_key_id: "local".to_owned(),
        secret_access_key: "local".to_owned().into(),
        session_token: None,
    }
}

//! Settings of the management API.

use chat::{Push, Result};

use crate::aws::AwsConfig;
use crate::env::{invalid, required};

/// Settings of the `@connections` management API.
#[derive(Debug, Clone)]
pub struct PushConfig {
    /// `MANAGEMENT_ENDPOINT`: base URL of the `@connections` API, with the stage unless behind a
    /// custom domain (`https://{api}.execute-api.{region}.amazonaws.com/{stage}`); required.
    pub endpoint: String,
    /// The identity that signs the calls.
    pub aws: AwsConfig,
}

impl PushConfig {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](chat::Error::Config): a variable is missing or malformed.
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

//! AWS Secrets Manager, which holds the connection string of a deployment.
//!
//! <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>

use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::config::{Builder, Region};
use chat::secret::Secret;
use chat::{Error, Result};

use crate::aws::{AwsConfig, endpoint_url, region};
use crate::env::{invalid, required};

/// The timeout of all attempts together: Lambda gives the start of a process ten seconds.
const TIMEOUT: Duration = Duration::from_secs(6);

/// The timeout of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// A secret by reference.
#[derive(Debug, Clone)]
pub struct SecretReference {
    variable: &'static str,
    arn: String,
    region: String,
    endpoint: Option<String>,
    aws: AwsConfig,
}

impl SecretReference {
    /// Reads the ARN in `variable`, and the settings of a fetch. `AWS_ENDPOINT_URL_SECRETS_MANAGER` and
    /// `AWS_ENDPOINT_URL` change the address of the service.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: a variable is missing or malformed.
    pub fn from_env(variable: &'static str) -> Result<Self> {
        Self::new(
            variable,
            required(variable)?,
            endpoint_url("AWS_ENDPOINT_URL_SECRETS_MANAGER")?,
            AwsConfig::from_env()?,
        )
    }

    /// Returns a reference to the secret `arn`, which `variable` holds, at `endpoint` or else at AWS's own address.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: it is no ARN of a secret.
    pub fn new(
        variable: &'static str,
        arn: String,
        endpoint: Option<String>,
        aws: AwsConfig,
    ) -> Result<Self> {
        let region = region(&arn, "secretsmanager").ok_or_else(|| {
            let form = "is not arn:aws:secretsmanager:{region}:{account}:secret:{name}";
            invalid(variable, form)
        })?;
        Ok(Self {
            variable,
            region: region.to_owned(),
            arn,
            endpoint,
            aws,
        })
    }

    /// Fetches the current value.
    ///
    /// # Errors
    ///
    /// - [`Error::Unavailable`]: the service did not respond, or rejected the request.
    /// - [`Error::Config`]: the secret is binary.
    pub async fn fetch(&self) -> Result<Secret> {
        let fetched = self
            .client()
            .get_secret_value()
            .secret_id(&self.arn)
            .send()
            .await
            .map_err(Error::unavailable("reading of the secret"))?;
        match fetched.secret_string {
            Some(value) => Ok(value.into()),
            None => Err(invalid(self.variable, "names a secret without text")),
        }
    }

    fn client(&self) -> Client {
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT);
        let config = Builder::from(&self.aws.sdk_config(self.endpoint.as_deref()))
            .region(Region::new(self.region.clone()))
            .timeout_config(timeouts.build());
        Client::from_conf(config.build())
    }
}

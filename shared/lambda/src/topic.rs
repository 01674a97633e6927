//! A topic of AWS SNS, as its publishers see it.
//!
//! <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>

use std::sync::OnceLock;
use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::retry::RetryConfig;
use aws_sdk_sns::config::timeout::TimeoutConfig;
use aws_sdk_sns::config::{Builder, Region};
use chat::{Deadline, Error, Result};
use tracing::Instrument;
use tracing::field::Empty;

use crate::aws::{AwsConfig, endpoint_url, region};
use crate::env::{invalid, optional};

/// The timeout of all attempts of a call together: a client waits for it.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The timeout of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(800);

/// The bound of the first pause between attempts; it doubles with each.
const FIRST_BACKOFF: Duration = Duration::from_millis(25);

/// The name of a call, in errors.
const PUBLISH: &str = "publish to the topic";

/// A topic. Its client is built when it is first needed, so that a process that publishes nothing starts no later.
#[derive(Debug)]
pub struct Topic {
    arn: String,
    region: String,
    endpoint: Option<String>,
    aws: AwsConfig,
    client: OnceLock<Client>,
}

impl Topic {
    /// Reads the ARN of a topic in `variable`; `None` where it is not set or empty. `AWS_ENDPOINT_URL_SNS` and
    /// `AWS_ENDPOINT_URL` change the address of the service.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: a variable is missing or malformed.
    pub fn from_env(variable: &'static str) -> Result<Option<Self>> {
        let Some(arn) = optional(variable)? else {
            return Ok(None);
        };
        let region = region(&arn, "sns").ok_or_else(|| {
            let form = "is not arn:aws:sns:{region}:{account}:{name}";
            invalid(variable, form)
        })?;
        Ok(Some(Self {
            region: region.to_owned(),
            arn,
            endpoint: endpoint_url("AWS_ENDPOINT_URL_SNS")?,
            aws: AwsConfig::from_env()?,
            client: OnceLock::new(),
        }))
    }

    /// Publishes a message: a text of at most 256 KB.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: it may or may not be published.
    pub async fn publish(&self, message: String, deadline: Deadline) -> Result<()> {
        let span = tracing::info_span!("topic", fault = Empty);
        // Boxed: the types of the SDK's futures are deep, and would be part of every caller's.
        let publish = self.client().publish().topic_arn(&self.arn);
        let sending = Box::pin(publish.message(message).send().instrument(span.clone()));
        let timeout = deadline.within(TIMEOUT).remaining();
        let sent = tokio::time::timeout(timeout, sending).await;
        let sent = sent.map_err(Error::unavailable(PUBLISH));
        let sent = sent.and_then(|sent| sent.map_err(Error::unavailable(PUBLISH)));
        sent.map(drop).inspect_err(|_| {
            span.record("fault", true);
        })
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT);
            let retries = RetryConfig::standard().with_initial_backoff(FIRST_BACKOFF);
            let config = Builder::from(&self.aws.sdk_config(self.endpoint.as_deref()))
                .region(Region::new(self.region.clone()))
                .timeout_config(timeouts.build())
                .retry_config(retries);
            Client::from_conf(config.build())
        })
    }
}

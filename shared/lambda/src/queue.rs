//! A queue of AWS SQS, as its senders see it.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>

use std::sync::OnceLock;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Builder;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use chat::{Deadline, Error, Result};
use tracing::Instrument;
use tracing::field::Empty;

use crate::aws::{AwsConfig, endpoint_url};
use crate::env::optional;

/// The messages of one call.
const BATCH: usize = 10;

/// The timeout of all attempts of a call together: a client waits for it.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The timeout of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(800);

/// The bound of the first pause between attempts; it doubles with each.
const FIRST_BACKOFF: Duration = Duration::from_millis(25);

/// The name of a call, in errors.
const SEND: &str = "send to the queue";

/// A queue. Its client is built when it is first needed, so that a process that sends nothing to it starts no later.
#[derive(Debug)]
pub struct Queue {
    url: String,
    endpoint: Option<String>,
    aws: AwsConfig,
    client: OnceLock<Client>,
}

impl Queue {
    /// Reads the URL of a queue in `variable`; `None` where it is not set or empty. `AWS_ENDPOINT_URL_SQS` and
    /// `AWS_ENDPOINT_URL` change the address of the service.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: a variable is missing or malformed.
    pub fn from_env(variable: &'static str) -> Result<Option<Self>> {
        let Some(url) = optional(variable)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            url,
            endpoint: endpoint_url("AWS_ENDPOINT_URL_SQS")?,
            aws: AwsConfig::from_env()?,
            client: OnceLock::new(),
        }))
    }

    /// Sends messages, each of which is text without control characters.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: some of them may not be in the queue.
    pub async fn send(&self, messages: Vec<String>, deadline: Deadline) -> Result<()> {
        for batch in messages.chunks(BATCH) {
            let span = tracing::info_span!("queue", fault = Empty);
            // Boxed: the types of the SDK's futures are deep, and would be part of every caller's.
            let sending = Box::pin(self.send_batch(batch).instrument(span.clone()));
            let timeout = deadline.within(TIMEOUT).remaining();
            let sent = tokio::time::timeout(timeout, sending).await;
            sent.map_err(Error::unavailable(SEND))
                .flatten()
                .inspect_err(|_| {
                    span.record("fault", true);
                })?;
        }
        Ok(())
    }

    async fn send_batch(&self, messages: &[String]) -> Result<()> {
        let entries = messages.iter().enumerate().map(|(index, message)| {
            let entry = SendMessageBatchRequestEntry::builder().id(index.to_string());
            entry.message_body(message).build().expect("it is complete")
        });
        let sent = self
            .client()
            .send_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries.collect()))
            .send()
            .await
            .map_err(Error::unavailable(SEND))?;
        match sent.failed.first() {
            None => Ok(()),
            Some(failed) => Err(Error::unavailable(SEND)(failed.code.clone())),
        }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT);
            let retries = RetryConfig::standard().with_initial_backoff(FIRST_BACKOFF);
            let config = Builder::from(&self.aws.sdk_config(self.endpoint.as_deref()))
                .timeout_config(timeouts.build())
                .retry_config(retries);
            Client::from_conf(config.build())
        })
    }
}

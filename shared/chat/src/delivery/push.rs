//! The `@connections` management API: sends frames to connections, and closes them.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html>

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::config::retry::RetryConfig;
use aws_sdk_apigatewaymanagement::config::timeout::TimeoutConfig;
use aws_sdk_apigatewaymanagement::config::{Builder, Config, Region};
use aws_sdk_apigatewaymanagement::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_apigatewaymanagement::primitives::Blob;
use aws_smithy_runtime::client::retries::classifiers::HttpStatusCodeClassifier;
use aws_types::SdkConfig;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tracing::Instrument;
use tracing::field::Empty;

use crate::{Connection, ConnectionId, Deadline, Error};

/// Calls in flight at once for one frame, where nothing else is set.
pub const CONCURRENT_CALLS: usize = 32;

/// The timeout of one attempt of a call.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// Attempts of one call: the first, and retries of 429, 5xx and timeouts.
const ATTEMPTS: u32 = 4;

/// The bound of the first pause between attempts; it doubles with each.
const FIRST_BACKOFF: Duration = Duration::from_millis(25);

/// The outcome of a frame at its connections.
#[derive(Debug, Default)]
pub struct Deliveries {
    /// Connections that got it.
    pub delivered: Vec<Connection>,
    /// Connections that no longer exist.
    pub gone: Vec<Connection>,
    /// The count of those that could not be reached now; the client finds the message in the history.
    pub failed: usize,
    /// Whether there may be further connections, since the store could not be read.
    pub is_incomplete: bool,
}

impl Deliveries {
    /// Returns the outcome where the connections could not be read.
    pub fn incomplete() -> Self {
        Self {
            is_incomplete: true,
            ..Self::default()
        }
    }

    /// Adds the outcome at other connections.
    pub fn extend(&mut self, others: Self) {
        self.delivered.extend(others.delivered);
        self.gone.extend(others.gone);
        self.failed += others.failed;
        self.is_incomplete |= others.is_incomplete;
    }
}

/// A call of the API about a connection.
#[derive(Debug, Clone)]
enum Call {
    /// Sends a text frame.
    Post(Bytes),
    /// Closes the connection.
    Delete,
    /// Asks whether the connection exists.
    Get,
}

/// The failure of a call.
#[derive(Debug)]
enum CallError {
    /// HTTP 410: the connection is closed for good.
    Gone,
    /// Anything else, after retries.
    Failed(Error),
}

impl<E> From<SdkError<E>> for CallError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        match error.code() {
            Some("GoneException") => Self::Gone,
            _ => Self::Failed(Error::unavailable("push")(error)),
        }
    }
}

/// A client of the management API. Made once at start; HTTP connections are reused.
#[derive(Debug)]
pub struct Push {
    /// The base URL of the API that invoked this function.
    endpoint: String,
    sdk: SdkConfig,
    clients: Mutex<HashMap<String, Client>>,
    /// Calls in flight at once for one frame.
    concurrent_calls: usize,
}

impl Push {
    /// Prepares the client of the API at `endpoint`, which includes the stage, except behind a custom
    /// domain. `sdk` has credentials and HTTP client for all endpoints. Nothing is loaded or connected
    /// yet.
    pub fn new(endpoint: String, sdk: SdkConfig) -> Self {
        Self {
            endpoint,
            sdk,
            clients: Mutex::default(),
            concurrent_calls: CONCURRENT_CALLS,
        }
    }

    /// Limits the calls in flight at once for one frame to another number.
    pub fn with_concurrent_calls(self, concurrent_calls: usize) -> Self {
        Self {
            concurrent_calls,
            ..self
        }
    }

    /// Builds what the API's own endpoint needs. Under `https` that loads the root certificates, some
    /// milliseconds of work that belong into the start of a process.
    pub fn prepare(self) -> Self {
        self.client(&self.endpoint);
        self
    }

    /// Returns the management endpoint of the API that invoked this function.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Sends one text frame to all `connections`, several at a time. One that is gone does not
    /// affect the others.
    ///
    /// `frame` is UTF-8 JSON of at most 131,072 bytes, which all calls share.
    pub async fn post_all(
        &self,
        connections: Vec<Connection>,
        frame: impl Into<Bytes>,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Deliveries {
        let call = Call::Post(frame.into());
        self.call_all(connections, &call, now, deadline).await
    }

    /// Closes all `connections`, several at a time. Returns those that are closed now, or were before:
    /// their rows are to be deleted.
    pub async fn close_all(
        &self,
        connections: Vec<Connection>,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Vec<Connection> {
        let calls = self
            .call_all(connections, &Call::Delete, now, deadline)
            .await;
        [calls.delivered, calls.gone].concat()
    }

    /// Looks up all `connections`, several at a time. Returns those that exist, and those that are gone for
    /// good.
    pub async fn look_up_all(
        &self,
        connections: Vec<Connection>,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> (Vec<Connection>, Vec<Connection>) {
        let calls = self.call_all(connections, &Call::Get, now, deadline).await;
        (calls.delivered, calls.gone)
    }

    async fn call_all(
        &self,
        connections: Vec<Connection>,
        call: &Call,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Deliveries {
        let mut calls = stream::iter(connections)
            .map(|connection| async move {
                let called = self.call_retrying_gone(&connection, call, now, deadline);
                let outcome = traced(&connection.connection_id, called).await;
                (connection, outcome)
            })
            .buffer_unordered(self.concurrent_calls);
        let mut deliveries = Deliveries::default();
        while let Some((connection, outcome)) = calls.next().await {
            match outcome {
                Ok(()) => deliveries.delivered.push(connection),
                Err(CallError::Gone) => deliveries.gone.push(connection),
                Err(CallError::Failed(error)) => {
                    let connection_id = connection.connection_id.as_str();
                    tracing::warn!(connection_id, cause = error.chain(), "push failed");
                    deliveries.failed += 1;
                }
            }
        }
        deliveries
    }

    /// Sends one text frame to the connection that a request came from.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: it did not arrive. That includes a connection that is closed.
    pub async fn post(
        &self,
        connection_id: &ConnectionId,
        frame: impl Into<Bytes>,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let call = Call::Post(frame.into());
        let post = self.call(&self.endpoint, connection_id, &call, deadline);
        match traced(connection_id, post).await {
            Ok(()) => Ok(()),
            Err(CallError::Gone) => Err(Error::unavailable("push")("the connection is closed")),
            Err(CallError::Failed(error)) => Err(error),
        }
    }

    /// Closes the connection that a request came from. One that is closed already is no error.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: it may still be open.
    pub async fn close(
        &self,
        connection_id: &ConnectionId,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let close = self.call(&self.endpoint, connection_id, &Call::Delete, deadline);
        match traced(connection_id, close).await {
            Ok(()) | Err(CallError::Gone) => Ok(()),
            Err(CallError::Failed(error)) => Err(error),
        }
    }

    /// Calls a connection; retries a 410 while it may still be opening, since such a 410 is no proof.
    /// Deleting the row would leave an open connection without messages for hours.
    ///
    /// The SDK retries each of these calls by itself, so there are up to [`ATTEMPTS`]² of them.
    async fn call_retrying_gone(
        &self,
        connection: &Connection,
        call: &Call,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        for attempt in 0..ATTEMPTS {
            let called = self
                .call(
                    &connection.endpoint,
                    &connection.connection_id,
                    call,
                    deadline,
                )
                .await;
            match called {
                Err(CallError::Gone) if connection.is_opening(now) => {}
                outcome => return outcome,
            }
            deadline
                .pause("push", FIRST_BACKOFF * 2_u32.pow(attempt))
                .await
                .map_err(CallError::Failed)?;
        }
        let error = Error::unavailable("push")("the connection is still opening");
        Err(CallError::Failed(error))
    }

    /// Calls a connection; all attempts together end with the request.
    ///
    /// The deadline is waited for here, and not set for the call: settings of a single call make the SDK
    /// build its configuration once more for each.
    async fn call(
        &self,
        endpoint: &str,
        connection_id: &ConnectionId,
        call: &Call,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let client = self.client(endpoint);
        let id = connection_id.as_str();
        // Boxed: the types of the SDK's futures are deep, and would be part of every caller's.
        let called = Box::pin(async {
            match call {
                Call::Post(frame) => {
                    let post = client.post_to_connection().connection_id(id);
                    post.data(Blob::new(frame.clone())).send().await?;
                }
                Call::Delete => {
                    client.delete_connection().connection_id(id).send().await?;
                }
                Call::Get => {
                    client.get_connection().connection_id(id).send().await?;
                }
            }
            Ok(())
        });
        match tokio::time::timeout(deadline.remaining(), called).await {
            Ok(outcome) => outcome,
            Err(elapsed) => Err(CallError::Failed(Error::unavailable("push")(elapsed))),
        }
    }

    /// Returns the client of one endpoint. All endpoints of a scheme share one pool of connections.
    fn client(&self, endpoint: &str) -> Client {
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(endpoint) {
            return client.clone();
        }
        let client = Client::from_conf(self.sdk_config(endpoint));
        clients.insert(endpoint.to_owned(), client.clone());
        client
    }

    fn sdk_config(&self, endpoint: &str) -> Config {
        let mut config = Builder::from(&self.sdk)
            .endpoint_url(endpoint)
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                    .build(),
            )
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(ATTEMPTS)
                    .with_initial_backoff(FIRST_BACKOFF),
            )
            // The SDK knows a 429 by the error's name, which a proxy in between would not give.
            .retry_classifier(HttpStatusCodeClassifier::new_from_codes(&[429_u16][..]));
        // A connection may be held by an API in another region, whose calls are signed for that region.
        if let Some(region) = region(endpoint) {
            config = config.region(Region::new(region.to_owned()));
        }
        config.build()
    }
}

/// Returns the region of an API's own address,
/// `https://{api}.execute-api.{region}.amazonaws.com/{stage}`. A custom domain does not name its region.
fn region(endpoint: &str) -> Option<&str> {
    let (_, rest) = endpoint.split_once("://")?;
    let host = rest.split(['/', ':']).next()?;
    let (_, rest) = host.split_once(".execute-api.")?;
    let (region, domain) = rest.split_once('.')?;
    domain.starts_with("amazonaws.com").then_some(region)
}

/// Runs a push, all its attempts together, in a span of its own, which is timed and traced.
async fn traced(
    connection_id: &ConnectionId,
    push: impl Future<Output = Result<(), CallError>>,
) -> Result<(), CallError> {
    let connection_id = connection_id.as_str();
    let span = tracing::info_span!("push", connection_id, fault = Empty);
    let outcome = push.instrument(span.clone()).await;
    if let Err(CallError::Failed(_)) = outcome {
        span.record("fault", true);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_signed_for_the_region_of_its_endpoint() {
        for (endpoint, expected) in [
            (
                "https://a1.execute-api.eu-west-1.amazonaws.com/prod",
                Some("eu-west-1"),
            ),
            (
                "https://a1.execute-api.cn-north-1.amazonaws.com.cn/prod",
                Some("cn-north-1"),
            ),
            ("https://ws.example.com", None),
            (
                "https://ws.example.com/a.execute-api.eu-west-1.amazonaws.com",
                None,
            ),
            ("http://127.0.0.1:3001/prod", None),
        ] {
            assert_eq!(region(endpoint), expected, "{endpoint}");
        }
    }
}

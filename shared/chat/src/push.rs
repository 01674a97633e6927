//! The `@connections` management API: frames to open sockets, and their end.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html>

use std::collections::HashMap;
use std::sync::Mutex;
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
use tracing::Instrument;
use tracing::field::Empty;

use crate::{Connection, ConnectionId, Deadline, Error};

/// Calls in flight at once for one message.
const CONCURRENT_CALLS: usize = 32;

/// How long one try of a call may take, if the request has that long.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// Tries of one call: the first, and retries of 429, 5xx and time-outs.
const ATTEMPTS: u32 = 4;

/// The bound of the first pause between tries; it doubles with each.
const FIRST_BACKOFF: Duration = Duration::from_millis(25);

/// What became of a frame at its sockets.
#[derive(Debug, Default)]
pub struct Deliveries {
    /// Sockets that took it.
    pub delivered: Vec<Connection>,
    /// Sockets that no longer exist; their rows are to be deleted.
    pub gone: Vec<Connection>,
    /// How many could not be reached now; the client finds the message in the history.
    pub failed: usize,
}

impl Deliveries {
    /// Adds those at other sockets.
    pub fn extend(&mut self, others: Self) {
        self.delivered.extend(others.delivered);
        self.gone.extend(others.gone);
        self.failed += others.failed;
    }
}

/// What is done to a socket.
#[derive(Debug, Clone)]
enum Call {
    /// It gets a text frame.
    Post(Bytes),
    /// It is closed.
    Delete,
}

/// Why a call did not reach a socket.
#[derive(Debug)]
enum Miss {
    /// HTTP 410: the socket is closed for good.
    Gone,
    /// Anything else, after retries.
    Failed(Error),
}

impl<E> From<SdkError<E>> for Miss
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

/// A client of the management API. Made once at start; connections are reused.
#[derive(Debug)]
pub struct Push {
    /// The base URL of the API that invoked this function.
    endpoint: String,
    sdk: SdkConfig,
    clients: Mutex<HashMap<String, Client>>,
}

impl Push {
    /// Prepares the client of the API at `endpoint`, with the stage unless behind a custom domain.
    /// `sdk` signs the calls, and reaches all endpoints. Nothing is loaded or connected yet.
    pub fn new(endpoint: String, sdk: SdkConfig) -> Self {
        Self {
            endpoint,
            sdk,
            clients: Mutex::default(),
        }
    }

    /// Builds what the API's own endpoint needs. Under `https` that loads the root certificates, some
    /// milliseconds of work that belong into the start of a process.
    pub fn prepare(self) -> Self {
        self.client(&self.endpoint);
        self
    }

    /// The management endpoint of the API that invoked this function.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Sends one text frame to all `sockets`, several at a time. One dead socket costs the others
    /// nothing.
    ///
    /// `frame` is UTF-8 JSON of at most 131,072 bytes, which all calls share.
    pub async fn fan_out(
        &self,
        sockets: Vec<Connection>,
        frame: impl Into<Bytes>,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Deliveries {
        let call = Call::Post(frame.into());
        self.call_all(sockets, &call, now, deadline).await
    }

    /// Closes all `sockets`, several at a time. Gives those that are closed now, or were before:
    /// their rows are to be deleted.
    pub async fn close_all(
        &self,
        sockets: Vec<Connection>,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Vec<Connection> {
        let calls = self.call_all(sockets, &Call::Delete, now, deadline).await;
        [calls.delivered, calls.gone].concat()
    }

    async fn call_all(
        &self,
        sockets: Vec<Connection>,
        call: &Call,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Deliveries {
        let mut calls = stream::iter(sockets)
            .map(|socket| async move {
                let delivery = self.deliver(&socket, call, now, deadline);
                let outcome = traced(&socket.connection_id, delivery).await;
                (socket, outcome)
            })
            .buffer_unordered(CONCURRENT_CALLS);
        let mut deliveries = Deliveries::default();
        while let Some((socket, outcome)) = calls.next().await {
            match outcome {
                Ok(()) => deliveries.delivered.push(socket),
                Err(Miss::Gone) => deliveries.gone.push(socket),
                Err(Miss::Failed(error)) => {
                    let connection_id = socket.connection_id.as_str();
                    tracing::warn!(connection_id, cause = error.chain(), "push failed");
                    deliveries.failed += 1;
                }
            }
        }
        deliveries
    }

    /// Sends one text frame to the socket that a request came from.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: it did not arrive. That includes a socket that is closed.
    pub async fn reply(
        &self,
        connection_id: &ConnectionId,
        frame: impl Into<Bytes>,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let call = Call::Post(frame.into());
        let reply = self.call(&self.endpoint, connection_id, &call, deadline);
        match traced(connection_id, reply).await {
            Ok(()) => Ok(()),
            Err(Miss::Gone) => Err(Error::unavailable("push")("the socket is closed")),
            Err(Miss::Failed(error)) => Err(error),
        }
    }

    /// Closes the socket that a request came from. One that is closed already is no error.
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
            Ok(()) | Err(Miss::Gone) => Ok(()),
            Err(Miss::Failed(error)) => Err(error),
        }
    }

    /// Calls one socket. A 410 from a socket that has only just opened is no proof that it is
    /// gone: deleting its row would leave a live socket without messages for hours.
    async fn deliver(
        &self,
        socket: &Connection,
        call: &Call,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<(), Miss> {
        for attempt in 0..ATTEMPTS {
            let called = self
                .call(&socket.endpoint, &socket.connection_id, call, deadline)
                .await;
            match called {
                Err(Miss::Gone) if socket.is_settling(now) => {}
                outcome => return outcome,
            }
            let pause = FIRST_BACKOFF * 2_u32.pow(attempt);
            deadline.pause("push", pause).await.map_err(Miss::Failed)?;
        }
        let error = Error::unavailable("push")("the socket has only just opened and is not up yet");
        Err(Miss::Failed(error))
    }

    async fn call(
        &self,
        endpoint: &str,
        connection_id: &ConnectionId,
        call: &Call,
        deadline: Deadline,
    ) -> Result<(), Miss> {
        let client = self.client(endpoint);
        let id = connection_id.as_str();
        let settings = within(deadline);
        match call {
            Call::Post(frame) => {
                let post = client.post_to_connection().connection_id(id);
                let post = post.data(Blob::new(frame.clone())).customize();
                let outcome = post.config_override(settings).send().await;
                outcome.map(|_| ()).map_err(Miss::from)
            }
            Call::Delete => {
                let delete = client.delete_connection().connection_id(id).customize();
                let outcome = delete.config_override(settings).send().await;
                outcome.map(|_| ()).map_err(Miss::from)
            }
        }
    }

    /// The client of one endpoint. All endpoints of a scheme share one pool of connections.
    fn client(&self, endpoint: &str) -> Client {
        let mut clients = self.clients.lock().expect("no holder panics");
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
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(ATTEMPTS)
                    .with_initial_backoff(FIRST_BACKOFF),
            )
            // The SDK knows a 429 by the error's name, which a proxy in between would not give.
            .retry_classifier(HttpStatusCodeClassifier::new_from_codes(&[429_u16][..]));
        // A socket may be held by an API in another region, whose calls are signed for that region.
        if let Some(region) = region(endpoint) {
            config = config.region(Region::new(region.to_owned()));
        }
        config.build()
    }
}

/// Settings of one call: it ends with the request, and a try of it sooner.
fn within(deadline: Deadline) -> Builder {
    let left = deadline.remaining();
    let timeouts = TimeoutConfig::builder()
        .operation_timeout(left)
        .operation_attempt_timeout(left.min(ATTEMPT_TIMEOUT))
        .build();
    Config::builder().timeout_config(timeouts)
}

/// The region of an API's own address, `https://{api}.execute-api.{region}.amazonaws.com/{stage}`.
/// A custom domain does not tell its region.
fn region(endpoint: &str) -> Option<&str> {
    let (_, rest) = endpoint.split_once("://")?;
    let host = rest.split(['/', ':']).next()?;
    let (_, rest) = host.split_once(".execute-api.")?;
    let (region, domain) = rest.split_once('.')?;
    domain.starts_with("amazonaws.com").then_some(region)
}

/// Pushes to a socket in a span of its own, by which that is timed and traced, all its tries together.
async fn traced(
    connection_id: &ConnectionId,
    push: impl Future<Output = Result<(), Miss>>,
) -> Result<(), Miss> {
    let connection_id = connection_id.as_str();
    let span = tracing::info_span!("push", connection_id, fault = Empty);
    let outcome = push.instrument(span.clone()).await;
    if let Err(Miss::Failed(_)) = outcome {
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

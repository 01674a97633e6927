//! What the fronts share: the template, the sockets, and the calls of functions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authorize::Remembered;
use crate::authorize::jwt::Keys;
use crate::connections::Connections;
use crate::faults::{Moment, Switches};
use crate::front::{self, Clients};
use crate::lambda::{InvokeError, Lambdas};
use crate::signature::AccessKey;
use crate::template::{Template, Throttle};
use crate::throttle::Buckets;

/// What a developer may set.
pub struct Settings {
    /// How long a socket may be silent. API Gateway: 10 minutes.
    pub idle_timeout: Duration,
    /// How long a socket may be open. API Gateway: 2 hours.
    pub lifetime: Duration,
    /// Who may call `@connections`.
    pub access_keys: Vec<AccessKey>,
    /// Whether sockets of the chat are also opened at `/`, and at `/ws/chat/{user_id}` as of old.
    pub chat_paths: bool,
    /// What is to go wrong.
    pub faults: Switches,
}

/// A running gateway.
pub struct Gateway {
    /// What it serves.
    pub template: Template,
    /// What the developer has set.
    pub settings: Settings,
    /// The open sockets.
    pub connections: Connections,
    /// Tasks of sockets and frames, which a clean end waits for.
    pub sockets: TaskTracker,
    /// Cancelled when the gateway is to end.
    pub stop: CancellationToken,
    /// Answers of authorizers.
    pub remembered: Remembered,
    /// Keys of issuers.
    pub keys: Keys,
    /// How many requests the routes of the WebSocket API still take.
    pub websocket_buckets: Buckets,
    /// The same of the HTTP API.
    pub http_buckets: Buckets,
    lambdas: Lambdas,
}

impl Gateway {
    /// A gateway for `template`, whose functions can be invoked by `lambdas`.
    pub fn new(template: Template, lambdas: Lambdas, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            template,
            settings,
            connections: Connections::default(),
            sockets: TaskTracker::new(),
            stop: CancellationToken::new(),
            remembered: Remembered::default(),
            keys: Keys::default(),
            websocket_buckets: Buckets::default(),
            http_buckets: Buckets::default(),
            lambdas,
        })
    }

    /// Serves the WebSocket port in the background until [`Gateway::stop`] is cancelled.
    pub fn serve_websocket(self: &Arc<Self>, listener: TcpListener) {
        let (gateway, stop) = (Arc::clone(self), self.stop.clone());
        let handler =
            move |request, ends| front::websocket::answer(Arc::clone(&gateway), request, ends);
        tokio::spawn(front::serve_with(
            listener,
            stop,
            Clients::Recorded,
            handler,
        ));
    }

    /// Serves the HTTP API in the background until [`Gateway::stop`] is cancelled.
    pub fn serve_http(self: &Arc<Self>, listener: TcpListener) {
        let (gateway, stop) = (Arc::clone(self), self.stop.clone());
        let handler = move |request, ends| front::http::answer(Arc::clone(&gateway), request, ends);
        tokio::spawn(front::serve_with(listener, stop, Clients::Anybody, handler));
    }

    /// Closes all sockets with 1001, runs their `$disconnect`, and waits for frames in flight.
    pub async fn end(&self) {
        self.stop.cancel();
        self.sockets.close();
        self.sockets.wait().await;
    }

    /// Invokes a function of the template by its logical id, and waits at most `patience`.
    ///
    /// # Errors
    ///
    /// [`InvokeError`].
    pub async fn invoke(
        &self,
        function: &str,
        event: &Value,
        patience: Duration,
    ) -> Result<Bytes, InvokeError> {
        let lambda = &self.lambdas[function];
        let kills = self.settings.faults.kills(Moment::Invoke, Some(function));
        self.kill_later(kills);
        let invoked = tokio::time::timeout(patience, lambda.invoke(event.to_string().into()));
        invoked.await.unwrap_or(Err(InvokeError::TimedOut))
    }

    /// Invokes a function by its logical id as the Invoke API does: for as long as it takes.
    ///
    /// # Errors
    ///
    /// [`InvokeError`].
    pub async fn invoke_raw(&self, function: &str, payload: Bytes) -> Result<Bytes, InvokeError> {
        self.lambdas[function].invoke(payload).await
    }

    /// Kills processes of functions that have an event in hand, each after its delay.
    pub fn kill_later(&self, kills: Vec<(String, Duration)>) {
        for (function, delay) in kills {
            if let Some(lambda) = self.lambdas.get(&function).cloned() {
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    lambda.kill_busy();
                });
            }
        }
    }

    /// Whether a route of the WebSocket API takes another request now.
    pub fn admits(&self, route_key: &str, throttle: Option<Throttle>) -> bool {
        self.websocket_buckets
            .admit(route_key, throttle, Instant::now())
    }
}

//! The state that all handlers share: template, open connections, functions.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use hyper::StatusCode;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::authorize::cache::ResponseCache;
use super::authorize::jwt::Keys;
use super::registry::Connections;
use super::throttle::Buckets;
use crate::faults::{Faults, Switches};
use crate::http::body::BodyLimit;
use crate::http::headers::Pairs;
use crate::http::sigv4::verify::Verifier;
use crate::lambda::Functions;
use crate::model::{Schedule, Template};
use crate::schedule;
use crate::sqs::api::Api;
use crate::sqs::consumer::Consumer;
use crate::sqs::queues::{MAX_MEMORY_BYTES, Queues};

/// Rewrites the path of a handshake. Returns `None` for a path that it does not rewrite, else the
/// query of a handshake to the stage, or the status of a rejection.
pub type PathRewrite = fn(path: &str, query: &str) -> Option<Result<Pairs, StatusCode>>;

/// Size limit of the bodies of all requests of the HTTP API together, in bytes.
const BODY_BYTES: usize = 64 * 1024 * 1024;

/// Size limit of the bodies of all signed requests together, in bytes. Clients of the HTTP API cannot keep
/// functions from posting to connections.
const SIGNED_BODY_BYTES: usize = 64 * 1024 * 1024;

/// Settings of a gateway.
pub struct Settings {
    /// Idle timeout of a connection. API Gateway: 10 minutes.
    pub idle_timeout: Duration,
    /// Lifetime of a connection. API Gateway: 2 hours.
    pub lifetime: Duration,
    /// Verifies calls of `@connections` and of routes with `AWS_IAM`.
    pub management_verifier: Verifier,
    /// Verifies calls of the Invoke API.
    pub invoke_verifier: Verifier,
    /// Verifies calls of the API of queues.
    pub sqs_verifier: Verifier,
    /// The base URL of the queues.
    pub sqs_url: String,
    /// Rewrites paths other than that of the stage.
    pub path_rewrite: Option<PathRewrite>,
    /// Refuses the requests of web pages that are not on this machine, with this message.
    pub page_refusal: Option<&'static str>,
}

/// A running gateway.
pub struct Gateway {
    /// The template.
    pub template: Template,
    /// The settings.
    pub settings: Settings,
    /// The open connections.
    pub connections: Connections,
    /// Tasks of connections and frames. [`Gateway::shutdown`] waits for them.
    pub tasks: TaskTracker,
    /// Cancelled when [`Gateway::shutdown`] begins: connections close, new clients are rejected.
    pub closing: CancellationToken,
    /// Cancelled when [`Gateway::shutdown`] is complete: the listeners stop.
    pub closed: CancellationToken,
    /// Cached responses of authorizers.
    pub authorizer_cache: ResponseCache,
    /// Keys of issuers of tokens.
    pub keys: Keys,
    /// Token buckets of the routes of the WebSocket API.
    pub websocket_buckets: Buckets,
    /// Token buckets of the routes of the HTTP API.
    pub http_buckets: Buckets,
    /// Limit of the bodies of the HTTP API.
    pub bodies: BodyLimit,
    /// Limit of the bodies of `@connections`, of the Invoke API and of that of queues.
    pub signed_bodies: BodyLimit,
    /// The faults in force.
    pub faults: Arc<Switches>,
    /// The functions.
    pub functions: Arc<Functions>,
    /// The API of queues.
    pub sqs: Api,
}

impl Gateway {
    /// Returns a gateway for `template` with its functions.
    pub fn new(
        template: Template,
        functions: Functions,
        faults: Arc<Switches>,
        settings: Settings,
    ) -> Arc<Self> {
        let closing = CancellationToken::new();
        let queues = Queues::new(&template.queues, MAX_MEMORY_BYTES, Arc::clone(&faults));
        Arc::new(Self {
            sqs: Api::new(queues, settings.sqs_url.clone(), closing.clone()),
            template,
            settings,
            connections: Connections::default(),
            tasks: TaskTracker::new(),
            closing,
            closed: CancellationToken::new(),
            authorizer_cache: ResponseCache::default(),
            keys: Keys::default(),
            websocket_buckets: Buckets::default(),
            http_buckets: Buckets::default(),
            bodies: BodyLimit::new(BODY_BYTES),
            signed_bodies: BodyLimit::new(SIGNED_BODY_BYTES),
            faults,
            functions: Arc::new(functions),
        })
    }

    /// Starts the consumers of the queues.
    pub fn consume_queues(&self) {
        for source in &self.template.event_sources {
            let consumer = Consumer::new(source.clone(), self.sqs.queues(), &self.functions);
            let (tasks, stop) = (self.tasks.clone(), self.closing.clone());
            self.tasks.spawn(consumer.run(tasks, stop));
        }
    }

    /// Invokes functions at the times of the template, in the background until the shutdown, and those of the schedules
    /// that are to fire now.
    pub fn run_schedules(&self, fire_now: Vec<Schedule>) {
        for schedule in self.template.schedules.iter().filter(|it| it.is_enabled) {
            let (functions, stop) = (Arc::clone(&self.functions), self.closing.clone());
            self.tasks
                .spawn(schedule::run(schedule.clone(), functions, stop));
        }
        for schedule in fire_now {
            let (functions, stop) = (Arc::clone(&self.functions), self.closing.clone());
            self.tasks
                .spawn(async move { schedule::fire(&schedule, functions, stop).await });
        }
    }

    /// Closes all connections with 1001, runs their `$disconnect`, and waits for frames in flight and
    /// for the batches of queues that functions have. Until then functions reach `@connections`; new
    /// clients are rejected, and messages that are still in a queue are lost.
    pub async fn shutdown(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.functions.wait_idle().await;
        self.sqs.queues().report_lost();
        self.closed.cancel();
    }

    /// Replaces all faults.
    ///
    /// # Errors
    ///
    /// A function to kill does not exist, or runs elsewhere.
    pub fn set_faults(&self, faults: Faults) -> Result<()> {
        self.functions.check_kills(&faults)?;
        self.faults.set(faults);
        Ok(())
    }
}

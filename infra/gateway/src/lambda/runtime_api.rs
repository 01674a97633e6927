//! The Lambda Runtime API: functions poll it for events and post their results.
//!
//! Each function process has a listener of its own, as each execution environment has on Lambda.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::collections::HashMap;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::FunctionError;
use super::queue::{Outcome, Queue};
use crate::http::server;
use crate::ids::{new_id, trace_id};

/// Read limit of a function's result, in bytes: above the limit of Lambda.
const MAX_READ_BYTES: usize = 8 * 1024 * 1024;

/// Counts a poll for as long as it waits.
struct Idle<'a>(&'a AtomicUsize);

impl<'a> Idle<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The Runtime API of one process.
pub struct RuntimeApi {
    arn: String,
    timeout: Duration,
    queue: Arc<Queue>,
    sampled: bool,
    in_flight: Mutex<HashMap<String, InFlight>>,
    /// Polls that wait for an event.
    idle: AtomicUsize,
    /// The process is to be killed.
    kill: Notify,
    /// Something has left `in_flight`.
    finished: Notify,
    polled: watch::Sender<bool>,
    init_error: Mutex<Option<FunctionError>>,
    /// The process gets no more events.
    retired: CancellationToken,
    stopped: CancellationToken,
}

struct InFlight {
    deadline: Instant,
    reply: oneshot::Sender<Outcome>,
}

impl RuntimeApi {
    /// Returns the API for a process of the function `arn` that takes its events from `queue` and
    /// may take `timeout` for each. The events are part of traces that are `sampled`, or not.
    pub fn new(arn: String, timeout: Duration, queue: Arc<Queue>, sampled: bool) -> Arc<Self> {
        Arc::new(Self {
            arn,
            timeout,
            queue,
            sampled,
            in_flight: Mutex::default(),
            idle: AtomicUsize::new(0),
            kill: Notify::new(),
            finished: Notify::new(),
            polled: watch::Sender::new(false),
            init_error: Mutex::default(),
            retired: CancellationToken::new(),
            stopped: CancellationToken::new(),
        })
    }

    /// Serves the process until [`RuntimeApi::process_exited`].
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let stopped = self.stopped.clone();
        server::serve(listener, stopped, move |request, _| {
            let api = Arc::clone(&self);
            async move { api.handle(request).await }
        })
        .await;
    }

    /// Waits until the process has asked for its first event: its init is done.
    pub async fn first_poll(&self) {
        let mut polled = self.polled.subscribe();
        // The sender lives as long as self.
        let _ = polled.wait_for(|polled| *polled).await;
    }

    /// Whether the process has ever asked for an event.
    pub fn has_polled(&self) -> bool {
        *self.polled.borrow()
    }

    /// Returns how many more events the process takes: at least one if it has not asked for any
    /// yet.
    pub fn capacity(&self) -> usize {
        if self.is_retired() {
            0
        } else if self.has_polled() {
            self.idle.load(Ordering::SeqCst)
        } else {
            1
        }
    }

    /// Whether the process gets no more events.
    pub fn is_retired(&self) -> bool {
        self.retired.is_cancelled()
    }

    /// Whether the process has an event.
    pub fn is_busy(&self) -> bool {
        !self.in_flight.lock().is_empty()
    }

    /// Waits until an event exceeds its timeout, and fails it.
    pub async fn overdue(&self) {
        loop {
            let oldest = self
                .in_flight
                .lock()
                .values()
                .map(|event| event.deadline)
                .min();
            match oldest {
                Some(deadline) if deadline <= Instant::now() => break,
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                // An event that comes while we sleep is not overdue before we wake.
                None => tokio::time::sleep(self.timeout).await,
            }
        }
        let now = Instant::now();
        let seconds = self.timeout.as_secs_f64();
        let late = |_: &String, event: &mut InFlight| event.deadline <= now;
        let late: Vec<_> = self.in_flight.lock().extract_if(late).collect();
        for (id, event) in late {
            let message =
                format!("RequestId: {id} Error: Task timed out after {seconds:.2} seconds");
            let _ = event
                .reply
                .send(Err(FunctionError::new("Sandbox.Timedout", &message)));
        }
    }

    /// Sends the process no more events.
    pub fn retire(&self) {
        self.retired.cancel();
    }

    /// Waits until an event requests the kill of the process.
    pub async fn killed(&self) {
        self.kill.notified().await;
    }

    /// Stores the reason why the process never asked for an event, unless it has reported one
    /// itself.
    pub fn fail_init(&self, error: FunctionError) {
        let mut init_error = self.init_error.lock();
        init_error.get_or_insert(error);
    }

    /// Waits until the process has no event any longer.
    pub async fn drained(&self) {
        loop {
            let finished = self.finished.notified();
            if !self.is_busy() {
                return;
            }
            tokio::select! {
                () = finished => {}
                () = self.overdue() => {}
            }
        }
    }

    /// Stops the API and fails the events of the process. Returns the error of a process that never
    /// asked for an event.
    pub fn process_exited(&self, status: Option<ExitStatus>) -> Option<FunctionError> {
        self.stopped.cancel();
        let why = exit_reason(status);
        let in_flight = std::mem::take(&mut *self.in_flight.lock());
        for (id, event) in in_flight {
            let message = format!("RequestId: {id} Error: {why}");
            let error = FunctionError::new("Runtime.ExitError", &message);
            let _ = event.reply.send(Err(error));
        }
        if self.has_polled() {
            return None;
        }
        let reported = self.init_error.lock().take();
        let error = || FunctionError::new("Runtime.ExitError", &format!("Error: {why}"));
        Some(reported.unwrap_or_else(error))
    }

    async fn handle(self: &Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix("/2018-06-01/runtime/") else {
            return status(StatusCode::NOT_FOUND);
        };
        let parts: Vec<&str> = path.split('/').collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", id, outcome @ ("response" | "error")]) => {
                let body = server::read_body(request.into_body(), MAX_READ_BYTES).await;
                let outcome = match (*outcome, body) {
                    ("response", Ok(body)) => Ok(body),
                    (_, Ok(body)) => Err(FunctionError::from_json(&body)),
                    (_, Err(StatusCode::PAYLOAD_TOO_LARGE)) => Err(FunctionError::too_large()),
                    (_, Err(error)) => return status(error),
                };
                self.complete(id, outcome)
            }
            (&Method::POST, ["init", "error"]) => {
                if let Ok(body) = server::read_body(request.into_body(), MAX_READ_BYTES).await {
                    self.fail_init(FunctionError::from_json(&body));
                }
                status(StatusCode::ACCEPTED)
            }
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    /// Long-polls for the next event.
    async fn next(self: &Arc<Self>) -> Response<Full<Bytes>> {
        let waiting = Idle::new(&self.idle);
        self.polled.send_replace(true);
        let invocation = tokio::select! {
            biased;
            () = self.stopped.cancelled() => None,
            () = self.retired.cancelled() => {
                self.stopped.cancelled().await;
                None
            }
            invocation = self.queue.next() => invocation,
        };
        drop(waiting);
        let Some(invocation) = invocation else {
            return status(StatusCode::GONE);
        };
        let deadline = SystemTime::now() + self.timeout;
        let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default();
        let response = Response::builder()
            .header("Content-Type", "application/json")
            .header("Lambda-Runtime-Aws-Request-Id", &invocation.id)
            .header("Lambda-Runtime-Deadline-Ms", deadline.as_millis() as u64)
            .header("Lambda-Runtime-Invoked-Function-Arn", &self.arn)
            .header("Lambda-Runtime-Trace-Id", trace_header(self.sampled))
            .body(Full::new(invocation.payload))
            .expect("ids of requests and of functions are ASCII");
        let event = InFlight {
            deadline: Instant::now() + self.timeout,
            reply: invocation.reply,
        };
        let id = invocation.id;
        self.in_flight.lock().insert(id.clone(), event);
        if let Some(delay) = invocation.kill {
            tokio::spawn(Arc::clone(self).kill_during(id, delay));
        }
        // The caller may have given up just now.
        let _ = invocation.taken.send(());
        response
    }

    /// Requests the kill of the process after `delay` if it still has the event.
    async fn kill_during(self: Arc<Self>, id: String, delay: Duration) {
        tokio::time::sleep(delay).await;
        if self.in_flight.lock().contains_key(&id) {
            self.kill.notify_one();
        }
    }

    fn complete(&self, id: &str, outcome: Outcome) -> Response<Full<Bytes>> {
        let Some(event) = self.in_flight.lock().remove(id) else {
            return status(StatusCode::BAD_REQUEST);
        };
        // The caller may have given up.
        let _ = event.reply.send(outcome);
        self.finished.notify_waiters();
        status(StatusCode::ACCEPTED)
    }
}

/// Returns the reason of a process's end as Lambda words it.
fn exit_reason(status: Option<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;
    let Some(status) = status else {
        return "Runtime could not be started".to_owned();
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => "Runtime exited without providing a reason".to_owned(),
        (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
        (None, Some(9)) => "Runtime exited with error: signal: killed".to_owned(),
        (None, signal) => format!(
            "Runtime exited with error: signal: {}",
            signal.unwrap_or_default()
        ),
    }
}

/// Returns the header of a trace, with the segment in it that Lambda would have sent.
fn trace_header(sampled: bool) -> String {
    let (root, segment) = (trace_id(), fastrand::u64(..));
    format!("{root};Parent={segment:016x};Sampled={}", u8::from(sampled))
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let body = json!({"status": status.as_str(), "requestId": new_id()});
    server::json_response(status, &body)
}

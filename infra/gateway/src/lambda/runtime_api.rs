//! The Lambda Runtime API: functions poll it for events and post their results.
//!
//! Each function process has a listener of its own, as each execution environment has on Lambda.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::ORIGIN;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::FunctionError;
use super::queue::Queue;
use super::state::{Outcome, ProcessState};
use crate::http::server;
use crate::ids::{new_id, trace_id};

/// Read limit of a function's result, in bytes: above the limit of Lambda.
const MAX_READ_BYTES: usize = 8 * 1024 * 1024;

/// The body of the response to a result.
const ACCEPTED: &[u8] = br#"{"status":"OK"}"#;

/// The Runtime API of one process.
pub struct RuntimeApi {
    /// The state of the process.
    pub process: Arc<ProcessState>,
    arn: String,
    queue: Arc<Queue>,
    sampled: bool,
}

impl RuntimeApi {
    /// Returns the API for a process of the function `arn` that takes its events from `queue` and
    /// may take `timeout` for each. The events are part of traces that are `sampled`, or not.
    pub fn new(arn: String, timeout: Duration, queue: Arc<Queue>, sampled: bool) -> Arc<Self> {
        Arc::new(Self {
            process: ProcessState::new(timeout),
            arn,
            queue,
            sampled,
        })
    }

    /// Serves the process until it has ended.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let process = Arc::clone(&self.process);
        let shutdown = CancellationToken::new();
        let _ended = shutdown.clone().drop_guard();
        let served = server::serve(listener, shutdown, move |request, _| {
            let api = Arc::clone(&self);
            async move { api.handle(request).await }
        });
        tokio::select! {
            () = served => {}
            () = process.ended() => {}
        }
    }

    /// Ends the polls of the process, and fails its events. Returns the error of a process that
    /// never asked for an event.
    pub fn process_exited(&self, status: Option<ExitStatus>) -> Option<FunctionError> {
        let error = self.process.end(status);
        self.queue.end_polls(&self.process);
        error
    }

    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        // A web page could send this request too. Runtimes send no `Origin`.
        if request.headers().contains_key(ORIGIN) {
            return status(StatusCode::FORBIDDEN);
        }
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
                    self.process.fail_init(FunctionError::from_json(&body));
                }
                status(StatusCode::ACCEPTED)
            }
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    /// Long-polls for the next event.
    async fn next(&self) -> Response<Full<Bytes>> {
        let Some(event) = self.queue.next(&self.process).await else {
            // A process that gets no more events may still have some.
            self.process.ended().await;
            return status(StatusCode::GONE);
        };
        if let Some(delay) = event.kill {
            tokio::spawn(kill_during(
                Arc::clone(&self.process),
                event.id.clone(),
                delay,
            ));
        }
        let deadline = SystemTime::now() + self.process.timeout();
        let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default();
        Response::builder()
            .header("Content-Type", "application/json")
            .header("Lambda-Runtime-Aws-Request-Id", &event.id)
            .header("Lambda-Runtime-Deadline-Ms", deadline.as_millis() as u64)
            .header("Lambda-Runtime-Invoked-Function-Arn", &self.arn)
            .header("Lambda-Runtime-Trace-Id", trace_header(self.sampled))
            .body(Full::new(event.payload))
            .expect("ids of requests and of functions are ASCII")
    }

    fn complete(&self, id: &str, outcome: Outcome) -> Response<Full<Bytes>> {
        let Some(reply) = self.process.release(id) else {
            return status(StatusCode::BAD_REQUEST);
        };
        // The caller may have given up.
        let _ = reply.send(outcome);
        server::response(StatusCode::ACCEPTED, Bytes::from_static(ACCEPTED))
    }
}

/// Requests the kill of the process after `delay` if it still has the event `id`.
async fn kill_during(process: Arc<ProcessState>, id: String, delay: Duration) {
    tokio::time::sleep(delay).await;
    process.kill(&id);
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

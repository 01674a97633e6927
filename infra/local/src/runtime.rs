//! The Lambda Runtime API: functions poll it for events and post their results.
//!
//! Each function process has a listener of its own, as each execution environment has on Lambda.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::event::new_id;
use crate::front;
use crate::template::Function;

/// The longest that API Gateway waits for a function.
pub const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(29);

/// Invocations that may wait for a process.
const QUEUE: usize = 10_000;

/// A function that can be invoked.
#[derive(Clone)]
pub struct Lambda {
    timeout: Duration,
    queue: async_channel::Sender<Invocation>,
}

/// An event on its way to a process.
pub struct Invocation {
    id: String,
    payload: Bytes,
    deadline: SystemTime,
    reply: oneshot::Sender<Result<Bytes, FunctionError>>,
}

/// Why an invocation gave no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvokeError {
    /// The function reported an error, crashed or took longer than it may.
    Function(FunctionError),
    /// API Gateway waits no longer.
    TimedOut,
}

/// What a function reports of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    /// The kind, such as `Runtime.ExitError`.
    pub error_type: String,
    /// The sentence.
    pub error_message: String,
}

impl Lambda {
    /// A function with no process yet, and the queue for its processes.
    pub fn new(function: &Function) -> (Self, async_channel::Receiver<Invocation>) {
        let (queue, invocations) = async_channel::bounded(QUEUE);
        let lambda = Self {
            timeout: function.timeout,
            queue,
        };
        (lambda, invocations)
    }

    /// Hands an event to a process and waits for the result.
    ///
    /// # Errors
    ///
    /// [`InvokeError`].
    pub async fn invoke(&self, event: &Value) -> Result<Bytes, InvokeError> {
        let (reply, result) = oneshot::channel();
        let invocation = Invocation {
            id: invocation_id(),
            payload: event.to_string().into(),
            deadline: SystemTime::now() + self.timeout,
            reply,
        };
        let patience = self.timeout.min(INTEGRATION_TIMEOUT);
        let work = async {
            let stopped = || FunctionError::exit("the function is being stopped");
            self.queue.send(invocation).await.map_err(|_| stopped())?;
            result.await.map_err(|_| stopped())?
        };
        match tokio::time::timeout(patience, work).await {
            Ok(result) => result.map_err(InvokeError::Function),
            Err(_) if self.timeout > INTEGRATION_TIMEOUT => Err(InvokeError::TimedOut),
            Err(_) => Err(InvokeError::Function(FunctionError {
                error_type: "Sandbox.Timedout".to_owned(),
                error_message: format!(
                    "Task timed out after {:.2} seconds",
                    self.timeout.as_secs_f64()
                ),
            })),
        }
    }
}

impl FunctionError {
    fn exit(message: &str) -> Self {
        Self {
            error_type: "Runtime.ExitError".to_owned(),
            error_message: message.to_owned(),
        }
    }

    fn from_json(body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or("unknown").to_owned();
        Self {
            error_type: text("errorType"),
            error_message: text("errorMessage"),
        }
    }
}

/// The Runtime API of one process.
pub struct RuntimeApi {
    arn: String,
    queue: async_channel::Receiver<Invocation>,
    in_flight: Mutex<HashMap<String, oneshot::Sender<Result<Bytes, FunctionError>>>>,
    polled: watch::Sender<bool>,
    stopped: CancellationToken,
}

impl RuntimeApi {
    /// The API for a process of the function `arn` that takes its events from `queue`.
    pub fn new(arn: String, queue: async_channel::Receiver<Invocation>) -> Arc<Self> {
        Arc::new(Self {
            arn,
            queue,
            in_flight: Mutex::default(),
            polled: watch::Sender::new(false),
            stopped: CancellationToken::new(),
        })
    }

    /// Serves the process until [`RuntimeApi::process_exited`].
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let stopped = self.stopped.clone();
        front::serve(listener, stopped, move |request, _| {
            let api = Arc::clone(&self);
            async move { api.answer(request).await }
        })
        .await;
    }

    /// Waits until the process has asked for its first event: its init is done.
    pub async fn first_poll(&self) {
        let mut polled = self.polled.subscribe();
        // The sender lives as long as self.
        let _ = polled.wait_for(|polled| *polled).await;
    }

    /// Ends the API and fails what the process had in hand.
    pub fn process_exited(&self, status: &str) {
        self.stopped.cancel();
        let in_flight = std::mem::take(&mut *self.lock());
        for (id, reply) in in_flight {
            let message = format!("RequestId: {id} Error: Runtime exited: {status}");
            let _ = reply.send(Err(FunctionError::exit(&message)));
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix("/2018-06-01/runtime/") else {
            return status(StatusCode::NOT_FOUND);
        };
        let parts: Vec<&str> = path.split('/').collect();
        let method = request.method().clone();
        match (method, parts.as_slice()) {
            (Method::GET, ["invocation", "next"]) => self.next().await,
            (Method::POST, ["invocation", id, outcome @ ("response" | "error")]) => {
                let Ok(body) = request.into_body().collect().await else {
                    return status(StatusCode::BAD_REQUEST);
                };
                let body = body.to_bytes();
                let result = match *outcome {
                    "response" => Ok(body),
                    _ => Err(FunctionError::from_json(&body)),
                };
                self.complete(id, result)
            }
            (Method::POST, ["init", "error"]) => status(StatusCode::ACCEPTED),
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    /// Long-polls for the next event.
    async fn next(&self) -> Response<Full<Bytes>> {
        self.polled.send_replace(true);
        loop {
            let invocation = tokio::select! {
                biased;
                () = self.stopped.cancelled() => return status(StatusCode::GONE),
                invocation = self.queue.recv() => invocation,
            };
            let Ok(invocation) = invocation else {
                return status(StatusCode::GONE);
            };
            // Nobody waits for it any more: it timed out in the queue.
            if invocation.reply.is_closed() {
                continue;
            }
            let deadline = invocation.deadline.duration_since(UNIX_EPOCH);
            let response = Response::builder()
                .header("Content-Type", "application/json")
                .header("Lambda-Runtime-Aws-Request-Id", &invocation.id)
                .header(
                    "Lambda-Runtime-Deadline-Ms",
                    deadline.unwrap_or_default().as_millis() as u64,
                )
                .header("Lambda-Runtime-Invoked-Function-Arn", &self.arn)
                .body(Full::new(invocation.payload))
                .expect("ids and ARNs are valid header values");
            self.lock().insert(invocation.id, invocation.reply);
            return response;
        }
    }

    fn complete(&self, id: &str, result: Result<Bytes, FunctionError>) -> Response<Full<Bytes>> {
        let Some(reply) = self.lock().remove(id) else {
            return status(StatusCode::BAD_REQUEST);
        };
        // The caller may have given up; that is not the function's concern.
        let _ = reply.send(result);
        status(StatusCode::ACCEPTED)
    }

    fn lock(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Result<Bytes, FunctionError>>>>
    {
        self.in_flight.lock().expect("no holder panics")
    }
}

/// Lambda's request ids are UUIDs.
fn invocation_id() -> String {
    let hex = format!("{:032x}", fastrand::u128(..));
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let body = json!({"status": status.as_str(), "requestId": new_id()});
    front::json_response(status, &body)
}

//! The local gateway as a running process.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ExitStatus};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use local_gateway::http::sigv4::sign;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::TIMEOUT;
use crate::client::{Http, HttpResponse};

/// A running gateway. [`LocalGateway::stop`] shuts it down; dropping kills it. It is interrupted when
/// this process ends.
pub struct LocalGateway {
    /// URL for WebSocket clients, with the stage: `ws://127.0.0.1:…/prod`.
    pub ws: Option<String>,
    /// Base URL of the `@connections` API: `http://127.0.0.1:…/prod`.
    pub management: Option<String>,
    /// URL for HTTP callers, with the stage if it has a name: `http://127.0.0.1:…`.
    pub http: Option<String>,
    /// Base URL of the Invoke API, and of the faults on demand: `http://127.0.0.1:…`.
    pub functions: String,
    /// The start-up screen, without `ready`.
    pub screen: String,
    child: Child,
    /// Closing this pipe interrupts the gateway.
    tie: Option<ChildStdin>,
    log: Log,
}

impl LocalGateway {
    /// Takes over a process whose standard input is a pipe. Its log is a file, or else a pipe that is
    /// standard error.
    pub(crate) fn of(mut child: Child, log_file: Option<PathBuf>) -> Self {
        Self {
            ws: None,
            management: None,
            http: None,
            functions: String::new(),
            screen: String::new(),
            tie: child.stdin.take(),
            log: match child.stderr.take() {
                Some(pipe) => Log::collect(pipe),
                None => Log::File(log_file.unwrap_or_default()),
            },
            child,
        }
    }

    /// Reads the URLs from the start-up screen.
    pub(crate) fn set_screen(&mut self, screen: String) -> Result<()> {
        self.ws = address(&screen, "WebSocket");
        self.management = address(&screen, "@connections");
        self.http = address(&screen, "HTTP");
        self.functions = address(&screen, "Functions").context("no Invoke API")?;
        self.screen = screen;
        Ok(())
    }

    /// Invokes a function by the Invoke API and waits for its result.
    ///
    /// # Errors
    ///
    /// The function error.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Value, Value> {
        invoke(&self.functions, function, event).await
    }

    /// Returns the log so far.
    pub fn log(&self) -> String {
        self.log.so_far()
    }

    /// Returns the process id as a number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.id().cast_signed()).expect("an id is not 0")
    }

    /// Whether the process has exited by itself.
    ///
    /// # Errors
    ///
    /// The process cannot be waited for.
    pub fn has_exited(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Shuts the gateway down as Ctrl-C does. Returns its exit status and its log.
    ///
    /// # Errors
    ///
    /// It does not exit in time: it is killed, and the error holds its log.
    pub async fn stop(self) -> Result<(ExitStatus, String)> {
        self.stop_within(TIMEOUT).await
    }

    async fn stop_within(mut self, limit: Duration) -> Result<(ExitStatus, String)> {
        let pid = self.pid();
        let mut exit = spawn_blocking(move || {
            self.tie = None;
            let status = self.child.wait()?;
            anyhow::Ok((status, self.log.complete()))
        });
        if let Ok(exited) = timeout(limit, &mut exit).await {
            return exited?;
        }
        // The thread that waits has the process, and the runtime waits for the thread.
        kill_process(pid, Signal::KILL)?;
        let (_, log) = exit.await??;
        bail!("the gateway does not exit within {limit:?}; its log: {log}")
    }

    /// Kills the process and waits for its end.
    pub fn kill(self) {}
}

impl Drop for LocalGateway {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        self.tie = None;
        let _ = self.child.wait();
    }
}

/// Invokes a function by the Invoke API at `base` and waits for its result.
///
/// # Errors
///
/// The function error.
///
/// # Panics
///
/// The function was not invoked.
pub async fn invoke(base: &str, function: &str, event: &Value) -> Result<Value, Value> {
    let response = try_invoke(base, function, event).await;
    assert_eq!(response.status, StatusCode::OK, "{response:?}");
    match response.header("x-amz-function-error") {
        "" => Ok(response.json()),
        "Unhandled" => Err(response.json()),
        other => panic!("{other}: {response:?}"),
    }
}

/// Returns the response of the Invoke API at `base`, whatever its status.
pub async fn try_invoke(base: &str, function: &str, event: &Value) -> HttpResponse {
    let response = Http::default()
        .send(invocation(base, function, event))
        .await;
    response.expect("a response")
}

/// Returns a request of the Invoke API at `base`, signed with the default key of the gateway.
pub fn invocation(base: &str, function: &str, event: &Value) -> Request<Full<Bytes>> {
    let body = Bytes::from(event.to_string());
    let url = format!("{base}/2015-03-31/functions/{function}/invocations");
    let request = Request::post(url).body(Full::new(body.clone()));
    let key = "local:local".parse().expect("ID:SECRET");
    let signed = sign(request.expect("a URL"), &body, "lambda", &key);
    signed.expect("the URL has a host")
}

/// Returns the durations of the invocations of a route, in milliseconds and in the order of their ends. The
/// gateway logs them at the level `info`: `12:00:00.000  INFO sendMessage connection_id=PJqB0fHsqRcCHlw=
/// function=SendMessageFunction request_id=… duration_ms=1.9`.
pub fn durations_ms(log: &str, route: &str) -> Vec<f64> {
    let lines = log.lines().filter_map(|line| {
        let (_, rest) = line.split_once(" INFO ")?;
        rest.strip_prefix(route)?.strip_prefix(' ')
    });
    let fields = lines.map(|fields| fields.split_whitespace());
    fields
        .filter_map(|mut fields| {
            let duration = fields.find_map(|field| field.strip_prefix("duration_ms="))?;
            duration.parse().ok()
        })
        .collect()
}

/// The log of a process.
enum Log {
    /// Read from a pipe by a thread, as it is written.
    Collected {
        text: Arc<Mutex<String>>,
        reader: Option<JoinHandle<()>>,
    },
    /// Written to a file by the process.
    File(PathBuf),
}

impl Log {
    fn collect(mut pipe: ChildStderr) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(count @ 1..) = pipe.read(&mut bytes) {
                copy.lock()
                    .push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self::Collected {
            text,
            reader: Some(reader),
        }
    }

    fn so_far(&self) -> String {
        match self {
            Self::Collected { text, .. } => text.lock().clone(),
            Self::File(path) => std::fs::read(path)
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .unwrap_or_default(),
        }
    }

    /// Returns the whole log of a process that has exited.
    fn complete(&mut self) -> String {
        if let Self::Collected { reader, .. } = self
            && let Some(reader) = reader.take()
        {
            reader.join().expect("the reader does not panic");
        }
        self.so_far()
    }
}

/// Returns the URL behind a label of the screen.
fn address(screen: &str, label: &str) -> Option<String> {
    let mut words = screen.lines().map(str::split_whitespace);
    words.find_map(|mut words| {
        (words.next()? == label)
            .then(|| words.next())?
            .map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[tokio::test]
    async fn a_gateway_that_does_not_exit_in_time_is_killed() {
        let mut program = Command::new("sleep");
        program
            .arg("600")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        let gateway = LocalGateway::of(program.spawn().expect("it runs"), None);
        let stopped = gateway.stop_within(Duration::from_millis(1)).await;
        let error = stopped.expect_err("it does not exit by itself").to_string();
        assert!(error.contains("does not exit within 1ms"), "{error}");
    }

    #[test]
    fn the_log_tells_durations() {
        let line = |message: &str, duration_ms: f64| {
            let id = "connection_id=PJqB0fHsqRcCHlw=";
            let request = "request_id=0f9c44b8-2c42-4e3c-9d5e-8a0e6f4a7d15";
            format!(
                "12:00:00.000  INFO {message} {id} function=SomeFunction {request} \
                 duration_ms={duration_ms}\n"
            )
        };
        let log = line("sendMessage", 1.9)
            + "12:00:00.000  INFO $disconnect PJqB0fHsqRcCHlw= 1005\n"
            + "12:00:00.000  SendMessageFunction |  INFO message stored a=\" | \"\n"
            + &line("$disconnect", 0.8)
            + &line("sendMessage", 2.0);
        assert_eq!(durations_ms(&log, "sendMessage"), [1.9, 2.0]);
        assert_eq!(durations_ms(&log, "$disconnect"), [0.8]);
        assert!(durations_ms(&log, "send").is_empty());
    }
}

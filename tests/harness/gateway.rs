//! The local gateway as a process of its own, on any template.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};
use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::client::{Answer, request};
use crate::stack::PATIENCE;
use crate::{process, programs};

/// A running gateway. Without [`Gateway::stop`] it is killed when it is dropped, and interrupted
/// when this process ends.
pub struct Gateway {
    /// Where WebSocket clients connect, with the stage: `ws://127.0.0.1:…/prod`.
    pub ws: Option<String>,
    /// The base URL of the `@connections` API: `http://127.0.0.1:…/prod`.
    pub management: Option<String>,
    /// Where HTTP callers go, with the stage if it has a name: `http://127.0.0.1:…`.
    pub http: Option<String>,
    /// The base URL of the Invoke API, and of the faults on demand: `http://127.0.0.1:…`.
    pub functions: String,
    child: Child,
    /// Its closing interrupts the gateway.
    tie: Option<ChildStdin>,
    log: Log,
}

impl Gateway {
    /// Starts the gateway on a template, on any free ports, with the built functions.
    ///
    /// # Errors
    ///
    /// It ends before it is ready; the error holds its log.
    pub async fn start(template: &Path, flags: &[&str]) -> Result<Self> {
        let mut command = Self::command(template).await?;
        command
            .arg("--binaries")
            .arg(programs::folder())
            .args(flags);
        Self::launch(command).await
    }

    /// The command of a gateway on a template, on any free ports, for those who have to add to it.
    /// Where the functions come from is left open.
    ///
    /// # Errors
    ///
    /// The programs do not build.
    pub async fn command(template: &Path) -> Result<Command> {
        Self::command_of(programs::gateway, template).await
    }

    /// The same of another program that takes the gateway's flags.
    ///
    /// # Errors
    ///
    /// The programs do not build.
    pub async fn command_of(program: fn() -> PathBuf, template: &Path) -> Result<Command> {
        let program = spawn_blocking(program).await?;
        let mut command = process::tied(&program, "INT");
        command
            .args(["--ws-port", "0", "--http-port", "0", "--template"])
            .arg(template);
        Ok(command)
    }

    /// Starts a [`Gateway::command`] and waits until it is ready.
    ///
    /// # Errors
    ///
    /// It ends before; the error holds its log.
    pub async fn launch(command: Command) -> Result<Self> {
        let (mut gateway, stdout) = Self::spawn(command)?;
        let screen = timeout(PATIENCE * 3, spawn_blocking(|| read_screen(stdout))).await;
        let Some(screen) = screen.context("it is ready in time")??? else {
            let (_, log) = gateway.stop().await?;
            bail!("{log}");
        };
        gateway.ws = address(&screen, "WebSocket");
        gateway.management = address(&screen, "@connections");
        gateway.http = address(&screen, "HTTP");
        gateway.functions = address(&screen, "Functions").context("it has an Invoke API")?;
        Ok(gateway)
    }

    fn spawn(mut command: Command) -> Result<(Self, ChildStdout)> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("the gateway can be started")?;
        let stdout = child.stdout.take().context("its output is a pipe")?;
        let gateway = Self {
            ws: None,
            management: None,
            http: None,
            functions: String::new(),
            tie: child.stdin.take(),
            log: Log::collect(child.stderr.take().context("its log is a pipe")?),
            child,
        };
        Ok((gateway, stdout))
    }

    /// Invokes a function by the Invoke API and waits for its result.
    ///
    /// # Errors
    ///
    /// The function error.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Value, Value> {
        invoke(&self.functions, function, event).await
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.so_far()
    }

    /// The process id of the gateway.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it as Ctrl-C does; returns how it ended, and its log.
    ///
    /// # Errors
    ///
    /// It cannot be waited for.
    pub async fn stop(mut self) -> Result<(ExitStatus, String)> {
        spawn_blocking(move || {
            self.tie = None;
            let status = self.child.wait()?;
            Ok((status, self.log.complete()))
        })
        .await?
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
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
    let answer = try_invoke(base, function, event).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    match answer.header("x-amz-function-error") {
        "" => Ok(answer.json()),
        "Unhandled" => Err(answer.json()),
        other => panic!("{other}: {answer:?}"),
    }
}

/// The answer of the Invoke API at `base`, whatever it is.
pub async fn try_invoke(base: &str, function: &str, event: &Value) -> Answer {
    let url = format!("{base}/2015-03-31/functions/{function}/invocations");
    request(Method::POST, &url, event.to_string().into_bytes()).await
}

/// The log of a process, read as it is written.
struct Log {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Log {
    fn collect(mut pipe: ChildStderr) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(count @ 1..) = pipe.read(&mut bytes) {
                let more = String::from_utf8_lossy(&bytes[..count]);
                copy.lock().expect("no holder panics").push_str(&more);
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }

    fn so_far(&self) -> String {
        self.text.lock().expect("no holder panics").clone()
    }

    /// The whole log of a process that has ended.
    fn complete(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader does not panic");
        }
        self.so_far()
    }
}

/// Reads the start-up screen up to `ready`, or gives nothing if it ends before.
fn read_screen(stdout: ChildStdout) -> Result<Option<Vec<String>>> {
    let mut screen = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        if line == "ready" {
            return Ok(Some(screen));
        }
        screen.push(line);
    }
    Ok(None)
}

/// The URL behind a label of the screen.
fn address(screen: &[String], label: &str) -> Option<String> {
    let mut words = screen.iter().map(|line| line.split_whitespace());
    words.find_map(|mut words| {
        (words.next()? == label)
            .then(|| words.next())?
            .map(str::to_owned)
    })
}

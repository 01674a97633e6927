//! MiniStack, an emulator of AWS, as a process.
//!
//! It deploys templates, runs `provided.*` functions as processes of this machine, and serves their
//! APIs. `tests/deploy` lists its differences from AWS.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command as StdCommand, Stdio};

use local_gateway::process::ports::free_port;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::spawn_blocking;

use crate::{TIMEOUT, process, server, tools, until};

/// The region that it emulates.
const REGION: &str = "us-east-1";

/// Lines of its log that are shown when a test fails.
const SHOWN_LINES: usize = 60;

/// A running emulator, empty at its start. It is shut down when it is dropped or this process exits, with the
/// processes of its functions.
pub struct MiniStack {
    /// Base URL of its services: `http://127.0.0.1:…`.
    pub url: String,
    child: Child,
    /// Closing this pipe shuts the emulator down.
    tie: Option<ChildStdin>,
    /// Files of the emulator and its clients.
    folder: PathBuf,
}

impl MiniStack {
    /// Starts an emulator on a free port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// The emulator is not ready in time.
    pub async fn start() -> Self {
        let program = spawn_blocking(tools::ministack).await.expect("no panic");
        let port = free_port().expect("a port");
        let folder = server::scratch_folder().join(format!("ministack-{port}"));
        std::fs::create_dir_all(&folder).expect("the target folder is writable");
        let mut command = process::tied(&program, "TERM");
        command
            // Functions inherit the environment.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &folder)
            .env("TMPDIR", &folder)
            .env("BIND_HOST", "127.0.0.1")
            .env("MINISTACK_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            // The emulator passes it on to the functions.
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"));
        let mut emulator = Self::spawn(command, folder, port);
        until(async || emulator.listens(port).await).await;
        emulator
    }

    fn spawn(mut command: StdCommand, folder: PathBuf, port: u16) -> Self {
        let log = File::create(folder.join("log")).expect("the target folder is writable");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the emulator can be started");
        Self {
            url: format!("http://127.0.0.1:{port}"),
            tie: child.stdin.take(),
            child,
            folder,
        }
    }

    async fn listens(&mut self, port: u16) -> bool {
        let exited = self.child.try_wait().expect("it can be waited for");
        assert!(exited.is_none(), "the emulator exited: {exited:?}");
        TcpStream::connect(("127.0.0.1", port)).await.is_ok()
    }

    /// Returns the command of a program that uses this emulator in place of AWS, and none of this machine's
    /// settings for AWS.
    pub fn client(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.folder)
            .env("AWS_ENDPOINT_URL", &self.url)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_DEFAULT_REGION", REGION);
        command
    }

    /// Runs the AWS CLI; returns the JSON that it prints.
    ///
    /// # Panics
    ///
    /// The AWS CLI fails.
    pub async fn aws(&self, arguments: &[&str]) -> Value {
        let program = spawn_blocking(tools::aws).await.expect("no panic");
        let mut command = self.client(&program);
        let output = process::output(command.args(arguments), TIMEOUT * 3).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        if output.stdout.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&output.stdout).expect("it prints JSON")
    }

    /// Runs a Python program with boto3; returns the JSON that it prints.
    ///
    /// # Panics
    ///
    /// The program fails.
    pub async fn python(&self, source: &str) -> Value {
        let program = spawn_blocking(tools::python).await.expect("no panic");
        let mut command = self.client(&program);
        let output = process::output(command.args(["-c", source]), TIMEOUT * 3).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).expect("it prints JSON")
    }
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        self.tie = None;
        // It stops its functions first.
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let shown = lines.len().saturating_sub(SHOWN_LINES);
            eprintln!(
                "The emulator's log ends with:\n{}",
                lines[shown..].join("\n")
            );
        }
    }
}

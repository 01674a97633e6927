//! Ties a program's life to ours, also when we are killed.
//!
//! The program runs under a second process of our own binary, whose standard input is a pipe from
//! us. When we end in whatever way, the pipe closes and the supervisor stops the program. That
//! needs nothing of the operating system but pipes.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, Command};

/// How long a program may take to end by itself, before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// A program that ends when we do.
pub struct Supervised {
    supervisor: Child,
    /// Its closing tells the supervisor to stop the program.
    alive: Option<ChildStdin>,
}

impl Supervised {
    /// Starts `program` under `supervisor`, the `local` binary. Its output goes to `log`.
    pub fn start(
        supervisor: &Path,
        program: &Path,
        arguments: &[OsString],
        log: &Path,
    ) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| format!("cannot write {}", log.display()))?;
        let mut supervisor = Command::new(supervisor)
            .arg("supervise")
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C is for us alone: the database is stopped last.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", supervisor.display()))?;
        let alive = supervisor.stdin.take();
        Ok(Self { supervisor, alive })
    }

    /// Stops the program and waits until it has ended.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.alive = None;
        Ok(self.supervisor.wait().await?)
    }

    /// Whether the program has ended by itself.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.supervisor.try_wait()?.is_some())
    }
}

/// The supervisor's side: runs `program` until it ends or standard input does.
///
/// # Errors
///
/// The program cannot be started.
pub async fn run(program: PathBuf, arguments: Vec<OsString>) -> Result<()> {
    let mut child = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    // Nothing is ever written to the pipe: the read ends when the other end is closed.
    let (mut pipe, mut byte) = (tokio::io::stdin(), [0]);
    tokio::select! {
        status = child.wait() => std::process::exit(status?.code().unwrap_or(1)),
        _ = pipe.read(&mut byte) => {}
    }
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(STOP_PATIENCE, child.wait())
        .await
        .is_err()
    {
        child.kill().await?;
    }
    // Reading from standard input occupies a thread that would keep the runtime from ending.
    std::process::exit(0);
}

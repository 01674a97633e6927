//! Ties the life of other programs to that of this process, even if this process is killed.
//!
//! The supervisor is a second process of the same binary. Its standard input is a pipe from this
//! process. When this process ends for any reason, the pipe closes, and the supervisor stops its
//! program with time for a clean end ([`Supervised`]), or kills a process group at once
//! ([`Group`]). The operating system needs only pipes and process groups for that.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};

/// Timeout of the shutdown of a program. It is killed then.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);

/// Returns the path of this program. It has to offer [`run`] and [`run_group`] as commands.
///
/// # Errors
///
/// The operating system does not know it.
pub fn this_program() -> Result<PathBuf> {
    std::env::current_exe().context("cannot find the path of this program")
}

/// A program that ends when this process does.
pub struct Supervised {
    supervisor: Child,
    /// The pipe to the supervisor. When it closes, the supervisor stops the program.
    alive: Option<ChildStdin>,
}

impl Supervised {
    /// Starts `program` under `supervisor`, our own binary. Its output goes to `log`.
    ///
    /// # Errors
    ///
    /// The supervisor cannot be started.
    pub fn start(
        supervisor: &Path,
        program: &Path,
        arguments: &[OsString],
        log: File,
    ) -> Result<Self> {
        Self::spawn(Self::command(supervisor, program, arguments), log)
    }

    /// Returns the command of [`Supervised::start`], so that a caller can add to it.
    pub fn command(supervisor: &Path, program: &Path, arguments: &[OsString]) -> Command {
        let mut command = command(supervisor);
        command.arg("supervise").arg(program).args(arguments);
        command
    }

    /// Starts a [`Supervised::command`], whose output goes to `log`.
    ///
    /// # Errors
    ///
    /// The supervisor cannot be started.
    pub fn spawn(mut command: Command, log: File) -> Result<Self> {
        let mut supervisor = command
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start the supervisor")?;
        let alive = supervisor.stdin.take();
        Ok(Self { supervisor, alive })
    }

    /// Stops the program and waits until it has ended.
    ///
    /// # Errors
    ///
    /// It cannot be waited for.
    pub async fn shutdown(&mut self) -> Result<ExitStatus> {
        self.alive = None;
        self.wait().await
    }

    /// Waits until the program has ended by itself.
    ///
    /// # Errors
    ///
    /// It cannot be waited for.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.supervisor.wait().await?)
    }
}

/// A process group that ends when this process does.
pub struct Group {
    id: i32,
    _supervisor: Child,
    _alive: Option<ChildStdin>,
}

impl Group {
    /// Starts an empty group, led by `supervisor`, our own binary.
    ///
    /// # Errors
    ///
    /// The supervisor cannot be started.
    pub fn start(supervisor: &Path) -> Result<Self> {
        let mut leader = command(supervisor)
            .arg("supervise-group")
            .spawn()
            .with_context(|| format!("cannot start {}", supervisor.display()))?;
        let id = leader.id().context("the supervisor ended at once")?;
        Ok(Self {
            id: id.cast_signed(),
            _alive: leader.stdin.take(),
            _supervisor: leader,
        })
    }

    /// Returns the id for processes that are to join.
    pub fn id(&self) -> i32 {
        self.id
    }
}

/// Returns the command of a supervisor, in a process group of its own: Ctrl-C is for this process
/// alone.
fn command(supervisor: &Path) -> Command {
    let mut command = Command::new(supervisor);
    command.stdin(Stdio::piped()).process_group(0);
    command
}

/// Runs `program` as its supervisor until it ends or a shutdown is requested.
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
    tokio::select! {
        status = child.wait() => std::process::exit(status?.code().unwrap_or(1)),
        stop = shutdown_requested() => stop?,
    }
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        // It may have ended by itself just now.
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, child.wait())
        .await
        .is_err()
    {
        child.kill().await?;
    }
    // Reading from standard input occupies a thread that would keep the runtime from ending.
    std::process::exit(0);
}

/// Kills the process group of this supervisor, itself included, when a shutdown is requested.
///
/// # Errors
///
/// Signals cannot be listened for.
pub async fn run_group() -> Result<()> {
    shutdown_requested().await?;
    kill_process_group(getpid(), Signal::KILL)?;
    Ok(())
}

/// Waits for the end of standard input, to which nothing is ever written, or for a signal.
async fn shutdown_requested() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let (mut pipe, mut byte) = (tokio::io::stdin(), [0]);
    tokio::select! {
        _ = pipe.read(&mut byte) => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}

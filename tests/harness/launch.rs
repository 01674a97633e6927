//! The command line of the local gateway, on any template or on the chat's.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::gateway::LocalGateway;
use crate::{TIMEOUT, process, programs, server, tools};

/// The chat's template.
pub const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/template.yaml");

/// Limits too high to be reached. Tests of the limits pass their own.
const UNLIMITED: [&str; 24] = [
    "--fair-concurrency",
    "1000",
    "--parameter",
    "MessageRate=1000",
    "--parameter",
    "MessageBurst=1000000",
    "--parameter",
    "MarkRate=1000",
    "--parameter",
    "MarkBurst=1000000",
    "--parameter",
    "GroupRate=1000",
    "--parameter",
    "GroupBurst=1000000",
    "--parameter",
    "SocketsPerUser=100000",
    "--parameter",
    "HandshakeRate=1000",
    "--parameter",
    "HandshakeBurst=1000000",
    "--parameter",
    "HistoryRate=1000",
    "--parameter",
    "HistoryBurst=1000000",
];

/// Runs the functions. The environment variable `CHAT_HOST` chooses, so that one suite runs on all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// Processes with one event each, as on Lambda: `processes`, and the default.
    Processes,
    /// One process with many events at once: `in-flight`.
    InFlight,
    /// `cargo lambda watch`: `watch`.
    Watch,
    /// Processes with one event each, of functions that the gateway builds first.
    Built,
}

impl Host {
    /// Returns the host that the environment asks for.
    ///
    /// # Panics
    ///
    /// `CHAT_HOST` names no host.
    pub fn chosen() -> Self {
        match std::env::var("CHAT_HOST").as_deref() {
            Err(_) | Ok("" | "processes") => Self::Processes,
            Ok("in-flight") => Self::InFlight,
            Ok("watch") => Self::Watch,
            Ok(other) => panic!("CHAT_HOST is processes, in-flight or watch, not {other}"),
        }
    }
}

/// The command line of a gateway that has not been started yet.
#[derive(Debug, Clone)]
#[must_use = "nothing is started before `start`"]
pub struct Launch {
    template: PathBuf,
    is_chat: bool,
    /// Whether a user has the limits of a deployment.
    is_limited: bool,
    host: Host,
    /// The folder of the functions; without one, that of the workspace's binaries.
    binaries: Option<PathBuf>,
    /// URL of an Invoke API that runs the functions.
    lambda_endpoint: Option<String>,
    ports: [u16; 2],
    flags: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    log_file: Option<PathBuf>,
    timeout: Duration,
}

impl Launch {
    /// A gateway on any template, on free ports, with a process for each event.
    pub fn template(template: impl Into<PathBuf>) -> Self {
        Self {
            template: template.into(),
            is_chat: false,
            is_limited: true,
            host: Host::Processes,
            binaries: None,
            lambda_endpoint: None,
            ports: [0, 0],
            flags: Vec::new(),
            environment: Vec::new(),
            log_file: None,
            timeout: TIMEOUT * 3,
        }
    }

    /// The chat (`cargo local`), on free ports, on the host that the environment asks for, without
    /// limits. `MONGODB_URI` is not passed on: see [`Launch::database`].
    pub fn chat() -> Self {
        let launch = Self {
            is_chat: true,
            is_limited: false,
            ..Self::template(TEMPLATE)
        };
        launch.host(Host::chosen())
    }

    /// Serves a copy of the template in which texts are replaced, each of which must be there.
    ///
    /// # Panics
    ///
    /// One is not there, or the copy cannot be written.
    pub fn edited(mut self, edits: &[(&str, &str)]) -> Self {
        let mut text = std::fs::read_to_string(&self.template).expect("the template");
        for (old, new) in edits {
            assert!(text.contains(old), "the template has no {old:?}");
            text = text.replace(old, new);
        }
        let name = format!("template-{:016x}.yaml", fastrand::u64(..));
        self.template = server::scratch_folder().join(name);
        std::fs::write(&self.template, text).expect("the target folder is writable");
        self
    }

    /// Adds flags of the command line. Of a parameter that is given twice, the last value holds.
    pub fn flags(mut self, flags: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let flags = flags.into_iter();
        self.flags
            .extend(flags.map(|flag| flag.as_ref().to_owned()));
        self
    }

    /// Sets a parameter of the template: `Name=value`.
    pub fn parameter(self, parameter: &str) -> Self {
        self.flags(["--parameter", parameter])
    }

    /// Sets an environment variable of the gateway.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let variable = (name.into(), value.as_ref().to_owned());
        self.environment.push(variable);
        self
    }

    /// Puts the chat on a database: the connection string of a server, and a name.
    pub fn database(self, uri: &str, name: &str) -> Self {
        self.env("MONGODB_URI", uri).flags(["--database", name])
    }

    /// Leaves the limits of a user as a deployment has them.
    pub fn limited(mut self) -> Self {
        self.is_limited = true;
        self
    }

    /// Runs the functions on this host.
    pub fn host(mut self, host: Host) -> Self {
        self.host = host;
        self
    }

    /// Restarts functions in Node and Python when their sources change: `--watch` for a template
    /// without programs.
    pub fn watch_scripts(self) -> Self {
        self.host(Host::Watch)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
    }

    /// Runs the binaries of this folder as the functions.
    pub fn binaries(mut self, folder: impl Into<PathBuf>) -> Self {
        self.binaries = Some(folder.into());
        self
    }

    /// Invokes functions through the Invoke API at `url`.
    pub fn lambda_endpoint(mut self, url: impl Into<String>) -> Self {
        self.lambda_endpoint = Some(url.into());
        self
    }

    /// Listens on these ports: WebSocket and HTTP.
    pub fn ports(mut self, ws: u16, http: u16) -> Self {
        self.ports = [ws, http];
        self
    }

    /// Appends the log to a file, where it survives this process.
    pub fn log_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.log_file = Some(path.into());
        self
    }

    /// Sets the time in which the gateway must be ready.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Starts the gateway and waits until it is ready.
    ///
    /// # Errors
    ///
    /// The gateway exits before; the error is its log. Or it is not ready in time.
    pub async fn start(self) -> Result<LocalGateway> {
        let limit = self.timeout;
        let (mut gateway, stdout) = spawn_blocking(move || self.spawn()).await??;
        let screen = timeout(limit, spawn_blocking(|| read_screen(stdout))).await;
        let Some(screen) = screen.context("the gateway is not ready in time")??? else {
            let (_, log) = gateway.stop().await?;
            bail!("{log}");
        };
        gateway.set_screen(screen)?;
        Ok(gateway)
    }

    /// Starts the process without waiting until it is ready. Returns its standard output as well.
    ///
    /// # Errors
    ///
    /// The process cannot be started.
    pub fn spawn(self) -> Result<(LocalGateway, ChildStdout)> {
        let log_file = self.log_file.clone();
        let stderr = match &log_file {
            Some(path) => File::options().create(true).append(true).open(path)?.into(),
            None => Stdio::piped(),
        };
        let mut child = self
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .context("the gateway cannot be started")?;
        let stdout = child.stdout.take().context("its output is a pipe")?;
        let gateway = LocalGateway::of(child, log_file);
        Ok((gateway, stdout))
    }

    fn command(self) -> Command {
        let program = if self.is_chat {
            programs::local()
        } else {
            programs::gateway()
        };
        let mut command = process::tied(&program, "INT");
        let [ws_port, http_port] = self.ports.map(|port| port.to_string());
        command
            .arg("--template")
            .arg(&self.template)
            .args(["--ws-port", &ws_port, "--http-port", &http_port])
            .env_remove("MONGODB_URI");
        if let Some(url) = self.lambda_endpoint {
            command.args(["--lambda-endpoint", &url]);
        } else if self.host == Host::Watch {
            programs::folder();
            command.arg("--watch").env("PATH", tools::path());
        } else if self.host != Host::Built {
            if self.host == Host::InFlight {
                command.args(["--in-flight", "32"]);
            }
            let folder = self.binaries.as_deref();
            let folder = folder.unwrap_or_else(|| programs::folder());
            command.arg("--binaries").arg(folder);
        }
        if !self.is_limited {
            command.args(UNLIMITED);
        }
        command.args(self.flags).envs(self.environment);
        // Ctrl-C is for this process, whose end is an interrupt for the gateway.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
    }
}

impl LocalGateway {
    /// Starts the gateway on a template, with further flags: see [`Launch::template`].
    ///
    /// # Errors
    ///
    /// As [`Launch::start`].
    pub async fn start(template: &Path, flags: &[&str]) -> Result<Self> {
        Launch::template(template).flags(flags).start().await
    }
}

/// Reads the start-up screen up to `ready`; returns `None` if it ends before.
fn read_screen(stdout: ChildStdout) -> Result<Option<String>> {
    let mut screen = String::new();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        if line == "ready" {
            return Ok(Some(screen));
        }
        screen.push_str(&line);
        screen.push('\n');
    }
    Ok(None)
}

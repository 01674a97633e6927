//! The whole chat as a process of its own: gateway, functions, and a database of its own on the
//! run's server.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mongodb::Database;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::issuer::Issuer;
use crate::{Client, management, programs, server, tools};

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The chat's template.
pub const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/template.yaml");

/// Limits that no test and no benchmark reaches; who is about limits gives others.
pub const UNLIMITED: [&str; 6] = [
    "--parameter",
    "MessageRate=1000",
    "--parameter",
    "MessageBurst=1000000",
    "--parameter",
    "SocketsPerUser=100000",
];

/// What runs the functions: `CHAT_HOST`, so that one suite runs on all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// Processes with one event each, as on Lambda: `processes`, and the default.
    Processes,
    /// One process with many events at once: `in-flight`.
    InFlight,
    /// `cargo lambda watch`: `watch`.
    Watch,
}

impl Host {
    /// The host that the environment asks for.
    ///
    /// # Panics
    ///
    /// It asks for one that there is not.
    pub fn chosen() -> Self {
        match std::env::var("CHAT_HOST").as_deref() {
            Err(_) | Ok("" | "processes") => Self::Processes,
            Ok("in-flight") => Self::InFlight,
            Ok("watch") => Self::Watch,
            Ok(other) => panic!("CHAT_HOST is processes, in-flight or watch, not {other}"),
        }
    }

    fn apply(self, command: &mut Command) {
        match self {
            Self::Processes => command.arg("--binaries").arg(programs::folder()),
            Self::InFlight => command
                .args(["--in-flight", "32", "--binaries"])
                .arg(programs::folder()),
            Self::Watch => {
                programs::folder();
                command.arg("--watch").env("PATH", tools::path())
            }
        };
    }
}

/// A running chat.
pub struct Stack {
    /// Where WebSocket clients connect: `ws://127.0.0.1:…`.
    pub ws: String,
    /// Where HTTP callers go: `http://127.0.0.1:…`.
    pub http: String,
    /// Its database, for tests to look at and to prepare.
    pub database: Database,
    /// The connection string of its server.
    pub uri: String,
    child: Child,
    log: JoinHandle<String>,
}

impl Stack {
    /// Starts a chat on the run's server, with the usual settings.
    pub async fn start() -> Self {
        Self::start_with(server::uri().await, &server::database_name(), &[]).await
    }

    /// Starts a chat that takes tokens of `issuer` alone, with further `flags` of `cargo local`.
    pub async fn start_guarded(issuer: &Issuer, flags: &[&str]) -> Self {
        let parameters = issuer.parameters();
        let parameters = parameters.iter();
        let guarded = parameters.flat_map(|parameter| ["--parameter", parameter.as_str()]);
        let flags: Vec<&str> = guarded.chain(flags.iter().copied()).collect();
        Self::start_with(server::uri().await, &server::database_name(), &flags).await
    }

    /// Starts a chat on a database, with `flags` of `cargo local`.
    pub async fn start_with(uri: &str, database: &str, flags: &[&str]) -> Self {
        Self::start_on(Host::chosen(), uri, database, flags).await
    }

    /// The same, on a host of the caller's choice.
    pub async fn start_on(host: Host, uri: &str, database: &str, flags: &[&str]) -> Self {
        let mut command = Self::command_on(host, flags);
        command
            .env("MONGODB_URI", uri)
            .args(["--database", database]);
        let (child, log, ws, http) = launch(command).await.expect("the chat starts");
        let options = chat::store::client_options(&chat::store::StoreConfig::new(uri, database))
            .await
            .expect("the database has an address");
        let client = mongodb::Client::with_options(options).expect("the options are consistent");
        Self {
            ws,
            http,
            database: client.database(database),
            uri: uri.to_owned(),
            child,
            log,
        }
    }

    /// `cargo local` on any free ports with the built functions, and nothing else set.
    pub fn command(flags: &[&str]) -> Command {
        Self::command_on(Host::chosen(), flags)
    }

    fn command_on(host: Host, flags: &[&str]) -> Command {
        let mut command = Command::new(programs::local());
        host.apply(&mut command);
        command
            .args(["--template", TEMPLATE])
            .args(["--ws-port", "0", "--http-port", "0"])
            .args(UNLIMITED)
            .args(flags)
            .env_remove("MONGODB_URI")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// The base URL of its `@connections` API, as functions are told it.
    pub fn management_endpoint(&self) -> String {
        format!("{}/prod", self.ws.replace("ws:", "http:"))
    }

    /// A client of its `@connections` API.
    pub fn management(&self) -> aws_sdk_apigatewaymanagement::Client {
        let credentials = management::credentials("local", "local", None);
        management::client(&self.management_endpoint(), "us-east-1", credentials)
    }

    /// Connects a client as `user_id`.
    pub async fn connect(&self, user_id: &str) -> Client {
        let user_id = crate::client::encode(user_id);
        Client::connect(&format!("{}/?user_id={user_id}", self.ws))
            .await
            .expect("the handshake succeeds")
    }

    /// The history of two users, as JSON, with further `parameters` (`&limit=10`).
    pub async fn history(
        &self,
        user1: &str,
        user2: &str,
        parameters: &str,
    ) -> crate::client::Answer {
        let (user1, user2) = (crate::client::encode(user1), crate::client::encode(user2));
        let url = format!(
            "{}/chat/history?user1={user1}&user2={user2}{parameters}",
            self.http
        );
        crate::get(&url).await
    }

    /// The process id of the gateway.
    pub fn pid(&self) -> Pid {
        pid_of(&self.child)
    }

    /// Stops everything as Ctrl-C does and drops the database; returns the log.
    pub async fn stop(mut self) -> String {
        let log = self.interrupt().await;
        // The server may be one that a test has stopped already.
        let _ = tokio::time::timeout(PATIENCE, self.database.drop()).await;
        log
    }

    /// Stops everything as Ctrl-C does; returns the log.
    pub async fn interrupt(&mut self) -> String {
        kill_process(self.pid(), Signal::INT).expect("the gateway runs");
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = status
            .expect("the gateway ends in time")
            .expect("it can be waited for");
        assert!(status.success(), "the gateway ends well: {status}");
        (&mut self.log).await.expect("the log is read")
    }
}

/// The process id of a child that runs.
pub fn pid_of(child: &Child) -> Pid {
    let id = child.id().expect("the process runs");
    Pid::from_raw(id.cast_signed()).expect("an id is not 0")
}

/// The processes that a process has started and that have not been waited for (Linux).
pub fn children(id: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task"))
        .into_iter()
        .flatten();
    tasks
        .flatten()
        .map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default())
        .flat_map(|ids| ids.split_whitespace().map(str::parse).collect::<Vec<_>>())
        .flatten()
        .collect()
}

/// The children of a process, their children, and so on (Linux).
pub fn descendants(id: i32) -> Vec<i32> {
    let mut found = children(id);
    for child in found.clone() {
        found.extend(descendants(child));
    }
    found
}

/// Starts a chat and waits for `ready`. Returns the process, its log in the making, and the
/// addresses of the start-up screen.
///
/// # Errors
///
/// It ends before it is ready; the error holds what it said.
pub async fn launch(mut command: Command) -> Result<(Child, JoinHandle<String>, String, String)> {
    let mut child = command.spawn().context("the gateway can be started")?;
    let stdout = child.stdout.take().context("its output is a pipe")?;
    let mut stderr = child.stderr.take().context("its log is a pipe")?;
    let log = tokio::spawn(async move {
        let mut text = Vec::new();
        let _ = stderr.read_to_end(&mut text).await;
        String::from_utf8_lossy(&text).into_owned()
    });
    let ready = tokio::time::timeout(PATIENCE * 3, addresses(stdout)).await;
    match ready.context("it is ready in time")?? {
        Some((ws, http)) => Ok((child, log, ws, http)),
        None => {
            child.wait().await?;
            bail!("{}", log.await?)
        }
    }
}

/// Reads the start-up screen up to `ready`; gives its addresses, or nothing if it ends before.
async fn addresses(stdout: ChildStdout) -> Result<Option<(String, String)>> {
    let mut lines = BufReader::new(stdout).lines();
    let mut screen = String::new();
    while let Some(line) = lines.next_line().await? {
        if line == "ready" {
            let address = |label: &str| {
                let rest = screen.split(label).nth(1);
                let rest = rest.context("the screen has addresses")?;
                let url = rest.split_whitespace().next();
                let url = url.context("each with a label")?.split('/').take(3);
                anyhow::Ok(url.collect::<Vec<_>>().join("/"))
            };
            return Ok(Some((address("  WebSocket")?, address("  HTTP")?)));
        }
        screen.push_str(&line);
        screen.push('\n');
    }
    Ok(None)
}

//! The gateway, with the functions below it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use hyper::Method;
use local_gateway::faults::Faults;
use rustix::process::Pid;
use tests::client::Http;
use tests::stack::{TEMPLATE, UNLIMITED};
use tests::{process, programs};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, timeout};

use super::{PATIENCE, fixed_port};

/// Processes of a function at most: some may be stopped, or wait for what is.
const CONCURRENCY: &str = "12";

/// The gateway, with the functions below it.
pub struct Gateway {
    /// Where WebSocket clients connect.
    pub ws_port: u16,
    /// Where HTTP callers go.
    pub http_port: u16,
    /// Its log.
    pub log: PathBuf,
    binaries: PathBuf,
    /// How its functions are run: a flag with its value.
    host: [String; 2],
    uri: String,
    database: String,
    switches: Faults,
    /// The process; nothing while it is down. The pipe interrupts it when we end.
    running: Option<(Child, ChildStdin)>,
}

impl Gateway {
    /// Starts it, with its log in `folder`, on two ports that it keeps. A function is one process that
    /// takes so many events `in_flight`, or several that take one.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn start(
        folder: &Path,
        binaries: &Path,
        in_flight: Option<u32>,
        uri: &str,
        database: &str,
    ) -> Result<Self> {
        let ws_port = fixed_port(&[])?;
        let mut gateway = Self {
            ws_port,
            http_port: fixed_port(&[ws_port])?,
            log: folder.join("gateway.log"),
            binaries: binaries.to_owned(),
            host: match in_flight {
                Some(events) => ["--in-flight".to_owned(), events.to_string()],
                None => ["--concurrency".to_owned(), CONCURRENCY.to_owned()],
            },
            uri: uri.to_owned(),
            database: database.to_owned(),
            switches: Faults::default(),
            running: None,
        };
        gateway.launch().await?;
        Ok(gateway)
    }

    /// Kills it, and so its functions.
    ///
    /// # Errors
    ///
    /// It cannot be waited for.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some((mut child, _)) = self.running.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Starts it again, with the switches as they were set. It does not start without the database, so
    /// that may take more than one try.
    ///
    /// # Errors
    ///
    /// It does not within [`PATIENCE`].
    pub async fn restart(&mut self) -> Result<()> {
        let start = Instant::now();
        while let Err(error) = self.launch().await {
            if start.elapsed() > PATIENCE {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Stops it as Ctrl-C does.
    ///
    /// # Errors
    ///
    /// It ends otherwise than it should.
    pub async fn stop(&mut self) -> Result<()> {
        let Some((mut child, pipe)) = self.running.take() else {
            return Ok(());
        };
        drop(pipe);
        let status = timeout(PATIENCE, child.wait()).await;
        let status = status.context("the gateway does not end")??;
        match status.success() {
            true => Ok(()),
            false => bail!(
                "the gateway ended badly ({status}); see {}",
                self.log.display()
            ),
        }
    }

    /// Its process.
    ///
    /// # Errors
    ///
    /// It has ended by itself.
    pub fn pid(&self) -> Result<Pid> {
        let running = self.running.as_ref().and_then(|(child, _)| child.id());
        let pid = running.and_then(|id| Pid::from_raw(id.cast_signed()));
        pid.with_context(|| format!("the gateway has ended; see {}", self.log.display()))
    }

    /// Sets all switches anew.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub async fn set(&mut self, switches: Faults) -> Result<()> {
        self.switches = switches;
        let body = serde_json::to_vec(&self.switches)?;
        self.control(Method::PUT, "faults", body).await
    }

    /// Breaks all sockets.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub async fn cut(&self) -> Result<()> {
        self.control(Method::POST, "cut", Vec::new()).await
    }

    async fn control(&self, method: Method, path: &str, body: Vec<u8>) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/_local/{path}", self.ws_port);
        let http = Http::default();
        let answer = timeout(PATIENCE, http.try_request(method, &url, body)).await;
        let status = answer
            .with_context(|| format!("no answer to {path}"))??
            .status;
        match status.is_success() {
            true => Ok(()),
            false => bail!("the gateway refuses {path}: {status}"),
        }
    }

    async fn launch(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::from(process::tied(&programs::local(), "INT"));
        command
            .args(["--template", TEMPLATE])
            .args(["--ws-port", &self.ws_port.to_string()])
            .args(["--http-port", &self.http_port.to_string()])
            .args(&self.host)
            .args(["--database", &self.database])
            .arg("--binaries")
            .arg(&self.binaries)
            .args(["--fault", &serde_json::to_string(&self.switches)?])
            .args(UNLIMITED)
            .env("MONGODB_URI", &self.uri)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C is for us, who stop it when the history is complete.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().context("the gateway can be started")?;
        let pipe = child.stdin.take().context("its input is a pipe")?;
        let screen = child.stdout.take().context("its output is a pipe")?;
        let mut lines = BufReader::new(screen).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line == "ready" {
                    return Ok(());
                }
            }
            bail!("the gateway does not start; see {}", self.log.display())
        };
        timeout(PATIENCE, ready)
            .await
            .context("the gateway hangs at its start")??;
        self.running = Some((child, pipe));
        Ok(())
    }
}

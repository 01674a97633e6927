//! The gateway with its functions. It can be killed and started again, on the same ports.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hyper::Method;
use local_gateway::faults::Faults;
use rustix::process::Pid;
use serde::Deserialize;
use tests::LocalGateway;
use tests::client::{Http, HttpResponse};
use tests::launch::{Host, Launch};
use tokio::time::{Instant, timeout};

use super::{TIMEOUT, fixed_port};
use crate::roster::GROUP_SIZE;

/// Limit of processes of a function: some may be stopped, or wait for what is.
const CONCURRENCY: u32 = 12;

/// The gateway with its functions.
pub struct Gateway {
    /// Port for WebSocket clients.
    pub ws_port: u16,
    /// Port for HTTP callers.
    pub http_port: u16,
    /// Its log, with that of the functions.
    pub log: PathBuf,
    launch: Launch,
    switches: Faults,
    /// The process; `None` while it is down.
    running: Option<LocalGateway>,
    /// Processes of each function that were killed under earlier gateway processes.
    killed_before: Killed,
}

/// Counts of killed processes, by function.
pub type Killed = BTreeMap<String, u64>;

/// The gateway's counts of the processes of a function.
#[derive(Deserialize)]
struct ProcessCounts {
    killed: u64,
}

impl Gateway {
    /// Starts the gateway, with its log in `folder`, on two ports that it keeps. A function is one
    /// process that takes so many events `in_flight`, or several that take one.
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
        let http_port = fixed_port(&[ws_port])?;
        let log = folder.join("gateway.log");
        let (flag, events) = match in_flight {
            Some(events) => ("--in-flight", events),
            None => ("--concurrency", CONCURRENCY),
        };
        let mut gateway = Self {
            ws_port,
            http_port,
            launch: Launch::chat()
                .host(Host::Processes)
                .binaries(binaries)
                .flags([flag, &events.to_string()])
                .parameter(&format!("GroupSize={GROUP_SIZE}"))
                .ports(ws_port, http_port)
                .database(uri, database)
                .log_file(&log)
                .timeout(TIMEOUT),
            log,
            switches: Faults::default(),
            running: None,
            killed_before: Killed::new(),
        };
        gateway.launch().await?;
        Ok(gateway)
    }

    /// Kills the gateway, and so its functions.
    ///
    /// # Errors
    ///
    /// The gateway does not respond before.
    pub async fn kill(&mut self) -> Result<()> {
        self.killed_before = self.killed().await?;
        if let Some(running) = self.running.take() {
            running.kill();
        }
        Ok(())
    }

    /// Counts the processes of each function that were killed while the gateway lived on.
    ///
    /// # Errors
    ///
    /// The gateway does not respond.
    pub async fn killed(&self) -> Result<Killed> {
        let response = self.control(Method::GET, "processes", Vec::new()).await?;
        let counts: BTreeMap<String, ProcessCounts> = serde_json::from_slice(&response.body)?;
        let mut killed = self.killed_before.clone();
        for (function, counts) in counts {
            *killed.entry(function).or_default() += counts.killed;
        }
        Ok(killed)
    }

    /// Starts the gateway again, with the switches as they were set. It does not start without the
    /// database, so that may take several attempts.
    ///
    /// # Errors
    ///
    /// It does not start within [`TIMEOUT`].
    pub async fn restart(&mut self) -> Result<()> {
        let start = Instant::now();
        while let Err(error) = self.launch().await {
            if start.elapsed() > TIMEOUT {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Shuts the gateway down as Ctrl-C does.
    ///
    /// # Errors
    ///
    /// It does not exit, or not with success.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        let (status, _) = running.stop().await?;
        if !status.success() {
            bail!("the gateway failed ({status}); see {}", self.log.display());
        }
        Ok(())
    }

    /// Returns the process id.
    ///
    /// # Errors
    ///
    /// The process has exited by itself.
    pub fn pid(&mut self) -> Result<Pid> {
        if let Some(running) = &mut self.running
            && !running.has_exited()?
        {
            return Ok(running.pid());
        }
        bail!("the gateway has exited; see {}", self.log.display())
    }

    /// Replaces all switches.
    ///
    /// # Errors
    ///
    /// The gateway does not respond.
    pub async fn set(&mut self, switches: Faults) -> Result<()> {
        self.switches = switches;
        let body = serde_json::to_vec(&self.switches)?;
        self.control(Method::PUT, "faults", body).await.map(drop)
    }

    /// Cuts all connections.
    ///
    /// # Errors
    ///
    /// The gateway does not respond.
    pub async fn cut(&self) -> Result<()> {
        self.control(Method::POST, "cut", Vec::new())
            .await
            .map(drop)
    }

    async fn control(&self, method: Method, path: &str, body: Vec<u8>) -> Result<HttpResponse> {
        let url = format!("http://127.0.0.1:{}/_local/{path}", self.ws_port);
        let http = Http::default();
        let response = timeout(TIMEOUT, http.try_request(method, &url, body)).await;
        let response = response.with_context(|| format!("no response to {path}"))??;
        if !response.status.is_success() {
            bail!("the gateway rejects {path}: {}", response.status);
        }
        Ok(response)
    }

    async fn launch(&mut self) -> Result<()> {
        let switches = serde_json::to_string(&self.switches)?;
        let launch = self.launch.clone().flags(["--fault", &switches]);
        let started = launch.start().await;
        let see = || format!("the gateway does not start; see {}", self.log.display());
        self.running = Some(started.map_err(|_| anyhow::anyhow!(see()))?);
        Ok(())
    }
}

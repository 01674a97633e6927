//! The chat under test: a database, the gateway, and the functions as processes of the gateway. They
//! may be killed, stopped and started again; their addresses stay the same.

mod database;
mod gateway;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use database::OwnDatabase;
use gateway::Gateway;
use rustix::process::Pid;
use tests::client::{Connect, History};
use tests::process::descendants_named;
use tests::server;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::session::REQUEST_TIMEOUT;

/// How long anything may take to come back before the run fails.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// How long one try may take to find everything healthy, on a machine that is busy with the rest.
const HEALTHY: Duration = Duration::from_secs(10);

/// The whole of it.
pub struct Cluster {
    /// Where WebSocket clients connect: `ws://127.0.0.1:…`.
    pub ws: String,
    /// Where HTTP callers go: `http://127.0.0.1:…`.
    pub http: String,
    /// The gateway's log, with the lines of the functions.
    log: PathBuf,
    gateway: Mutex<Gateway>,
    database: Option<Mutex<OwnDatabase>>,
    /// The connection string of the database's server, and the name of the database.
    uri: String,
    name: String,
}

impl Cluster {
    /// Starts everything, with its files in `folder` and the functions from `binaries`, each of them one
    /// process if that is to take so many events `in_flight`. The database is that of `MONGODB_URI` if it
    /// is set, else one of our own.
    ///
    /// # Errors
    ///
    /// Something does not start.
    pub async fn start(folder: &Path, binaries: &Path, in_flight: Option<u32>) -> Result<Self> {
        let given = std::env::var("MONGODB_URI").ok();
        let (uri, database) = match given.filter(|uri| !uri.is_empty()) {
            Some(uri) => (uri, None),
            None => {
                let own = OwnDatabase::start(&folder.join("database")).await?;
                (own.uri()?, Some(Mutex::new(own)))
            }
        };
        let name = server::database_name();
        let gateway = Gateway::start(folder, binaries, in_flight, &uri, &name).await?;
        Ok(Self {
            ws: format!("ws://127.0.0.1:{}", gateway.ws_port),
            http: format!("http://127.0.0.1:{}", gateway.http_port),
            log: gateway.log.clone(),
            gateway: Mutex::new(gateway),
            database,
            uri,
            name,
        })
    }

    /// The gateway, as soon as nobody else has something to do with it: so it runs.
    pub async fn gateway(&self) -> MutexGuard<'_, Gateway> {
        self.gateway.lock().await
    }

    /// The database, as soon as nobody else has something to do with it: so it runs.
    ///
    /// # Errors
    ///
    /// It is not ours.
    pub async fn database(&self) -> Result<MutexGuard<'_, OwnDatabase>> {
        let database = self.database.as_ref().context("the database is not ours")?;
        Ok(database.lock().await)
    }

    /// A process of a function, by its program; `number` picks one of them. If there is none, the next
    /// event of the function starts one.
    ///
    /// # Errors
    ///
    /// There is none within [`TIMEOUT`], or the gateway has ended by itself.
    pub async fn process(&self, program: &str, number: usize) -> Result<Pid> {
        let start = Instant::now();
        loop {
            let processes = descendants_named(self.gateway().await.pid()?, program);
            if let Some(count) = NonZero::new(processes.len()) {
                return Ok(processes[number % count]);
            }
            ensure!(
                start.elapsed() < TIMEOUT,
                "there is no process of {program}"
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether the database is ours.
    pub fn owns_database(&self) -> bool {
        self.database.is_some()
    }

    /// The messages and sockets, to be looked at.
    ///
    /// # Errors
    ///
    /// The connection string is malformed.
    pub async fn data(&self) -> Result<mongodb::Database> {
        server::database(&self.uri, &self.name).await
    }

    /// How many processes of each function were killed while the gateway lived on, by its log.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub fn killed(&self) -> Result<BTreeMap<String, usize>> {
        let mut killed = BTreeMap::new();
        let log = std::fs::read(&self.log)?;
        for line in String::from_utf8_lossy(&log).lines() {
            let Some((before, _)) = line.split_once(" ended (signal: 9") else {
                continue;
            };
            let function = before.split_whitespace().next_back().unwrap_or_default();
            *killed.entry(function.to_owned()).or_default() += 1;
        }
        Ok(killed)
    }

    /// Waits until everything answers again: a page of the history, a handshake, a frame.
    pub async fn until_healthy(&self) {
        while !timeout(HEALTHY, self.answers()).await.unwrap_or(false) {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether everything answers now.
    async fn answers(&self) -> bool {
        let history = format!("{}/chat/history", self.http);
        let history = History::new(history, None, REQUEST_TIMEOUT);
        let page = history.page(["nemesis", "nobody"], 0, 1).await;
        let connect = Connect::user(&self.ws, "nemesis").timeout(REQUEST_TIMEOUT);
        let connection = connect.open().await;
        let (Ok(_), Ok(mut connection)) = (page, connection) else {
            return false;
        };
        let asked = connection.send(r#"{"action":"ping"}"#).await;
        let answer = connection.next().await;
        let _ = connection.send_message(Message::Close(None)).await;
        asked.is_ok() && answer.is_ok_and(|frame| frame.contains("pong"))
    }

    /// Stops everything; the messages of a database that is not ours are dropped.
    ///
    /// # Errors
    ///
    /// Something does not stop.
    pub async fn stop(&self) -> Result<()> {
        self.gateway.lock().await.stop().await?;
        match &self.database {
            Some(database) => database.lock().await.kill().await,
            None => Ok(self.data().await?.drop().await?),
        }
    }
}

/// A port for the whole run. The system gives none of these to connections that go out: one of a client
/// could have it just when the server is down, or even reach itself.
fn fixed_port(taken: &[u16]) -> Result<u16> {
    for _ in 0..1_000 {
        let port = fastrand::u16(10_000..32_000);
        if !taken.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("there is no free port from 10,000 to 32,000")
}

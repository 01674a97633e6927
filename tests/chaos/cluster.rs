//! The chat under test: a database, the gateway, and the functions as processes of the gateway.
//! They can be killed, stopped and started again; their addresses stay the same.

mod database;
mod gateway;

use std::net::TcpListener;
use std::num::NonZero;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use database::OwnDatabase;
use gateway::Gateway;
pub use gateway::Killed;
use rustix::process::Pid;
use tests::client::{Connect, History};
use tests::process::descendants_named;
use tests::{admin, server};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::session::REQUEST_TIMEOUT;

/// Time limit of each recovery; a run that exceeds it fails.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// Time limit of one health check, on a busy machine.
const HEALTHY: Duration = Duration::from_secs(10);

/// The database, the gateway and the functions.
pub struct Cluster {
    /// Origin for WebSocket clients: `ws://127.0.0.1:…`.
    pub ws: String,
    /// Origin for HTTP callers: `http://127.0.0.1:…`.
    pub http: String,
    gateway: Mutex<Gateway>,
    database: Option<Mutex<OwnDatabase>>,
    /// The connection string of the database's server, and the name of the database.
    uri: String,
    name: String,
}

impl Cluster {
    /// Starts everything, with its files in `folder` and the functions from `binaries`. With
    /// `in_flight`, a function is one process that takes so many events at once. The database is
    /// that of `MONGODB_URI` if it is set, else one of this run.
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
            gateway: Mutex::new(gateway),
            database,
            uri,
            name,
        })
    }

    /// Locks the gateway, which runs whenever it is not locked.
    pub async fn gateway(&self) -> MutexGuard<'_, Gateway> {
        self.gateway.lock().await
    }

    /// Locks the database, which runs whenever it is not locked.
    ///
    /// # Errors
    ///
    /// The database is not this run's.
    pub async fn database(&self) -> Result<MutexGuard<'_, OwnDatabase>> {
        let database = self.database.as_ref().context("the database is not ours")?;
        Ok(database.lock().await)
    }

    /// Returns the process of a function; `number` picks one of several. If there is none, waits
    /// until the next event of the function starts one.
    ///
    /// # Errors
    ///
    /// There is none within [`TIMEOUT`], or the gateway has exited by itself.
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

    /// Whether the database is this run's.
    pub fn owns_database(&self) -> bool {
        self.database.is_some()
    }

    /// Returns the database, to read messages and connections.
    ///
    /// # Errors
    ///
    /// The connection string is malformed.
    pub async fn data(&self) -> Result<mongodb::Database> {
        server::database(&self.uri, &self.name).await
    }

    /// Returns the lines of `chat-admin verify`: what is wrong with the data.
    ///
    /// # Errors
    ///
    /// It cannot tell.
    pub async fn damages(&self) -> Result<Vec<String>> {
        let mut command = admin::with(&self.uri, &self.name);
        let printed = admin::run(&mut command, &["verify", "--settle", "0"]).await;
        ensure!(printed.status < 2, "verify failed: {}", printed.stderr);
        Ok(printed.stdout.lines().map(str::to_owned).collect())
    }

    /// Removes all messages as if they were old, by runs of which all but the last are killed on their way. Returns what
    /// is wrong with the data then.
    ///
    /// # Errors
    ///
    /// A run fails, or it cannot be told.
    pub async fn damages_after_removal(&self) -> Result<Vec<String>> {
        let removal = || {
            let mut command = admin::with(&self.uri, &self.name);
            command.args(["retention", "--older-than", "0s", "--confirm"]);
            command.kill_on_drop(true);
            command
        };
        for delay_ms in [20, 40, 60, 80] {
            let mut killed = removal();
            // Those that end earlier have nothing to do.
            let _ = timeout(Duration::from_millis(delay_ms), killed.output()).await;
        }
        let printed = admin::run(&mut removal(), &[]).await;
        ensure!(printed.status == 0, "removal failed: {}", printed.stderr);
        self.damages().await
    }

    /// Waits until everything responds again: a page of the history, a handshake, a frame.
    pub async fn until_healthy(&self) {
        while !timeout(HEALTHY, self.responds()).await.unwrap_or(false) {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether everything responds now.
    async fn responds(&self) -> bool {
        let history = format!("{}/chat/history", self.http);
        let history = History::new(history, None, REQUEST_TIMEOUT);
        let page = history.page(["nemesis", "nobody"], 0, 1).await;
        let connect = Connect::user(&self.ws, "nemesis").timeout(REQUEST_TIMEOUT);
        let connection = connect.open().await;
        let (Ok(_), Ok(mut connection)) = (page, connection) else {
            return false;
        };
        let asked = connection.send(r#"{"action":"ping"}"#).await;
        let frame = connection.next().await;
        let _ = connection.send_message(Message::Close(None)).await;
        asked.is_ok() && frame.is_ok_and(|frame| frame.contains("pong"))
    }

    /// Shuts everything down; drops the messages from a database that is not this run's.
    ///
    /// # Errors
    ///
    /// A process does not exit.
    pub async fn stop(&self) -> Result<()> {
        self.gateway.lock().await.stop().await?;
        match &self.database {
            Some(database) => database.lock().await.kill().await,
            None => Ok(self.data().await?.drop().await?),
        }
    }
}

/// Returns a port for the whole run. The system gives none of these ports to outgoing connections:
/// a client's could take the server's port while that is down, or even connect to itself.
fn fixed_port(taken: &[u16]) -> Result<u16> {
    for _ in 0..1_000 {
        let port = fastrand::u16(10_000..32_000);
        if !taken.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("there is no free port from 10,000 to 32,000")
}

//! A server of our own that runs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use chat::Store;
use chat::store::StoreConfig;
use local_gateway::process::supervise::Supervised;
use tokio::net::TcpStream;

use super::server::Server;

/// Timeout of the start of a server; after a crash it recovers first.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Timeout of the shutdown of the server of an earlier start.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// A server that we run.
pub struct Database {
    /// Its connection string.
    pub uri: String,
    server: Supervised,
    log: PathBuf,
}

impl Database {
    /// Starts `server` on `port` with its data in `folder`, and waits until it responds. `fresh`
    /// empties the folder first. `supervisor` is the program `chat-local`.
    ///
    /// # Errors
    ///
    /// Another server uses the folder, or the server ends, or does not respond; the sentence names
    /// its log.
    pub async fn start(
        server: &Server,
        supervisor: &Path,
        folder: &Path,
        port: u16,
        fresh: bool,
    ) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let log_path = folder.with_extension("log");
        let log = open_log(&log_path, folder).await?;
        if fresh {
            std::fs::remove_dir_all(folder)
                .and_then(|()| std::fs::create_dir(folder))
                .with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        let arguments = server.arguments(folder, port);
        let mut supervised = Supervised::start(supervisor, server.path(), &arguments, log)?;
        let uri = uri(port);
        let responds = tokio::time::timeout(START_TIMEOUT, until_it_responds(port, &uri));
        tokio::select! {
            status = supervised.wait() => bail!(
                "{} did not start ({}); see {}", server.name(), status?, log_path.display()
            ),
            responds = responds => responds.with_context(|| format!(
                "{} does not respond; see {}", server.name(), log_path.display()
            ))?,
        }
        Ok(Self {
            uri,
            server: supervised,
            log: log_path,
        })
    }

    /// Stops the server cleanly.
    ///
    /// # Errors
    ///
    /// It cannot be waited for.
    pub async fn shutdown(&mut self) -> Result<()> {
        self.server.shutdown().await?;
        Ok(())
    }

    /// Waits until the server has ended by itself; returns an error that names its log.
    pub async fn wait(&mut self) -> anyhow::Error {
        match self.server.wait().await {
            Ok(status) => anyhow!("the database ended ({status}); see {}", self.log.display()),
            Err(error) => error,
        }
    }
}

/// Opens the log of a server and locks it. The server inherits the file, and so holds the lock for
/// as long as it lives: two servers never use one folder.
async fn open_log(path: &Path, folder: &Path) -> Result<File> {
    let log = File::options().create(true).append(true).open(path);
    let log = log.with_context(|| format!("cannot write {}", path.display()))?;
    let start = Instant::now();
    while log.try_lock().is_err() {
        // After a kill, the server of the run before may still be about to end.
        if start.elapsed() > SHUTDOWN_TIMEOUT {
            bail!(
                "another cargo local uses {}: stop it, or choose another folder with --data",
                folder.display()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(log)
}

/// Returns the connection string of a server on a port of this machine.
pub fn uri(port: u16) -> String {
    format!("mongodb://127.0.0.1:{port}/?directConnection=true")
}

async fn until_it_responds(port: u16, uri: &str) {
    // The driver looks for a server that is not there only twice a second.
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while ping(uri).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Checks that a database responds.
///
/// # Errors
///
/// The connection string is malformed, or its name cannot be resolved; or the database does not respond.
pub async fn ping(uri: &str) -> Result<()> {
    let config = StoreConfig::new(uri, "admin");
    let store = Store::open(&config).await;
    let store = store.map_err(|error| anyhow!(error.chain()))?;
    let pinged = store.ping().await;
    pinged.map_err(|error| anyhow!(error.chain()).context("the database does not respond"))
}

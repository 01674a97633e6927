//! A database of the run's own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chat_local::database::own::Database;
use chat_local::database::server::Server;
use rustix::process::{Pid, Signal, kill_process};
use tests::process::descendants_named;
use tests::programs;

use super::fixed_port;

/// A database of the run's own.
pub struct OwnDatabase {
    server: Server,
    folder: PathBuf,
    port: u16,
    running: Option<Database>,
}

impl OwnDatabase {
    /// Starts it, with its data in `folder`, on a port that it keeps.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn start(folder: &Path) -> Result<Self> {
        let mut database = Self {
            server: Server::find_or_install().await?,
            folder: folder.to_owned(),
            port: fixed_port(&[])?,
            running: None,
        };
        database.restart().await?;
        Ok(database)
    }

    /// Its connection string.
    ///
    /// # Errors
    ///
    /// It is down.
    pub fn uri(&self) -> Result<String> {
        let running = self.running.as_ref().context("the database is down")?;
        Ok(running.uri.clone())
    }

    /// Its process.
    ///
    /// # Errors
    ///
    /// It has ended by itself.
    pub fn pid(&self) -> Result<Pid> {
        let ours = rustix::process::getpid();
        let found = descendants_named(ours, self.server.folder_name()).pop();
        found.with_context(|| format!("the database has ended; see {}.log", self.folder.display()))
    }

    /// Kills it.
    ///
    /// # Errors
    ///
    /// It has ended by itself.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut running) = self.running.take() {
            kill_process(self.pid()?, Signal::KILL)?;
            running.wait().await;
        }
        Ok(())
    }

    /// Starts it again, and waits until it responds.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn restart(&mut self) -> Result<()> {
        let (supervisor, folder) = (programs::local(), &self.folder);
        let started = Database::start(&self.server, &supervisor, folder, self.port, false).await;
        self.running = Some(started.context("the database does not start")?);
        Ok(())
    }
}

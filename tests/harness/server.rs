//! One database server for a test run, and a database for each test.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use chat::store::{StoreConfig, client_options};
use chat::{Store, migration};
use chat_local::database::own::Database;
use chat_local::database::server::Server;
use local_gateway::process::ports::free_port;
use rustix::process::{Pid, test_kill_process};
use tokio::sync::OnceCell;

use crate::programs;

/// Returns the connection string of the run's server: `MONGODB_URI` if it is set, else a server that is
/// started once and ends with this process.
pub async fn uri() -> &'static str {
    static URI: OnceCell<String> = OnceCell::const_new();
    URI.get_or_init(|| async {
        match std::env::var("MONGODB_URI") {
            Ok(uri) if !uri.is_empty() => uri,
            _ => {
                let folder = scratch_folder().join("shared");
                let database = start_in(&folder, free_port().expect("a port")).await;
                let uri = database.uri.clone();
                // It is stopped by its supervisor when this process ends.
                std::mem::forget(database);
                uri
            }
        }
    })
    .await
}

/// Returns the host and port in a connection string to one server.
///
/// # Panics
///
/// The text is no connection string.
pub fn address(uri: &str) -> &str {
    let (_, rest) = uri.split_once("://").expect("a connection string");
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    host.split(['/', '?']).next().expect("one part at least")
}

/// Starts a server for one test, which may stop it and start it again.
pub async fn start_in(folder: &Path, port: u16) -> Database {
    let server = Server::find_or_install().await.expect("a database server");
    Database::start(&server, &programs::local(), folder, port, false)
        .await
        .expect("the database starts")
}

/// Returns the words of the command that starts a server for one test: for tests that are not part of this
/// process.
///
/// # Errors
///
/// There is no server and none can be built, or the name of a folder is not UTF-8.
pub async fn command() -> Result<Vec<String>> {
    let folder = scratch_folder().join("own");
    std::fs::create_dir_all(&folder)?;
    let server = Server::find_or_install().await?;
    let words = server.command(&folder, free_port()?);
    let words = words.into_iter().map(|word| word.into_string());
    words
        .collect::<Result<_, _>>()
        .map_err(|word| anyhow!("{word:?} is not UTF-8"))
}

/// Returns a folder for this process. Removes the folders of processes that have exited.
pub fn scratch_folder() -> PathBuf {
    let base = programs::folder().join("scratch");
    let ours = base.join(std::process::id().to_string());
    std::fs::create_dir_all(&ours).expect("the target folder is writable");
    for entry in std::fs::read_dir(&base).into_iter().flatten().flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else {
            continue;
        };
        if test_kill_process(pid).is_err() {
            // Another run may be removing it too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    ours
}

/// Returns a new name for the database of a test.
pub fn database_name() -> String {
    format!("test_{:016x}", fastrand::u64(..))
}

/// Returns a database of a server, with the timeouts of the functions.
///
/// # Errors
///
/// The connection string is malformed.
pub async fn database(uri: &str, name: &str) -> Result<mongodb::Database> {
    let options = client_options(&StoreConfig::new(uri, name)).await;
    let options = options.map_err(|error| anyhow!(error.chain()))?;
    Ok(mongodb::Client::with_options(options)?.database(name))
}

/// Migrates a database, which makes its indexes; returns a store over it, as the functions have it.
///
/// # Errors
///
/// The database does not respond.
pub async fn migrated_store(uri: &str, database: &str) -> Result<Store> {
    let store = Store::open(&StoreConfig::new(uri, database)).await?;
    migration::run(store.database(), |_| Ok(())).await?;
    Ok(store)
}

//! One database server for a run, a database for each test.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use chat::store::{StoreConfig, client_options};
use chat::{Store, migration};
use chat_local::database::{Database, Server};
use local_gateway::process::ports::free_port;
use rustix::process::{Pid, test_kill_process};
use tokio::sync::OnceCell;

use crate::programs;

/// The connection string of the run's server: `MONGODB_URI` if it is set, else a server that ends
/// with this process.
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

/// The address in a connection string to one server: its host and port.
///
/// # Panics
///
/// It is no connection string.
pub fn address(uri: &str) -> &str {
    let (_, rest) = uri.split_once("://").expect("a connection string");
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    host.split(['/', '?']).next().expect("one part at least")
}

/// Starts a server of a test's own, which it may stop and start again.
pub async fn start_in(folder: &Path, port: u16) -> Database {
    let server = tokio::task::spawn_blocking(Server::find_or_install)
        .await
        .expect("it does not panic")
        .expect("a database server");
    Database::start(&server, &programs::local(), folder, port, false)
        .await
        .expect("the database starts")
}

/// The command of a server of a test's own, as its words: for tests that are no part of this process.
///
/// # Errors
///
/// There is no server and none can be built, or a folder has a name that is not UTF-8.
pub fn command() -> Result<Vec<String>> {
    let folder = scratch_folder().join("own");
    std::fs::create_dir_all(&folder)?;
    let words = Server::find_or_install()?.command(&folder, free_port()?);
    let words = words.into_iter().map(|word| word.into_string());
    words
        .collect::<Result<_, _>>()
        .map_err(|word| anyhow!("{word:?} is not UTF-8"))
}

/// A folder for this process. Those of processes that have ended are removed.
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

/// A name for a database of a test's own.
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

/// A store over a database, as the functions have it, with its indexes made.
///
/// # Errors
///
/// The database does not answer.
pub async fn migrated_store(uri: &str, database: &str) -> Result<Store> {
    let store = Store::open(&StoreConfig::new(uri, database)).await?;
    migration::run(store.database(), |_, _| Ok(())).await?;
    Ok(store)
}

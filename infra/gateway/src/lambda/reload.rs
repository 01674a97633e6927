//! Restarts functions in Node and Python when their sources change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::pool::{Pool, Pools};
use crate::process::sources::{self, Sources};

/// Pause between two looks at the sources.
const PAUSE: Duration = Duration::from_millis(250);

/// Restarts the functions of `pools` whenever their sources have changed. Editors and builds change
/// several files one after another, so a change counts when the next look finds no further one.
pub async fn run(pools: Pools) {
    let folders: BTreeSet<PathBuf> = pools.values().filter_map(|pool| folder(pool)).collect();
    let mut running = look(&folders).await;
    let mut before = running.clone();
    loop {
        tokio::time::sleep(PAUSE).await;
        let now = look(&folders).await;
        for (folder, sources) in &now {
            if before.get(folder) == Some(sources) && running.get(folder) != Some(sources) {
                restart(&pools, folder);
                running.insert(folder.clone(), sources.clone());
            }
        }
        before = now;
    }
}

/// Returns the folder of a function in Node or Python.
fn folder(pool: &Pool) -> Option<PathBuf> {
    pool.folder()
        .filter(|_| pool.is_script())
        .map(Path::to_owned)
}

/// Restarts the functions of a folder.
fn restart(pools: &Pools, changed: &Path) {
    for pool in pools.values() {
        if folder(pool).is_some_and(|folder| folder == changed) {
            pool.restart();
        }
    }
}

/// Lists the sources in each folder.
async fn look(folders: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Sources> {
    let folders = folders.clone();
    let listed = spawn_blocking(|| {
        let folders = folders.into_iter();
        let listed = folders.map(|folder| (folder.clone(), sources::list(&folder)));
        listed.collect()
    });
    listed.await.expect("it does not panic")
}

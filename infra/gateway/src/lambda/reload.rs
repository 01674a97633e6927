//! Restarts functions in Node and Python when their sources change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;

use super::pool::Pool;
use crate::process::sources;

/// Pause between two looks at the sources.
const PAUSE: Duration = Duration::from_millis(250);

/// The source files of a folder, with the times of their last change.
type Sources = std::collections::BTreeSet<(PathBuf, SystemTime)>;

/// Restarts the functions of `pools` whenever their sources have changed. Editors and builds change
/// several files one after another, so a change counts when the next look finds no further one.
pub async fn run(pools: BTreeMap<String, Arc<Pool>>) {
    let mut running = look(&pools).await;
    let mut before = running.clone();
    loop {
        tokio::time::sleep(PAUSE).await;
        let now = look(&pools).await;
        for (id, pool) in &pools {
            let sources = now.get(id);
            if sources == before.get(id) && sources != running.get(id) {
                pool.restart();
                running.insert(id.clone(), now[id].clone());
            }
        }
        before = now;
    }
}

/// Lists the sources of each function.
async fn look(pools: &BTreeMap<String, Arc<Pool>>) -> BTreeMap<String, Sources> {
    let folders = pools.iter().map(|(id, pool)| {
        let folder = pool.folder().map(Path::to_owned);
        (id.clone(), folder.unwrap_or_default())
    });
    let folders: Vec<_> = folders.collect();
    let listed = spawn_blocking(|| {
        let listed = folders.into_iter();
        listed
            .map(|(id, folder)| (id, sources::list(&folder)))
            .collect()
    });
    listed.await.expect("it does not panic")
}

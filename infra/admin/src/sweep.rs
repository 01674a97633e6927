//! The rows of connections that are gone: their `$disconnect` was lost.

use std::time::Duration;

use anyhow::{Result, bail};
use chat::{Connection, Deadline, Push, Store};
use chrono::Utc;
use futures_util::TryStreamExt;
use serde::Serialize;

use crate::interrupt::Interrupt;
use crate::outcome::Outcome;
use crate::output::{Output, count, note};
use crate::progress;

/// Connections that are asked for together.
const BATCH: usize = 100;

/// Time limit of a batch.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What was found.
#[derive(Default, Serialize)]
struct Swept {
    open: u64,
    gone: u64,
    /// Those of which the gateway did not tell.
    unknown: u64,
    deleted: u64,
}

/// Asks the gateway for every recorded connection, and deletes the rows of those that are gone; without `confirm`, counts
/// them.
///
/// # Errors
///
/// The database fails, or Ctrl-C.
pub async fn run(store: &Store, push: &Push, confirm: bool, output: Output) -> Result<Outcome> {
    let interrupt = Interrupt::listen();
    let rows: Vec<Connection> = store.inspect_connections().await?.try_collect().await?;
    let bar = progress::of_connections(rows.len() as u64);
    let mut swept = Swept::default();
    for batch in rows.chunks(BATCH) {
        sweep(store, push, batch, confirm, &mut swept).await?;
        bar.inc(batch.len() as u64);
        if interrupt.is_pressed() {
            break;
        }
    }
    bar.finish_and_clear();
    let Swept {
        open,
        gone,
        unknown,
        deleted,
    } = swept;
    output.line(&swept, || {
        format!(
            "{open} open, {gone} gone, {unknown} unknown: {} deleted",
            count(deleted, "row")
        )
    })?;
    if interrupt.is_pressed() {
        bail!("interrupted: run it again to go on");
    }
    if gone > 0 && !confirm {
        note("--confirm deletes the rows of those that are gone");
    }
    if unknown > 0 {
        bail!("the gateway does not answer, or refuses the credentials");
    }
    Ok(Outcome::Good)
}

async fn sweep(
    store: &Store,
    push: &Push,
    batch: &[Connection],
    confirm: bool,
    swept: &mut Swept,
) -> Result<()> {
    let deadline = Deadline::after(TIMEOUT);
    let looked_up = push.look_up_all(batch.to_vec(), Utc::now(), deadline);
    let (open, gone) = looked_up.await;
    swept.open += open.len() as u64;
    swept.gone += gone.len() as u64;
    swept.unknown += (batch.len() - open.len() - gone.len()) as u64;
    if confirm && !gone.is_empty() {
        store.delete_connections(&gone, deadline).await?;
        let seen = gone
            .iter()
            .map(|it| (it.user_id.clone(), it.connected_at()));
        store.record_seen(seen.collect(), deadline).await?;
        swept.deleted += gone.len() as u64;
    }
    Ok(())
}

//! The removal of old messages.

use std::ops::ControlFlow;

use anyhow::{Context, Result, bail};
use chat::Store;
use chat::retention::{self, Summary};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::interrupt::Interrupt;
use crate::outcome::Outcome;
use crate::output::{Output, count};
use crate::progress;

/// What is removed, or would be.
#[derive(Serialize)]
struct Line {
    /// How many entries are old; some stay, without their texts.
    old: u64,
    #[serde(flatten)]
    removed: Option<Summary>,
}

/// Removes the messages that are older than an age; without `confirm`, says how many.
///
/// # Errors
///
/// The database fails, or Ctrl-C. What is removed stays removed.
pub async fn run(store: &Store, age: TimeDelta, confirm: bool, output: Output) -> Result<Outcome> {
    let before = Utc::now().checked_sub_signed(age);
    let before = before.context("nothing is as old as that")?;
    let old = retention::count(store, before).await?;
    if !confirm {
        let line = Line { old, removed: None };
        output.line(&line, || {
            format!("{} older; --confirm removes them", count(old, "entry"))
        })?;
        return Ok(Outcome::Good);
    }
    let summary = remove(store, before, old)
        .await
        .context("what is removed stays removed: run it again to go on")?;
    let Summary {
        deleted, blanked, ..
    } = summary;
    let line = Line {
        old,
        removed: Some(summary),
    };
    output.line(&line, || {
        let deleted = count(deleted, "entry");
        format!(
            "{deleted} removed, and {} of newest ones",
            count(blanked, "text")
        )
    })?;
    if !summary.complete {
        bail!("interrupted: run it again to go on");
    }
    Ok(Outcome::Good)
}

/// Removes what is from before a time, until Ctrl-C.
async fn remove(store: &Store, before: DateTime<Utc>, old: u64) -> Result<Summary> {
    let bar = progress::of_entries(Some(old));
    let interrupt = Interrupt::listen();
    let summary = retention::run(store, before, |summary| {
        bar.set_position(summary.seen);
        if interrupt.is_pressed() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let summary = summary.await;
    bar.finish_and_clear();
    Ok(summary?)
}

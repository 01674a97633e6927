//! New entries, as they are written.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use chat::{ConversationId, Deadline, Entry, Store};
use chrono::{TimeDelta, Utc};
use tokio::time::{MissedTickBehavior, interval};

use crate::conversation::Line;
use crate::interrupt::Interrupt;
use crate::outcome::Outcome;
use crate::output::Output;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// The time before now that is looked at each time: the clocks of processes differ, and an insert takes its time.
const OVERLAP: TimeDelta = TimeDelta::seconds(10);

/// Time limit of a look.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Prints new entries until Ctrl-C, each once: of one conversation, or of all.
///
/// Looks once a second. A change stream would need no look, and a replica set of MongoDB's own, which the embedded
/// database is not.
///
/// # Errors
///
/// The database fails, or standard output is closed.
pub async fn run(
    store: &Store,
    conversation: Option<ConversationId>,
    texts: bool,
    output: Output,
) -> Result<Outcome> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let interrupt = Interrupt::listen();
    // Those from before the start are not new.
    let mut seen = ids(&look(store).await?);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = interrupt.pressed() => return Ok(Outcome::Good),
        }
        let entries = look(store).await?;
        let looked_at = ids(&entries);
        for entry in entries {
            let is_asked = conversation
                .as_ref()
                .is_none_or(|id| *id == entry.conversation_id);
            if is_asked && !seen.contains(&entry.message_id) {
                let line = Line::new(entry, texts);
                output.line(&line, || line.text())?;
            }
        }
        seen = looked_at;
    }
}

fn ids(entries: &[Entry]) -> BTreeSet<String> {
    let ids = entries.iter().map(|entry| entry.message_id.clone());
    ids.collect()
}

async fn look(store: &Store) -> Result<Vec<Entry>> {
    let since = Utc::now() - OVERLAP;
    Ok(store.entries_since(since, Deadline::after(TIMEOUT)).await?)
}

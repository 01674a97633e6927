//! New entries, as they are written.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use chat::{ConversationId, Deadline, Entry, Store};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{MissedTickBehavior, interval};

use crate::conversation::Line;
use crate::failure;
use crate::interrupt::Interrupt;
use crate::outcome::Outcome;
use crate::output::{Output, note};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// The time before the last look that is looked at once more: the clocks of processes differ, and an insert takes its time.
const OVERLAP: TimeDelta = TimeDelta::seconds(10);

/// Time limit of a look.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Prints new entries until Ctrl-C, each once: of one conversation, or of all. After a look that failed it goes on.
///
/// Looks once a second. A change stream would need no look, and a replica set of MongoDB's own, which the embedded
/// database is not.
///
/// # Errors
///
/// The database fails at the start, or standard output is closed.
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
    let mut last_look = Utc::now();
    let mut seen = ids(&look(store, last_look).await?);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = interrupt.pressed() => return Ok(Outcome::Good),
        }
        let now = Utc::now();
        let entries = match look(store, last_look).await {
            Ok(entries) => entries,
            Err(error) => {
                let error = failure::in_words(&error);
                note(format_args!(
                    "warning: {error}; trying again, nothing is left out"
                ));
                continue;
            }
        };
        last_look = now;
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

/// Returns the entries since the last look that was successful.
async fn look(store: &Store, last_look: DateTime<Utc>) -> Result<Vec<Entry>> {
    let since = last_look - OVERLAP;
    Ok(store.entries_since(since, Deadline::after(TIMEOUT)).await?)
}

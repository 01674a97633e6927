//! The rate limits of a user or a group.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use chat::store::Limited;
use chat::{ConversationId, Deadline, Store, UserId, timestamp};
use chrono::Utc;
use serde::Serialize;

use crate::outcome::Outcome;
use crate::output::Output;

/// Time limit of the whole.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A limit.
#[derive(Serialize)]
struct Row {
    limit: Limited,
    /// When none of it is used up any more; `None` if it is so now.
    full_at: Option<String>,
}

/// Whether the limits were filled.
#[derive(Serialize)]
struct Reset<'a> {
    id: &'a str,
    filled: bool,
}

/// Returns the limits that a user, or a group, has.
fn limits_of(id: &str) -> Result<Vec<Limited>> {
    if ConversationId::from(id.to_owned()).is_group() {
        return Ok(vec![Limited::Entries]);
    }
    if id.starts_with("group:") {
        bail!("{id} is no id of a group: that is group: with 22 letters, digits, - or _");
    }
    UserId::try_from(id.to_owned()).context("the user")?;
    Ok(Limited::OF_USERS.to_vec())
}

/// Prints how far the limits of a user, or of a group, are used up. With `reset`, fills them if that is confirmed.
///
/// # Errors
///
/// The database fails, or it is no id.
pub async fn run(store: &Store, id: &str, reset: Option<bool>, output: Output) -> Result<Outcome> {
    let (now, deadline) = (Utc::now(), Deadline::after(TIMEOUT));
    let limits = limits_of(id)?;
    let mut rows = Vec::new();
    for limit in limits {
        let full_at = store.full_at(limit, id, deadline).await?;
        rows.push(Row {
            limit,
            full_at: full_at.filter(|at| *at > now).map(timestamp::format),
        });
        if reset == Some(true) {
            store.fill_limit(limit, id, deadline).await?;
        }
    }
    output.rows(["limit", "full at"], &rows, |row| {
        let full_at = row.full_at.clone();
        [
            format!("{:?}", row.limit).to_lowercase(),
            full_at.unwrap_or_else(|| "now".to_owned()),
        ]
    })?;
    if let Some(filled) = reset {
        output.line(&Reset { id, filled }, || {
            let text = if filled {
                "they are full now"
            } else {
                "--confirm fills them"
            };
            text.to_owned()
        })?;
    }
    Ok(Outcome::Good)
}

//! The removal of old entries: a function that a schedule invokes once a day, or an operator with any event.
//!
//! A run ends before the timeout of the function. If old entries are left then, it fails: Lambda repeats an event that
//! has failed, and an alarm tells that there is more to remove than a day's runs can do.

use std::ops::ControlFlow;
use std::time::Duration;

use chat::retention::{self, MARGIN, Summary};
use chat::{Deadline, Error, Result, Store};
use chat_lambda::config::DatabaseConfig;
use chat_lambda::{HandlerError, deadline, env};
use chrono::{TimeDelta, Utc};
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

/// Time kept back for a batch that is under way.
const BATCH_RESERVE: Duration = Duration::from_secs(10);

/// Timeout if the runtime's deadline is unusable.
const NO_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Settings from environment variables.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: DatabaseConfig,
    /// `RETENTION_DAYS`: the age at which entries are removed.
    pub retention: TimeDelta,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: a variable is missing or malformed.
    pub fn from_env() -> Result<Self> {
        let keeps_all =
            || env::invalid("RETENTION_DAYS", "is 0 or not set: nothing is ever removed");
        let database = DatabaseConfig::from_env()?;
        Ok(Self {
            retention: database.retention.ok_or_else(keeps_all)?,
            database,
        })
    }
}

/// The dependencies of the handler.
pub struct Deps {
    /// The database.
    pub store: Store,
    /// The age at which entries are removed.
    pub retention: TimeDelta,
}

/// Removes old entries. Returns how many.
///
/// # Errors
///
/// `Unavailable`: the database failed, or the time did not suffice. What is removed stays removed.
pub async fn handle(event: LambdaEvent<Value>, deps: &'static Deps) -> Result<Value, HandlerError> {
    let deadline = deadline::if_known(&event.context);
    let removed = remove(
        deps,
        deadline.unwrap_or_else(|| Deadline::after(NO_TIMEOUT)),
    );
    let summary = removed.await.inspect_err(|error| {
        tracing::error!(
            cause = error.chain(),
            monotonic_counter.Failures = 1,
            "old entries not removed"
        );
    })?;
    Ok(json!(summary))
}

async fn remove(deps: &Deps, deadline: Deadline) -> Result<Summary> {
    let before = Utc::now() - deps.retention - MARGIN;
    let is_over = |_| {
        if deadline.remaining() < BATCH_RESERVE {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let summary = retention::run(&deps.store, before, is_over).await?;
    tracing::info!(
        seen = summary.seen,
        blanked = summary.blanked,
        monotonic_counter.EntriesRemoved = summary.deleted,
        "old entries removed"
    );
    if summary.complete {
        return Ok(summary);
    }
    Err(Error::unavailable("removal of old entries")(
        "the time did not suffice; the next run goes on",
    ))
}

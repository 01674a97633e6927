//! One run of the migration, which ends before the timeout of the function.

use std::time::Duration;

use chat::migration::{self, Progress, Step, Summary};
use chat::{Deadline, Error, Result, Store};
use chat_lambda::config::{ConnectionString, DatabaseConfig};
use tokio::sync::watch;

/// Time kept back for the response to CloudFormation, with all its attempts; half of the time if there
/// is less than two of these.
const RESPONSE_RESERVE: Duration = Duration::from_secs(20);

/// Timeout if the runtime's deadline is unusable: effectively none.
const NO_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The time for which a denied secret is retried: permissions of a role that the deployment has only
/// just made take [some seconds] to be effective everywhere.
///
/// [some seconds]: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
const SECRET_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause before the secret is fetched again.
const SECRET_PAUSE: Duration = Duration::from_secs(3);

/// Old messages, or conversations, between two lines of the log.
const REPORT_EVERY: u64 = 10_000;

/// Returns the error of a run that has got this far; not even to the first batch, if there is no progress.
fn out_of_time(progress: Option<Progress>) -> Error {
    let done = match progress {
        None => "the indexes were not made, or the old messages not counted, in time".to_owned(),
        Some(Progress { step, done, total }) => match step {
            Step::Numbering => format!("numbered {done} of {total} old messages in time"),
            Step::Members => {
                format!("recorded the members of {done} of {total} conversations in time")
            }
        },
    };
    Error::unavailable("migration")(format!(
        "{done}; what is done stays done: deploy again to go on"
    ))
}

/// Logs the first batch of a step, and then one now and again.
fn log(progress: Progress, last: Option<Progress>) -> bool {
    let Progress { step, done, total } = progress;
    let last = last.filter(|last| last.step == step);
    if last.is_some_and(|last| done - last.done < REPORT_EVERY) {
        return false;
    }
    match step {
        Step::Numbering => tracing::info!(numbered = done, of = total, "old messages numbered"),
        Step::Members => tracing::info!(conversations = done, of = total, "members recorded"),
    }
    true
}

/// Runs the migration until it is done or `deadline` is near.
///
/// It stops by itself between two batches. A batch, or the creation of an index, that takes longer is
/// finished by the database.
///
/// # Errors
///
/// - [`Error::Config`]: the connection string is malformed.
/// - [`Error::Unavailable`]: the database failed, or the time did not suffice. Numbered documents
///   stay numbered: run it again.
pub async fn run(config: DatabaseConfig, deadline: Option<Deadline>) -> Result<Summary> {
    let left = deadline.map_or(NO_TIMEOUT, |deadline| deadline.remaining());
    let reserve = RESPONSE_RESERVE.min(left / 2);
    let last_batch = Deadline::after(left - reserve);
    let end = Deadline::after(left - reserve * 3 / 4);
    let (report, progress) = watch::channel(None);
    let work = async move {
        let store = open(&config).await?;
        let mut logged = None;
        migration::run(store.database(), |progress| {
            if log(progress, logged) {
                logged = Some(progress);
            }
            report.send_replace(Some(progress));
            // The last batch of a step may be followed by another step.
            let is_over = last_batch.remaining().is_zero();
            let is_last = progress.step == Step::Members && progress.done == progress.total;
            if is_over && !is_last {
                return Err(out_of_time(Some(progress)));
            }
            Ok(())
        })
        .await
    };
    let ended = end.run("migration", async move { Ok(work.await) }).await;
    let summary = ended.unwrap_or_else(|_| Err(out_of_time(*progress.borrow())))?;
    tracing::info!(
        numbered = summary.numbered,
        conversations = summary.conversations,
        "migration done"
    );
    if summary.skipped > 0 {
        tracing::warn!(
            documents = summary.skipped,
            "documents without a valid sender_id, receiver_id, message and timestamp are left alone"
        );
    }
    Ok(summary)
}

/// Opens the store. Retries for a while where its connection string is a secret.
async fn open(config: &DatabaseConfig) -> Result<Store> {
    let timeout = match config.uri {
        ConnectionString::InSecret(_) => SECRET_TIMEOUT,
        ConnectionString::Literal(_) => Duration::ZERO,
    };
    let end = Deadline::after(timeout);
    loop {
        match config.open_store().await {
            Err(error @ Error::Unavailable { .. }) if end.remaining() > SECRET_PAUSE => {
                tracing::warn!(cause = error.chain(), "secret not available yet");
                tokio::time::sleep(SECRET_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

//! One run of the migration, which ends before Lambda ends it.

use std::time::Duration;

use chat::migration::{self, Summary};
use chat::{Deadline, Error, Result, Store};
use chat_lambda::config::{ConnectionString, DatabaseConfig};
use tokio::sync::watch;

/// Time kept back for the answer to CloudFormation, with all its tries; half of the time if there is
/// less than two of these.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// The time taken where Lambda's own is not known: as good as none.
const UNTOLD: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the secret may be refused: rights of a role that the deployment has only just made
/// take [some seconds] to hold everywhere.
///
/// [some seconds]: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
const RIGHTS_PATIENCE: Duration = Duration::from_secs(30);

/// The pause before the secret is asked for again.
const RIGHTS_PAUSE: Duration = Duration::from_secs(3);

/// Old messages between two lines of the log.
const REPORT_EVERY: u64 = 10_000;

/// How far a run has come; 0 of 0 until the old messages are counted.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    numbered: u64,
    of: u64,
}

impl Progress {
    fn out_of_time(self) -> Error {
        let Self { numbered, of } = self;
        let done = match of {
            0 => "the indexes were not made, or the old messages not counted, in time".to_owned(),
            _ => format!("numbered {numbered} of {of} old messages in time"),
        };
        Error::unavailable("migration")(format!(
            "{done}; what is done stays done: deploy again to go on"
        ))
    }
}

/// Runs the migration until it is done or `deadline` is near.
///
/// It stops by itself between two batches. A batch, or the making of an index, that takes longer
/// than that is left alone, and finished by the database.
///
/// # Errors
///
/// - [`Error::Config`]: the connection string is malformed.
/// - [`Error::Unavailable`]: the database failed, or the time did not suffice. What is done stays
///   done: run it again.
pub async fn run(config: DatabaseConfig, deadline: Option<Deadline>) -> Result<Summary> {
    let left = deadline.map_or(UNTOLD, |deadline| deadline.remaining());
    let answer_time = ANSWER_TIME.min(left / 2);
    let last_batch = Deadline::after(left - answer_time);
    let end = Deadline::after(left - answer_time * 3 / 4);
    let (report, progress) = watch::channel(Progress::default());
    let work = async move {
        let store = open(&config).await?;
        let mut logged = 0;
        migration::run(store.database(), |numbered, of| {
            let progress = Progress { numbered, of };
            if logged == 0 || numbered - logged >= REPORT_EVERY {
                logged = numbered;
                tracing::info!(numbered, of, "old messages numbered");
            }
            report.send_replace(progress);
            match last_batch.remaining().is_zero() && numbered < of {
                true => Err(progress.out_of_time()),
                false => Ok(()),
            }
        })
        .await
    };
    let ended = end.bound("migration", async move { Ok(work.await) }).await;
    let summary = ended.unwrap_or_else(|_| Err(progress.borrow().out_of_time()))?;
    tracing::info!(numbered = summary.numbered, "migration done");
    if summary.skipped > 0 {
        tracing::warn!(
            documents = summary.skipped,
            "documents without a valid sender_id, receiver_id, message and timestamp are left alone"
        );
    }
    Ok(summary)
}

/// Opens the store, and is patient where its connection string is a secret.
async fn open(config: &DatabaseConfig) -> Result<Store> {
    let patience = match config.uri {
        ConnectionString::Referred(_) => RIGHTS_PATIENCE,
        ConnectionString::Given(_) => Duration::ZERO,
    };
    let end = Deadline::after(patience);
    loop {
        match config.open_store().await {
            Err(error @ Error::Unavailable { .. }) if end.remaining() > RIGHTS_PAUSE => {
                tracing::warn!(cause = error.chain(), "trying again");
                tokio::time::sleep(RIGHTS_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

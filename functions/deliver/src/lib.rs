//! Pushes to large groups: the consumer of the queue that `send-message` fills.
//!
//! A message of the queue is a [`Slice`], a part of the recipients of an entry. Its pushes are made by the same code
//! as those within a request. If the database is down, the message is reported as failed, and the queue delivers it
//! again. So is a message that cannot be read: after some tries the queue moves it to its dead-letter queue.
//!
//! - [`event`]: the event of a queue, and its response

pub mod event;

use chat::delivery::push::CONCURRENT_CALLS;
use chat::delivery::slice::{DeliveredSlice, Slice};
use chat::{Deadline, Delivery, Error, Result, Store};
use chat_lambda::config::{DatabaseConfig, PushConfig};
use chat_lambda::offline::OfflineTopic;
use chat_lambda::{HandlerError, deadline, env};
use chrono::Utc;
use lambda_runtime::LambdaEvent;
use tracing::Instrument;
use tracing::field::Empty;

use event::{Failure, QueueEvent, QueueResponse, Record};

/// Settings from environment variables.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: DatabaseConfig,
    /// The management API.
    pub push: PushConfig,
    /// `OFFLINE_TOPIC_ARN`, `OFFLINE_TOPIC_TEXTS`: the topic for texts that no connection has got, if there is one.
    pub offline: Option<OfflineTopic>,
    /// `PUSHES_AT_ONCE`: pushes of a process that are on their way at once; default 32.
    pub pushes_at_once: usize,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Config`]: a variable is missing or malformed.
    pub fn from_env() -> Result<Self> {
        const PUSHES: &str = "PUSHES_AT_ONCE";
        let pushes_at_once = env::number(PUSHES, CONCURRENT_CALLS)?;
        if pushes_at_once == 0 {
            return Err(env::invalid(PUSHES, "is 0"));
        }
        Ok(Self {
            database: DatabaseConfig::from_env()?,
            push: PushConfig::from_env()?,
            offline: OfflineTopic::from_env()?,
            pushes_at_once,
        })
    }
}

/// The dependencies of the handler.
pub struct Deps {
    /// The database.
    pub store: Store,
    /// The delivery of frames.
    pub delivery: Delivery,
    /// The topic for texts that no connection has got, if there is one.
    pub offline: Option<OfflineTopic>,
}

/// Delivers the slices of an event. Returns those that the queue is to deliver again.
///
/// # Errors
///
/// None: a failure is that of a slice.
pub async fn handle(
    event: LambdaEvent<QueueEvent>,
    deps: &'static Deps,
) -> Result<QueueResponse, HandlerError> {
    let deadline = deadline::from(&event.context);
    let mut response = QueueResponse::default();
    for record in event.payload.records {
        let span = tracing::info_span!(
            "slice",
            message_id = record.message_id,
            conversation_id = Empty,
            seq = Empty,
        );
        let delivered = deliver(&record, deadline, deps).instrument(span.clone());
        if let Err(error) = delivered.await {
            span.in_scope(|| log_failure(&error));
            response.batch_item_failures.push(Failure {
                item_identifier: record.message_id,
            });
        }
    }
    Ok(response)
}

fn log_failure(error: &Error) {
    tracing::error!(
        cause = error.chain(),
        monotonic_counter.Failures = 1,
        "slice not delivered"
    );
}

/// Delivers one slice.
///
/// # Errors
///
/// [`Error::Unavailable`]: the message is no slice, or the database failed.
async fn deliver(record: &Record, deadline: Deadline, deps: &Deps) -> Result<()> {
    let slice = Slice::from_json(&record.body)?;
    let span = tracing::Span::current();
    span.record("conversation_id", slice.conversation_id.as_str());
    span.record("seq", slice.seq);
    let now = Utc::now();
    let delivering = deps.delivery.deliver_slice(&slice, now, deadline);
    let Some(delivered) = delivering.await? else {
        tracing::warn!("there is no such entry");
        return Ok(());
    };
    let DeliveredSlice {
        entry,
        users,
        deliveries,
    } = delivered;
    tracing::info!(
        duration_ms = (Utc::now() - now).num_milliseconds(),
        monotonic_counter.PushesDelivered = deliveries.delivered.len(),
        monotonic_counter.PushesGone = deliveries.gone.len(),
        monotonic_counter.PushesFailed = deliveries.failed,
        "slice delivered"
    );
    if let Some(topic) = &deps.offline {
        topic
            .announce(&deps.store, &entry, &users, &deliveries, deadline)
            .await;
    }
    Ok(())
}

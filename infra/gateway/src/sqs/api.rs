//! The actions of the API, from JSON to JSON.
//!
//! - `send`: sends messages
//! - `receive`: receives and deletes messages
//! - `attributes`: settings and counts of a queue
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html>

mod attributes;
mod receive;
mod send;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::error::ApiError;
use super::queues::Queues;
use crate::model::{self, ACCOUNT_ID, queue_url};

/// Limit of the entries of a batch.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
const MAX_ENTRIES: usize = 10;

/// The API of queues.
pub struct Api {
    queues: Arc<Queues>,
    /// The base URL of the queues' URLs.
    base_url: String,
    /// Cancelled when calls no longer wait for messages.
    stop: CancellationToken,
}

/// A request for a queue.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ForQueue {
    queue_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueUrl {
    queue_name: Option<String>,
}

impl Api {
    /// Returns the API of `queues`, whose URLs begin with `base_url`.
    pub fn new(queues: Arc<Queues>, base_url: String, stop: CancellationToken) -> Self {
        Self {
            queues,
            base_url,
            stop,
        }
    }

    /// Returns the queues.
    pub fn queues(&self) -> &Arc<Queues> {
        &self.queues
    }

    /// Performs an action with the JSON of its request, and returns that of its response; null if it has
    /// none.
    ///
    /// # Errors
    ///
    /// Those of the action, and `UnsupportedOperation` for one that is not served here.
    pub async fn call(&self, action: &str, request: &[u8]) -> Result<Value, ApiError> {
        if action == "GetQueueUrl" {
            return self.url(parse(request)?);
        }
        let queue = self.queue(parse::<ForQueue>(request)?.queue_url.as_deref())?;
        match action {
            "SendMessage" => self.send(&queue, parse(request)?),
            "SendMessageBatch" => self.send_batch(&queue, parse(request)?),
            "ReceiveMessage" => self.receive(&queue, parse(request)?).await,
            "DeleteMessage" => self.delete(&queue, parse(request)?),
            "DeleteMessageBatch" => self.delete_batch(&queue, parse(request)?),
            "GetQueueAttributes" => self.attributes(&queue, parse(request)?),
            "PurgeQueue" => {
                self.queues.purge(&queue.name);
                Ok(Value::Null)
            }
            action => Err(ApiError::unsupported(action)),
        }
    }

    fn url(&self, request: GetQueueUrl) -> Result<Value, ApiError> {
        let name = request.queue_name;
        let name = name.ok_or_else(|| ApiError::missing("QueueName"))?;
        let queue = self.queues.settings(&name);
        let queue = queue.ok_or_else(ApiError::no_such_queue)?;
        Ok(json!({"QueueUrl": queue_url(&self.base_url, &queue.name)}))
    }

    /// Returns the queue of a URL, whatever its host: there are several names for this machine.
    fn queue(&self, url: Option<&str>) -> Result<model::Queue, ApiError> {
        let url = url.ok_or_else(|| ApiError::missing("QueueUrl"))?;
        let mut segments = url.rsplit('/');
        let queue = segments.next().and_then(|name| self.queues.settings(name));
        let is_ours = segments.next() == Some(ACCOUNT_ID);
        queue
            .filter(|_| is_ours)
            .ok_or_else(ApiError::no_such_queue)
    }
}

fn parse<T: DeserializeOwned>(request: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(request).map_err(|error| ApiError::malformed(&error.to_string()))
}

/// Checks the ids of the entries of a batch.
fn check_entries<'a>(ids: impl ExactSizeIterator<Item = &'a String>) -> Result<(), ApiError> {
    let count = ids.len();
    if count == 0 {
        let message = "There should be at least one entry in the request.";
        return Err(ApiError::prefixed("EmptyBatchRequest", message));
    }
    if count > MAX_ENTRIES {
        let message = format!(
            "Maximum number of entries per request are {MAX_ENTRIES}. You have sent {count}."
        );
        return Err(ApiError::prefixed("TooManyEntriesInBatchRequest", &message));
    }
    let mut known = HashSet::new();
    for id in ids {
        let is_valid = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        if id.is_empty() || id.len() > 80 || !id.chars().all(is_valid) {
            let message = "A batch entry id can only contain alphanumeric characters, hyphens and \
                           underscores. It can be at most 80 letters long.";
            return Err(ApiError::prefixed("InvalidBatchEntryId", message));
        }
        if !known.insert(id) {
            let message = format!("Id {id} repeated.");
            return Err(ApiError::prefixed("BatchEntryIdsNotDistinct", &message));
        }
    }
    Ok(())
}

/// Returns the response to a batch: the results of the entries, by their ids.
fn batch_response(results: Vec<(String, Result<Value, ApiError>)>) -> Value {
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (id, result) in results {
        match result {
            Ok(mut entry) => {
                entry["Id"] = id.into();
                successful.push(entry);
            }
            Err(error) => failed.push(json!({
                "Id": id,
                "Code": error.code,
                "Message": error.message,
                "SenderFault": error.status.is_client_error(),
            })),
        }
    }
    json!({"Successful": successful, "Failed": failed})
}

/// Returns a parameter of seconds.
fn seconds(name: &str, value: Option<i64>, max: i64) -> Result<Option<Duration>, ApiError> {
    let Some(seconds) = value else {
        return Ok(None);
    };
    match u64::try_from(seconds) {
        Ok(valid) if seconds <= max => Ok(Some(Duration::from_secs(valid))),
        _ => Err(ApiError::invalid(&format!(
            "Value {seconds} for parameter {name} is invalid. Reason: Must be >= 0 and <= {max}."
        ))),
    }
}

#[cfg(test)]
mod tests;

//! Receives and deletes messages.

use std::time::Instant;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Api, MAX_ENTRIES, batch_response, check_entries, seconds};
use crate::model;
use crate::sqs::error::ApiError;
use crate::sqs::event::system_attributes;
use crate::sqs::message::{Attributes, attributes_hash};
use crate::sqs::queue::{Batch, Limits, Received};

/// Longest time for which a message is hidden, in seconds.
const MAX_VISIBILITY_TIMEOUT: i64 = 43_200;

/// Longest wait for a message, in seconds.
const MAX_WAIT: i64 = 20;

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ReceiveMessage {
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    /// The older name of the next one.
    attribute_names: Vec<String>,
    message_system_attribute_names: Vec<String>,
    message_attribute_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteMessage {
    receipt_handle: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct DeleteMessageBatch {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    receipt_handle: String,
}

impl Api {
    pub(super) async fn receive(
        &self,
        queue: &model::Queue,
        request: ReceiveMessage,
    ) -> Result<Value, ApiError> {
        let count = usize::try_from(request.max_number_of_messages.unwrap_or(1));
        let count = count.ok().filter(|count| (1..=MAX_ENTRIES).contains(count));
        let count = count.ok_or_else(|| {
            ApiError::invalid("MaxNumberOfMessages must be between 1 and 10, if provided.")
        })?;
        let hidden_for = request.visibility_timeout;
        let hidden_for = seconds("VisibilityTimeout", hidden_for, MAX_VISIBILITY_TIMEOUT)?;
        let wait = seconds("WaitTimeSeconds", request.wait_time_seconds, MAX_WAIT)?;
        let deadline = Instant::now() + wait.unwrap_or(queue.receive_wait);
        let limits = Limits {
            count,
            record_bytes: usize::MAX,
        };
        let hidden_for = hidden_for.unwrap_or(queue.visibility_timeout);
        let received = self
            .queues
            .receive(&queue.name, limits, hidden_for, Some(deadline));
        let batch = tokio::select! {
            biased;
            batch = received => batch,
            () = self.stop.cancelled() => Batch::default(),
        };
        if batch.messages.is_empty() {
            return Ok(json!({}));
        }
        let messages = batch.messages.iter();
        let messages: Vec<_> = messages.map(|received| request.message(received)).collect();
        Ok(json!({"Messages": messages}))
    }

    pub(super) fn delete(
        &self,
        queue: &model::Queue,
        request: DeleteMessage,
    ) -> Result<Value, ApiError> {
        self.queues.delete(&queue.name, &request.receipt_handle)?;
        Ok(Value::Null)
    }

    pub(super) fn delete_batch(
        &self,
        queue: &model::Queue,
        request: DeleteMessageBatch,
    ) -> Result<Value, ApiError> {
        let entries = request.entries;
        check_entries(entries.iter().map(|entry| &entry.id))?;
        let results = entries.into_iter().map(|entry| {
            let deleted = self.queues.delete(&queue.name, &entry.receipt_handle);
            (entry.id, deleted.map(|()| json!({})))
        });
        Ok(batch_response(results.collect()))
    }
}

impl ReceiveMessage {
    /// Returns a message with the attributes that are asked for.
    fn message(&self, received: &Received) -> Value {
        let message = &received.message;
        let mut value = json!({
            "MessageId": message.id,
            "ReceiptHandle": received.receipt_handle,
            "MD5OfBody": message.body_hash(),
            "Body": message.body,
        });
        let attributes = self.system_attributes(received);
        if !attributes.is_empty() {
            value["Attributes"] = attributes.into();
        }
        let attributes = self.message_attributes(received);
        if let Some(hash) = attributes_hash(&attributes) {
            value["MD5OfMessageAttributes"] = hash.into();
            value["MessageAttributes"] = json!(attributes);
        }
        value
    }

    fn system_attributes(&self, received: &Received) -> Map<String, Value> {
        let is_wanted = |name: &str| {
            let wanted = self.attribute_names.iter();
            let mut wanted = wanted.chain(&self.message_system_attribute_names);
            wanted.any(|wanted| wanted == "All" || wanted == name)
        };
        let attributes = system_attributes(received).into_iter();
        attributes.filter(|(name, _)| is_wanted(name)).collect()
    }

    /// Returns the attributes of the sender that are asked for: by name, by the start of names
    /// (`trace.*`), or all of them.
    fn message_attributes(&self, received: &Received) -> Attributes {
        let is_wanted = |name: &str| {
            let mut wanted = self.message_attribute_names.iter();
            wanted.any(|wanted| match wanted.strip_suffix(".*") {
                Some(start) => name.starts_with(start),
                None => wanted == "All" || wanted == name,
            })
        };
        let attributes = received.message.attributes.iter();
        let wanted = attributes.filter(|(name, _)| is_wanted(name));
        wanted
            .map(|(name, attribute)| (name.clone(), attribute.clone()))
            .collect()
    }
}

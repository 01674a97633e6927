//! Sends messages.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, batch_response, check_entries, seconds};
use crate::model;
use crate::sqs::error::ApiError;
use crate::sqs::message::{Attributes, Message};

/// Size limit of the messages of a batch together, in bytes; also that of one message.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>
const MAX_BATCH_BYTES: usize = 1_048_576;

/// Longest delay of a message, in seconds.
const MAX_DELAY: i64 = 900;

/// A message to send.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct SendMessage {
    message_body: String,
    delay_seconds: Option<i64>,
    message_attributes: Option<Attributes>,
    message_system_attributes: Option<Attributes>,
}

/// Messages to send.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct SendMessageBatch {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    #[serde(flatten)]
    message: SendMessage,
}

/// A message and its own delay, in seconds.
type Parcel = (Message, Option<i64>);

impl Api {
    pub(super) fn send(
        &self,
        queue: &model::Queue,
        request: SendMessage,
    ) -> Result<Value, ApiError> {
        self.send_one(queue, self.parcel(request))
    }

    pub(super) fn send_batch(
        &self,
        queue: &model::Queue,
        request: SendMessageBatch,
    ) -> Result<Value, ApiError> {
        check_entries(request.entries.iter().map(|entry| &entry.id))?;
        let entries = request.entries.into_iter();
        let entries: Vec<_> = entries
            .map(|entry| (entry.id, self.parcel(entry.message)))
            .collect();
        let bytes = entries.iter().map(|(_, (message, _))| message.bytes());
        let bytes: usize = bytes.sum();
        if bytes > MAX_BATCH_BYTES {
            let message = format!(
                "Batch requests cannot be longer than {MAX_BATCH_BYTES} bytes. You have sent {bytes} \
                 bytes."
            );
            return Err(ApiError::prefixed("BatchRequestTooLong", &message));
        }
        let results = entries.into_iter();
        let results = results.map(|(id, parcel)| (id, self.send_one(queue, parcel)));
        Ok(batch_response(results.collect()))
    }

    fn send_one(&self, queue: &model::Queue, (message, delay): Parcel) -> Result<Value, ApiError> {
        let delay = seconds("DelaySeconds", delay, MAX_DELAY)?;
        message.check(queue.max_message_bytes)?;
        let response = response(&message);
        self.queues
            .send(&queue.name, message, delay.unwrap_or(queue.delay))?;
        Ok(response)
    }

    fn parcel(&self, request: SendMessage) -> Parcel {
        let mut system_attributes = request.message_system_attributes.unwrap_or_default();
        let trace_header = system_attributes.remove("AWSTraceHeader");
        let message = Message {
            id: uuid::Uuid::new_v4().to_string(),
            body: request.message_body,
            attributes: request.message_attributes.unwrap_or_default(),
            trace_header: trace_header.and_then(|header| header.string_value),
            sent_at: self.queues.now(),
        };
        (message, request.delay_seconds)
    }
}

fn response(message: &Message) -> Value {
    let mut response = json!({
        "MessageId": message.id,
        "MD5OfMessageBody": message.body_hash(),
    });
    if let Some(hash) = message.attributes_hash() {
        response["MD5OfMessageAttributes"] = hash.into();
    }
    if let Some(hash) = message.system_attributes_hash() {
        response["MD5OfMessageSystemAttributes"] = hash.into();
    }
    response
}

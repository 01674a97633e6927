//! Settings and counts of a queue.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Api;
use crate::model::{self, queue_arn};
use crate::sqs::error::ApiError;

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct GetQueueAttributes {
    attribute_names: Vec<String>,
}

impl Api {
    pub(super) fn attributes(
        &self,
        queue: &model::Queue,
        request: GetQueueAttributes,
    ) -> Result<Value, ApiError> {
        let all = self.all_attributes(queue);
        let wanted = request.attribute_names;
        let is_known = |name: &&String| *name == "All" || all.contains_key(*name);
        if let Some(unknown) = wanted.iter().find(|name| !is_known(name)) {
            return Err(ApiError::invalid_attribute(unknown));
        }
        let is_wanted = |name: &String| {
            wanted
                .iter()
                .any(|wanted| wanted == "All" || wanted == name)
        };
        let attributes = all.into_iter().filter(|(name, _)| is_wanted(name));
        Ok(json!({"Attributes": attributes.collect::<Map<_, _>>()}))
    }

    /// Returns all attributes, as texts.
    fn all_attributes(&self, queue: &model::Queue) -> Map<String, Value> {
        let counts = self.queues.counts(&queue.name);
        let mut attributes = Map::new();
        let mut add = |name: &str, value: String| attributes.insert(name.to_owned(), value.into());
        add("ApproximateNumberOfMessages", counts.visible.to_string());
        add(
            "ApproximateNumberOfMessagesNotVisible",
            counts.in_flight.to_string(),
        );
        add(
            "ApproximateNumberOfMessagesDelayed",
            counts.delayed.to_string(),
        );
        add("QueueArn", queue_arn(&queue.name));
        for (name, duration) in [
            ("VisibilityTimeout", queue.visibility_timeout),
            ("DelaySeconds", queue.delay),
            ("ReceiveMessageWaitTimeSeconds", queue.receive_wait),
            ("MessageRetentionPeriod", queue.retention),
        ] {
            add(name, duration.as_secs().to_string());
        }
        add("MaximumMessageSize", queue.max_message_bytes.to_string());
        if let Some(redrive) = &queue.redrive {
            let policy = json!({
                "deadLetterTargetArn": queue_arn(&redrive.dead_letter_queue),
                "maxReceiveCount": redrive.max_receive_count,
            });
            add("RedrivePolicy", policy.to_string());
        }
        attributes
    }
}

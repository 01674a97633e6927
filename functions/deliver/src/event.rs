//! The event of a queue, and its response.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>

use serde::{Deserialize, Serialize};

/// An event of a queue.
#[derive(Debug, Deserialize)]
pub struct QueueEvent {
    /// The messages.
    #[serde(rename = "Records")]
    pub records: Vec<Record>,
}

/// A message of a queue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The id that SQS has given it.
    pub message_id: String,
    /// The text.
    pub body: String,
}

/// The response: the messages that the queue is to deliver again. It deletes the others.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueResponse {
    /// The messages that failed.
    pub batch_item_failures: Vec<Failure>,
}

/// A message that failed.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Its id.
    pub item_identifier: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_has_messages_and_the_response_names_those_that_failed() {
        let event = json!({"Records": [{
            "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a…",
            "body": "{}",
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183",
                "SenderId": "AIDAIENQZJOLO23YVJ4VO", "ApproximateFirstReceiveTimestamp": "1545082649185"},
            "messageAttributes": {},
            "md5OfBody": "99914b932bd37a50b983c5e7c90ae93b",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
            "awsRegion": "us-east-2",
        }]});
        let event: QueueEvent = serde_json::from_value(event).expect("an event");
        let [record] = event.records.as_slice() else {
            panic!("one message: {event:?}");
        };
        assert_eq!(record.body, "{}");
        let response = QueueResponse {
            batch_item_failures: vec![Failure {
                item_identifier: record.message_id.clone(),
            }],
        };
        let expected = json!({"batchItemFailures": [
            {"itemIdentifier": "059f36b4-87a3-44ab-83d2-661975830a7d"},
        ]});
        assert_eq!(serde_json::to_value(response).expect("JSON"), expected);
    }
}

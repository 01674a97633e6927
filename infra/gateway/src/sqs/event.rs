//! Events for functions, and the responses that name failed messages.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::message::Attribute;
use super::queue::Received;
use crate::model::{REGION, queue_arn};

/// The id of the sender of all messages, in their attributes.
pub const SENDER_ID: &str = "AIDALOCALSENDER000000";

/// Returns the event for messages of the queue `queue`.
pub fn event(messages: &[Received], queue: &str) -> Value {
    let arn = queue_arn(queue);
    let records = messages.iter().map(|received| record(received, &arn));
    json!({"Records": records.collect::<Vec<_>>()})
}

/// Returns the record of a message of the queue with this ARN.
pub fn record(received: &Received, queue_arn: &str) -> Value {
    let message = &received.message;
    let attributes = message.attributes.iter();
    let attributes = attributes.map(|(name, attribute)| (name.clone(), attribute_of(attribute)));
    let mut record = json!({
        "messageId": message.id,
        "receiptHandle": received.receipt_handle,
        "body": message.body,
        "attributes": system_attributes(received),
        "messageAttributes": attributes.collect::<Map<_, _>>(),
        "md5OfBody": message.body_hash(),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": REGION,
    });
    if let Some(hash) = message.attributes_hash() {
        record["md5OfMessageAttributes"] = hash.into();
    }
    record
}

/// Returns the attributes that SQS adds to a message, all of them texts.
pub fn system_attributes(received: &Received) -> Map<String, Value> {
    let mut attributes = Map::new();
    let mut add = |name: &str, value: String| attributes.insert(name.to_owned(), value.into());
    add(
        "ApproximateReceiveCount",
        received.receive_count.to_string(),
    );
    add("SentTimestamp", received.message.sent_at.to_string());
    add("SenderId", SENDER_ID.to_owned());
    let first_received_at = received.first_received_at.to_string();
    add("ApproximateFirstReceiveTimestamp", first_received_at);
    if let Some(header) = &received.message.trace_header {
        add("AWSTraceHeader", header.clone());
    }
    attributes
}

fn attribute_of(attribute: &Attribute) -> Value {
    let mut value = json!({
        "dataType": attribute.data_type,
        "stringListValues": [],
        "binaryListValues": [],
    });
    if let Some(text) = &attribute.string_value {
        value["stringValue"] = text.as_str().into();
    }
    if let Some(binary) = &attribute.binary_value {
        value["binaryValue"] = binary.as_str().into();
    }
    value
}

/// Returns the ids of the messages that a function has not handled, from a result that reports failures
/// (`ReportBatchItemFailures`): `{"batchItemFailures": [{"itemIdentifier": "<messageId>"}]}`. An empty
/// result or list means none; a malformed one, or the id of no message of the batch, means all.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>
pub fn failures<'a>(result: &[u8], messages: &'a [Received]) -> HashSet<&'a str> {
    let all = all_ids(messages);
    let Some(failed) = failed_ids(result) else {
        return all;
    };
    let known: HashSet<&str> = failed
        .iter()
        .filter_map(|id| all.get(&**id).copied())
        .collect();
    let has_unknown = failed.iter().any(|id| !known.contains(&**id));
    if has_unknown { all } else { known }
}

/// Returns the ids of messages.
pub fn all_ids(messages: &[Received]) -> HashSet<&str> {
    messages
        .iter()
        .map(|received| &*received.message.id)
        .collect()
}

/// Returns the ids in a result; `None` if it is malformed.
fn failed_ids(result: &[u8]) -> Option<Vec<String>> {
    if result.is_empty() {
        return Some(Vec::new());
    }
    let result: Value = serde_json::from_slice(result).ok()?;
    let failures = match &result {
        Value::Null => return Some(Vec::new()),
        // An empty text is an empty response too.
        Value::String(text) if text.is_empty() => return Some(Vec::new()),
        Value::Object(members) => members.get("batchItemFailures"),
        _ => return None,
    };
    match failures {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(failed_id).collect(),
        Some(_) => None,
    }
}

fn failed_id(item: &Value) -> Option<String> {
    let id = item.get("itemIdentifier")?.as_str()?;
    (!id.is_empty()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::message::{Attributes, Message};
    use super::*;

    fn received(id: &str) -> Received {
        let message = Message {
            id: id.to_owned(),
            body: "hello world".to_owned(),
            attributes: Attributes::new(),
            trace_header: None,
            sent_at: 1_545_082_649_183,
        };
        Received {
            message: Arc::new(message),
            receipt_handle: "handle".to_owned(),
            receive_count: 1,
            first_received_at: 1_545_082_649_185,
        }
    }

    #[test]
    fn an_event_has_the_documented_shape() {
        let expected = json!({"Records": [{
            "messageId": "a",
            "receiptHandle": "handle",
            "body": "hello world",
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1545082649183",
                "SenderId": SENDER_ID,
                "ApproximateFirstReceiveTimestamp": "1545082649185",
            },
            "messageAttributes": {},
            "md5OfBody": "5eb63bbbe01eeed093cb22bb8f5acdc3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:Q",
            "awsRegion": "us-east-1",
        }]});
        assert_eq!(event(&[received("a")], "Q"), expected);
    }

    #[test]
    fn a_result_names_the_messages_that_failed() {
        let messages = ["a", "b", "c"].map(received);
        let item = |id: &str| format!(r#"{{"batchItemFailures": [{{"itemIdentifier": {id}}}]}}"#);
        for (result, expected) in [
            (String::new(), ""),
            ("null".to_owned(), ""),
            (r#""""#.to_owned(), ""),
            ("{}".to_owned(), ""),
            (r#"{"batchItemFailures": null}"#.to_owned(), ""),
            (r#"{"batchItemFailures": []}"#.to_owned(), ""),
            (item(r#""b""#), "b"),
            (item(r#""""#), "abc"),
            (item("null"), "abc"),
            (item("1"), "abc"),
            (item(r#""d""#), "abc"),
            (r#"{"batchItemFailures": [{"id": "b"}]}"#.to_owned(), "abc"),
            (r#"{"batchItemFailures": ["b"]}"#.to_owned(), "abc"),
            (r#"{"batchItemFailures": "b"}"#.to_owned(), "abc"),
            ("[]".to_owned(), "abc"),
            ("{".to_owned(), "abc"),
        ] {
            let failed = failures(result.as_bytes(), &messages);
            let expected = expected.split_terminator("");
            let expected: HashSet<&str> = expected.filter(|id| !id.is_empty()).collect();
            assert_eq!(failed, expected, "{result}");
        }
    }
}

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::faults::{Faults, Switches};
use crate::model::Redrive;

/// Returns the API of the queue `Q`, whose messages are dead after two receives, and of `Dead`.
fn api() -> Api {
    api_with(Faults::default())
}

fn api_with(faults: Faults) -> Api {
    let queue = |name: &str, redrive| model::Queue {
        name: name.to_owned(),
        visibility_timeout: Duration::ZERO,
        delay: Duration::ZERO,
        receive_wait: Duration::ZERO,
        retention: Duration::from_secs(60),
        max_message_bytes: 1_048_576,
        redrive,
    };
    let redrive = Redrive {
        dead_letter_queue: "Dead".to_owned(),
        max_receive_count: 2,
    };
    let queues = [queue("Q", Some(redrive)), queue("Dead", None)];
    let queues: BTreeMap<_, _> = queues
        .into_iter()
        .map(|queue| (queue.name.clone(), queue))
        .collect();
    let queues = Queues::new(&queues, 4 * 1_048_576, Arc::new(Switches::new(faults)));
    let stop = CancellationToken::new();
    Api::new(queues, "http://127.0.0.1:3001".to_owned(), stop)
}

/// Calls an action on a queue.
async fn call(api: &Api, action: &str, queue: &str, request: Value) -> Result<Value, ApiError> {
    let mut request = request;
    request["QueueUrl"] = queue_url("http://localhost:3001", queue).into();
    api.call(action, request.to_string().as_bytes()).await
}

async fn receive(api: &Api, queue: &str) -> Value {
    let request = json!({
        "MaxNumberOfMessages": 10,
        "MessageSystemAttributeNames": ["ApproximateReceiveCount"],
        "MessageAttributeNames": ["trace.*"],
    });
    let response = call(api, "ReceiveMessage", queue, request).await;
    response.expect("received")["Messages"].clone()
}

#[tokio::test]
async fn a_message_is_received_with_what_was_asked_for() {
    let api = api();
    let text = |value: &str| json!({"DataType": "String", "StringValue": value});
    let attributes = json!({"trace.a": text("1"), "other": text("2")});
    let request = json!({"MessageBody": "hello world", "MessageAttributes": attributes});
    let sent = call(&api, "SendMessage", "Q", request).await.expect("sent");
    let messages = receive(&api, "Q").await;
    let message = &messages[0];
    assert_eq!(message["MessageId"], sent["MessageId"]);
    assert_eq!(message["Body"], "hello world");
    assert_eq!(message["MD5OfBody"], sent["MD5OfMessageBody"]);
    assert_eq!(
        message["Attributes"],
        json!({"ApproximateReceiveCount": "1"})
    );
    assert_eq!(message["MessageAttributes"], json!({"trace.a": text("1")}));
    // Of what is in the response, as SDKs calculate it.
    assert_ne!(
        message["MD5OfMessageAttributes"],
        sent["MD5OfMessageAttributes"]
    );
    let handle = json!({"ReceiptHandle": message["ReceiptHandle"]});
    let deleted = call(&api, "DeleteMessage", "Q", handle).await;
    assert_eq!(deleted, Ok(Value::Null));
    assert_eq!(receive(&api, "Q").await, Value::Null);
}

#[tokio::test]
async fn a_message_that_nobody_deletes_moves_to_the_dead_letter_queue() {
    let api = api();
    let sent = call(&api, "SendMessage", "Q", json!({"MessageBody": "a"})).await;
    for count in ["1", "2"] {
        let messages = receive(&api, "Q").await;
        assert_eq!(messages[0]["Attributes"]["ApproximateReceiveCount"], count);
    }
    assert_eq!(receive(&api, "Q").await, Value::Null);
    let dead = receive(&api, "Dead").await;
    assert_eq!(dead[0]["MessageId"], sent.expect("sent")["MessageId"]);
}

#[tokio::test]
async fn a_receive_waits_for_a_message() {
    let api = Arc::new(api());
    let waiting = tokio::spawn({
        let api = Arc::clone(&api);
        async move { call(&api, "ReceiveMessage", "Q", json!({"WaitTimeSeconds": 20})).await }
    });
    tokio::task::yield_now().await;
    call(
        &api,
        "SendMessage",
        "Q",
        json!({"MessageBody": "a", "DelaySeconds": 1}),
    )
    .await
    .expect("sent");
    let received = waiting.await.expect("no panic").expect("received");
    assert_eq!(received["Messages"][0]["Body"], "a");
}

#[tokio::test]
async fn faults_send_a_message_twice() {
    let api = api_with(r#"{"queues": {"duplicate": 1}}"#.parse().expect("faults"));
    let sent = call(&api, "SendMessage", "Q", json!({"MessageBody": "a"})).await;
    let id = &sent.expect("sent")["MessageId"];
    let messages = receive(&api, "Q").await;
    let [first, second] = [0, 1].map(|index| &messages[index]);
    assert_eq!((&first["MessageId"], &second["MessageId"]), (id, id));
    assert_ne!(first["ReceiptHandle"], second["ReceiptHandle"]);
    assert_eq!(messages[2], Value::Null);
}

#[tokio::test]
async fn a_receive_ends_with_the_gateway() {
    let api = Arc::new(api());
    api.stop.cancel();
    let received = call(&api, "ReceiveMessage", "Q", json!({"WaitTimeSeconds": 20})).await;
    assert_eq!(received, Ok(json!({})));
}

#[tokio::test]
async fn a_batch_fails_entry_by_entry() {
    let api = api();
    let entries = json!([
        {"Id": "good", "MessageBody": "a"},
        {"Id": "bad", "MessageBody": "\u{0}"},
        {"Id": "late", "MessageBody": "a", "DelaySeconds": 901},
    ]);
    let response = call(&api, "SendMessageBatch", "Q", json!({"Entries": entries})).await;
    let response = response.expect("a response");
    assert_eq!(response["Successful"].as_array().map(Vec::len), Some(1));
    assert_eq!(response["Successful"][0]["Id"], "good");
    let codes: Vec<_> = response["Failed"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let codes: Vec<_> = codes
        .iter()
        .map(|entry| (&entry["Id"], &entry["Code"]))
        .collect();
    let expected = [
        ("bad", "InvalidMessageContents"),
        ("late", "InvalidParameterValue"),
    ];
    assert_eq!(codes.len(), 2);
    for (found, expected) in codes.iter().zip(expected) {
        assert_eq!(
            (found.0.as_str(), found.1.as_str()),
            (Some(expected.0), Some(expected.1))
        );
    }
    let handle = receive(&api, "Q").await[0]["ReceiptHandle"].clone();
    let entries = json!([
        {"Id": "1", "ReceiptHandle": handle},
        {"Id": "2", "ReceiptHandle": "none"},
    ]);
    let response = call(&api, "DeleteMessageBatch", "Q", json!({"Entries": entries})).await;
    let response = response.expect("a response");
    assert_eq!(response["Successful"], json!([{"Id": "1"}]));
    assert_eq!(response["Failed"][0]["Code"], "ReceiptHandleIsInvalid");
}

#[tokio::test]
async fn an_invalid_request_has_the_error_of_aws() {
    let api = api();
    let entry = |id: &str| json!({"Id": id, "MessageBody": "a"});
    let half = "a".repeat(1_048_576 / 2 + 1);
    let large = |id: &str| json!({"Id": id, "MessageBody": half});
    let many: Vec<_> = (0..11).map(|number| entry(&number.to_string())).collect();
    let prefix = "AWS.SimpleQueueService.";
    for (action, queue, request, code) in [
        (
            "SendMessage",
            "None",
            json!({}),
            "AWS.SimpleQueueService.NonExistentQueue",
        ),
        ("SendMessage", "Q", json!({}), "MissingParameter"),
        (
            "SendMessage",
            "Q",
            json!({"MessageBody": 1}),
            "SerializationException",
        ),
        (
            "SendMessage",
            "Q",
            json!({"MessageBody": "\u{FFFF}"}),
            "InvalidMessageContents",
        ),
        (
            "SendMessage",
            "Q",
            json!({"MessageBody": "a".repeat(1_048_577)}),
            "InvalidParameterValue",
        ),
        (
            "SendMessage",
            "Q",
            json!({"MessageBody": "a", "DelaySeconds": -1}),
            "InvalidParameterValue",
        ),
        ("SendMessageBatch", "Q", json!({}), "EmptyBatchRequest"),
        (
            "SendMessageBatch",
            "Q",
            json!({"Entries": many}),
            "TooManyEntriesInBatchRequest",
        ),
        (
            "SendMessageBatch",
            "Q",
            json!({"Entries": [entry("a"), entry("a")]}),
            "BatchEntryIdsNotDistinct",
        ),
        (
            "SendMessageBatch",
            "Q",
            json!({"Entries": [entry("a b")]}),
            "InvalidBatchEntryId",
        ),
        (
            "SendMessageBatch",
            "Q",
            json!({"Entries": [large("a"), large("b")]}),
            "BatchRequestTooLong",
        ),
        (
            "ReceiveMessage",
            "Q",
            json!({"MaxNumberOfMessages": 11}),
            "InvalidParameterValue",
        ),
        (
            "ReceiveMessage",
            "Q",
            json!({"WaitTimeSeconds": 21}),
            "InvalidParameterValue",
        ),
        (
            "DeleteMessage",
            "Q",
            json!({"ReceiptHandle": "x"}),
            "ReceiptHandleIsInvalid",
        ),
        (
            "GetQueueAttributes",
            "Q",
            json!({"AttributeNames": ["Colour"]}),
            "InvalidAttributeName",
        ),
        ("CreateQueue", "Q", json!({}), "UnsupportedOperation"),
    ] {
        let error = call(&api, action, queue, request).await.expect_err(code);
        assert_eq!(
            error.code.strip_prefix(prefix).unwrap_or(&error.code),
            code.strip_prefix(prefix).unwrap_or(code)
        );
        assert_eq!(
            (error.status.as_u16(), error.fault()),
            (400, "Sender"),
            "{code}"
        );
    }
}

#[tokio::test]
async fn the_messages_of_all_queues_have_a_limit() {
    let api = api();
    let request = json!({"MessageBody": "a".repeat(1_048_576)});
    let mut sent = 0;
    let error = loop {
        let queue = if sent % 2 == 0 { "Q" } else { "Dead" };
        match call(&api, "SendMessage", queue, request.clone()).await {
            Ok(_) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(
        (sent, error.status.as_u16(), error.fault()),
        (3, 503, "Receiver")
    );
    call(&api, "PurgeQueue", "Q", json!({}))
        .await
        .expect("purged");
    call(&api, "SendMessage", "Dead", request)
        .await
        .expect("there is room again");
}

proptest! {
    /// Whatever comes in, an action returns, and a message is in the queue or there was an error.
    #[test]
    fn any_request_has_a_result(body in ".*", name in ".*", binary in prop::collection::vec(any::<u8>(), 0..9)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let api = api();
        let attribute = json!({"DataType": "Binary", "BinaryValue": STANDARD.encode(&binary)});
        let request = json!({"MessageBody": body, "MessageAttributes": {name: attribute}});
        runtime.expect("a runtime").block_on(async {
            let sent = call(&api, "SendMessage", "Q", request).await;
            let messages = receive(&api, "Q").await;
            assert_eq!(sent.is_ok(), messages[0]["Body"] == body && !messages.is_null());
        });
    }
}

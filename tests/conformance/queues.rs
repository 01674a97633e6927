//! Queues and their consumers. Each test starts a gateway of its own.

use std::collections::BTreeMap;

use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{MessageAttributeValue, MessageSystemAttributeName};
use hyper::Request;
use serde_json::json;
use tests::client::Http;
use tests::{queue, until};

use crate::sqs::{Queues, member};

/// A message is an event of the function with the documented members, and is deleted when the function
/// has handled it.
#[tokio::test]
async fn a_message_is_an_event_of_the_function() {
    let queues = Queues::start(&[], &[]).await;
    let mut observer = queues.observer().await;
    let body = json!({"report": observer.id}).to_string();
    let text = MessageAttributeValue::builder()
        .data_type("String")
        .string_value("é");
    let sent = queues
        .client
        .send_message()
        .queue_url(queues.url("WorkQueue").await)
        .message_body(&body)
        .message_attributes("kind", text.build().expect("it is complete"))
        .send()
        .await
        .expect("sent");
    let event = observer.next().await;
    let record = &event["Records"][0];
    assert_eq!(event["Records"].as_array().map(Vec::len), Some(1));
    assert_eq!(record["messageId"].as_str(), sent.message_id());
    assert_eq!(record["body"], body);
    assert_eq!(record["md5OfBody"].as_str(), sent.md5_of_message_body());
    let hash = record["md5OfMessageAttributes"].as_str();
    assert_eq!(hash, sent.md5_of_message_attributes());
    assert_eq!(record["eventSource"], "aws:sqs");
    assert_eq!(
        record["eventSourceARN"],
        "arn:aws:sqs:us-east-1:123456789012:WorkQueue"
    );
    assert_eq!(record["awsRegion"], "us-east-1");
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1");
    let attribute = json!({
        "stringValue": "é", "dataType": "String", "stringListValues": [], "binaryListValues": [],
    });
    assert_eq!(record["messageAttributes"], json!({"kind": attribute}));
    queues.wait_empty("WorkQueue").await;
}

/// An event has all messages that wait, up to `BatchSize`.
#[tokio::test]
async fn an_event_has_the_messages_that_wait() {
    let queues = Queues::start(&[], &["--concurrency", "1"]).await;
    let mut observer = queues.observer().await;
    let gate = queues.observer().await;
    let held = json!({"report": observer.id, "await_gone": gate.id});
    queues.send("WorkQueue", &held).await;
    observer.next().await;
    // The one process of the function is busy.
    let reported = json!({"report": observer.id});
    queues.send_batch("WorkQueue", &reported, 10).await;
    queues.send_batch("WorkQueue", &reported, 2).await;
    assert_eq!(queues.counts("WorkQueue").await, (12, 1));
    gate.close().await;
    for count in [10, 2] {
        let event = observer.next().await;
        assert_eq!(member(&event, "/messageId").len(), count);
    }
    queues.wait_empty("WorkQueue").await;
}

/// An event has at most 6 MB, the limit of Lambda; the other messages are in further events.
#[tokio::test]
async fn an_event_is_no_larger_than_lambda_takes() {
    let queues = Queues::start(&[], &["--concurrency", "1"]).await;
    let mut observer = queues.observer().await;
    let gate = queues.observer().await;
    let held = json!({"report": observer.id, "await_gone": gate.id});
    queues.send("WorkQueue", &held).await;
    observer.next().await;
    for _ in 0..7 {
        let large = json!({"padding": "a".repeat(1_000_000)});
        queues.send("WorkQueue", &large).await;
    }
    gate.close().await;
    queues.wait_empty("WorkQueue").await;
    let (_, log) = queues.gateway.stop().await.expect("it ends");
    assert_eq!(log.matches(" INFO SQS ").count(), 1 + 2, "{log}");
}

/// With a batching window, an event has the messages that come within it, and leaves earlier if it has
/// `BatchSize` of them.
#[tokio::test]
async fn messages_are_collected_within_the_window() {
    let queues = Queues::start(&["WindowSeconds=300", "BatchSize=12"], &[]).await;
    let mut observer = queues.observer().await;
    let reported = json!({"report": observer.id});
    queues.send_batch("WorkQueue", &reported, 10).await;
    queues.send("WorkQueue", &reported).await;
    until(async || queues.counts("WorkQueue").await == (0, 11)).await;
    observer.expect_nothing().await;
    queues.send("WorkQueue", &reported).await;
    assert_eq!(member(&observer.next().await, "/messageId").len(), 12);
    queues.wait_empty("WorkQueue").await;
}

/// Of a batch, only the messages that the function reports as failed come again, after the visibility
/// timeout.
#[tokio::test]
async fn only_messages_that_failed_come_again() {
    let queues = Queues::start(&["Seconds=2"], &[]).await;
    let mut observer = queues.observer().await;
    let reported = json!({"report": observer.id});
    let failing = json!({"report": observer.id, "first": {"fail": true}});
    let mut expected = BTreeMap::new();
    for (instructions, times) in [(&reported, 1), (&failing, 2), (&reported, 1)] {
        expected.insert(queues.send("WorkQueue", instructions).await, times);
    }
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    while found.values().sum::<usize>() < 4 {
        let event = observer.next().await;
        for id in member(&event, "/messageId") {
            *found.entry(id.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(found, expected);
    queues.wait_empty("WorkQueue").await;
    assert_eq!(queues.counts("DeadLetterQueue").await, (0, 0));
    observer.expect_nothing().await;
}

/// An error, an exit, a panic or a timeout of the function loses no message: it comes again after the
/// visibility timeout, with a larger `ApproximateReceiveCount`.
#[tokio::test]
async fn a_function_that_fails_loses_no_message() {
    let queues = Queues::start(&["Seconds=2"], &[]).await;
    for failure in [
        json!({"throw": {"type": "Error", "message": "no database"}}),
        json!({"exit": 1}),
        json!({"panic": "at once"}),
        json!({"sleep_ms": 10_000}),
    ] {
        let mut observer = queues.observer().await;
        queues
            .send(
                "PlainQueue",
                &json!({"report": observer.id, "first": failure}),
            )
            .await;
        for count in ["1", "2"] {
            let event = observer.next().await;
            let counts = member(&event, "/attributes/ApproximateReceiveCount");
            assert_eq!(counts, [count], "{failure}");
        }
    }
    queues.wait_empty("PlainQueue").await;
}

/// A message that was received `maxReceiveCount` times moves to the dead-letter queue, where it can be
/// read and deleted.
#[tokio::test]
async fn a_message_that_always_fails_moves_to_the_dead_letter_queue() {
    let queues = Queues::start(&["Seconds=2"], &[]).await;
    let mut observer = queues.observer().await;
    let poison = json!({"report": observer.id, "fail": true});
    let id = queues.send("WorkQueue", &poison).await;
    for _ in 0..2 {
        assert_eq!(member(&observer.next().await, "/messageId"), [&id]);
    }
    let message = queues.receive("DeadLetterQueue").await;
    assert_eq!(message.message_id(), Some(&*id));
    assert_eq!(message.body(), Some(&*poison.to_string()));
    let sender = MessageSystemAttributeName::SenderId;
    let attributes = message.attributes().expect("they were asked for");
    assert!(attributes.contains_key(&sender), "{attributes:?}");
    let handle = message.receipt_handle().expect("a handle");
    let url = queues.url("DeadLetterQueue").await;
    let delete = queues.client.delete_message().queue_url(url);
    delete.receipt_handle(handle).send().await.expect("deleted");
    queues.wait_empty("DeadLetterQueue").await;
    observer.expect_nothing().await;
}

/// At most `MaximumConcurrency` events of an event source are with the function at once; the other
/// messages stay in the queue.
#[tokio::test]
async fn the_maximum_concurrency_holds() {
    let queues = Queues::start(&["BatchSize=1"], &[]).await;
    let mut observer = queues.observer().await;
    let mut gates = Vec::new();
    for _ in 0..2 {
        let gate = queues.observer().await;
        queues
            .send(
                "WorkQueue",
                &json!({"report": observer.id, "await_gone": gate.id}),
            )
            .await;
        observer.next().await;
        gates.push(gate);
    }
    queues
        .send_batch("WorkQueue", &json!({"report": observer.id}), 5)
        .await;
    // A queue without such a limit has its messages handled meanwhile.
    queues.send("PlainQueue", &json!({})).await;
    queues.wait_empty("PlainQueue").await;
    observer.expect_nothing().await;
    assert_eq!(queues.counts("WorkQueue").await, (5, 2));
    for gate in gates {
        gate.close().await;
    }
    for _ in 0..5 {
        observer.next().await;
    }
    queues.wait_empty("WorkQueue").await;
}

/// With `--in-flight`, one process handles several events of a queue at once.
#[tokio::test]
async fn one_process_handles_several_events_of_a_queue() {
    let queues = Queues::start(&[], &["--in-flight", "4"]).await;
    let mut observer = queues.observer().await;
    let gate = queues.observer().await;
    let held = json!({"report": observer.id, "await_gone": gate.id});
    queues.send_batch("PlainQueue", &held, 5).await;
    for _ in 0..4 {
        observer.next().await;
    }
    assert_eq!(queues.counts("PlainQueue").await, (1, 4));
    let address = format!("{}/_local/processes", queues.gateway.functions);
    let processes = tests::get(&address).await.json();
    assert_eq!(processes["ProbeFunction"]["started"], 1);
    gate.close().await;
    observer.next().await;
    queues.wait_empty("PlainQueue").await;
}

/// A shutdown waits for the events that the function has. Messages that are still in a queue are lost,
/// and the log says how many.
#[tokio::test]
async fn a_shutdown_lets_events_end_and_tells_what_is_lost() {
    let queues = Queues::start(&[], &["--concurrency", "1"]).await;
    let mut observer = queues.observer().await;
    queues
        .send(
            "PlainQueue",
            &json!({"report": observer.id, "sleep_ms": 1_000}),
        )
        .await;
    observer.next().await;
    queues.send_batch("PlainQueue", &json!({}), 3).await;
    let (status, log) = queues.gateway.stop().await.expect("it ends");
    assert!(status.success(), "{status}: {log}");
    let line = |text: &str| log.lines().position(|line| line.contains(text));
    let (stopping, ended) = (line("stopping"), line(" INFO SQS "));
    assert!(stopping.is_some() && stopping < ended, "{log}");
    assert!(line("PlainQueue: 3 messages are lost").is_some(), "{log}");
    assert!(line("WorkQueue: ").is_none(), "{log}");
}

/// Functions get the URL of a queue by `Ref`, and the address of the API for SDKs in
/// `AWS_ENDPOINT_URL_SQS`.
#[tokio::test]
async fn functions_get_the_addresses_of_queues() {
    let queues = Queues::start(&[], &[]).await;
    let instructions = json!({"request": {"describe": true}}).to_string();
    let event = json!({"headers": {"x-probe": instructions}});
    let described = queues.gateway.invoke("ProbeFunction", &event).await;
    let environment = &described.expect("a description")["environment"];
    assert_eq!(
        environment["AWS_ENDPOINT_URL_SQS"],
        *queues.gateway.functions
    );
    assert_eq!(environment["QUEUE_URL"], *queues.url("WorkQueue").await);
}

/// Errors have the types that SDKs know, and a call without a valid signature is rejected.
#[tokio::test]
async fn errors_of_the_api_have_their_types() {
    let queues = Queues::start(&[], &[]).await;
    let missing = queues
        .client
        .get_queue_url()
        .queue_name("Missing")
        .send()
        .await;
    let error = missing.expect_err("there is none").into_service_error();
    assert!(error.is_queue_does_not_exist(), "{error:?}");
    let url = queues.url("WorkQueue").await;
    let invalid = queues
        .client
        .send_message()
        .queue_url(&url)
        .message_body("\u{1}")
        .send()
        .await;
    let error = invalid
        .expect_err("a control character")
        .into_service_error();
    assert!(error.is_invalid_message_contents(), "{error:?}");
    let stranger = queue::client(&queues.gateway, "wrong");
    let rejected = stranger
        .send_message()
        .queue_url(&url)
        .message_body("a")
        .send()
        .await;
    let error = rejected.expect_err("another secret").into_service_error();
    assert_eq!(error.code(), Some("InvalidSignatureException"));
}

/// A web page cannot call the API: a request with an `Origin` is rejected with 403.
#[tokio::test]
async fn web_pages_cannot_use_queues() {
    let queues = Queues::start(&[], &[]).await;
    let request = Request::post(&queues.gateway.functions)
        .header("X-Amz-Target", "AmazonSQS.PurgeQueue")
        .header("Origin", "http://localhost:3000")
        .body(Default::default());
    let response = Http::default().send(request.expect("a URL")).await;
    let response = response.expect("a response");
    assert_eq!(response.status, 403);
    assert!(
        response.json()["message"]
            .as_str()
            .is_some_and(|text| text.contains("web pages"))
    );
}

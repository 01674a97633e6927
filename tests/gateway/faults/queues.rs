//! Messages of queues that come twice.

use std::path::Path;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use local_gateway::http::sigv4::sign;
use serde_json::{Value, json};
use tests::LocalGateway;
use tests::client::Http;

use super::set;
use crate::probe::Socket;

/// Sends a message to a queue, with instructions for the function that consumes it.
async fn send(gateway: &LocalGateway, queue: &str, instructions: &Value) {
    let base = &gateway.functions;
    let message = json!({
        "QueueUrl": format!("{base}/123456789012/{queue}"),
        "MessageBody": instructions.to_string(),
    });
    let body = Bytes::from(message.to_string());
    let request = Request::post(format!("{base}/"))
        .header("X-Amz-Target", "AmazonSQS.SendMessage")
        .body(Full::new(body.clone()));
    let key = "local:local".parse().expect("ID:SECRET");
    let signed = sign(request.expect("a URL"), &body, "sqs", &key);
    let response = Http::default().send(signed.expect("a host")).await;
    let response = response.expect("a response");
    assert_eq!(response.status, 200, "{response:?}");
}

#[tokio::test]
async fn a_message_of_a_queue_comes_twice() {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/queues.yaml");
    let gateway = LocalGateway::start(&template, &[])
        .await
        .expect("it starts");
    set(
        &gateway,
        &json!({"queues": {"duplicate": 1, "delay_ms": 20}}),
    )
    .await;
    let mut socket = Socket::open(&gateway).await;
    // The function gets a message of this queue at a time.
    send(&gateway, "PlainQueue", &json!({"report": socket.id})).await;
    let [first, second] = [socket.client.next().await, socket.client.next().await];
    let id = &first["Records"][0]["messageId"];
    assert!(id.is_string(), "{first}");
    assert_eq!(&second["Records"][0]["messageId"], id);
    set(&gateway, &json!({})).await;
    send(&gateway, "PlainQueue", &json!({"report": socket.id})).await;
    let other = socket.client.next().await;
    assert_ne!(&other["Records"][0]["messageId"], id);
    socket.expect_nothing().await;
    gateway.stop().await.expect("stopped");
}

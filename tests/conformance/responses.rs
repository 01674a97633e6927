//! What of a function's answer goes back to the client.

use serde_json::json;

use crate::socket::{Socket, connect, frame};
use crate::target;

/// Checks that a route sends nothing back although its function has answered with a body.
async fn expect_silence(socket: &mut Socket, route: &str) {
    let id = socket.id().await;
    let told = json!({"report": id, "return": {"statusCode": 200, "body": "discarded"}});
    let report = socket.ask(route, &told).await;
    let key = report["requestContext"]["routeKey"]
        .as_str()
        .expect("a key");
    assert!(key.ends_with(route), "{key}");
    socket.expect_nothing().await;
}

/// Route response: none → silence.
#[tokio::test]
async fn a_one_way_route_sends_nothing_back() {
    let mut socket = connect(target::open().await).await;
    expect_silence(&mut socket, "notify").await;
}

/// Route response: needs both halves. Here the resource is missing.
#[tokio::test]
async fn a_selection_expression_without_a_route_response_sends_nothing_back() {
    let mut socket = connect(target::open().await).await;
    expect_silence(&mut socket, "half").await;
}

/// Route response: needs both halves. Here the selection expression is missing.
#[tokio::test]
async fn a_route_response_without_a_selection_expression_sends_nothing_back() {
    let mut socket = connect(target::guarded().await).await;
    expect_silence(&mut socket, "half").await;
}

/// Route response: body at any status; neither the status nor the headers are seen.
#[tokio::test]
async fn a_two_way_route_sends_the_body_whatever_the_status() {
    let mut socket = connect(target::open().await).await;
    for status in [200, 201, 302, 400, 404, 500, 501] {
        let body = format!("not JSON, {status}");
        let result = json!({"statusCode": status, "headers": {"x": "y"}, "body": body});
        socket.send("reply", &json!({"return": result})).await;
        assert_eq!(socket.next_text().await, body);
    }
}

/// Route response: empty body \[U\]: an empty text message.
#[tokio::test]
async fn a_two_way_route_without_a_body_sends_an_empty_message() {
    let mut socket = connect(target::open().await).await;
    for result in [
        json!({"statusCode": 200}),
        json!({"statusCode": 200, "body": ""}),
        json!({"statusCode": 200, "body": null}),
    ] {
        socket.send("reply", &json!({"return": result})).await;
        assert_eq!(socket.next_text().await, "", "{result}");
    }
}

/// `isBase64Encoded` on a reply is sent undecoded as text \[U\].
#[tokio::test]
async fn a_reply_in_base64_is_not_decoded() {
    let mut socket = connect(target::open().await).await;
    let result = json!({"statusCode": 200, "body": "aGk=", "isBase64Encoded": true});
    socket.send("reply", &json!({"return": result})).await;
    assert_eq!(socket.next_text().await, "aGk=");
}

/// Reply size up to 128 KB \[U\].
#[tokio::test]
async fn a_reply_may_have_128_kilobytes() {
    let mut socket = connect(target::open().await).await;
    // The event that comes back repeats the frame, and its own fields are less than 4 KB.
    let filler = "x".repeat(124 * 1_024);
    let text = frame("reply", &json!({"filler": filler})).to_string();
    socket.send_in_fragments(&text, 32 * 1_024).await;
    let reply = socket.next_text().await;
    assert!(reply.contains(&filler) && reply.len() <= 128 * 1_024);
}

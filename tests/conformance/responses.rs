//! Responses of functions to frames.

use serde_json::json;

use crate::socket::{Socket, connect, frame};
use crate::target;

/// Checks that a route sends nothing back, although its function returns a body.
async fn expect_no_response(socket: &mut Socket, route: &str) {
    let id = socket.id().await;
    let instructions = json!({"report": id, "return": {"statusCode": 200, "body": "discarded"}});
    let report = socket.request(route, &instructions).await;
    let key = report["requestContext"]["routeKey"]
        .as_str()
        .expect("a key");
    assert!(key.ends_with(route), "{key}");
    socket.expect_nothing().await;
}

/// A route without a route response sends nothing back.
#[tokio::test]
async fn a_one_way_route_sends_nothing_back() {
    let mut socket = connect(target::open().await).await;
    expect_no_response(&mut socket, "notify").await;
}

/// A route with `RouteResponseSelectionExpression`, but without a `RouteResponse` resource, sends
/// nothing back.
#[tokio::test]
async fn a_selection_expression_without_a_route_response_sends_nothing_back() {
    let mut socket = connect(target::open().await).await;
    expect_no_response(&mut socket, "half").await;
}

/// A route with a `RouteResponse` resource, but without `RouteResponseSelectionExpression`, sends
/// nothing back.
#[tokio::test]
async fn a_route_response_without_a_selection_expression_sends_nothing_back() {
    let mut socket = connect(target::guarded().await).await;
    expect_no_response(&mut socket, "half").await;
}

/// A two-way route sends the body at any status, and discards the status and the headers.
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

/// A two-way route whose function returns no body sends an empty text message \[U\].
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

/// A body with `isBase64Encoded` is sent undecoded, as text \[U\].
#[tokio::test]
async fn a_base64_body_is_sent_undecoded() {
    let mut socket = connect(target::open().await).await;
    let result = json!({"statusCode": 200, "body": "aGk=", "isBase64Encoded": true});
    socket.send("reply", &json!({"return": result})).await;
    assert_eq!(socket.next_text().await, "aGk=");
}

/// The body that a two-way route sends may have 128 KB \[U\].
#[tokio::test]
async fn a_body_may_have_128_kilobytes() {
    let mut socket = connect(target::open().await).await;
    // The response is the event, which holds the frame. The other fields of an event have less than
    // 4 KB.
    let filler = "x".repeat(124 * 1_024);
    let text = frame("reply", &json!({"filler": filler})).to_string();
    socket.send_in_fragments(&text, 32 * 1_024).await;
    let reply = socket.next_text().await;
    assert!(reply.contains(&filler) && reply.len() <= 128 * 1_024);
}

//! Which route a frame takes, and the error frames.

use serde_json::{Value, json};

use crate::socket::{Socket, connect, frame};
use crate::target;

/// Checks an error frame byte by byte and gives its request id.
fn request_id_of(text: &str, message: &str, connection_id: &str) -> String {
    let start =
        format!(r#"{{"message": "{message}", "connectionId":"{connection_id}", "requestId":""#);
    let rest = text.strip_prefix(&start);
    let id = rest.and_then(|rest| rest.strip_suffix(r#""}"#));
    let id = id.unwrap_or_else(|| panic!("not {start}…: {text}"));
    assert!(id.len() == 16 && id.ends_with('='), "{text}");
    id.to_owned()
}

/// Sends a frame to a route and expects an error frame; the socket stays open.
async fn expect_error(socket: &mut Socket, route: &str, told: &Value, message: &str) {
    let id = socket.id().await;
    socket.send(route, told).await;
    let text = socket.next_text().await;
    request_id_of(&text, message, &id);
    socket.expect_nothing().await;
}

/// Routing: exact match.
#[tokio::test]
async fn a_frame_goes_to_the_route_with_exactly_its_key() {
    let mut socket = connect(target::open().await).await;
    for (key, route) in [
        ("reply", "reply"),
        ("Reply", "$default"),
        ("reply ", "$default"),
        ("repl", "$default"),
        ("reply2", "$default"),
        ("", "$default"),
    ] {
        let event = socket.ask(key, &Value::Null).await;
        assert_eq!(event["requestContext"]["routeKey"], route, "{key:?}");
    }
}

/// Routing: missing key, non-JSON, non-object → `$default`.
#[tokio::test]
async fn a_frame_without_a_key_goes_to_default() {
    let mut socket = connect(target::open().await).await;
    for text in [
        "{}",
        r#"{"Action":"reply"}"#,
        r#"{"action":null}"#,
        r#"{"action":7}"#,
        r#"{"action":{"reply":1}}"#,
        r#"["reply"]"#,
        r#""reply""#,
        "17",
        "reply",
        r#"{"action":"reply""#,
    ] {
        socket.send_text(text).await;
        let event = socket.next().await;
        assert_eq!(event["requestContext"]["routeKey"], "$default", "{text}");
        assert_eq!(event["body"], text);
    }
}

/// A frame cannot choose the routes of the gateway's own \[U\].
#[tokio::test]
async fn a_frame_cannot_reach_connect_or_disconnect() {
    let mut socket = connect(target::open().await).await;
    for key in ["$connect", "$disconnect", "$default"] {
        let event = socket.ask(key, &Value::Null).await;
        let context = &event["requestContext"];
        assert_eq!(context["routeKey"], "$default", "{key}");
        assert_eq!(context["eventType"], "MESSAGE", "{key}");
    }
}

/// Routing: nested path.
#[tokio::test]
async fn a_key_may_be_deep_in_the_frame() {
    let mut socket = connect(target::bare().await).await;
    socket.send_text(r#"{"command":{"name":"reply"}}"#).await;
    let event = socket.next().await;
    assert_eq!(event["requestContext"]["routeKey"], "reply");

    let id = event["requestContext"]["connectionId"]
        .as_str()
        .expect("an id");
    for text in [r#"{"command":"reply"}"#, r#"{"name":"reply"}"#] {
        socket.send_text(text).await;
        request_id_of(&socket.next_text().await, "Forbidden", id);
    }
}

/// `${request.body.a}` combined with text or further variables.
#[tokio::test]
async fn a_key_may_be_put_together_of_several_values() {
    let mut socket = connect(target::guarded().await).await;
    let event = socket.event().await;
    assert_eq!(event["requestContext"]["routeKey"], "probe.reply");

    let id = event["requestContext"]["connectionId"]
        .as_str()
        .expect("an id");
    socket
        .send_text(r#"{"service":"probe.reply","action":""}"#)
        .await;
    request_id_of(&socket.next_text().await, "Forbidden", id);
}

/// Routing: no `$default` → Forbidden frame, socket stays.
#[tokio::test]
async fn without_a_default_route_a_frame_for_no_route_is_forbidden() {
    let mut socket = connect(target::bare().await).await;
    expect_error(&mut socket, "nowhere", &Value::Null, "Forbidden").await;

    let id = socket.id().await;
    let mut request_ids = Vec::new();
    for text in ["not JSON", "{}", "[]"] {
        socket.send_text(text).await;
        let text = socket.next_text().await;
        request_ids.push(request_id_of(&text, "Forbidden", &id));
    }
    request_ids.dedup();
    assert_eq!(request_ids.len(), 3, "each frame has its own request id");
}

/// Routing: throw → Internal server error frame on one-way and two-way.
#[tokio::test]
async fn a_function_that_throws_makes_an_internal_server_error_on_any_route() {
    let mut socket = connect(target::open().await).await;
    for route in ["notify", "reply", "half"] {
        for told in [
            json!({"throw": {"type": "Error", "message": "secret"}}),
            json!({"panic": "secret"}),
            json!({"exit": 1}),
        ] {
            expect_error(&mut socket, route, &told, "Internal server error").await;
        }
    }
}

/// Malformed or unknown keys in the response → Internal server error, also on one-way routes.
#[tokio::test]
async fn a_result_that_is_no_response_makes_an_internal_server_error_on_any_route() {
    let mut socket = connect(target::open().await).await;
    for route in ["notify", "reply"] {
        for result in [
            json!("text"),
            json!({"status": 200}),
            json!({"statusCode": 200, "unheardOf": true}),
        ] {
            let told = json!({"return": result});
            expect_error(&mut socket, route, &told, "Internal server error").await;
        }
    }
}

/// Routing: 29 s → timed-out frame; here the route allows 1 second.
#[tokio::test]
async fn a_function_that_misses_the_integration_timeout_makes_a_timed_out_frame() {
    let mut socket = connect(target::open().await).await;
    let told = json!({"sleep_ms": 2_000});
    expect_error(&mut socket, "slow", &told, "Endpoint request timed out").await;
}

/// Routing: non-200 on one-way → nothing.
#[tokio::test]
async fn no_status_on_a_one_way_route_makes_a_frame() {
    let mut socket = connect(target::open().await).await;
    let id = socket.id().await;
    for status in [200, 201, 301, 400, 403, 404, 500, 501] {
        let told = json!({"report": id, "return": {"statusCode": status}});
        let event = socket.ask("notify", &told).await;
        assert_eq!(event["requestContext"]["routeKey"], "notify");
        socket.expect_nothing().await;
    }
}

/// Per-route throttle exceeded → `Too Many Requests` frame \[U\]; other routes are unaffected.
#[tokio::test]
async fn frames_above_a_routes_throttle_are_too_many() {
    let mut socket = connect(target::bare().await).await;
    let id = socket.id().await;
    // Two at once are allowed, and one more a second.
    const FRAMES: usize = 40;
    for _ in 0..FRAMES {
        let text = frame(
            "scarce",
            &json!({"return": {"statusCode": 200, "body": "served"}}),
        );
        socket.send_text(text.to_string()).await;
    }
    let mut served = 0;
    for _ in 0..FRAMES {
        let text = socket.next_text().await;
        match text == "served" {
            true => served += 1,
            false => drop(request_id_of(&text, "Too Many Requests", &id)),
        }
    }
    assert!((1..FRAMES).contains(&served), "{served} of {FRAMES}");
    socket.expect_nothing().await;
}

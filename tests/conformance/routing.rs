//! The selection of a frame's route, and error frames.

use serde_json::{Value, json};

use crate::socket::{Socket, connect, frame};
use crate::target;

/// Checks the bytes of an error frame and returns its request id.
fn request_id_of(text: &str, message: &str, connection_id: &str) -> String {
    let start =
        format!(r#"{{"message": "{message}", "connectionId":"{connection_id}", "requestId":""#);
    let rest = text.strip_prefix(&start);
    let id = rest.and_then(|rest| rest.strip_suffix(r#""}"#));
    let id = id.unwrap_or_else(|| panic!("not {start}…: {text}"));
    assert!(id.len() == 16 && id.ends_with('='), "{text}");
    id.to_owned()
}

/// Sends a frame to a route and checks that it gets one error frame and that the socket stays open.
async fn expect_error(socket: &mut Socket, route: &str, instructions: &Value, message: &str) {
    let id = socket.id().await;
    socket.send(route, instructions).await;
    let text = socket.next_text().await;
    request_id_of(&text, message, &id);
    socket.expect_nothing().await;
}

/// A frame goes to the route whose key is exactly the selected value, or to `$default`.
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
        let event = socket.request(key, &Value::Null).await;
        assert_eq!(event["requestContext"]["routeKey"], route, "{key:?}");
    }
}

/// A frame without a string at the selected place, or that is not a JSON object, goes to
/// `$default`.
#[tokio::test]
async fn a_frame_without_a_route_key_goes_to_default() {
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

/// A frame that names `$connect` or `$disconnect` goes to `$default` \[U\].
#[tokio::test]
async fn a_frame_cannot_reach_connect_or_disconnect() {
    let mut socket = connect(target::open().await).await;
    for key in ["$connect", "$disconnect", "$default"] {
        let event = socket.request(key, &Value::Null).await;
        let context = &event["requestContext"];
        assert_eq!(context["routeKey"], "$default", "{key}");
        assert_eq!(context["eventType"], "MESSAGE", "{key}");
    }
}

/// A route selection expression may name a nested value: `$request.body.command.name`.
#[tokio::test]
async fn the_route_key_may_be_a_nested_value() {
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

/// A route selection expression may combine values and text:
/// `${request.body.service}.${request.body.action}`.
#[tokio::test]
async fn the_route_key_may_combine_several_values() {
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

/// Without a `$default` route, a frame for no route gets a `Forbidden` frame, and the connection
/// stays open.
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

/// A function that fails causes an `Internal server error` frame on one-way and two-way routes.
#[tokio::test]
async fn a_function_that_fails_causes_an_internal_server_error_on_any_route() {
    let mut socket = connect(target::open().await).await;
    for route in ["notify", "reply", "half"] {
        for instructions in [
            json!({"throw": {"type": "Error", "message": "secret"}}),
            json!({"panic": "secret"}),
            json!({"exit": 1}),
        ] {
            expect_error(&mut socket, route, &instructions, "Internal server error").await;
        }
    }
}

/// A result that is not a proxy response, or has unknown keys, causes an `Internal server error`
/// frame on one-way and two-way routes.
#[tokio::test]
async fn a_result_that_is_not_a_proxy_response_causes_an_internal_server_error_on_any_route() {
    let mut socket = connect(target::open().await).await;
    for route in ["notify", "reply"] {
        for result in [
            json!("text"),
            json!({"status": 200}),
            json!({"statusCode": 200, "unheardOf": true}),
        ] {
            let instructions = json!({"return": result});
            expect_error(&mut socket, route, &instructions, "Internal server error").await;
        }
    }
}

/// A function that exceeds the integration timeout causes an `Endpoint request timed out` frame.
#[tokio::test]
async fn a_function_that_exceeds_the_integration_timeout_causes_a_timed_out_frame() {
    // The timeout of this route is a second.
    let mut socket = connect(target::open().await).await;
    let instructions = json!({"sleep_ms": 2_000});
    expect_error(
        &mut socket,
        "slow",
        &instructions,
        "Endpoint request timed out",
    )
    .await;
}

/// A one-way route sends no frame, whatever status the function returns.
#[tokio::test]
async fn a_one_way_route_sends_no_frame_whatever_the_status() {
    let mut socket = connect(target::open().await).await;
    let id = socket.id().await;
    for status in [200, 201, 301, 400, 403, 404, 500, 501] {
        let instructions = json!({"report": id, "return": {"statusCode": status}});
        let event = socket.request("notify", &instructions).await;
        assert_eq!(event["requestContext"]["routeKey"], "notify");
        socket.expect_nothing().await;
    }
}

/// A frame above the throttle of its route gets a `Too Many Requests` frame \[U\]. Other routes are
/// unaffected.
#[tokio::test]
async fn frames_above_a_routes_throttle_get_too_many_requests() {
    let mut socket = connect(target::bare().await).await;
    let id = socket.id().await;
    // The throttle of this route: a burst of two, and one a second.
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
        if text == "served" {
            served += 1;
        } else {
            request_id_of(&text, "Too Many Requests", &id);
        }
    }
    assert!((1..FRAMES).contains(&served), "{served} of {FRAMES}");
    socket.expect_nothing().await;
}

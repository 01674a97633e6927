//! The `@connections` API.

use std::time::{Duration, SystemTime};

use aws_sdk_apigatewaymanagement::primitives::Blob;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tests::client::HttpResponse;

use crate::signed::{Call, sdk};
use crate::socket::{Handshake, Observer, connect};
use crate::target::{self, Target};
use crate::web;

/// A well-formed id of no connection.
const UNKNOWN_ID: &str = "AAAAAAAAAAAAAAA=";

/// Size limit of a message, in bytes.
const MAX_MESSAGE_BYTES: usize = 128 * 1_024;

/// Upper bound of the posts that may be accepted for a client that does not read: twice as many as
/// fit into the buffers of two TCP stacks.
const MAX_ACCEPTED_POSTS: usize = 1_000;

/// Checks the status of an error, its name in the header, and that its body is JSON or empty.
fn assert_error(response: &HttpResponse, status: u16, name: &str) {
    assert_eq!(response.status, status, "{response:?}");
    let error_type = response.header("x-amzn-errortype");
    assert_eq!(error_type.split(':').next(), Some(name), "{response:?}");
    if !response.body.is_empty() {
        response.json();
    }
}

/// Sends a post, a get and a delete for one id, and returns the responses.
async fn all_methods(target: &Target, id: &str) -> Vec<HttpResponse> {
    let mut responses = Vec::new();
    for method in ["POST", "GET", "DELETE"] {
        responses.push(Call::new(method, id).send(target).await);
    }
    responses
}

/// A post arrives as a text frame.
#[tokio::test]
async fn a_post_arrives_as_a_text_frame() {
    let target = target::open().await;
    let mut socket = connect(target).await;
    let id = socket.id().await;
    for text in ["{\"x\":1}", "not JSON, é"] {
        let response = Call::new("POST", &id).body(text).send(target).await;
        assert_eq!((response.status.as_u16(), response.body.len()), (200, 0));
        assert_eq!(socket.next_text().await, text);
    }
}

/// Invalid UTF-8 in a post is replaced by U+FFFD.
#[tokio::test]
async fn invalid_utf8_in_a_post_is_replaced() {
    let target = target::open().await;
    let mut socket = connect(target).await;
    let id = socket.id().await;
    let call = Call::new("POST", &id).body(b"a\xFFb".as_slice());
    assert_eq!(call.send(target).await.status, 200);
    assert_eq!(socket.next_text().await, "a\u{FFFD}b");
}

/// A get returns `connectedAt` and `lastActiveAt`, in ISO 8601, and `identity`.
#[tokio::test]
async fn a_get_describes_the_connection() {
    let target = target::open().await;
    let mut socket = Handshake::new(target, "")
        .instruct(&json!({"x": 1}))
        .open()
        .await;
    let event = socket.event().await;
    let context = &event["requestContext"];
    let id = context["connectionId"].as_str().expect("an id");
    let response = Call::new("GET", id).send(target).await;
    assert_eq!(response.status, 200);
    let description = response.json();
    crate::events::assert_keys(&description, &["connectedAt", "lastActiveAt", "identity"]);
    assert_eq!(description["identity"], context["identity"]);
    let connected_at = time(&description["connectedAt"]);
    let expected = context["connectedAt"].as_i64().expect("milliseconds");
    assert_eq!(connected_at.timestamp(), expected / 1_000);
    assert!(time(&description["lastActiveAt"]) >= connected_at);
}

/// Parses an ISO 8601 time in UTC.
fn time(value: &Value) -> DateTime<Utc> {
    let text = value.as_str().expect("a string");
    assert!(text.ends_with('Z'), "{text}");
    text.parse().expect("ISO 8601")
}

/// The Rust SDK parses the response to a get.
#[tokio::test]
async fn the_sdk_parses_the_response_to_a_get() {
    let target = target::open().await;
    let mut socket = connect(target).await;
    let id = socket.id().await;
    let description = sdk(target).get_connection().connection_id(id).send().await;
    let description = description.expect("a description");
    assert!(description.connected_at().is_some() && description.last_active_at().is_some());
    let identity = description.identity().expect("an identity");
    assert!(identity.source_ip().is_some());
}

/// A delete closes the connection with 1000, and its DISCONNECT event has 1000.
#[tokio::test]
async fn a_delete_closes_the_connection_with_1000() {
    let target = target::open().await;
    let mut observer = Observer::open(target).await;
    let instructions = json!({"disconnect": {"report": observer.id}});
    let mut socket = Handshake::new(target, "")
        .instruct(&instructions)
        .open()
        .await;
    let id = socket.id().await;
    let response = Call::new("DELETE", &id).send(target).await;
    assert!(response.status.is_success(), "{response:?}");
    assert_eq!(socket.closed().await, 1000);
    let event = observer.next().await;
    assert_eq!(event["requestContext"]["disconnectStatusCode"], 1000);
    assert_eq!(
        event["requestContext"]["disconnectReason"],
        "Connection Closed Normally"
    );
}

/// A delete returns 204, as in the service model of the SDKs \[U\].
#[tokio::test]
async fn a_delete_returns_204() {
    let target = target::open().await;
    let mut socket = connect(target).await;
    let id = socket.id().await;
    assert_eq!(Call::new("DELETE", &id).send(target).await.status, 204);
}

/// `=` and `@` in the path may be percent-encoded.
#[tokio::test]
async fn an_id_may_be_percent_encoded_or_not() {
    let target = target::open().await;
    let mut socket = connect(target).await;
    let id = socket.id().await;
    for id in [id.clone(), id.replace('=', "%3D"), id.replace('=', "%3d")] {
        for folder in ["@connections", "%40connections"] {
            let call = Call::new("POST", &id).body(id.clone());
            let response = Call { folder, ..call }.send(target).await;
            assert_eq!(response.status, 200, "{folder}/{id}");
            assert_eq!(socket.next_text().await, id);
        }
    }
    let post = sdk(target).post_to_connection().connection_id(&id);
    post.data(Blob::new("sdk")).send().await.expect("accepted");
    assert_eq!(socket.next_text().await, "sdk");
}

/// A call for a closed connection returns 410.
#[tokio::test]
async fn a_closed_connection_is_gone() {
    let target = target::open().await;
    let mut observer = Observer::open(target).await;
    let instructions = json!({"disconnect": {"report": observer.id}});
    let mut socket = Handshake::new(target, "")
        .instruct(&instructions)
        .open()
        .await;
    let id = socket.id().await;
    socket.close(Some(1000)).await;
    observer.next().await;
    for response in all_methods(target, &id).await {
        assert_error(&response, 410, "GoneException");
    }
    let post = sdk(target).post_to_connection().connection_id(&id);
    let error = post.data(Blob::new("late")).send().await.expect_err("gone");
    assert!(error.into_service_error().is_gone_exception());
}

/// A call for a connection returns 410 while its `$connect` function runs, and 200 once the client
/// is connected.
#[tokio::test]
async fn a_connection_is_gone_until_its_connect_function_has_returned() {
    let target = target::open().await;
    let (mut observer, gate) = (Observer::open(target).await, Observer::open(target).await);
    let instructions = json!({"connect": {"report": observer.id, "await_gone": gate.id}});
    let opening = tokio::spawn(Handshake::new(target, "").instruct(&instructions).open());
    let event = observer.next().await;
    let id = event["requestContext"]["connectionId"]
        .as_str()
        .expect("an id");
    for response in all_methods(target, id).await {
        assert_error(&response, 410, "GoneException");
    }
    gate.close().await;
    let mut socket = opening.await.expect("the handshake does not panic");
    // The client may have the 101 before the gateway has registered the connection. The response to
    // a frame shows that it is registered.
    socket.expect_nothing().await;
    let response = Call::new("POST", id).body("now").send(target).await;
    assert_eq!(response.status, 200);
    assert_eq!(socket.next_text().await, "now");
}

/// A call for a connection returns 410 while its `$disconnect` function runs.
#[tokio::test]
async fn a_connection_is_gone_while_its_disconnect_function_runs() {
    let target = target::open().await;
    let (mut observer, gate) = (Observer::open(target).await, Observer::open(target).await);
    let instructions = json!({"disconnect": {"report": observer.id, "await_gone": gate.id}});
    let mut socket = Handshake::new(target, "")
        .instruct(&instructions)
        .open()
        .await;
    let id = socket.id().await;
    socket.close(Some(1000)).await;
    observer.next().await;
    for response in all_methods(target, &id).await {
        assert_error(&response, 410, "GoneException");
    }
    gate.close().await;
}

/// A call for an unknown id returns 410.
#[tokio::test]
async fn an_unknown_id_is_gone() {
    let target = target::open().await;
    for response in all_methods(target, UNKNOWN_ID).await {
        assert_error(&response, 410, "GoneException");
    }
}

/// A call for a malformed id returns 400.
#[tokio::test]
async fn a_malformed_id_is_a_bad_request() {
    let target = target::open().await;
    for id in ["nobody", "not%20an%20id", "AAAAAAAAAAAAAAAA%2F%3D"] {
        for response in all_methods(target, id).await {
            assert_error(&response, 400, "BadRequestException");
            let message = response.json()["message"].clone();
            let message = message.as_str().expect("a string");
            assert!(message.starts_with("Invalid connectionId"), "{message}");
        }
    }
}

/// A post above 128 KB returns 413.
#[tokio::test]
async fn a_post_above_128_kilobytes_is_too_large() {
    let target = target::open().await;
    let mut socket = connect(target).await;
    let id = socket.id().await;
    let largest = "x".repeat(MAX_MESSAGE_BYTES);
    let response = Call::new("POST", &id)
        .body(largest.clone())
        .send(target)
        .await;
    assert_eq!(response.status, 200);
    assert_eq!(socket.next_text().await, largest);

    let response = Call::new("POST", &id)
        .body(largest + "x")
        .send(target)
        .await;
    assert_error(&response, 413, "PayloadTooLargeException");
    assert!(response.json()["message"].is_string());
    socket.expect_nothing().await;
}

/// A post to a client that does not read returns 429 when its bounded outbox is full. Accepted
/// posts arrive, and other clients are unaffected.
#[tokio::test]
async fn a_client_that_does_not_read_gets_a_limited_number_of_posts() {
    let target = target::open().await;
    let (mut slow, mut other) = (connect(target).await, connect(target).await);
    let (management, id) = (sdk(target), slow.id().await);
    let post = async |number: usize| {
        let text = format!("{number:08}{}", "x".repeat(MAX_MESSAGE_BYTES - 8));
        let post = management.post_to_connection().connection_id(&id);
        post.data(Blob::new(text)).send().await
    };
    let mut accepted = 0;
    let rejection = loop {
        match post(accepted).await {
            Ok(_) => accepted += 1,
            Err(error) => break error.into_service_error(),
        }
        assert!(accepted < MAX_ACCEPTED_POSTS, "the outbox is not bounded");
    };
    assert!(rejection.is_limit_exceeded_exception(), "{rejection:?}");
    other.expect_nothing().await;

    for number in 0..accepted {
        let text = slow.next_text().await;
        assert_eq!(text[..8].parse(), Ok(number));
    }
    post(accepted).await.expect("the outbox has room again");
    assert_eq!(slow.next_text().await.len(), MAX_MESSAGE_BYTES);
}

/// A call without a valid signature returns 403, and nothing is sent to the client.
#[tokio::test]
async fn a_call_without_a_valid_signature_is_forbidden() {
    let target = target::open().await;
    let mut socket = connect(target).await;
    let id = socket.id().await;
    let call = Call::new("POST", &id).body("good");
    let hour = Duration::from_secs(3_600);
    let at = |time| Call {
        time,
        ..call.clone()
    };
    let signed_with = |change: fn(&mut Target)| {
        let mut target = target.clone();
        change(&mut target);
        call.signed(&target)
    };
    for (case, request) in [
        ("unsigned", call.unsigned(target)),
        (
            "wrong secret",
            signed_with(|caller| caller.secret_access_key = "other".into()),
        ),
        (
            "unknown key",
            signed_with(|caller| caller.access_key_id = "AKIAOTHER".into()),
        ),
        (
            "wrong region",
            signed_with(|caller| caller.region = "xx-north-9".into()),
        ),
        (
            "wrong service",
            Call {
                service: "lambda",
                ..call.clone()
            }
            .signed(target),
        ),
        ("old", at(SystemTime::now() - hour).signed(target)),
        ("in the future", at(SystemTime::now() + hour).signed(target)),
        ("other body", with_body(call.signed(target), "evil")),
        ("other method", with_method(call.signed(target), "DELETE")),
        (
            "other id",
            with_id(
                Call::new("POST", UNKNOWN_ID).body("good").signed(target),
                &call,
                target,
            ),
        ),
    ] {
        let response = web::send(request).await;
        assert_eq!(response.status, 403, "{case}: {response:?}");
        response.json();
    }
    socket.expect_nothing().await;
    assert_eq!(call.send(target).await.status, 200);
    assert_eq!(socket.next_text().await, "good");
}

fn with_body(request: Request<Full<Bytes>>, body: &'static str) -> Request<Full<Bytes>> {
    request.map(|_| Full::new(Bytes::from_static(body.as_bytes())))
}

fn with_method(mut request: Request<Full<Bytes>>, method: &str) -> Request<Full<Bytes>> {
    *request.method_mut() = method.parse().expect("a method");
    request
}

/// Replaces the URL of a request by that of `call`.
fn with_id(
    mut request: Request<Full<Bytes>>,
    call: &Call,
    target: &Target,
) -> Request<Full<Bytes>> {
    *request.uri_mut() = call.unsigned(target).uri().clone();
    request
}

/// `lastActiveAt` advances with data.
#[tokio::test]
async fn last_active_at_advances_with_data() {
    let target = target::open().await;
    let mut socket = connect(target).await;
    let id = socket.id().await;
    let last_active_at = async || {
        let response = Call::new("GET", &id).send(target).await;
        time(&response.json()["lastActiveAt"])
    };
    let before = last_active_at().await;
    // The times may be in whole seconds.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    socket.expect_nothing().await;
    assert!(last_active_at().await > before);
}

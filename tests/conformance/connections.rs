//! The `@connections` API.

use std::time::{Duration, SystemTime};

use aws_sdk_apigatewaymanagement::primitives::Blob;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tests::client::Answer;

use crate::signed::{Call, sdk};
use crate::socket::{Handshake, Observer, connect};
use crate::target::{self, Target};
use crate::web;

/// A well-formed id that nobody has.
const NOBODY: &str = "AAAAAAAAAAAAAAA=";

/// The largest message, in bytes.
const MESSAGE: usize = 128 * 1_024;

/// Posts that a client who reads nothing may have outstanding: twice what fits into the buffers of
/// two TCP stacks.
const MANY: usize = 1_000;

/// Checks an error's status, its name in the header, and that its body is JSON or empty.
fn assert_error(answer: &Answer, status: u16, name: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let given = answer.header("x-amzn-errortype");
    assert_eq!(given.split(':').next(), Some(name), "{answer:?}");
    if !answer.body.is_empty() {
        answer.json();
    }
}

/// The answers to a post, a get and a delete for one id.
async fn all_methods(target: &Target, id: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    for method in ["POST", "GET", "DELETE"] {
        answers.push(Call::new(method, id).send(target).await);
    }
    answers
}

/// @connections: post.
#[tokio::test]
async fn a_post_arrives_as_a_text_frame() {
    let target = target::open().await;
    let mut socket = connect(target).await;
    let id = socket.id().await;
    for text in ["{\"x\":1}", "not JSON, é"] {
        let answer = Call::new("POST", &id).body(text).send(target).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
        assert_eq!(socket.next_text().await, text);
    }
}

/// Invalid UTF-8 sent by the back end is replaced by U+FFFD.
#[tokio::test]
async fn a_post_that_is_not_utf8_is_mended() {
    let target = target::open().await;
    let mut socket = connect(target).await;
    let id = socket.id().await;
    let call = Call::new("POST", &id).body(b"a\xFFb".as_slice());
    assert_eq!(call.send(target).await.status, 200);
    assert_eq!(socket.next_text().await, "a\u{FFFD}b");
}

/// @connections: get; GET camelCase ISO times.
#[tokio::test]
async fn a_get_describes_the_socket() {
    let target = target::open().await;
    let mut socket = Handshake::new(target, "")
        .tell(&json!({"x": 1}))
        .open()
        .await;
    let event = socket.event().await;
    let context = &event["requestContext"];
    let id = context["connectionId"].as_str().expect("an id");
    let answer = Call::new("GET", id).send(target).await;
    assert_eq!(answer.status, 200);
    let description = answer.json();
    crate::events::assert_keys(&description, &["connectedAt", "lastActiveAt", "identity"]);
    assert_eq!(description["identity"], context["identity"]);
    let connected_at = time(&description["connectedAt"]);
    let expected = context["connectedAt"].as_i64().expect("milliseconds");
    assert_eq!(connected_at.timestamp(), expected / 1_000);
    assert!(time(&description["lastActiveAt"]) >= connected_at);
}

/// An ISO 8601 time in UTC.
fn time(value: &Value) -> DateTime<Utc> {
    let text = value.as_str().expect("a string");
    assert!(text.ends_with('Z'), "{text}");
    text.parse().expect("ISO 8601")
}

/// The Rust SDK understands what a get answers.
#[tokio::test]
async fn the_sdk_reads_the_description() {
    let target = target::open().await;
    let mut socket = connect(target).await;
    let id = socket.id().await;
    let description = sdk(target).get_connection().connection_id(id).send().await;
    let description = description.expect("a description");
    assert!(description.connected_at().is_some() && description.last_active_at().is_some());
    let identity = description.identity().expect("an identity");
    assert!(identity.source_ip().is_some());
}

/// @connections: delete; DELETE → client close 1000 → DISCONNECT 1000.
#[tokio::test]
async fn a_delete_closes_the_socket_with_1000() {
    let target = target::open().await;
    let mut observer = Observer::open(target).await;
    let told = json!({"disconnect": {"report": observer.id}});
    let mut socket = Handshake::new(target, "").tell(&told).open().await;
    let id = socket.id().await;
    let answer = Call::new("DELETE", &id).send(target).await;
    assert!(answer.status.is_success(), "{answer:?}");
    assert_eq!(socket.closed().await, 1000);
    let event = observer.next().await;
    assert_eq!(event["requestContext"]["disconnectStatusCode"], 1000);
    assert_eq!(
        event["requestContext"]["disconnectReason"],
        "Connection Closed Normally"
    );
}

/// DeleteConnection → 204 by the model \[U\].
#[tokio::test]
async fn a_delete_answers_204() {
    let target = target::open().await;
    let mut socket = connect(target).await;
    let id = socket.id().await;
    assert_eq!(Call::new("DELETE", &id).send(target).await.status, 204);
}

/// @connections: `%3D` and `=`; also `%40` and `@`.
#[tokio::test]
async fn an_id_may_be_percent_encoded_or_not() {
    let target = target::open().await;
    let mut socket = connect(target).await;
    let id = socket.id().await;
    for id in [id.clone(), id.replace('=', "%3D"), id.replace('=', "%3d")] {
        for folder in ["@connections", "%40connections"] {
            let call = Call::new("POST", &id).body(id.clone());
            let answer = Call { folder, ..call }.send(target).await;
            assert_eq!(answer.status, 200, "{folder}/{id}");
            assert_eq!(socket.next_text().await, id);
        }
    }
    let post = sdk(target).post_to_connection().connection_id(&id);
    post.data(Blob::new("sdk")).send().await.expect("accepted");
    assert_eq!(socket.next_text().await, "sdk");
}

/// @connections: 410 after close.
#[tokio::test]
async fn a_closed_socket_is_gone() {
    let target = target::open().await;
    let mut observer = Observer::open(target).await;
    let told = json!({"disconnect": {"report": observer.id}});
    let mut socket = Handshake::new(target, "").tell(&told).open().await;
    let id = socket.id().await;
    socket.close(Some(1000)).await;
    observer.next().await;
    for answer in all_methods(target, &id).await {
        assert_error(&answer, 410, "GoneException");
    }
    let post = sdk(target).post_to_connection().connection_id(&id);
    let error = post.data(Blob::new("late")).send().await.expect_err("gone");
    assert!(error.into_service_error().is_gone_exception());
}

/// 410 during `$connect`, and no longer once the client is up.
#[tokio::test]
async fn a_socket_is_gone_until_its_connect_has_returned() {
    let target = target::open().await;
    let (mut observer, gate) = (Observer::open(target).await, Observer::open(target).await);
    let told = json!({"connect": {"report": observer.id, "await_gone": gate.id}});
    let opening = tokio::spawn(Handshake::new(target, "").tell(&told).open());
    let event = observer.next().await;
    let id = event["requestContext"]["connectionId"]
        .as_str()
        .expect("an id");
    for answer in all_methods(target, id).await {
        assert_error(&answer, 410, "GoneException");
    }
    gate.close().await;
    let mut socket = opening.await.expect("the handshake does not panic");
    // The gateway may still be busy with the 101 when the client has it, but not with a frame.
    socket.expect_nothing().await;
    let answer = Call::new("POST", id).body("now").send(target).await;
    assert_eq!(answer.status, 200);
    assert_eq!(socket.next_text().await, "now");
}

/// Nothing can be sent to a connection whose `$disconnect` runs.
#[tokio::test]
async fn a_socket_is_gone_while_its_disconnect_runs() {
    let target = target::open().await;
    let (mut observer, gate) = (Observer::open(target).await, Observer::open(target).await);
    let told = json!({"disconnect": {"report": observer.id, "await_gone": gate.id}});
    let mut socket = Handshake::new(target, "").tell(&told).open().await;
    let id = socket.id().await;
    socket.close(Some(1000)).await;
    observer.next().await;
    for answer in all_methods(target, &id).await {
        assert_error(&answer, 410, "GoneException");
    }
    gate.close().await;
}

/// @connections: 410 unknown id.
#[tokio::test]
async fn an_id_that_nobody_has_is_gone() {
    let target = target::open().await;
    for answer in all_methods(target, NOBODY).await {
        assert_error(&answer, 410, "GoneException");
    }
}

/// @connections: 400 malformed id.
#[tokio::test]
async fn an_id_of_another_shape_is_a_bad_request() {
    let target = target::open().await;
    for id in ["nobody", "not%20an%20id", "AAAAAAAAAAAAAAAA%2F%3D"] {
        for answer in all_methods(target, id).await {
            assert_error(&answer, 400, "BadRequestException");
            let message = answer.json()["message"].clone();
            let message = message.as_str().expect("a string");
            assert!(message.starts_with("Invalid connectionId"), "{message}");
        }
    }
}

/// @connections: 413 at 131,073 B.
#[tokio::test]
async fn a_post_above_128_kilobytes_is_too_large() {
    let target = target::open().await;
    let mut socket = connect(target).await;
    let id = socket.id().await;
    let largest = "x".repeat(MESSAGE);
    let answer = Call::new("POST", &id)
        .body(largest.clone())
        .send(target)
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(socket.next_text().await, largest);

    let answer = Call::new("POST", &id)
        .body(largest + "x")
        .send(target)
        .await;
    assert_error(&answer, 413, "PayloadTooLargeException");
    assert!(answer.json()["message"].is_string());
    socket.expect_nothing().await;
}

/// @connections: 429 on slow client (bounded outbox); what was accepted arrives, and other clients
/// notice nothing.
#[tokio::test]
async fn a_client_that_does_not_read_gets_no_more_posts() {
    let target = target::open().await;
    let (mut slow, mut other) = (connect(target).await, connect(target).await);
    let (management, id) = (sdk(target), slow.id().await);
    let post = async |number: usize| {
        let text = format!("{number:08}{}", "x".repeat(MESSAGE - 8));
        let post = management.post_to_connection().connection_id(&id);
        post.data(Blob::new(text)).send().await
    };
    let mut accepted = 0;
    let refusal = loop {
        match post(accepted).await {
            Ok(_) => accepted += 1,
            Err(error) => break error.into_service_error(),
        }
        assert!(accepted < MANY, "the outbox has no bound");
    };
    assert!(refusal.is_limit_exceeded_exception(), "{refusal:?}");
    other.expect_nothing().await;

    for number in 0..accepted {
        let text = slow.next_text().await;
        assert_eq!(text[..8].parse(), Ok(number));
    }
    post(accepted).await.expect("there is room again");
    assert_eq!(slow.next_text().await.len(), MESSAGE);
}

/// @connections: 403 bad signature. Nothing arrives.
#[tokio::test]
async fn a_request_that_is_not_well_signed_is_forbidden() {
    let target = target::open().await;
    let mut socket = connect(target).await;
    let id = socket.id().await;
    let call = Call::new("POST", &id).body("good");
    let hour = Duration::from_secs(3_600);
    let at = |time| Call {
        time,
        ..call.clone()
    };
    let elsewhere = |change: fn(&mut Target)| {
        let mut target = target.clone();
        change(&mut target);
        call.signed(&target)
    };
    for (what, request) in [
        ("unsigned", call.unsigned(target)),
        (
            "wrong secret",
            elsewhere(|caller| caller.secret_access_key = "other".into()),
        ),
        (
            "unknown key",
            elsewhere(|caller| caller.access_key_id = "AKIAOTHER".into()),
        ),
        (
            "wrong region",
            elsewhere(|caller| caller.region = "xx-north-9".into()),
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
        ("of the future", at(SystemTime::now() + hour).signed(target)),
        ("other body", with_body(call.signed(target), "evil")),
        ("other method", with_method(call.signed(target), "DELETE")),
        (
            "other id",
            with_id(
                Call::new("POST", NOBODY).body("good").signed(target),
                &call,
                target,
            ),
        ),
    ] {
        let answer = web::send(request).await;
        assert_eq!(answer.status, 403, "{what}: {answer:?}");
        answer.json();
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

/// The request with the address of another.
fn with_id(
    mut request: Request<Full<Bytes>>,
    call: &Call,
    target: &Target,
) -> Request<Full<Bytes>> {
    *request.uri_mut() = call.unsigned(target).uri().clone();
    request
}

/// `lastActiveAt` moves with data.
#[tokio::test]
async fn last_active_at_moves_with_data() {
    let target = target::open().await;
    let mut socket = connect(target).await;
    let id = socket.id().await;
    let last_active_at = async || {
        let answer = Call::new("GET", &id).send(target).await;
        time(&answer.json()["lastActiveAt"])
    };
    let before = last_active_at().await;
    // Times may be given in whole seconds.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    socket.expect_nothing().await;
    assert!(last_active_at().await > before);
}

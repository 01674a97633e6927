//! Faults on demand, by flag and by the control endpoint.
//!
//! - [`pushes`]: posts that are refused, and pushes that are lost, doubled or late
//! - [`connections`]: sockets that are cut, and `$disconnect`
//! - [`kills`]: processes that are killed with an event in hand

mod connections;
mod kills;
mod pushes;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tests::LocalGateway;
use tests::client::{HttpResponse, request};

use crate::probe;

/// Asks for something about the faults of the gateway whose Invoke API is at `base`.
async fn control(base: &str, method: Method, path: &str, body: &Value) -> HttpResponse {
    let url = format!("{base}/_local/{path}");
    request(method, &url, body.to_string().into_bytes()).await
}

/// Sets all faults anew.
async fn set(gateway: &LocalGateway, faults: &Value) {
    let answer = control(&gateway.functions, Method::PUT, "faults", faults).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

/// The faults in force.
async fn in_force(gateway: &LocalGateway) -> Value {
    let answer = control(&gateway.functions, Method::GET, "faults", &Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()
}

/// A gateway on the probe, with these faults from the start.
async fn start(faults: &Value) -> LocalGateway {
    probe::start(&json!({}), &["--fault", &faults.to_string()]).await
}

/// A gateway on the probe with these faults by either way.
async fn both_ways(faults: &Value) -> [LocalGateway; 2] {
    let gateway = probe::start(&json!({}), &[]).await;
    set(&gateway, faults).await;
    [start(faults).await, gateway]
}

/// What is shown of no faults at all.
fn nothing() -> Value {
    json!({
        "seed": null,
        "disconnect": {"drop": 0.0, "delay_ms": 0},
        "posts": {},
        "pushes": {"drop": 0.0, "duplicate": 0.0, "delay_ms": 0},
        "kill": [],
        "cut": 0.0,
    })
}

/// All of them at once, in full.
fn everything() -> Value {
    json!({
        "seed": 7,
        "disconnect": {"drop": 0.25, "delay_ms": 500},
        "posts": {"410": 0.125, "429": 0.5, "500": 1.0},
        "pushes": {"drop": 0.5, "duplicate": 0.25, "delay_ms": 50},
        "kill": [
            {"function": "ProbeFunction", "at": "invoke", "share": 0.5, "delay_ms": 10},
            {"function": "ProbeFunction", "at": "before_push", "share": 0.5, "delay_ms": 0},
            {"function": "ProbeFunction", "at": "after_push", "share": 1.0, "delay_ms": 0},
        ],
        "cut": 0.5,
    })
}

#[tokio::test]
async fn faults_are_off_until_they_are_set_and_are_shown() {
    let gateway = probe::start(&json!({}), &[]).await;
    assert_eq!(in_force(&gateway).await, nothing());
    let answer = control(&gateway.functions, Method::PUT, "faults", &everything()).await;
    assert_eq!(
        (answer.status, answer.json()),
        (StatusCode::OK, everything())
    );
    assert_eq!(in_force(&gateway).await, everything());
    // What is not named is off again.
    set(&gateway, &json!({"cut": 0.5})).await;
    let mut expected = nothing();
    expected["cut"] = json!(0.5);
    assert_eq!(in_force(&gateway).await, expected);
    gateway.stop().await.expect("stopped");

    let gateway = start(&everything()).await;
    assert_eq!(in_force(&gateway).await, everything());
    gateway.stop().await.expect("stopped");
}

/// Faults that are refused, each with a part of what is said.
const MALFORMED: [(&str, &str); 13] = [
    ("", "malformed"),
    ("{", "malformed"),
    (r#"{"cuts":1}"#, "unknown field `cuts`"),
    (r#"{"pushes":{"lose":1}}"#, "unknown field `lose`"),
    (r#"{"disconnect":{"delay":1}}"#, "unknown field `delay`"),
    (r#"{"cut":1.5}"#, "1.5 is not a share from 0 to 1"),
    (r#"{"pushes":{"drop":-0.5}}"#, "-0.5 is not a share"),
    (r#"{"posts":{"429":2}}"#, "2 is not a share"),
    (r#"{"posts":{"7":0.5}}"#, "7 is not a status"),
    (
        r#"{"kill":[{"function":"F","at":"later","share":1}]}"#,
        "unknown variant `later`",
    ),
    (
        r#"{"kill":[{"function":"F","at":"invoke","share":3}]}"#,
        "3 is not a share",
    ),
    (
        r#"{"kill":[{"function":"F","at":"invoke","share":1}]}"#,
        "there is no function F",
    ),
    ("[]", "malformed"),
];

#[tokio::test]
async fn malformed_faults_are_refused_and_change_nothing() {
    let gateway = start(&json!({"cut": 0.5})).await;
    let before = in_force(&gateway).await;
    let url = format!("{}/_local/faults", gateway.functions);
    for (malformed, part) in MALFORMED {
        let answer = request(Method::PUT, &url, malformed.into()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{malformed}");
        let body = answer.json();
        let message = body["message"].as_str().unwrap_or_default();
        assert!(message.contains(part), "{malformed}: {message}");
        assert_eq!(in_force(&gateway).await, before, "{malformed}");
    }
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn malformed_faults_end_the_start() {
    let template = probe::template_with(&json!({}));
    for (malformed, part) in MALFORMED {
        let error = LocalGateway::start(&template, &["--fault", malformed]).await;
        let said = error.err().expect("it ends").to_string();
        assert!(said.contains("--fault"), "{malformed}: {said}");
        assert!(said.contains(part), "{malformed}: {said}");
    }
}

#[tokio::test]
async fn only_what_there_is_can_be_asked_for() {
    let gateway = probe::start(&json!({}), &[]).await;
    for (method, path) in [
        (Method::GET, "fault"),
        (Method::POST, "faults"),
        (Method::GET, "cut"),
        (Method::PUT, "kill"),
    ] {
        let answer = control(&gateway.functions, method, path, &json!({})).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {answer:?}");
    }
    for body in [json!({}), json!({"function": "NoFunction"})] {
        let answer = control(&gateway.functions, Method::POST, "kill", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    }
    gateway.stop().await.expect("stopped");
}

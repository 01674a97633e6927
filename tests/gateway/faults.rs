//! Faults on demand, by flag and by the control endpoint.
//!
//! - [`pushes`]: rejected posts, and lost, duplicated or delayed pushes
//! - [`connections`]: cut connections, and dropped or delayed `$disconnect` events
//! - [`kills`]: killed processes
//! - [`queues`]: messages of queues that come twice

mod connections;
mod kills;
mod pushes;
mod queues;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tests::LocalGateway;
use tests::client::{HttpResponse, request};

use crate::probe;

/// Sends a request to the control endpoint of the gateway whose Invoke API is at `base`.
async fn control(base: &str, method: Method, path: &str, body: &Value) -> HttpResponse {
    let url = format!("{base}/_local/{path}");
    request(method, &url, body.to_string().into_bytes()).await
}

/// Replaces all faults.
async fn set(gateway: &LocalGateway, faults: &Value) {
    let response = control(&gateway.functions, Method::PUT, "faults", faults).await;
    assert_eq!(response.status, StatusCode::OK, "{response:?}");
}

/// Returns the current faults.
async fn current(gateway: &LocalGateway) -> Value {
    let response = control(&gateway.functions, Method::GET, "faults", &Value::Null).await;
    assert_eq!(response.status, StatusCode::OK, "{response:?}");
    response.json()
}

/// Starts a gateway on the probe, with these faults by the flag.
async fn start(faults: &Value) -> LocalGateway {
    probe::start(&json!({}), &["--fault", &faults.to_string()]).await
}

/// Starts two gateways on the probe: one with these faults by the flag, one by the control
/// endpoint.
async fn both_ways(faults: &Value) -> [LocalGateway; 2] {
    let gateway = probe::start(&json!({}), &[]).await;
    set(&gateway, faults).await;
    [start(faults).await, gateway]
}

/// Returns the faults when all are off.
fn nothing() -> Value {
    json!({
        "seed": null,
        "disconnect": {"drop": 0.0, "delay_ms": 0},
        "posts": {},
        "pushes": {"drop": 0.0, "duplicate": 0.0, "delay_ms": 0},
        "queues": {"duplicate": 0.0, "delay_ms": 0},
        "kill": [],
        "cut": 0.0,
    })
}

/// Returns faults of every kind, with all their fields.
fn everything() -> Value {
    json!({
        "seed": 7,
        "disconnect": {"drop": 0.25, "delay_ms": 500},
        "posts": {"410": 0.125, "429": 0.5, "500": 1.0},
        "pushes": {"drop": 0.5, "duplicate": 0.25, "delay_ms": 50},
        "queues": {"duplicate": 0.5, "delay_ms": 100},
        "kill": [
            {"function": "ProbeFunction", "at": "invoke", "share": 0.5, "delay_ms": 10},
            {"function": "ProbeFunction", "at": "before_push", "share": 0.5, "delay_ms": 0},
            {"function": "ProbeFunction", "at": "after_push", "share": 1.0, "delay_ms": 0},
        ],
        "cut": 0.5,
    })
}

#[tokio::test]
async fn faults_are_off_by_default_and_can_be_read_back() {
    let gateway = probe::start(&json!({}), &[]).await;
    assert_eq!(current(&gateway).await, nothing());
    let response = control(&gateway.functions, Method::PUT, "faults", &everything()).await;
    assert_eq!(
        (response.status, response.json()),
        (StatusCode::OK, everything())
    );
    assert_eq!(current(&gateway).await, everything());
    // Faults that are not named are off again.
    set(&gateway, &json!({"cut": 0.5})).await;
    let mut expected = nothing();
    expected["cut"] = json!(0.5);
    assert_eq!(current(&gateway).await, expected);
    gateway.stop().await.expect("stopped");

    let gateway = start(&everything()).await;
    assert_eq!(current(&gateway).await, everything());
    gateway.stop().await.expect("stopped");
}

/// Malformed faults, each with a part of the error message.
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
async fn malformed_faults_are_rejected_and_change_nothing() {
    let gateway = start(&json!({"cut": 0.5})).await;
    let before = current(&gateway).await;
    let url = format!("{}/_local/faults", gateway.functions);
    for (malformed, part) in MALFORMED {
        let response = request(Method::PUT, &url, malformed.into()).await;
        assert_eq!(response.status, StatusCode::BAD_REQUEST, "{malformed}");
        let body = response.json();
        let message = body["message"].as_str().unwrap_or_default();
        assert!(message.contains(part), "{malformed}: {message}");
        assert_eq!(current(&gateway).await, before, "{malformed}");
    }
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn malformed_faults_prevent_the_start() {
    let template = probe::template_with(&json!({}));
    for (malformed, part) in MALFORMED {
        let error = LocalGateway::start(&template, &["--fault", malformed]).await;
        let message = error.err().expect("the start fails").to_string();
        assert!(message.contains("--fault"), "{malformed}: {message}");
        assert!(message.contains(part), "{malformed}: {message}");
    }
}

#[tokio::test]
async fn unknown_control_paths_and_functions_are_rejected() {
    let gateway = probe::start(&json!({}), &[]).await;
    for (method, path) in [
        (Method::GET, "fault"),
        (Method::POST, "faults"),
        (Method::GET, "cut"),
        (Method::PUT, "kill"),
    ] {
        let response = control(&gateway.functions, method, path, &json!({})).await;
        assert_eq!(
            response.status,
            StatusCode::NOT_FOUND,
            "{path}: {response:?}"
        );
    }
    for body in [json!({}), json!({"function": "NoFunction"})] {
        let response = control(&gateway.functions, Method::POST, "kill", &body).await;
        assert_eq!(response.status, StatusCode::BAD_REQUEST, "{response:?}");
    }
    gateway.stop().await.expect("stopped");
}

//! Killed processes.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tests::launch::Launch;

use super::{both_ways, control, current, nothing, set};
use crate::probe::{self, Invocation, PROBE, Socket, invoke};

/// Returns faults that kill the probe at a moment.
fn kill(at: &str, delay_ms: u64) -> Value {
    json!({"kill": [{"function": PROBE, "at": at, "share": 1, "delay_ms": delay_ms}]})
}

/// Checks that the next frame is the gateway's error frame.
async fn expect_error(socket: &mut Socket) {
    let frame = socket.client.next().await;
    assert_eq!(frame["message"], "Internal server error", "{frame}");
    assert_eq!(frame["connectionId"], socket.id.as_str(), "{frame}");
}

/// Checks that an invocation has failed because its process was killed.
fn assert_killed(outcome: Result<Value, Value>) {
    let error = outcome.expect_err("a function error");
    assert_eq!(error["errorType"], "Runtime.ExitError", "{error}");
    let message = error["errorMessage"].as_str().unwrap_or_default();
    assert!(message.contains("signal: killed"), "{error}");
}

#[tokio::test]
async fn a_process_is_killed_when_it_gets_an_event() {
    for delay_ms in [0, 200] {
        for gateway in both_ways(&kill("invoke", delay_ms)).await {
            let mut socket = Socket::open(&gateway).await;
            for _ in 0..3 {
                socket.instruct(json!({"sleep_ms": 5_000})).await;
                expect_error(&mut socket).await;
            }
            set(&gateway, &json!({})).await;
            socket.instruct(json!({})).await;
            let event = socket.client.next().await;
            assert_eq!(event["requestContext"]["connectionId"], socket.id.as_str());
            let (_, log) = gateway.stop().await.expect("stopped");
            assert_eq!(log.matches("signal: killed").count(), 3, "{log}");
        }
    }
}

#[tokio::test]
async fn a_process_is_killed_when_it_gets_an_event_of_the_invoke_api() {
    for gateway in both_ways(&kill("invoke", 0)).await {
        assert_killed(invoke(&gateway, json!({"sleep_ms": 5_000})).await);
        set(&gateway, &json!({})).await;
        invoke(&gateway, json!({})).await.expect("a result");
        gateway.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn a_process_is_killed_before_its_push_which_does_not_arrive() {
    for gateway in both_ways(&kill("before_push", 0)).await {
        let mut witness = Socket::open(&gateway).await;
        let mut socket = Socket::open(&gateway).await;
        socket.instruct(json!({"report": witness.id})).await;
        expect_error(&mut socket).await;
        assert_killed(invoke(&gateway, json!({"report": witness.id})).await);
        witness.expect_nothing().await;
        set(&gateway, &json!({})).await;
        socket.instruct(json!({"report": witness.id})).await;
        witness.client.next().await;
        gateway.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn a_process_is_killed_after_its_push_which_arrives() {
    for gateway in both_ways(&kill("after_push", 0)).await {
        let mut witness = Socket::open(&gateway).await;
        let mut socket = Socket::open(&gateway).await;
        let instructions = json!({"report": witness.id, "sleep_ms": 5_000});
        socket.instruct(instructions.clone()).await;
        let event = witness.client.next().await;
        assert_eq!(event["requestContext"]["connectionId"], socket.id.as_str());
        expect_error(&mut socket).await;
        assert_killed(invoke(&gateway, instructions).await);
        witness.client.next().await;
        witness.expect_nothing().await;
        gateway.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn a_share_of_the_processes_is_killed_and_the_same_seed_kills_the_same() {
    let mut faults = kill("invoke", 0);
    faults["seed"] = json!(7);
    faults["kill"][0]["share"] = json!(0.5);
    let mut runs = Vec::new();
    for gateway in both_ways(&faults).await {
        let mut socket = Socket::open(&gateway).await;
        let mut run = Vec::new();
        for _ in 0..20 {
            socket.instruct(json!({"sleep_ms": 50})).await;
            let frame = socket.client.next().await;
            run.push(frame["message"] == "Internal server error");
        }
        assert!(run.contains(&true) && run.contains(&false), "{run:?}");
        runs.push(run);
        gateway.stop().await.expect("stopped");
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn a_kill_request_ends_only_processes_that_have_an_event() {
    let gateway = probe::start(&json!({}), &["--concurrency", "1"]).await;
    let kill = async || {
        let body = json!({"function": PROBE});
        let response = control(&gateway.functions, Method::POST, "kill", &body).await;
        assert_eq!((response.status, response.json()), (StatusCode::OK, body));
    };
    let mut witness = Socket::open(&gateway).await;
    kill().await;
    let instructions = json!({"describe": true, "report": witness.id, "sleep_ms": 600_000});
    let invocation = Invocation::start(&gateway, instructions);
    let busy = witness.client.next().await;
    kill().await;
    assert_killed(invocation.outcome().await);
    let next = invoke(&gateway, json!({"describe": true})).await;
    let next = next.expect("a result");
    assert_ne!(next["process_id"], busy["process_id"]);

    // An idle process is not killed.
    kill().await;
    witness.expect_nothing().await;
    let after = invoke(&gateway, json!({"describe": true})).await;
    assert_eq!(after.expect("a result")["process_id"], next["process_id"]);
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn processes_are_counted_by_the_way_they_ended() {
    let gateway = probe::start(&json!({}), &["--concurrency", "1"]).await;
    let counts = async || {
        let response = control(&gateway.functions, Method::GET, "processes", &json!({})).await;
        assert_eq!(response.status, StatusCode::OK, "{response:?}");
        response.json()[PROBE].clone()
    };
    assert_eq!(
        counts().await,
        json!({"started": 1, "exited": 0, "killed": 0})
    );
    set(&gateway, &kill("invoke", 0)).await;
    assert_killed(invoke(&gateway, json!({"sleep_ms": 5_000})).await);
    set(&gateway, &json!({})).await;
    invoke(&gateway, json!({})).await.expect("a result");
    assert_eq!(
        counts().await,
        json!({"started": 2, "exited": 0, "killed": 1})
    );
    invoke(&gateway, json!({"exit": 3}))
        .await
        .expect_err("it ends");
    invoke(&gateway, json!({})).await.expect("a result");
    assert_eq!(
        counts().await,
        json!({"started": 3, "exited": 1, "killed": 1})
    );
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn functions_that_run_elsewhere_cannot_be_killed() {
    let template = probe::template_with(&json!({}));
    // No program listens on port 9 (discard).
    let launch = Launch::template(template).lambda_endpoint("http://127.0.0.1:9");
    let gateway = launch.start().await.expect("it starts");
    let body = json!({"function": PROBE});
    for (method, path, body) in [
        (Method::PUT, "faults", kill("invoke", 0)),
        (Method::POST, "kill", body),
    ] {
        let response = control(&gateway.functions, method, path, &body).await;
        assert_eq!(response.status, StatusCode::BAD_REQUEST, "{response:?}");
    }
    assert_eq!(current(&gateway).await, nothing());
    gateway.stop().await.expect("stopped");
}

//! Processes that the gateway starts, with one event each or many.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};
use tests::launch::Launch;
use tests::{LocalGateway, until};

use crate::probe::{self, Invocation, Socket, invoke};

/// An event that its process does not finish until the gate is closed.
struct Held {
    gate: Socket,
    invocation: Invocation,
    process_id: Value,
}

impl Held {
    /// Invokes the probe, and waits until a process has taken the event.
    async fn start(gateway: &LocalGateway, witness: &mut Socket) -> Self {
        let gate = Socket::open(gateway).await;
        let instructions = json!({"describe": true, "report": witness.id, "await_gone": gate.id});
        let invocation = Invocation::start(gateway, instructions);
        let description = witness.client.next().await;
        Self {
            gate,
            invocation,
            process_id: description["process_id"].clone(),
        }
    }

    /// Closes the gate and waits for the result.
    async fn finish(self) {
        self.gate.client.close().await;
        let description = self.invocation.outcome().await.expect("a result");
        assert_eq!(description["process_id"], self.process_id);
    }
}

#[tokio::test]
async fn each_process_takes_one_event_and_more_are_started_up_to_the_limit() {
    let gateway = probe::start(&json!({}), &["--concurrency", "3"]).await;
    let mut witness = Socket::open(&gateway).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(Held::start(&gateway, &mut witness).await);
    }
    let processes: BTreeSet<_> = held.iter().map(|event| event.process_id.as_i64()).collect();
    assert_eq!(processes.len(), 3, "{processes:?}");

    let instructions = json!({"describe": true, "report": witness.id});
    let last = Invocation::start(&gateway, instructions);
    witness.expect_nothing().await;
    let free = held.remove(1);
    let process_id = free.process_id.clone();
    free.finish().await;
    let description = last.outcome().await.expect("a result");
    assert_eq!(description["process_id"], process_id, "{description}");
    for event in held {
        event.finish().await;
    }
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn the_process_that_was_used_last_gets_the_next_event() {
    let gateway = probe::start(&json!({}), &["--concurrency", "10"]).await;
    let mut witness = Socket::open(&gateway).await;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(Held::start(&gateway, &mut witness).await);
    }
    for event in held {
        event.finish().await;
    }
    // A process polls again some time after its result has come, so the next event may find another.
    until(async || {
        let mut processes = BTreeSet::new();
        for _ in 0..20 {
            let description = invoke(&gateway, json!({"describe": true})).await;
            processes.insert(description.expect("a result")["process_id"].as_i64());
        }
        processes.len() == 1
    })
    .await;
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn the_init_timeout_does_not_end_a_process_that_has_an_event() {
    let gateway = probe::start(&json!({}), &["--concurrency", "2"]).await;
    let mut witness = Socket::open(&gateway).await;
    let first = Held::start(&gateway, &mut witness).await;
    // The init timeout is ten seconds.
    let slept = invoke(&gateway, json!({"describe": true, "sleep_ms": 11_000})).await;
    assert_ne!(slept.expect("a result")["process_id"], first.process_id);
    first.finish().await;
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn one_process_takes_many_events_at_once() {
    let gateway = probe::start(&json!({}), &["--in-flight", "3"]).await;
    let mut witness = Socket::open(&gateway).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(Held::start(&gateway, &mut witness).await);
    }
    let process_id = held[0].process_id.clone();
    assert!(held.iter().all(|event| event.process_id == process_id));

    let instructions = json!({"describe": true, "report": witness.id});
    let last = Invocation::start(&gateway, instructions);
    witness.expect_nothing().await;
    held.remove(1).finish().await;
    let description = last.outcome().await.expect("a result");
    assert_eq!(description["process_id"], process_id);
    let concurrency = &description["environment"]["AWS_LAMBDA_MAX_CONCURRENCY"];
    assert_eq!(concurrency, "3");
    for event in held {
        event.finish().await;
    }
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn the_environment_has_the_variables_of_lambda_and_of_the_template() {
    let template = probe::template_with(&json!({
        "MemorySize": 512,
        "Environment": {"Variables": {"MANAGEMENT_ENDPOINT": "http://127.0.0.1:9", "OWN": "ä = 1"}},
    }));
    // The test signs with the second key.
    let keys = [
        "--access-key",
        "AKIALOCAL:a/secret",
        "--access-key",
        "local:local",
    ];
    let launch = Launch::template(&template)
        .flags(keys)
        .flags(["--log", "debug"])
        .env("DEVELOPERS_OWN", "1")
        .env("AWS_PROFILE", "developer")
        .env("AWS_REGION", "xx-north-9")
        .env("AWS_LAMBDA_MAX_CONCURRENCY", "9");
    let gateway = launch.start().await.expect("it starts");
    let description = invoke(&gateway, json!({"describe": true})).await;
    let mut description = description.expect("a result");
    let environment = description["environment"].take();
    let mut environment: BTreeMap<String, String> =
        serde_json::from_value(environment).expect("texts");

    let mut take = |name: &str| environment.remove(name).unwrap_or_default();
    let runtime_api: SocketAddr = take("AWS_LAMBDA_RUNTIME_API").parse().expect("an address");
    assert!(runtime_api.ip().is_loopback());
    assert_ne!(take("AWS_LAMBDA_LOG_STREAM_NAME"), "");
    assert_ne!(take("PATH"), "");
    assert_eq!(take("AWS_LAMBDA_LOG_LEVEL").to_lowercase(), "debug");
    let task_root = take("LAMBDA_TASK_ROOT");
    let folder = Path::new(&task_root).canonicalize().expect("a folder");
    let own = template.parent().expect("a folder").canonicalize();
    assert_eq!(Some(&folder), own.as_ref().ok());
    assert_eq!(description["folder"], json!(folder));
    // The runtime sets this variable for each event.
    assert!(take("_X_AMZN_TRACE_ID").starts_with("Root=1-"));
    // The address of the Invoke API, and files of certificates.
    assert_eq!(take("AWS_ENDPOINT_URL_LAMBDA"), gateway.functions);
    for name in [
        "AWS_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_FILE",
    ] {
        assert!(Path::new(&take(name)).is_file(), "{name}");
    }
    let expected = [
        ("AWS_ACCESS_KEY_ID", "AKIALOCAL"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("AWS_LAMBDA_FUNCTION_NAME", "ProbeFunction"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_FORMAT", "Text"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/ProbeFunction"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_SECRET_ACCESS_KEY", "a/secret"),
        ("AWS_SESSION_TOKEN", "local"),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
        ("LANG", "en_US.UTF-8"),
        ("MANAGEMENT_ENDPOINT", "http://127.0.0.1:9"),
        ("OWN", "ä = 1"),
        ("TZ", ":UTC"),
        ("_HANDLER", "bootstrap"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(environment, BTreeMap::from(expected));
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn the_environment_has_the_function_name_of_the_template() {
    let gateway = probe::start(&json!({"FunctionName": "a-name"}), &[]).await;
    let instructions = probe::event(&json!({"describe": true}));
    let description = gateway
        .invoke("a-name", &instructions)
        .await
        .expect("a result");
    let environment = &description["environment"];
    assert_eq!(environment["AWS_LAMBDA_FUNCTION_NAME"], "a-name");
    assert_eq!(
        environment["AWS_LAMBDA_LOG_GROUP_NAME"],
        "/aws/lambda/a-name"
    );
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn the_deadline_is_counted_from_when_a_process_takes_the_event() {
    let gateway = probe::start(&json!({"Timeout": 120}), &["--concurrency", "1"]).await;
    let mut witness = Socket::open(&gateway).await;
    let first = Held::start(&gateway, &mut witness).await;
    let second = Invocation::start(&gateway, json!({"describe": true}));
    // The second event waits for the process.
    tokio::time::sleep(Duration::from_millis(300)).await;

    let before = Utc::now().timestamp_millis();
    first.finish().await;
    let description = second.outcome().await.expect("a result");
    let after = Utc::now().timestamp_millis();
    let deadline = description["deadline_ms"].as_i64().expect("a deadline");
    let taken = deadline - 120_000;
    assert!(
        (before..=after).contains(&taken),
        "{before} {taken} {after}"
    );
    gateway.stop().await.expect("stopped");
}

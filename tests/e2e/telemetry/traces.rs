//! Traces for the X-Ray daemon.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use local_gateway::lambda::queue::{Event, Queue};
use local_gateway::lambda::runtime_api::RuntimeApi;
use tests::{in_time, programs, server};
use tokio::net::{TcpListener, UdpSocket};
use tokio::process::Command;

use super::*;

/// A socket in place of the X-Ray daemon.
struct Daemon {
    address: String,
    socket: UdpSocket,
}

impl Daemon {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address").to_string();
        Self { address, socket }
    }

    /// Returns the document of the next datagram.
    async fn next(&self) -> Value {
        let mut datagram = [0; 64 * 1024];
        let length = in_time("a datagram", self.socket.recv(&mut datagram)).await;
        let length = length.expect("received");
        document(&datagram[..length])
    }

    /// Returns the document of a datagram that has come already.
    fn received(&self) -> Option<Value> {
        let mut datagram = [0; 64 * 1024];
        let length = self.socket.try_recv(&mut datagram).ok()?;
        Some(document(&datagram[..length]))
    }
}

fn document(datagram: &[u8]) -> Value {
    let text = std::str::from_utf8(datagram).expect("UTF-8");
    assert!(!text.contains(TEXT), "{text}");
    let (header, document) = text.split_once('\n').expect("a header line");
    assert_eq!(parse(header), Some(json!({"format": "json", "version": 1})));
    parse(document).expect("JSON")
}

#[tokio::test]
async fn calls_of_a_sampled_request_are_subsegments_of_its_trace() {
    let daemon = Daemon::start().await;
    let flags = ["--log-format", "json", "--xray-daemon", &daemon.address];
    let chat = start(&flags).await;
    let mut a = chat.connect("a").await;
    let _b = chat.connect("b").await;
    let dead = "http://127.0.0.1:9/prod";
    leave_row(&chat, "CCCCCCCCCCCCCCA=", "b", dead).await;
    a.send(&sent("m-1")).await;
    assert_eq!(a.next().await["status"], "delivered");
    let send = metrics_with(&chat, "Sends").await;
    let header = send["xrayTraceId"].as_str().expect("a string");
    let part = |name: &str| {
        let mut parts = header.split(';').filter_map(|part| part.split_once('='));
        parts.find(|(key, _)| *key == name).expect("it is there").1
    };

    let mut calls = Vec::new();
    let expected = durations(&send, "DatabaseLatency") + durations(&send, "PushLatency");
    while calls.len() < expected {
        let call = daemon.next().await;
        // The handshakes have other traces.
        if call["trace_id"] == part("Root") {
            calls.push(call);
        }
    }
    assert_subsegments(&calls, part("Parent"));
    let mut operations = recorded(&calls, "database", "operation");
    // These run beside the others, so they may end at any place among them.
    for concurrent in [
        "debit of tokens",
        "record of a number",
        "record of the members",
    ] {
        let concurrent = (json!(concurrent), json!(false));
        let place = operations.iter().position(|other| *other == concurrent);
        operations.remove(place.expect("it is done"));
    }
    assert_eq!(
        operations,
        [
            "look-up of a conversation",
            "search for the newest number",
            "look-up of the newest entry",
            "insert of an entry",
            "look-up of a user's sockets",
        ]
        .map(|operation| (json!(operation), json!(false)))
    );
    let pushes = recorded(&calls, "push", "connection_id");
    assert_eq!(pushes.len(), 2);
    assert!(pushes.contains(&(json!("CCCCCCCCCCCCCCA="), json!(true))));
    chat.stop().await;
}

/// Checks that calls are subsegments of `parent`, each with an id of its own and a time just past.
fn assert_subsegments(calls: &[Value], parent: &str) {
    let mut ids = BTreeSet::new();
    for call in calls {
        let id = call["id"].as_str().expect("a string");
        assert!(id.len() == 16 && ids.insert(id), "{call}");
        assert_eq!(call["parent_id"], parent);
        assert_eq!(call["type"], "subsegment");
        let (start, end) = (call["start_time"].as_f64(), call["end_time"].as_f64());
        assert!(start < end, "{call}");
        let now = Utc::now().timestamp_millis() as f64 / 1_000.0;
        assert!(start > Some(now - 60.0) && end <= Some(now), "{call}");
    }
}

/// Returns an annotation of the calls of a name, each with whether the call failed.
fn recorded(calls: &[Value], name: &str, key: &str) -> Vec<(Value, Value)> {
    let calls = calls.iter().filter(|call| call["name"] == name);
    let recorded = calls.map(|call| (call["annotations"][key].clone(), call["fault"].clone()));
    recorded.collect()
}

/// Returns the datagrams of `connect` for one handshake in a trace.
async fn datagrams_of_a_handshake(sampled: bool) -> Vec<Value> {
    let daemon = Daemon::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let queue = Arc::<Queue>::default();
    let arn = "arn:aws:lambda:us-east-1:1:function:f".to_owned();
    let api = RuntimeApi::new(arn, Duration::from_secs(10), Arc::clone(&queue), sampled);
    tokio::spawn(Arc::clone(&api).serve(listener));
    let mut child = Command::new(programs::folder().join("connect"))
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", address)
        .env("AWS_LAMBDA_FUNCTION_NAME", "connect")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_XRAY_DAEMON_ADDRESS", &daemon.address)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("MANAGEMENT_ENDPOINT", "http://127.0.0.1:9/prod")
        .env("MONGODB_URI", server::uri().await)
        .env("MONGODB_DATABASE", server::database_name())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    invoke_twice(&queue).await;
    child.kill().await.expect("it runs");
    std::iter::from_fn(|| daemon.received()).collect()
}

/// Invokes `connect` with a handshake, and waits until its report has been sent.
///
/// A process reports an invocation before it requests the next event, so the second result comes
/// after the report of the first. The second event reads and writes nothing.
async fn invoke_twice(queue: &Queue) {
    for authorizer in [json!({"user_id": "a"}), json!({})] {
        let event = json!({
            "requestContext": {
                "connectionId": "DDDDDDDDDDDDDDA=", "connectedAt": 0, "requestTimeEpoch": 0,
                "authorizer": authorizer,
            },
        });
        let waiting = queue.push(Event {
            id: format!("{:032x}", fastrand::u128(..)),
            connection_id: None,
            payload: event.to_string().into(),
            kill: None,
            dropped: None,
        });
        let waiting = waiting.expect("room");
        let outcome = in_time("the result of a function", waiting.outcome).await;
        outcome.expect("an outcome").expect("a result");
    }
}

#[tokio::test]
async fn a_request_that_is_not_sampled_sends_no_trace() {
    let sampled = datagrams_of_a_handshake(true).await;
    let operations = sampled.iter().map(|call| &call["annotations"]["operation"]);
    assert_eq!(
        operations.collect::<Vec<_>>(),
        [
            "debit of tokens",
            "look-up of users",
            "insert of a connection",
            "look-up of users",
            "look-up of a user's sockets"
        ]
    );
    assert!(datagrams_of_a_handshake(false).await.is_empty());
}

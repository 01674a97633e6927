//! The samples of the gateway: a chat of the shape that AWS's sample has, in Node, Python and Rust. The
//! functions post as the documentation of AWS shows, to `https://{domainName}/{stage}` of the event.

use std::path::Path;

use serde_json::{Value, json};
use tests::launch::Launch;
use tests::{Client, tls, until};

use crate::project::{Project, template};

/// Two clients by `ws` and two by `wss` chat by the sample in a language; one of them leaves.
async fn chat(language: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/gateway/samples");
    let place = Project::new(&[]);
    let store = place.folder().join("store");
    let launch = Launch::template(folder.join(language).join("template.yaml"))
        .parameter(&format!("Store={}", store.display()));
    let gateway = launch.start().await.expect("it starts");
    let ws = gateway.ws.as_deref().expect("a WebSocket API");
    let wss = ws.replace("ws://", "wss://");
    let authority = tls::authority().expect("made at the start");
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(Client::connect(ws).await.expect("connected"));
        let connected = Client::connect_trusting(&wss, authority.clone()).await;
        clients.push(connected.expect("connected"));
    }
    let stored = || store.read_dir().expect("it is there").count();
    for sender in 0..4 {
        let text = json!({"from": sender}).to_string();
        let frame = json!({"action": "sendmessage", "data": text});
        clients[sender].send(&frame).await;
        for client in &mut clients {
            assert_eq!(client.next().await, json!({"from": sender}));
        }
    }
    assert_eq!(stored(), 4);
    clients.remove(1).close().await;
    until(async || stored() == 3).await;
    clients[2]
        .send(&json!({"action": "sendmessage", "data": "\"last\""}))
        .await;
    for client in &mut clients {
        assert_eq!(client.next().await, Value::from("last"));
    }
    let (_, log) = gateway.stop().await.expect("stopped");
    assert!(!log.contains("failed"), "{log}");
}

#[tokio::test]
async fn a_chat_in_node_runs_end_to_end() {
    chat("node").await;
}

#[tokio::test]
async fn a_chat_in_python_runs_end_to_end() {
    chat("python").await;
}

#[tokio::test]
async fn a_chat_in_rust_runs_end_to_end() {
    chat("rust").await;
}

/// `lambda.invoke` without an address reaches the function of this machine.
#[tokio::test]
async fn a_function_invokes_another_by_the_api_of_lambda() {
    const CALLER: &str = r#"
import boto3, json

def handler(event, context):
    response = boto3.client("lambda").invoke(FunctionName=event["name"], Payload=b'{"a": 1}')
    return [response.get("FunctionError"), json.loads(response["Payload"].read())]

def callee(event, context):
    if event["a"] == 1: return event
"#;
    let functions = [
        (
            "Caller",
            "CodeUri: ., Runtime: python3.11, Handler: app.handler",
        ),
        (
            "Callee",
            "CodeUri: ., Runtime: python3.11, Handler: app.callee, FunctionName: a-name",
        ),
    ];
    let files = [
        ("app.py", CALLER),
        ("template.yaml", &template(&functions, &[])),
    ];
    let project = Project::new(&files);
    let gateway = project.start().await;
    for name in ["Callee", "a-name"] {
        let result = gateway.invoke("Caller", &json!({"name": name})).await;
        assert_eq!(result, Ok(json!([null, {"a": 1}])), "{name}");
    }
    gateway.stop().await.expect("stopped");
}

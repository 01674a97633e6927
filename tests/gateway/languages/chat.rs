//! A chat of the shape that AWS's sample has, in Node and in Python: `$connect` puts the connection into a
//! store, `sendmessage` posts to all in it, `$disconnect` takes it out. The functions post as the
//! documentation shows, to `https://{domainName}/{stage}` of the event.

use serde_json::{Value, json};
use tests::{Client, tls, until};

use crate::project::{Project, template};

/// The functions in Node. The store is a folder.
const NODE: [(&str, &str); 3] = [
    (
        "connect/app.js",
        r#"
const fs = require("node:fs");
exports.handler = async ({ requestContext }) => {
  fs.mkdirSync(process.env.STORE, { recursive: true });
  fs.writeFileSync(`${process.env.STORE}/${encodeURIComponent(requestContext.connectionId)}`, "");
  return { statusCode: 200 };
};"#,
    ),
    (
        "disconnect/app.js",
        r#"
const fs = require("node:fs");
exports.handler = async ({ requestContext }) => {
  fs.rmSync(`${process.env.STORE}/${encodeURIComponent(requestContext.connectionId)}`);
  return { statusCode: 200 };
};"#,
    ),
    (
        "send/app.mjs",
        r#"
import { readdirSync } from "node:fs";
import { ApiGatewayManagementApiClient, PostToConnectionCommand } from "@aws-sdk/client-apigatewaymanagementapi";

export const handler = async ({ body, requestContext }) => {
  const endpoint = `https://${requestContext.domainName}/${requestContext.stage}`;
  const client = new ApiGatewayManagementApiClient({ endpoint });
  const Data = JSON.parse(body).data;
  const ids = readdirSync(process.env.STORE).map(decodeURIComponent);
  const posts = ids.map((ConnectionId) => client.send(new PostToConnectionCommand({ ConnectionId, Data })));
  await Promise.all(posts);
  return { statusCode: 200 };
};"#,
    ),
];

/// The functions in Python. One invokes another by the API of Lambda.
const PYTHON: [(&str, &str); 3] = [
    (
        "connect/app.py",
        r#"
import os, pathlib, urllib.parse

def handler(event, context):
    store = pathlib.Path(os.environ["STORE"])
    store.mkdir(exist_ok=True)
    (store / urllib.parse.quote_plus(event["requestContext"]["connectionId"])).touch()
    return {"statusCode": 200}
"#,
    ),
    (
        "disconnect/app.py",
        r#"
import os, pathlib, urllib.parse

def handler(event, context):
    name = urllib.parse.quote_plus(event["requestContext"]["connectionId"])
    (pathlib.Path(os.environ["STORE"]) / name).unlink()
    return {"statusCode": 200}
"#,
    ),
    (
        "send/app.py",
        r#"
import boto3, json, os, urllib.parse

def handler(event, context):
    context = event["requestContext"]
    endpoint = f"https://{context['domainName']}/{context['stage']}"
    client = boto3.client("apigatewaymanagementapi", endpoint_url=endpoint)
    data = json.loads(event["body"])["data"]
    for name in os.listdir(os.environ["STORE"]):
        client.post_to_connection(ConnectionId=urllib.parse.unquote_plus(name), Data=data)
    return {"statusCode": 200}
"#,
    ),
];

/// Returns a project with these functions, whose handlers are `app.handler`.
fn project(runtime: &str, files: &[(&str, &str)]) -> Project {
    let project = Project::new(files);
    let store = project.folder().join("store");
    let function = |folder: &str| {
        format!(
            "CodeUri: {folder}, Runtime: {runtime}, Handler: app.handler, \
             Environment: {{Variables: {{STORE: {}}}}}",
            store.display()
        )
    };
    let functions = [
        ("Connect", function("connect")),
        ("Disconnect", function("disconnect")),
        ("Send", function("send")),
    ];
    let functions = functions.iter().map(|(id, text)| (*id, &**text));
    let routes = [
        ("$connect", "Connect"),
        ("$disconnect", "Disconnect"),
        ("sendmessage", "Send"),
    ];
    let functions: Vec<_> = functions.collect();
    project.write("template.yaml", &template(&functions, &routes));
    project
}

/// Two clients by `ws` and two by `wss` chat; one of them leaves.
async fn chat(project: &Project) {
    let gateway = project.start().await;
    let ws = gateway.ws.as_deref().expect("a WebSocket API");
    let wss = ws.replace("ws://", "wss://");
    let authority = tls::authority().expect("made at the start");
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(Client::connect(ws).await.expect("connected"));
        let connected = Client::connect_trusting(&wss, authority.clone()).await;
        clients.push(connected.expect("connected"));
    }
    let store = project.folder().join("store");
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
    chat(&project("nodejs20.x", &NODE)).await;
}

#[tokio::test]
async fn a_chat_in_python_runs_end_to_end() {
    chat(&project("python3.11", &PYTHON)).await;
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

//! The function `migrate`, as a deployment and an operator call it: the real binary behind the
//! Invoke API, with a server of the test for its responses to CloudFormation.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use local_gateway::http::server::{read_body, serve};
use local_gateway::process::ports::free_port;
use mongodb::Database;
use mongodb::bson::{Document, doc};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tests::launch::Launch;
use tests::relay::Relay;
use tests::{LocalGateway, server};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const FUNCTION: &str = "MigrateFunction";

const PASSWORD: &str = "hunter2";

/// Writes a template with nothing but the function; returns its path.
fn template(uri: &str, database: &str, timeout: u64) -> PathBuf {
    let template = json!({
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {
            FUNCTION: {
                "Type": "AWS::Serverless::Function",
                "Properties": {
                    "CodeUri": concat!(env!("CARGO_MANIFEST_DIR"), "/../functions/migrate"),
                    "Timeout": timeout,
                    "Environment": {
                        "Variables": {"MONGODB_URI": uri, "MONGODB_DATABASE": database},
                    },
                },
            },
            "Sockets": {
                "Type": "AWS::Serverless::WebSocketApi",
                "Properties": {
                    "RouteSelectionExpression": "$request.body.action",
                    "Routes": {"$default": {"FunctionArn": {"Fn::GetAtt": [FUNCTION, "Arn"]}}},
                },
            },
        },
    });
    let name = format!("{:016x}.json", fastrand::u64(..));
    let path = server::scratch_folder().join(name);
    std::fs::write(&path, template.to_string()).expect("the folder is writable");
    path
}

async fn start(uri: &str, database: &str, timeout: u64) -> LocalGateway {
    let gateway = LocalGateway::start(&template(uri, database, timeout), &[]).await;
    gateway.expect("it starts")
}

/// Returns a connection string, with a password, of a server that is not there.
fn nowhere() -> String {
    let port = free_port().expect("a port");
    format!("mongodb://chat:{PASSWORD}@127.0.0.1:{port}/")
}

async fn database_with(documents: impl IntoIterator<Item = Document>) -> Database {
    let uri = server::uri().await;
    let client = mongodb::Client::with_uri_str(uri).await.expect("a client");
    let database = client.database(&server::database_name());
    let messages = database.collection("chat_messages");
    messages.insert_many(documents).await.expect("inserted");
    database
}

fn old(sender: &str, receiver: &str) -> Document {
    doc! {"sender_id": sender, "receiver_id": receiver, "message": "m",
    "timestamp": "2024-01-01T00:00:00"}
}

/// A response to CloudFormation.
struct Callback {
    method: Method,
    content_type: Option<String>,
    body: Value,
}

/// A server for responses; its first statuses are given, the next ones are 200.
struct CallbackServer {
    url: String,
    received: Arc<Mutex<Vec<Callback>>>,
    stop: CancellationToken,
}

impl CallbackServer {
    async fn listen(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let received = Arc::<Mutex<Vec<Callback>>>::default();
        let (statuses, taken) = (statuses.to_vec(), Arc::clone(&received));
        let handler = move |request: Request<Incoming>, _| {
            let (statuses, taken) = (statuses.clone(), Arc::clone(&taken));
            async move {
                let (parts, body) = request.into_parts();
                let body = read_body(body, 4_096).await.expect("it fits");
                let mut taken = taken.lock();
                let status = statuses.get(taken.len()).copied().unwrap_or(200);
                let content_type = parts.headers.get("content-type");
                taken.push(Callback {
                    method: parts.method,
                    content_type: content_type.map(|value| format!("{value:?}")),
                    body: serde_json::from_slice(&body).expect("JSON"),
                });
                let mut response = Response::new(Full::<Bytes>::default());
                *response.status_mut() = StatusCode::from_u16(status).expect("a status");
                response
            }
        };
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, stop.clone(), handler));
        Self {
            url: format!("http://{address}/answer?signature=secret"),
            received,
            stop,
        }
    }

    /// Returns the bodies that have come since the last call.
    fn take(&self) -> Vec<Value> {
        let received = std::mem::take(&mut *self.received.lock());
        let body = |callback: Callback| {
            assert_eq!(callback.method, Method::PUT);
            assert_eq!(callback.content_type, None, "the signature is for none");
            callback.body
        };
        received.into_iter().map(body).collect()
    }
}

impl Drop for CallbackServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Returns a request of CloudFormation, from one version to another.
fn request(kind: &str, url: &str, versions: (u32, u32)) -> Value {
    let version =
        |number: u32| format!("arn:aws:lambda:eu-west-1:123456789012:function:m:{number}");
    let mut request = json!({
        "RequestType": kind,
        "ServiceToken": "arn:aws:lambda:eu-west-1:123456789012:function:m",
        "ResponseURL": url,
        "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/chat/1",
        "RequestId": "request-1",
        "ResourceType": "Custom::Migration",
        "LogicalResourceId": "Migration",
        "ResourceProperties": {"Version": version(versions.1)},
    });
    if kind != "Create" {
        request["PhysicalResourceId"] = "migration".into();
    }
    if kind == "Update" {
        request["OldResourceProperties"] = json!({"Version": version(versions.0)});
    }
    request
}

/// Sends a request of CloudFormation; returns the one response to it.
async fn ask(
    gateway: &LocalGateway,
    callbacks: &CallbackServer,
    kind: &str,
    versions: (u32, u32),
) -> Value {
    let request = request(kind, &callbacks.url, versions);
    let result = gateway.invoke(FUNCTION, &request).await;
    assert_eq!(result, Ok(Value::Null), "{}", gateway.log());
    let mut received = callbacks.take();
    let response = received.pop().expect("a response");
    assert_eq!(received, Vec::<Value>::new());
    for key in ["StackId", "RequestId", "LogicalResourceId"] {
        assert_eq!(response[key], request[key]);
    }
    assert_eq!(response["PhysicalResourceId"], "migration");
    response
}

#[tokio::test]
async fn a_created_and_an_updated_resource_migrate() {
    let database = database_with([old("a", "b"), old("b", "a"), doc! {"x": 1}]).await;
    let gateway = start(server::uri().await, database.name(), 60).await;
    let callbacks = CallbackServer::listen(&[]).await;
    let created = ask(&gateway, &callbacks, "Create", (0, 1)).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    assert_eq!(
        created["Data"],
        json!({"Numbered": "2", "LeftAlone": "1", "Conversations": "1"})
    );
    let messages = database.collection::<Document>("chat_messages");
    messages.insert_one(old("a", "b")).await.expect("inserted");
    let updated = ask(&gateway, &callbacks, "Update", (9, 10)).await;
    assert_eq!(updated["Data"]["Numbered"], "1", "{updated}");
    gateway.stop().await.expect("stopped");
    database.drop().await.expect("dropped");
}

#[tokio::test]
async fn a_roll_back_and_a_removal_need_no_database() {
    for uri in [
        nowhere(),
        "not a connection string".to_owned(),
        String::new(),
    ] {
        let gateway = start(&uri, "gone", 60).await;
        let callbacks = CallbackServer::listen(&[]).await;
        for (kind, versions) in [("Update", (10, 9)), ("Delete", (0, 9))] {
            let response = ask(&gateway, &callbacks, kind, versions).await;
            assert_eq!(response["Status"], "SUCCESS", "{kind} {uri:?}: {response}");
        }
        gateway.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn a_failure_names_its_reason_and_no_secret() {
    let malformed = format!("mongodb://chat:{PASSWORD}@@127.0.0.1/?w=x=y");
    for (uri, part) in [
        (nowhere(), "making of the indexes of messages failed: "),
        (
            malformed,
            "MONGODB_URI has a user name or password that is not percent-encoded",
        ),
        (String::new(), "MONGODB_URI is not set"),
    ] {
        let gateway = start(&uri, "gone", 60).await;
        let callbacks = CallbackServer::listen(&[]).await;
        for (kind, versions) in [("Create", (0, 1)), ("Update", (9, 10))] {
            let response = ask(&gateway, &callbacks, kind, versions).await;
            assert_eq!(response["Status"], "FAILED", "{response}");
            let reason = response["Reason"].as_str().expect("a text");
            assert!(reason.contains(part), "{reason}");
            assert!(reason.len() <= 2_000 && !reason.contains('\n'));
            assert!(!response.to_string().contains(PASSWORD), "{response}");
        }
        let error = gateway.invoke(FUNCTION, &json!({})).await;
        let error = error.expect_err("a function error");
        assert_eq!(error["errorType"], "Unavailable");
        let message = error["errorMessage"].as_str().expect("a text");
        assert!(message.contains(part), "{message}");
        let (_, log) = gateway.stop().await.expect("stopped");
        assert!(log.contains("migration failed"), "{log}");
        for secret in [PASSWORD, "signature=secret"] {
            assert!(!log.contains(secret), "{log}");
        }
    }
}

#[tokio::test]
async fn a_response_is_sent_until_it_is_accepted() {
    let gateway = start(&nowhere(), "gone", 60).await;
    let callbacks = CallbackServer::listen(&[500, 503]).await;
    let removal = request("Delete", &callbacks.url, (0, 1));
    let result = gateway.invoke(FUNCTION, &removal).await;
    assert_eq!(result, Ok(Value::Null));
    let received = callbacks.take();
    assert_eq!(received.len(), 3);
    assert!(
        received.iter().all(|response| *response == received[0]),
        "{received:?}"
    );

    // Lambda repeats an event whose function fails.
    let url = format!("http://127.0.0.1:{}/", free_port().expect("a port"));
    let result = gateway
        .invoke(FUNCTION, &request("Delete", &url, (0, 1)))
        .await;
    let error = result.expect_err("a function error");
    assert_eq!(error["errorType"], "Unavailable", "{error}");
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn an_operator_may_run_it_and_other_events_are_refused() {
    let database = database_with([old("a", "b"), doc! {"x": 1}]).await;
    let gateway = start(server::uri().await, database.name(), 60).await;
    for event in [
        json!({"hello": "world"}),
        json!([]),
        json!(null),
        json!({"RequestType": "Create"}),
        request("Shrink", "http://127.0.0.1/", (0, 1)),
    ] {
        let error = gateway.invoke(FUNCTION, &event).await;
        let error = error.expect_err("a function error");
        assert_eq!(error["errorType"], "InvalidEvent", "{error}");
    }
    let summary = gateway.invoke(FUNCTION, &json!({})).await;
    assert_eq!(
        summary,
        Ok(json!({"numbered": 1, "left_alone": 1, "conversations": 1}))
    );
    gateway.stop().await.expect("stopped");
    database.drop().await.expect("dropped");
}

#[tokio::test]
async fn a_run_out_of_time_responds_and_the_next_one_finishes() {
    // Each conversation costs some commands, so that the delay makes all of them last minutes.
    const TOTAL: u64 = 500;
    const DELAY: Duration = Duration::from_millis(100);
    let database = database_with((0..TOTAL).map(|n| old("a", &n.to_string()))).await;
    let relay = Relay::start(server::uri().await).await;
    relay.delay(DELAY);
    let callbacks = CallbackServer::listen(&[]).await;
    let of = format!(" of {TOTAL} old messages in time; what is done stays done: deploy again");
    // The indexes come first. A server that takes long for them gets more time.
    for timeout in [4, 8, 16, 32] {
        let hurried = start(&relay.uri, database.name(), timeout).await;
        let response = ask(&hurried, &callbacks, "Create", (0, 1)).await;
        hurried.stop().await.expect("stopped");
        assert_eq!(response["Status"], "FAILED", "{response}");
        let reason = response["Reason"].as_str().expect("a text");
        if reason.contains("numbered ") && reason.contains(&of) {
            break;
        }
        assert!(reason.contains("the indexes were not made"), "{reason}");
    }

    let messages = database.collection::<Document>("chat_messages");
    let done = messages.count_documents(doc! {"seq": 0}).await;
    let done = done.expect("counted");
    assert!(0 < done && done < TOTAL, "{done}");
    let patient = start(server::uri().await, database.name(), 900).await;
    let response = ask(&patient, &callbacks, "Create", (0, 1)).await;
    assert_eq!(response["Status"], "SUCCESS", "{response}");
    assert_eq!(response["Data"]["Numbered"], (TOTAL - done).to_string());
    let all = messages.count_documents(doc! {"seq": 0}).await;
    assert_eq!(all.expect("counted"), TOTAL);
    patient.stop().await.expect("stopped");
    database.drop().await.expect("dropped");
}

#[tokio::test]
async fn the_chat_does_not_start_on_a_database_that_cannot_be_migrated() {
    let same = || doc! {"conversation_id": "c", "seq": 1_i64};
    let database = database_with([same(), same()]).await;
    let elsewhere = format!("MongodbUri={}", nowhere());
    for (flags, part) in [
        (
            &[][..],
            "error: Migration: making of the indexes of messages failed: ",
        ),
        (
            &["--parameter", &elsewhere][..],
            "error: Migration: making of the indexes",
        ),
    ] {
        let launch = Launch::chat().database(server::uri().await, database.name());
        let started = launch.flags(flags).start().await;
        let said = started.err().expect("it ends").to_string();
        assert!(said.contains(part) && !said.contains(PASSWORD), "{said}");
    }
    database.drop().await.expect("dropped");
}

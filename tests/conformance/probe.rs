//! The function behind every route of the conformance templates. It follows the instructions in its
//! event.
//!
//! Instructions are a JSON object. Their place depends on the event:
//!
//! - a frame: the member `probe` of the frame
//! - `$connect`, `$disconnect` and the authorizer of a WebSocket API: the members `connect`,
//!   `disconnect` and `authorize` of the JSON in the header `User-Agent`, which all three events
//!   have
//! - an HTTP request and its authorizer: the members `request` and `authorize` of the JSON in the
//!   header `x-probe`; an event of the Invoke API may have this header too
//! - a custom resource: the JSON in its property `Probe`
//! - messages of a queue: the JSON that is the body of the first message. If it was received for the
//!   first time, those of its member `first` replace the others
//!
//! All instructions are optional. They are followed in this order:
//!
//! - `describe`: if true, a description of this process replaces the event in `report` and in the
//!   default result: `{"event", "process_id", "folder", "deadline_ms", "environment"}`. It works
//!   only in events of the Invoke API, because an environment holds credentials and everybody may
//!   open a socket
//! - `report`: a connection id; the event is posted to this connection
//! - `await_gone`: a connection id; waits until this connection is closed
//! - `sleep_ms`: waits so many milliseconds
//! - `exit`: exits the process with this code
//! - `panic`: panics with this text
//! - `throw`: `{"type", "message"}`, returns a function error
//! - `return`: returns this JSON
//!
//! The default result of an authorizer allows the caller. That of an HTTP request is the event. That of
//! messages reports those whose instructions have `fail` as failed. All others are 200 with the event as
//! the body.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, run_concurrent, service_fn};
use serde_json::{Value, json};

/// Interval of the checks whether a connection is closed.
const POLL: Duration = Duration::from_millis(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let credentials = tests::management::credentials(
        &variable("AWS_ACCESS_KEY_ID"),
        &variable("AWS_SECRET_ACCESS_KEY"),
        Some(variable("AWS_SESSION_TOKEN")).filter(|token| !token.is_empty()),
    );
    let connections = tests::management::client(
        &variable("MANAGEMENT_ENDPOINT"),
        &variable("AWS_REGION"),
        credentials,
    );
    run_concurrent(service_fn(move |event: LambdaEvent<Value>| {
        follow(event, connections.clone())
    }))
    .await
}

/// Follows the instructions of an event.
async fn follow(event: LambdaEvent<Value>, connections: Client) -> Result<Value, Diagnostic> {
    let instructions = read_instructions(&event.payload);
    let is_invoked_directly = event.payload["requestContext"].is_null();
    let event = if instructions["describe"] == true && is_invoked_directly {
        description(event)
    } else {
        event.payload
    };
    if let Some(observer) = instructions["report"].as_str() {
        report(&event, observer, &connections).await?;
    }
    if let Some(id) = instructions["await_gone"].as_str() {
        let get = || connections.get_connection().connection_id(id);
        while get().send().await.is_ok() {
            tokio::time::sleep(POLL).await;
        }
    }
    if let Some(pause) = instructions["sleep_ms"].as_u64() {
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    if let Some(code) = instructions["exit"].as_i64() {
        std::process::exit(i32::try_from(code).unwrap_or(1));
    }
    if let Some(text) = instructions["panic"].as_str() {
        panic!("{text}");
    }
    if let Some(error) = instructions.get("throw") {
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        return Err(failure(&text("type"), text("message")));
    }
    Ok(instructions
        .get("return")
        .cloned()
        .unwrap_or_else(|| default_result(&event)))
}

/// Posts an event to a connection.
async fn report(event: &Value, observer: &str, connections: &Client) -> Result<(), Diagnostic> {
    let post = connections.post_to_connection().connection_id(observer);
    let sent = post.data(Blob::new(event.to_string())).send().await;
    sent.map_err(|error| failure("Report", format!("{error:?}")))?;
    Ok(())
}

/// Describes this process: its environment, its folder, and the event with its deadline.
fn description(event: LambdaEvent<Value>) -> Value {
    json!({
        "event": event.payload,
        "process_id": std::process::id(),
        "folder": std::env::current_dir().ok(),
        "deadline_ms": event.context.deadline,
        "environment": std::env::vars().collect::<BTreeMap<_, _>>(),
    })
}

fn failure(error_type: &str, error_message: String) -> Diagnostic {
    Diagnostic {
        error_type: error_type.to_owned(),
        error_message,
    }
}

/// Returns the instructions in an event; null if it has none.
fn read_instructions(event: &Value) -> Value {
    let parse = |text: &Value| -> Value {
        let text = text.as_str().unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    };
    let agent = parse(&event["requestContext"]["identity"]["userAgent"]);
    let header = parse(&event["headers"]["x-probe"]);
    let resource = &event["ResourceProperties"];
    if let Some(records) = event["Records"].as_array() {
        return records.first().map(of_record).unwrap_or_default();
    }
    let event_type = event["requestContext"]["eventType"].as_str();
    let instructions = match (event["type"].as_str(), event_type) {
        (Some(_), Some(_)) => &agent["authorize"],
        (Some(_), None) => &header["authorize"],
        (None, Some("CONNECT")) => &agent["connect"],
        (None, Some("DISCONNECT")) => &agent["disconnect"],
        (None, Some(_)) => &parse(&event["body"])["probe"],
        (None, None) if resource.is_object() => &parse(&resource["Probe"]),
        (None, None) => &header["request"],
    };
    instructions.clone()
}

/// Returns the instructions in a message of a queue.
fn of_record(record: &Value) -> Value {
    let body = record["body"].as_str().unwrap_or_default();
    let mut instructions: Value = serde_json::from_str(body).unwrap_or_default();
    let is_first = record["attributes"]["ApproximateReceiveCount"] == "1";
    if let Some(first) = instructions.get("first").filter(|_| is_first).cloned() {
        for (name, value) in first.as_object().into_iter().flatten() {
            instructions[name] = value.clone();
        }
    }
    instructions
}

fn default_result(event: &Value) -> Value {
    if let Some(records) = event["Records"].as_array() {
        let failed = records
            .iter()
            .filter(|record| of_record(record)["fail"] == true);
        let failed = failed.map(|record| json!({"itemIdentifier": record["messageId"]}));
        return json!({"batchItemFailures": failed.collect::<Vec<_>>()});
    }
    let is_authorizer = event["type"].is_string();
    let is_websocket = event["requestContext"]["eventType"].is_string();
    match (is_authorizer, is_websocket) {
        (true, true) => json!({
            "principalId": "somebody",
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Action": "execute-api:Invoke",
                    "Effect": "Allow",
                    "Resource": event["methodArn"],
                }],
            },
        }),
        (true, false) => json!({"isAuthorized": true}),
        (false, true) => json!({"statusCode": 200, "body": event.to_string()}),
        // Payload format 1.0 has no other form of a response.
        (false, false) if event["version"] == "1.0" => {
            json!({"statusCode": 200, "body": event.to_string()})
        }
        (false, false) => event.clone(),
    }
}

//! The function behind every route of the conformance templates: it does what the client tells it.
//!
//! Instructions are a JSON object. For a frame they are its member `probe`; for `$connect`,
//! `$disconnect` and the authorizer of a socket they are the members `connect`, `disconnect` and
//! `authorize` of the JSON in the header `User-Agent`, which all of these events carry; for an HTTP
//! request and its authorizer they are the members `request` and `authorize` of the JSON in the
//! header `x-probe`, which an event of the Invoke API may have too. For a custom resource they are the
//! JSON in its property `Probe`. All of them may be left out; this is the order in which they are
//! followed:
//!
//! - `describe`: with true, what this process was told takes the place of the event in `report` and in
//!   the usual result: `{"event", "process_id", "folder", "deadline_ms", "environment"}`. Only in events
//!   of the Invoke API: an environment holds credentials, and everybody may open a socket
//! - `report`: a connection id; its socket gets the whole event
//! - `await_gone`: a connection id; goes on when its socket has closed
//! - `sleep_ms`: milliseconds
//! - `exit`: ends the process with this code
//! - `panic`: panics with this text
//! - `throw`: `{"type", "message"}`, a function error
//! - `return`: the function's result, any JSON
//!
//! What is returned without `return`: an authorizer lets the caller in, an HTTP request gets the
//! event as the whole result, everything else gets 200 and the event as the body.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, run_concurrent, service_fn};
use serde_json::{Value, json};

/// Between two looks at a socket that is to close.
const POLL: Duration = Duration::from_millis(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let credentials = tests::management::credentials(
        &variable("AWS_ACCESS_KEY_ID"),
        &variable("AWS_SECRET_ACCESS_KEY"),
        Some(variable("AWS_SESSION_TOKEN")).filter(|token| !token.is_empty()),
    );
    let sockets = tests::management::client(
        &variable("MANAGEMENT_ENDPOINT"),
        &variable("AWS_REGION"),
        credentials,
    );
    run_concurrent(service_fn(move |event: LambdaEvent<Value>| {
        follow(event, sockets.clone())
    }))
    .await
}

/// Follows the instructions of an event.
async fn follow(event: LambdaEvent<Value>, sockets: Client) -> Result<Value, Diagnostic> {
    let told = instructions(&event.payload);
    let is_invoked_directly = event.payload["requestContext"].is_null();
    let event = match told["describe"] == true && is_invoked_directly {
        true => description(event),
        false => event.payload,
    };
    if let Some(observer) = told["report"].as_str() {
        let post = sockets.post_to_connection().connection_id(observer);
        let report = Blob::new(event.to_string());
        post.data(report)
            .send()
            .await
            .map_err(|error| failure("Report", format!("{error:?}")))?;
    }
    if let Some(id) = told["await_gone"].as_str() {
        while sockets
            .get_connection()
            .connection_id(id)
            .send()
            .await
            .is_ok()
        {
            tokio::time::sleep(POLL).await;
        }
    }
    if let Some(pause) = told["sleep_ms"].as_u64() {
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    if let Some(code) = told["exit"].as_i64() {
        std::process::exit(i32::try_from(code).unwrap_or(1));
    }
    if let Some(text) = told["panic"].as_str() {
        panic!("{text}");
    }
    if let Some(error) = told.get("throw") {
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        return Err(failure(&text("type"), text("message")));
    }
    Ok(told
        .get("return")
        .cloned()
        .unwrap_or_else(|| usual_result(&event)))
}

/// What this process was told, when it started and with the event.
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

/// The instructions in an event; null if it has none.
fn instructions(event: &Value) -> Value {
    let parse = |text: &Value| -> Value {
        let text = text.as_str().unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    };
    let agent = parse(&event["requestContext"]["identity"]["userAgent"]);
    let header = parse(&event["headers"]["x-probe"]);
    let resource = &event["ResourceProperties"];
    let event_type = event["requestContext"]["eventType"].as_str();
    let told = match (event["type"].as_str(), event_type) {
        (Some(_), Some(_)) => &agent["authorize"],
        (Some(_), None) => &header["authorize"],
        (None, Some("CONNECT")) => &agent["connect"],
        (None, Some("DISCONNECT")) => &agent["disconnect"],
        (None, Some(_)) => &parse(&event["body"])["probe"],
        (None, None) if resource.is_object() => &parse(&resource["Probe"]),
        (None, None) => &header["request"],
    };
    told.clone()
}

fn usual_result(event: &Value) -> Value {
    let is_authorizer = event["type"].is_string();
    let is_socket = event["requestContext"]["eventType"].is_string();
    match (is_authorizer, is_socket) {
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
        (false, false) => event.clone(),
    }
}

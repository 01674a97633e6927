//! boto3 and the AWS CLI, which work with the gateway as they do with AWS.
//!
//! Both sign their requests, also those whose path has a connection id, which contains `=`.

use std::path::Path;

use serde_json::{Value, json};
use tests::{Client, LocalGateway, TIMEOUT, process, tools, until};
use tokio::process::Command;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// The name of the `@connections` API in boto3 and the AWS CLI.
const MANAGEMENT_API: &str = "apigatewaymanagementapi";

/// The default key of the gateway.
const LOCAL: Key = Key("local", "local");

/// A key with the characters of real secrets.
const OTHER: Key = Key(
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
);

/// Calls an operation and prints the whole response, also that of an error.
const BOTO3: &str = r"
import boto3, json, sys
from botocore.exceptions import ClientError
service, operation, endpoint, arguments = sys.argv[1:]
client = boto3.client(service, endpoint_url=endpoint)
try:
    response = getattr(client, operation)(**json.loads(arguments))
except ClientError as error:
    response = error.response
if 'Payload' in response:
    response['Payload'] = response['Payload'].read().decode()
print(json.dumps(response, default=str))
";

/// An access key: its id and its secret.
#[derive(Clone, Copy)]
struct Key(&'static str, &'static str);

impl Key {
    /// Returns a command with this key, and without any other AWS setting of this machine.
    fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", tools::path())
            .env("AWS_ACCESS_KEY_ID", self.0)
            .env("AWS_SECRET_ACCESS_KEY", self.1)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command
    }

    /// Calls an operation by boto3 and returns the response.
    async fn boto3(self, endpoint: &str, service: &str, operation: &str, with: Value) -> Value {
        let mut command = self.command(&tools::python());
        command.args(["-c", BOTO3, service, operation, endpoint, &with.to_string()]);
        let output = process::output(&mut command, TIMEOUT * 3).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{operation}: {error}");
        serde_json::from_slice(&output.stdout).expect("the response is JSON")
    }

    /// Runs the AWS CLI and returns its standard output, or its standard error if it fails.
    async fn aws(self, endpoint: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = self.command(&tools::aws());
        command.args(["--endpoint-url", endpoint]).args(arguments);
        let output = process::output(&mut command, TIMEOUT * 3).await;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        if output.status.success() {
            Ok(text(output.stdout))
        } else {
            Err(text(output.stderr))
        }
    }
}

async fn gateway(flags: &[&str]) -> LocalGateway {
    gateway_on("open.yaml", flags).await
}

/// Starts a gateway on a template of the conformance suite.
async fn gateway_on(template: &str, flags: &[&str]) -> LocalGateway {
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let gateway = LocalGateway::start(&templates.join(template), flags).await;
    gateway.expect("it starts")
}

/// Returns the base URL of `@connections`.
fn management(gateway: &LocalGateway) -> &str {
    gateway.management.as_deref().expect("an address")
}

/// Returns the base URL of the Lambda API: the same port, without the stage.
fn lambda(gateway: &LocalGateway) -> &str {
    let (base, _stage) = management(gateway).rsplit_once('/').expect("a stage");
    base
}

/// Opens a connection and returns it with its id.
async fn connect(gateway: &LocalGateway) -> (Client, String) {
    let url = gateway.ws.as_deref().expect("a WebSocket API");
    let mut client = Client::connect(url).await.expect("connected");
    client.send(&json!({"action": "reply"})).await;
    let event = client.next().await;
    let id = event["requestContext"]["connectionId"].as_str();
    let id = id.expect("an id").to_owned();
    assert!(id.ends_with('='), "{id}");
    (client, id)
}

/// Returns the HTTP status of a response of boto3.
fn status(response: &Value) -> &Value {
    &response["ResponseMetadata"]["HTTPStatusCode"]
}

#[tokio::test]
async fn boto3_posts_to_a_connection_describes_it_and_closes_it() {
    let flag = format!("{}:{}", OTHER.0, OTHER.1);
    for (key, flags) in [(LOCAL, vec![]), (OTHER, vec!["--access-key", &flag])] {
        let gateway = gateway(&flags).await;
        let (mut client, id) = connect(&gateway).await;
        let call = async |key: Key, operation: &str, data: Option<&str>| {
            let mut with = json!({"ConnectionId": id});
            if let Some(data) = data {
                with["Data"] = data.into();
            }
            key.boto3(management(&gateway), MANAGEMENT_API, operation, with)
                .await
        };
        let posted = call(key, "post_to_connection", Some(r#"{"x":"ä"}"#)).await;
        assert_eq!(status(&posted), 200, "{posted}");
        assert_eq!(client.next().await["x"], "ä");

        let described = call(key, "get_connection", None).await;
        assert_eq!(
            described["Identity"]["SourceIp"], "127.0.0.1",
            "{described}"
        );
        let connected_at = described["ConnectedAt"].as_str().expect("a time");
        assert!(connected_at.ends_with("+00:00"), "{connected_at}");

        for (wrong, code) in [
            (Key(key.0, "wrong"), "InvalidSignatureException"),
            (Key("another", key.1), "UnrecognizedClientException"),
        ] {
            let rejected = call(wrong, "post_to_connection", Some("no")).await;
            assert_eq!(status(&rejected), 403, "{rejected}");
            assert_eq!(rejected["Error"]["Code"], code, "{rejected}");
        }

        let deleted = call(key, "delete_connection", None).await;
        assert_eq!(status(&deleted), 204, "{deleted}");
        // The first frame is the close frame of the delete: no rejected post has arrived.
        assert_eq!(client.closed().await.code, CloseCode::Normal);
        drop(client);
        let gone = async || call(key, "get_connection", None).await;
        until(async || status(&gone().await) == 410).await;
        let gone = gone().await;
        assert_eq!(gone["Error"]["Code"], "GoneException", "{gone}");
        gateway.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn the_aws_cli_posts_to_a_connection_describes_it_and_closes_it() {
    let flag = format!("{}:{}", OTHER.0, OTHER.1);
    for (key, flags) in [(LOCAL, vec![]), (OTHER, vec!["--access-key", &flag])] {
        let gateway = gateway(&flags).await;
        let (mut client, id) = connect(&gateway).await;
        // An id may begin with a dash.
        let id = format!("--connection-id={id}");
        let call = async |key: Key, operation: &str, more: &[&str]| {
            let arguments = [&[MANAGEMENT_API, operation, &id], more].concat();
            key.aws(management(&gateway), &arguments).await
        };
        let posted = call(key, "post-to-connection", &["--data", r#"{"x":1}"#]).await;
        posted.expect("posted");
        assert_eq!(client.next().await["x"], 1);

        let described = call(key, "get-connection", &[]).await.expect("described");
        let described: Value = serde_json::from_str(&described).expect("JSON");
        assert_eq!(
            described["Identity"]["SourceIp"], "127.0.0.1",
            "{described}"
        );

        let wrong = Key(key.0, "wrong");
        let rejected = call(wrong, "post-to-connection", &["--data", "no"]).await;
        let error = rejected.expect_err("rejected");
        assert!(error.contains("InvalidSignatureException"), "{error}");

        call(key, "delete-connection", &[]).await.expect("deleted");
        assert_eq!(client.closed().await.code, CloseCode::Normal);
        drop(client);
        let gone = async || match call(key, "get-connection", &[]).await {
            Ok(_) => false,
            Err(error) => error.contains("GoneException"),
        };
        until(gone).await;
        gateway.stop().await.expect("stopped");
    }
}

/// Returns an event that makes the function fail.
fn failing_event() -> Value {
    let instructions = json!({"request": {"throw": {"type": "Kaputt", "message": "on purpose"}}});
    json!({"headers": {"x-probe": instructions.to_string()}})
}

#[tokio::test]
async fn boto3_invokes_functions() {
    let gateway = gateway(&[]).await;
    let invoke = async |name: &str, kind: &str, event: &Value| {
        let with = json!({
            "FunctionName": name, "InvocationType": kind, "Payload": event.to_string(),
        });
        LOCAL
            .boto3(lambda(&gateway), "lambda", "invoke", with)
            .await
    };
    let payload = |response: &Value| -> Value {
        let payload = response["Payload"].as_str().unwrap_or_default();
        serde_json::from_str(payload).unwrap_or_default()
    };
    let event = json!({"any": ["event", "ä"]});
    // The function returns the event.
    let response = invoke("ProbeFunction", "RequestResponse", &event).await;
    assert_eq!(response["StatusCode"], 200, "{response}");
    assert_eq!(response["ExecutedVersion"], "$LATEST", "{response}");
    assert_eq!(
        (payload(&response), &response["FunctionError"]),
        (event.clone(), &Value::Null)
    );

    let response = invoke("ProbeFunction", "RequestResponse", &failing_event()).await;
    assert_eq!(response["StatusCode"], 200, "{response}");
    assert_eq!(response["FunctionError"], "Unhandled", "{response}");
    assert_eq!(payload(&response)["errorType"], "Kaputt", "{response}");
    assert_eq!(
        payload(&response)["errorMessage"],
        "on purpose",
        "{response}"
    );

    let response = invoke("NoFunction", "RequestResponse", &event).await;
    assert_eq!(status(&response), 404, "{response}");
    assert_eq!(
        response["Error"]["Code"], "ResourceNotFoundException",
        "{response}"
    );

    for (kind, expected) in [("Event", 202), ("DryRun", 204)] {
        let response = invoke("ProbeFunction", kind, &event).await;
        assert_eq!(response["StatusCode"], expected, "{response}");
        assert_eq!(response["Payload"], "", "{response}");
    }
    for (wrong, code) in [
        (Key(LOCAL.0, "wrong"), "InvalidSignatureException"),
        (Key("another", LOCAL.1), "UnrecognizedClientException"),
    ] {
        let with = json!({"FunctionName": "ProbeFunction"});
        let response = wrong.boto3(lambda(&gateway), "lambda", "invoke", with);
        let response = response.await;
        assert_eq!(status(&response), 403, "{response}");
        assert_eq!(response["Error"]["Code"], code, "{response}");
    }
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn an_asynchronous_invocation_is_handled() {
    let gateway = gateway(&[]).await;
    let (mut client, id) = connect(&gateway).await;
    let instructions = json!({"request": {"report": id}});
    let event = json!({"headers": {"x-probe": instructions.to_string()}});
    let with = json!({
        "FunctionName": "ProbeFunction", "InvocationType": "Event", "Payload": event.to_string(),
    });
    let response = LOCAL
        .boto3(lambda(&gateway), "lambda", "invoke", with)
        .await;
    assert_eq!(response["StatusCode"], 202, "{response}");
    assert_eq!(client.next().await, event);
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn the_aws_cli_invokes_functions() {
    let gateway = gateway(&[]).await;
    let invoke = async |name: &str, kind: &str, event: &Value| {
        let event = event.to_string();
        // The CLI writes the payload to this file, and then prints the status.
        let arguments = [
            "lambda",
            "invoke",
            "--function-name",
            name,
            "--invocation-type",
            kind,
            "--payload",
            &event,
            "/dev/stdout",
        ];
        LOCAL.aws(lambda(&gateway), &arguments).await
    };
    let event = json!({"any": "event"});
    let output = invoke("ProbeFunction", "RequestResponse", &event)
        .await
        .expect("invoked");
    assert!(output.starts_with(&event.to_string()), "{output}");
    assert!(
        output.contains(r#""StatusCode": 200"#) && !output.contains("FunctionError"),
        "{output}"
    );

    let output = invoke("ProbeFunction", "RequestResponse", &failing_event())
        .await
        .expect("invoked");
    assert!(output.contains(r#""errorType":"Kaputt""#), "{output}");
    assert!(
        output.contains(r#""FunctionError": "Unhandled""#),
        "{output}"
    );

    let output = invoke("ProbeFunction", "Event", &event)
        .await
        .expect("invoked");
    assert!(output.contains(r#""StatusCode": 202"#), "{output}");
    let output = invoke("ProbeFunction", "DryRun", &event)
        .await
        .expect("invoked");
    assert!(output.contains(r#""StatusCode": 204"#), "{output}");

    let error = invoke("NoFunction", "RequestResponse", &event)
        .await
        .expect_err("rejected");
    assert!(error.contains("ResourceNotFoundException"), "{error}");
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn boto3_sends_to_a_queue_receives_and_deletes() {
    let gateway = gateway_on("queues.yaml", &[]).await;
    let call = async |operation: &str, with: Value| {
        LOCAL
            .boto3(&gateway.functions, "sqs", operation, with)
            .await
    };
    let found = call("get_queue_url", json!({"QueueName": "DeadLetterQueue"})).await;
    let url = &found["QueueUrl"];
    let kind = json!({"DataType": "Number", "StringValue": "7"});
    let with = json!({
        "QueueUrl": url, "MessageBody": "ä", "MessageAttributes": {"kind": kind},
    });
    let sent = call("send_message", with).await;
    assert_eq!(status(&sent), 200, "{sent}");
    let entries = json!([{"Id": "a", "MessageBody": "b"}, {"Id": "c", "MessageBody": "\u{1}"}]);
    let sent_batch = call(
        "send_message_batch",
        json!({"QueueUrl": url, "Entries": entries}),
    )
    .await;
    assert_eq!(sent_batch["Successful"][0]["Id"], "a", "{sent_batch}");
    assert_eq!(
        sent_batch["Failed"][0]["Code"], "InvalidMessageContents",
        "{sent_batch}"
    );

    let with = json!({
        "QueueUrl": url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"],
        "AttributeNames": ["All"],
    });
    let received = call("receive_message", with).await;
    let message = &received["Messages"][0];
    assert_eq!(message["Body"], "ä", "{received}");
    assert_eq!(message["MessageId"], sent["MessageId"], "{received}");
    assert_eq!(message["MessageAttributes"]["kind"], kind, "{received}");
    assert_eq!(
        message["Attributes"]["ApproximateReceiveCount"], "1",
        "{received}"
    );
    assert_eq!(received["Messages"][1]["Body"], "b", "{received}");
    let with = json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]});
    let deleted = call("delete_message", with).await;
    assert_eq!(status(&deleted), 200, "{deleted}");
    let attributes = call(
        "get_queue_attributes",
        json!({"QueueUrl": url, "AttributeNames": ["All"]}),
    )
    .await;
    let attributes = &attributes["Attributes"];
    assert_eq!(
        attributes["ApproximateNumberOfMessagesNotVisible"], "1",
        "{attributes}"
    );

    let missing = call("get_queue_url", json!({"QueueName": "Missing"})).await;
    assert_eq!(
        missing["Error"]["Code"], "AWS.SimpleQueueService.NonExistentQueue",
        "{missing}"
    );
    let wrong = Key(LOCAL.0, "wrong");
    let rejected = wrong.boto3(
        &gateway.functions,
        "sqs",
        "purge_queue",
        json!({"QueueUrl": url}),
    );
    let rejected = rejected.await;
    assert_eq!(status(&rejected), 403, "{rejected}");
    assert_eq!(
        rejected["Error"]["Code"], "InvalidSignatureException",
        "{rejected}"
    );
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn the_aws_cli_reads_a_dead_letter_queue() {
    let gateway = gateway_on("queues.yaml", &[]).await;
    let call = async |arguments: &[&str]| {
        let arguments = [&["sqs"], arguments].concat();
        let output = LOCAL
            .aws(&gateway.functions, &arguments)
            .await
            .expect("it succeeds");
        serde_json::from_str(&output).unwrap_or(Value::Null)
    };
    let found = call(&["get-queue-url", "--queue-name", "DeadLetterQueue"]).await;
    let url = found["QueueUrl"].as_str().expect("a URL");
    call(&["send-message", "--queue-url", url, "--message-body", "dead"]).await;
    let received = call(&["receive-message", "--queue-url", url]).await;
    assert_eq!(received["Messages"][0]["Body"], "dead", "{received}");
    call(&["purge-queue", "--queue-url", url]).await;
    let wanted = "ApproximateNumberOfMessagesNotVisible";
    let arguments = [
        "get-queue-attributes",
        "--queue-url",
        url,
        "--attribute-names",
        wanted,
    ];
    let attributes = call(&arguments).await;
    assert_eq!(attributes["Attributes"][wanted], "0", "{attributes}");
    gateway.stop().await.expect("stopped");
}

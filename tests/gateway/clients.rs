//! What others use with API Gateway and Lambda works here unchanged: boto3 and the AWS CLI.
//!
//! Both sign as AWS wants it, also a path with a connection id in it, which holds a `=`.

use std::path::Path;

use serde_json::{Value, json};
use tests::LocalGateway;
use tests::{Client, tools, until};
use tokio::process::Command;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

const SOCKETS: &str = "apigatewaymanagementapi";

/// The key that the gateway knows if it is told no other.
const LOCAL: Key = Key("local", "local");

/// One with what real secrets have in them.
const OTHER: Key = Key(
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
);

/// Calls an operation and prints its whole answer, an error as well.
const BOTO3: &str = r"
import boto3, json, sys
from botocore.exceptions import ClientError
service, operation, endpoint, arguments = sys.argv[1:]
client = boto3.client(service, endpoint_url=endpoint)
try:
    answer = getattr(client, operation)(**json.loads(arguments))
except ClientError as error:
    answer = error.response
if 'Payload' in answer:
    answer['Payload'] = answer['Payload'].read().decode()
print(json.dumps(answer, default=str))
";

/// An access key: its id and its secret.
#[derive(Clone, Copy)]
struct Key(&'static str, &'static str);

impl Key {
    /// A tool with this key, and with nothing else that this machine has for AWS.
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

    /// The answer to an operation by boto3.
    async fn boto3(self, endpoint: &str, service: &str, operation: &str, with: Value) -> Value {
        let mut command = self.command(&tools::python());
        command.args(["-c", BOTO3, service, operation, endpoint, &with.to_string()]);
        let output = command.output().await.expect("Python runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{operation}: {said}");
        serde_json::from_slice(&output.stdout).expect("the answer is JSON")
    }

    /// What the AWS CLI prints; if it fails, what it says.
    async fn aws(self, endpoint: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = self.command(&tools::aws());
        command.args(["--endpoint-url", endpoint]).args(arguments);
        let output = command.output().await.expect("the AWS CLI runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        match output.status.success() {
            true => Ok(text(output.stdout)),
            false => Err(text(output.stderr)),
        }
    }
}

async fn gateway(flags: &[&str]) -> LocalGateway {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/open.yaml");
    LocalGateway::start(&template, flags)
        .await
        .expect("it starts")
}

/// The base URL of `@connections`.
fn management(gateway: &LocalGateway) -> &str {
    gateway.management.as_deref().expect("an address")
}

/// The base URL of the Lambda API: the same port, without a stage.
fn lambda(gateway: &LocalGateway) -> &str {
    let (base, _stage) = management(gateway).rsplit_once('/').expect("a stage");
    base
}

/// A socket and its id.
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

/// The HTTP status of an answer of boto3.
fn status(answer: &Value) -> &Value {
    &answer["ResponseMetadata"]["HTTPStatusCode"]
}

#[tokio::test]
async fn boto3_posts_to_a_socket_describes_it_and_closes_it() {
    let flag = format!("{}:{}", OTHER.0, OTHER.1);
    for (key, flags) in [(LOCAL, vec![]), (OTHER, vec!["--access-key", &flag])] {
        let gateway = gateway(&flags).await;
        let (mut client, id) = connect(&gateway).await;
        let call = async |key: Key, operation: &str, data: Option<&str>| {
            let mut with = json!({"ConnectionId": id});
            if let Some(data) = data {
                with["Data"] = data.into();
            }
            key.boto3(management(&gateway), SOCKETS, operation, with)
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
            let refused = call(wrong, "post_to_connection", Some("no")).await;
            assert_eq!(status(&refused), 403, "{refused}");
            assert_eq!(refused["Error"]["Code"], code, "{refused}");
        }

        let deleted = call(key, "delete_connection", None).await;
        assert_eq!(status(&deleted), 204, "{deleted}");
        // The first close is that of the delete: nothing that was refused came before it.
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
async fn the_aws_cli_posts_to_a_socket_describes_it_and_closes_it() {
    let flag = format!("{}:{}", OTHER.0, OTHER.1);
    for (key, flags) in [(LOCAL, vec![]), (OTHER, vec!["--access-key", &flag])] {
        let gateway = gateway(&flags).await;
        let (mut client, id) = connect(&gateway).await;
        // An id may begin with a dash.
        let id = format!("--connection-id={id}");
        let call = async |key: Key, operation: &str, more: &[&str]| {
            let arguments = [&[SOCKETS, operation, &id], more].concat();
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
        let refused = call(wrong, "post-to-connection", &["--data", "no"]).await;
        let said = refused.expect_err("refused");
        assert!(said.contains("InvalidSignatureException"), "{said}");

        call(key, "delete-connection", &[]).await.expect("deleted");
        assert_eq!(client.closed().await.code, CloseCode::Normal);
        drop(client);
        let gone = async || match call(key, "get-connection", &[]).await {
            Ok(_) => false,
            Err(said) => said.contains("GoneException"),
        };
        until(gone).await;
        gateway.stop().await.expect("stopped");
    }
}

/// An event that makes the function fail.
fn failing() -> Value {
    let told = json!({"request": {"throw": {"type": "Kaputt", "message": "as told"}}});
    json!({"headers": {"x-probe": told.to_string()}})
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
    let payload = |answer: &Value| -> Value {
        let payload = answer["Payload"].as_str().unwrap_or_default();
        serde_json::from_str(payload).unwrap_or_default()
    };
    let event = json!({"any": ["event", "ä"]});
    // The function returns the event.
    let answer = invoke("ProbeFunction", "RequestResponse", &event).await;
    assert_eq!(answer["StatusCode"], 200, "{answer}");
    assert_eq!(answer["ExecutedVersion"], "$LATEST", "{answer}");
    assert_eq!(
        (payload(&answer), &answer["FunctionError"]),
        (event.clone(), &Value::Null)
    );

    let answer = invoke("ProbeFunction", "RequestResponse", &failing()).await;
    assert_eq!(answer["StatusCode"], 200, "{answer}");
    assert_eq!(answer["FunctionError"], "Unhandled", "{answer}");
    assert_eq!(payload(&answer)["errorType"], "Kaputt", "{answer}");
    assert_eq!(payload(&answer)["errorMessage"], "as told", "{answer}");

    let answer = invoke("NoFunction", "RequestResponse", &event).await;
    assert_eq!(status(&answer), 404, "{answer}");
    assert_eq!(
        answer["Error"]["Code"], "ResourceNotFoundException",
        "{answer}"
    );

    for (kind, expected) in [("Event", 202), ("DryRun", 204)] {
        let answer = invoke("ProbeFunction", kind, &event).await;
        assert_eq!(answer["StatusCode"], expected, "{answer}");
        assert_eq!(answer["Payload"], "", "{answer}");
    }
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn an_event_that_nobody_waits_for_is_handled_all_the_same() {
    let gateway = gateway(&[]).await;
    let (mut client, id) = connect(&gateway).await;
    let told = json!({"request": {"report": id}});
    let event = json!({"headers": {"x-probe": told.to_string()}});
    let with = json!({
        "FunctionName": "ProbeFunction", "InvocationType": "Event", "Payload": event.to_string(),
    });
    let answer = LOCAL
        .boto3(lambda(&gateway), "lambda", "invoke", with)
        .await;
    assert_eq!(answer["StatusCode"], 202, "{answer}");
    assert_eq!(client.next().await, event);
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn the_aws_cli_invokes_functions() {
    let gateway = gateway(&[]).await;
    let invoke = async |name: &str, kind: &str, event: &Value| {
        let event = event.to_string();
        // It writes the payload to a file, and then says how it went.
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
    let said = invoke("ProbeFunction", "RequestResponse", &event)
        .await
        .expect("invoked");
    assert!(said.starts_with(&event.to_string()), "{said}");
    assert!(
        said.contains(r#""StatusCode": 200"#) && !said.contains("FunctionError"),
        "{said}"
    );

    let said = invoke("ProbeFunction", "RequestResponse", &failing())
        .await
        .expect("invoked");
    assert!(said.contains(r#""errorType":"Kaputt""#), "{said}");
    assert!(said.contains(r#""FunctionError": "Unhandled""#), "{said}");

    let said = invoke("ProbeFunction", "Event", &event)
        .await
        .expect("invoked");
    assert!(said.contains(r#""StatusCode": 202"#), "{said}");
    let said = invoke("ProbeFunction", "DryRun", &event)
        .await
        .expect("invoked");
    assert!(said.contains(r#""StatusCode": 204"#), "{said}");

    let said = invoke("NoFunction", "RequestResponse", &event)
        .await
        .expect_err("refused");
    assert!(said.contains("ResourceNotFoundException"), "{said}");
    gateway.stop().await.expect("stopped");
}

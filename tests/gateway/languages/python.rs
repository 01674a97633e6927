//! Handlers, results and errors of functions in Python.

use serde_json::json;
use tests::LocalGateway;

use super::assert_error;
use crate::project::{Project, template};

const CODE: &str = r#"
import os

print("starts")

def handler(event, context):
    return {
        "event": event,
        "name": context.function_name,
        "memory": context.memory_limit_in_mb,
        "left": context.get_remaining_time_in_millis(),
        "environment": os.environ["AWS_EXECUTION_ENV"],
        "root": os.environ["LAMBDA_TASK_ROOT"] == os.getcwd(),
    }

def sdk(event, context):
    import boto3, searched
    return boto3.client("lambda").meta.endpoint_url

def thrown(event, context):
    raise ValueError("thrown")

def exits(event, context):
    os._exit(3)

def unserializable(event, context):
    return object()
"#;

/// A folder that the template adds to those that are searched for packages.
const SEARCHED: &str = ", Environment: {Variables: {PYTHONPATH: lib}}";

/// Starts a gateway with a function for each handler of the code.
async fn start() -> (Project, LocalGateway) {
    let function =
        |handler: &str| format!("CodeUri: code, Runtime: python3.11, Handler: {handler}");
    let functions = [
        ("Handler", function("package/app.handler")),
        ("Sdk", function("package.app.sdk") + SEARCHED),
        ("Thrown", function("package/app.thrown")),
        ("Exits", function("package/app.exits")),
        ("Unserializable", function("package/app.unserializable")),
        ("Unknown", function("package/app.unknown")),
        ("NoFile", function("nofile.handler")),
        ("Broken", function("broken.handler")),
    ];
    let functions = functions.iter().map(|(id, text)| (*id, &**text));
    let functions: Vec<_> = functions.collect();
    let project = Project::new(&[
        ("template.yaml", &template(&functions, &[])),
        ("code/package/__init__.py", ""),
        ("code/package/app.py", CODE),
        ("code/lib/searched.py", ""),
        ("code/broken.py", "def handler(:"),
    ]);
    let gateway = project.start().await;
    (project, gateway)
}

#[tokio::test]
async fn handlers_of_python_run_as_on_lambda() {
    let (_project, gateway) = start().await;
    let result = gateway
        .invoke("Handler", &json!({"a": "ä"}))
        .await
        .expect("a result");
    assert_eq!(result["event"], json!({"a": "ä"}));
    assert_eq!(result["name"], "Handler");
    assert_eq!(result["memory"], "128");
    assert_eq!(result["environment"], "AWS_Lambda_python3.11");
    assert_eq!(result["root"], true);
    let left = result["left"].as_f64().expect("milliseconds");
    assert!((1.0..=20_000.0).contains(&left), "{left}");
    // The SDK is there without a package of the function's.
    let sdk = gateway.invoke("Sdk", &json!({})).await.expect("a result");
    assert!(
        sdk.as_str().is_some_and(|url| url.starts_with("http")),
        "{sdk}"
    );
    let (_, log) = gateway.stop().await.expect("stopped");
    assert!(log.contains("Handler | starts"), "{log}");
}

#[tokio::test]
async fn errors_of_python_are_those_of_lambda() {
    let (project, gateway) = start().await;
    for (function, kind, message) in [
        ("Thrown", "ValueError", "thrown"),
        ("Exits", "Runtime.ExitError", "exit status 3"),
        (
            "Unserializable",
            "Runtime.MarshalError",
            "Unable to marshal response",
        ),
        (
            "Unknown",
            "Runtime.HandlerNotFound",
            "Handler 'unknown' missing",
        ),
        (
            "NoFile",
            "Runtime.ImportModuleError",
            "No module named 'nofile'",
        ),
        (
            "Broken",
            "Runtime.UserCodeSyntaxError",
            "Syntax error in module 'broken'",
        ),
    ] {
        for _ in 0..2 {
            assert_error(gateway.invoke(function, &json!({})).await, kind, message);
        }
    }
    let thrown = gateway
        .invoke("Thrown", &json!({}))
        .await
        .expect_err("an error");
    let trace = thrown["stackTrace"].as_array().expect("lines");
    assert!(
        trace[0]
            .as_str()
            .is_some_and(|line| line.contains("in thrown")),
        "{trace:?}"
    );
    gateway.stop().await.expect("stopped");
    // No byte code is left between the sources.
    assert!(!project.folder().join("code/package/__pycache__").exists());
}

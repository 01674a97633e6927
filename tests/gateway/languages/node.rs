//! Handlers, results and errors of functions in Node.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tests::{LocalGateway, node};

use super::assert_error;
use crate::project::{Project, template};

/// Handlers in the older form of modules.
const COMMON: &str = r#"
exports.promise = async (event) => ({ got: event });
exports.callback = (event, context, callback) => {
  // The response waits until nothing is left to do.
  callback(null, { late: () => 0, at: process.uptime() });
  setTimeout(() => {}, 50);
};
exports.at_once = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = false;
  setInterval(() => {}, 60_000);
  callback(null, "at once");
};
exports.nothing = () => {};
exports.nested = { deep: { handler: async () => "deep" } };
exports.refused = (event, context, callback) => callback(new RangeError("refused"));
exports.thrown = () => {
  throw new TypeError("thrown");
};
exports.rejected = async () => {
  throw new (class Kaputt extends Error {
    name = "Kaputt";
  })("rejected");
};
exports.text = async () => {
  throw "a text";
};
exports.circular = async () => {
  const circle = {};
  circle.circle = circle;
  return circle;
};
exports.uncaught = async () => {
  setTimeout(() => {
    throw new Error("nobody catches it");
  }, 1);
  await new Promise(() => setTimeout(() => {}, 60_000));
};
exports.unhandled = async () => {
  Promise.reject(new Error("nobody handles it"));
  await new Promise(() => setTimeout(() => {}, 60_000));
};
exports.number = 1;
"#;

/// A handler in the newer form, in a folder whose package says so.
const MODULE: &str = r#"
import { readFileSync } from "node:fs";
console.log("starts with", readFileSync("data.txt", "utf8"));
export const handler = async (event, context) => ({
  left: context.getRemainingTimeInMillis(),
  context: { ...context, getRemainingTimeInMillis: undefined },
  handler: process.env._HANDLER,
  environment: process.env.AWS_EXECUTION_ENV,
});
"#;

fn function(handler: &str) -> String {
    format!("CodeUri: code, Runtime: nodejs20.x, Handler: {handler}")
}

/// Starts a gateway with a function for each export of the code, named after it.
async fn start() -> (Project, LocalGateway) {
    const HANDLERS: [(&str, &str); 19] = [
        ("Promise", "common.promise"),
        ("Callback", "common.callback"),
        ("AtOnce", "common.at_once"),
        ("Nothing", "common.nothing"),
        ("Deep", "common.nested.deep.handler"),
        ("Refused", "common.refused"),
        ("Thrown", "common.thrown"),
        ("Rejected", "common.rejected"),
        ("Text", "common.text"),
        ("Circular", "common.circular"),
        ("Uncaught", "common.uncaught"),
        ("Unhandled", "common.unhandled"),
        ("Number", "common.number"),
        ("Unknown", "common.unknown"),
        ("NoFile", "nofile.handler"),
        ("Outside", "../code/common.promise"),
        ("Broken", "broken.handler"),
        ("Module", "modules/index.handler"),
        ("Extended", "extended.handler"),
    ];
    let functions: Vec<_> = HANDLERS.map(|(id, handler)| (id, function(handler))).into();
    let functions: Vec<_> = functions.iter().map(|(id, text)| (*id, &**text)).collect();
    let project = Project::new(&[
        ("template.yaml", &template(&functions, &[])),
        ("code/common.js", COMMON),
        ("code/broken.js", "exports.handler = async () => {"),
        (
            "code/extended.mjs",
            "export const handler = async () => 'mjs';",
        ),
        ("code/modules/index.js", MODULE),
        ("code/modules/package.json", r#"{"type": "module"}"#),
        ("code/data.txt", "data"),
    ]);
    let gateway = project.start().await;
    (project, gateway)
}

#[tokio::test]
async fn handlers_of_node_run_as_on_lambda() {
    let (_project, gateway) = start().await;
    for (function, expected) in [
        ("Promise", json!({"got": {"a": 1}})),
        ("AtOnce", json!("at once")),
        ("AtOnce", json!("at once")),
        ("Nothing", Value::Null),
        ("Deep", json!("deep")),
        ("Extended", json!("mjs")),
    ] {
        let result = gateway.invoke(function, &json!({"a": 1})).await;
        assert_eq!(result, Ok(expected), "{function}");
    }
    let waited = gateway.invoke("Callback", &json!({})).await;
    assert!(
        waited.as_ref().is_ok_and(|result| result["late"].is_null()),
        "{waited:?}"
    );

    let result = gateway
        .invoke("Module", &json!({}))
        .await
        .expect("a result");
    assert_eq!(result["handler"], "modules/index.handler");
    assert_eq!(result["environment"], "AWS_Lambda_nodejs20.x");
    let context = &result["context"];
    assert_eq!(context["functionName"], "Module");
    assert_eq!(context["memoryLimitInMB"], "128");
    assert_eq!(context["callbackWaitsForEmptyEventLoop"], true);
    let arn = context["invokedFunctionArn"].as_str().expect("an ARN");
    assert!(arn.ends_with(":function:Module"), "{arn}");
    assert_eq!(context["awsRequestId"].as_str().map(str::len), Some(36));
    let left = result["left"].as_f64().expect("milliseconds");
    assert!((1.0..=20_000.0).contains(&left), "{left}");
    let (_, log) = gateway.stop().await.expect("stopped");
    assert!(log.contains("Module | starts with data"), "{log}");
}

#[tokio::test]
async fn errors_of_node_are_those_of_lambda() {
    let (_project, gateway) = start().await;
    for (function, kind, message) in [
        ("Refused", "RangeError", "refused"),
        ("Thrown", "TypeError", "thrown"),
        ("Rejected", "Kaputt", "rejected"),
        ("Text", "string", "a text"),
        ("Circular", "TypeError", "circular"),
        ("Uncaught", "Error", "nobody catches it"),
        (
            "Unhandled",
            "Runtime.UnhandledPromiseRejection",
            "nobody handles it",
        ),
        (
            "Number",
            "Runtime.HandlerNotFound",
            "common.number is not a function",
        ),
        (
            "Unknown",
            "Runtime.HandlerNotFound",
            "common.unknown is undefined or not exported",
        ),
        (
            "NoFile",
            "Runtime.ImportModuleError",
            "Cannot find module 'nofile'",
        ),
        (
            "Outside",
            "Runtime.MalformedHandlerName",
            "not a valid handler name",
        ),
        ("Broken", "Runtime.UserCodeSyntaxError", "SyntaxError"),
    ] {
        // A process that has ended is replaced.
        for _ in 0..2 {
            assert_error(gateway.invoke(function, &json!({})).await, kind, message);
        }
    }
    let thrown = gateway
        .invoke("Thrown", &json!({}))
        .await
        .expect_err("an error");
    let trace = thrown["trace"].as_array().expect("lines");
    assert_eq!(trace[0], "TypeError: thrown");
    assert!(
        trace[1]
            .as_str()
            .is_some_and(|line| line.contains("common.js")),
        "{trace:?}"
    );
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn functions_in_node_log_as_lambda_does() {
    let code = r#"exports.handler = async () => console.warn("look", { at: 1 });"#;
    let functions = [(
        "Talker",
        "CodeUri: ., Runtime: nodejs20.x, Handler: index.handler",
    )];
    let project = Project::new(&[
        ("template.yaml", &template(&functions, &[])),
        ("index.js", code),
    ]);
    let launch = project.launch().flags(["--log-format", "json"]);
    let gateway = launch.start().await.expect("it starts");
    gateway
        .invoke("Talker", &json!({}))
        .await
        .expect("a result");
    let (_, log) = gateway.stop().await.expect("stopped");
    let line = log.lines().find_map(|line| line.split_once("Talker | "));
    let line: Value = serde_json::from_str(line.expect("a line").1).expect("JSON");
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["message"], "look { at: 1 }");
    assert_eq!(line["requestId"].as_str().map(str::len), Some(36));
}

/// A function in Node or Python that starts slowly holds up neither the gateway nor the others.
#[tokio::test]
async fn the_gateway_is_ready_before_functions_in_node_have_started() {
    const NEVER: &str = "setInterval(() => {}, 60_000); await new Promise(() => {});";
    let functions = [
        (
            "Endless",
            "CodeUri: endless, Runtime: nodejs20.x, Handler: index.handler",
        ),
        (
            "Fine",
            "CodeUri: fine, Runtime: nodejs20.x, Handler: index.handler",
        ),
    ];
    let project = Project::new(&[
        ("template.yaml", &template(&functions, &[])),
        ("endless/index.mjs", NEVER),
        ("fine/index.js", "exports.handler = async () => 1;"),
    ]);
    let gateway = project.start().await;
    assert_eq!(gateway.invoke("Fine", &json!({})).await, Ok(json!(1)));
    // It would have been reported at the end of its start.
    assert!(
        !gateway.log().contains("Endless does not start"),
        "{}",
        gateway.log()
    );
    gateway.stop().await.expect("stopped");
}

/// The start of a template with fifty resources costs no more than that of one: Node is asked for its
/// version once, and no package is installed again.
#[tokio::test]
async fn node_is_asked_once_for_all_functions() {
    let ids: Vec<String> = (0..49).map(|number| format!("Fn{number}")).collect();
    let functions: Vec<_> = ids
        .iter()
        .map(|id| {
            (
                &**id,
                "CodeUri: ., Runtime: nodejs20.x, Handler: index.handler",
            )
        })
        .collect();
    let project = Project::new(&[
        ("template.yaml", &template(&functions, &[])),
        ("index.js", "exports.handler = async () => 1;"),
    ]);
    let node = node::program().expect("Node is installed");
    let (shim, asked) = (
        project.folder().join("node"),
        project.folder().join("asked"),
    );
    let script = format!(
        "#!/bin/sh\necho asked >> {}\nexec {} \"$@\"\n",
        asked.display(),
        node.display()
    );
    project.write("node", &script);
    std::fs::set_permissions(&shim, Permissions::from_mode(0o755)).expect("the file is ours");
    let launch = project.launch().env("PATH", project.folder());
    let gateway = launch.start().await.expect("it starts");
    assert_eq!(gateway.invoke("Fn48", &json!({})).await, Ok(json!(1)));
    let asked = std::fs::read_to_string(asked).expect("written");
    assert_eq!(asked.lines().count(), 1);
    gateway.stop().await.expect("stopped");
}

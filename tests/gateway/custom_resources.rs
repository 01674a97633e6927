//! Custom resources, which functions create before clients are served. The end-to-end tests of the
//! function `migrate` have a custom resource that succeeds.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tests::launch::Launch;
use tests::{LocalGateway, until};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::probe::{PROBE, function, template};

/// Returns a custom resource of the probe, which never sends a response.
fn resource(properties: Value) -> Value {
    let mut resource = json!({"Type": "Custom::Thing", "Properties": properties});
    resource["Properties"]["ServiceToken"] = json!({"Fn::GetAtt": [PROBE, "Arn"]});
    resource
}

/// Writes a template with the probe and these resources.
fn template_of(resources: Value) -> PathBuf {
    let mut resources = resources;
    resources[PROBE] = function("probe", &json!({}));
    template(resources)
}

/// Starts a gateway on these custom resources, which must fail, and returns the error.
async fn start_error(resources: Value, flags: &[&str]) -> String {
    let started = LocalGateway::start(&template_of(resources), flags).await;
    started.err().expect("the start fails").to_string()
}

#[tokio::test]
async fn a_custom_resource_without_a_response_fails_after_its_service_timeout() {
    for flags in [["--concurrency", "2"], ["--in-flight", "4"]] {
        let silent = resource(json!({"ServiceTimeout": "1"}));
        let error = start_error(json!({"Silent": silent}), &flags).await;
        let expected = format!("error: Silent: {PROBE} did not respond within 1 seconds");
        assert!(error.contains(&expected), "{error}");
        assert!(
            error.contains(&format!("waiting for Silent, which {PROBE} makes")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_custom_resource_is_created_after_its_dependencies() {
    let mut first = resource(json!({"ServiceTimeout": 1}));
    let second = first.clone();
    first["DependsOn"] = json!(["Second"]);
    let error = start_error(json!({"First": first, "Second": second}), &[]).await;
    assert!(error.contains("error: Second: "), "{error}");
    assert!(!error.contains("waiting for First"), "{error}");
}

#[tokio::test]
async fn a_function_that_fails_without_a_response_ends_the_start_at_once() {
    let instructions = json!({"throw": {"type": "Broken", "message": "on purpose"}});
    let broken = resource(json!({"Probe": instructions.to_string()}));
    let error = start_error(json!({"Thing": broken}), &[]).await;
    let expected = format!("error: Thing: {PROBE} failed: Broken: on purpose");
    assert!(error.contains(&expected), "{error}");
    assert!(error.contains("--skip-failed-resources"), "{error}");
}

#[tokio::test]
async fn with_a_flag_the_rest_is_served_without_a_custom_resource_that_fails() {
    let instructions = json!({"throw": {"type": "Broken", "message": "on purpose"}});
    let broken = resource(json!({"Probe": instructions.to_string()}));
    let silent = resource(json!({"ServiceTimeout": 1}));
    let template = template_of(json!({"Thing": broken, "Silent": silent}));
    let gateway = LocalGateway::start(&template, &["--skip-failed-resources"]).await;
    let (_, log) = gateway.expect("it starts").stop().await.expect("stopped");
    for expected in [
        format!("not made: Thing: {PROBE} failed: Broken: on purpose"),
        format!("not made: Silent: {PROBE} did not respond within 1 seconds"),
    ] {
        assert!(log.contains(&expected), "{expected}: {log}");
    }
}

#[tokio::test]
async fn a_custom_resource_of_an_unknown_function_is_logged() {
    let resources = json!({"Elsewhere": {
        "Type": "Custom::Thing",
        "Properties": {
            "ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:other",
            "Zone": {"Fn::Select": [0, {"Fn::GetAZs": ""}]},
        },
    }});
    let gateway = LocalGateway::start(&template_of(resources), &[]).await;
    let (_, log) = gateway.expect("it starts").stop().await.expect("stopped");
    assert!(log.contains("Elsewhere (Custom::Thing)"), "{log}");
}

#[tokio::test]
async fn an_interrupt_during_a_custom_resource_shuts_the_gateway_down_at_once() {
    let silent = resource(json!({}));
    let launch = Launch::template(template_of(json!({"Silent": silent})));
    let spawned = spawn_blocking(|| launch.spawn()).await.expect("no panic");
    let (gateway, _screen) = spawned.expect("started");
    until(async || gateway.log().contains("waiting for Silent")).await;
    let stopped = timeout(Duration::from_secs(10), gateway.stop()).await;
    let (status, log) = stopped
        .expect("the gateway exits at once")
        .expect("an exit status");
    assert!(status.success(), "{status}: {log}");
}

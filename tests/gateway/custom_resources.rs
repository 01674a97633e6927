//! Custom resources, which functions make before clients are served. How one is made that answers is
//! in the end-to-end tests of the function `migrate`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tests::launch::Launch;
use tests::{LocalGateway, until};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::probe::{PROBE, function, template};

/// A custom resource of the probe, which never answers.
fn resource(properties: Value) -> Value {
    let mut resource = json!({"Type": "Custom::Thing", "Properties": properties});
    resource["Properties"]["ServiceToken"] = json!({"Fn::GetAtt": [PROBE, "Arn"]});
    resource
}

fn template_of(resources: Value) -> PathBuf {
    let mut resources = resources;
    resources[PROBE] = function("probe", &json!({}));
    template(resources)
}

/// What a gateway says that does not start on these custom resources.
async fn refusal(resources: Value, flags: &[&str]) -> String {
    let started = LocalGateway::start(&template_of(resources), flags).await;
    started.err().expect("it does not start").to_string()
}

#[tokio::test]
async fn one_that_is_never_answered_is_cut_off_by_its_service_timeout() {
    for flags in [["--concurrency", "2"], ["--in-flight", "4"]] {
        let silent = resource(json!({"ServiceTimeout": "1"}));
        let said = refusal(json!({"Silent": silent}), &flags).await;
        let expected = format!("error: Silent: {PROBE} did not answer within 1 seconds");
        assert!(said.contains(&expected), "{said}");
        assert!(
            said.contains(&format!("waiting for Silent, which {PROBE} makes")),
            "{said}"
        );
    }
}

#[tokio::test]
async fn one_comes_after_those_that_it_depends_on() {
    let mut first = resource(json!({"ServiceTimeout": 1}));
    let second = first.clone();
    first["DependsOn"] = json!(["Second"]);
    let said = refusal(json!({"First": first, "Second": second}), &[]).await;
    assert!(said.contains("error: Second: "), "{said}");
    assert!(!said.contains("waiting for First"), "{said}");
}

#[tokio::test]
async fn a_function_that_fails_without_an_answer_ends_the_start_at_once() {
    let told = json!({"throw": {"type": "Broken", "message": "as told"}});
    let broken = resource(json!({"Probe": told.to_string()}));
    let said = refusal(json!({"Thing": broken}), &[]).await;
    let expected = format!("error: Thing: {PROBE} failed: Broken: as told");
    assert!(said.contains(&expected), "{said}");
}

#[tokio::test]
async fn one_that_is_made_elsewhere_is_named() {
    let resources = json!({"Elsewhere": {
        "Type": "Custom::Thing",
        "Properties": {
            "ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:other",
            "Zone": {"Fn::Select": [0, {"Fn::GetAZs": ""}]},
        },
    }});
    let gateway = LocalGateway::start(&template_of(resources), &[]).await;
    let (_, log) = gateway.expect("it starts").stop().await.expect("it ends");
    assert!(log.contains("Elsewhere (Custom::Thing)"), "{log}");
}

#[tokio::test]
async fn an_interrupt_while_waiting_ends_it_at_once() {
    let silent = resource(json!({}));
    let launch = Launch::template(template_of(json!({"Silent": silent})));
    let spawned = spawn_blocking(|| launch.spawn()).await.expect("no panic");
    let (gateway, _screen) = spawned.expect("started");
    until(async || gateway.log().contains("waiting for Silent")).await;
    let stopped = timeout(Duration::from_secs(10), gateway.stop()).await;
    let (status, log) = stopped.expect("it ends at once").expect("it ran");
    assert!(status.success(), "{status}: {log}");
}

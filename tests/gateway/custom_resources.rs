//! Custom resources, which functions make before clients are served. How one is made that answers is
//! in the end-to-end tests of the function `migrate`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tests::gateway::Gateway;
use tests::stack::PATIENCE;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::probe::{PROBE, function, template};
use tests::programs;

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
    let started = Gateway::start(&template_of(resources), flags).await;
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
    let gateway = Gateway::start(&template_of(resources), &[]).await;
    let (_, log) = gateway.expect("it starts").stop().await.expect("it ends");
    assert!(log.contains("Elsewhere (Custom::Thing)"), "{log}");
}

#[tokio::test]
async fn an_interrupt_while_waiting_ends_it_at_once() {
    let silent = resource(json!({}));
    let command = Gateway::command(&template_of(json!({"Silent": silent}))).await;
    let mut command = Command::from(command.expect("built"));
    command.arg("--binaries").arg(programs::folder());
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("started");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let waits = async {
        while let Some(line) = log.next_line().await.expect("UTF-8") {
            if line.contains("waiting for Silent") {
                return;
            }
        }
        panic!("it ended");
    };
    timeout(PATIENCE, waits).await.expect("it waits");
    // The end of its standard input is an interrupt.
    drop(child.stdin.take());
    let status = timeout(Duration::from_secs(10), child.wait()).await;
    let status = status.expect("it ends at once").expect("it ran");
    assert!(status.success(), "{status}");
}

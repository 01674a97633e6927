//! Functions that time out, crash, panic, or do not start.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use tests::LocalGateway;
use tests::launch::Launch;
use tests::{programs, server, until};

use super::{is_alive, process};
use crate::probe::{self, Invocation, Socket, event, function, invoke};

/// Returns the description of the process that takes the event.
async fn describe(gateway: &LocalGateway) -> Value {
    let description = invoke(gateway, json!({"describe": true})).await;
    description.expect("a result")
}

/// Checks the type of a function error, and a part of its message.
fn assert_error(outcome: Result<Value, Value>, kind: &str, part: &str) {
    let error = outcome.expect_err("a function error");
    assert_eq!(error["errorType"], kind, "{error}");
    let message = error["errorMessage"].as_str().unwrap_or_default();
    assert!(message.contains(part), "{error}");
}

#[tokio::test]
async fn an_event_that_takes_too_long_times_out_and_its_process_ends() {
    let gateway = probe::start(&json!({"Timeout": 3}), &["--concurrency", "1"]).await;
    let slow = describe(&gateway).await;
    let outcome = invoke(&gateway, json!({"sleep_ms": 600_000})).await;
    assert_error(
        outcome,
        "Sandbox.Timedout",
        "Task timed out after 3.00 seconds",
    );
    let next = describe(&gateway).await;
    assert_ne!(next["process_id"], slow["process_id"]);
    until(async || !is_alive(process(&slow))).await;
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn the_other_events_of_a_process_survive_a_timeout() {
    let gateway = probe::start(&json!({"Timeout": 10}), &["--in-flight", "8"]).await;
    let mut witness = Socket::open(&gateway).await;
    let gate = Socket::open(&gateway).await;
    let slow = Invocation::start(&gateway, json!({"sleep_ms": 600_000}));
    // The timeout of the second event is to end later.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let instructions = json!({"describe": true, "report": witness.id, "await_gone": gate.id});
    let other = Invocation::start(&gateway, instructions);
    let described = witness.client.next().await;
    assert_error(slow.outcome().await, "Sandbox.Timedout", "10.00 seconds");

    let next = describe(&gateway).await;
    assert_ne!(next["process_id"], described["process_id"]);
    assert!(
        is_alive(process(&described)),
        "the process has another event"
    );
    gate.client.close().await;
    assert_eq!(other.outcome().await, Ok(described.clone()));
    until(async || !is_alive(process(&described))).await;
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_process_that_exits_fails_its_event_and_the_next_event_succeeds() {
    let gateway = probe::start(&json!({}), &["--concurrency", "1"]).await;
    for (code, part) in [
        (7, "Runtime exited with error: exit status 7"),
        (0, "Runtime exited without providing a reason"),
    ] {
        let before = describe(&gateway).await;
        let outcome = invoke(&gateway, json!({"exit": code})).await;
        assert_error(outcome, "Runtime.ExitError", part);
        let after = describe(&gateway).await;
        assert_ne!(after["process_id"], before["process_id"]);
    }
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_process_that_is_killed_fails_all_its_events() {
    for flags in [["--concurrency", "1"], ["--in-flight", "8"]] {
        let gateway = probe::start(&json!({}), &flags).await;
        let mut witness = Socket::open(&gateway).await;
        let events = if flags[0] == "--in-flight" { 2 } else { 1 };
        let (mut invocations, mut victim) = (Vec::new(), Value::Null);
        for _ in 0..events {
            let instructions = json!({"describe": true, "report": witness.id, "sleep_ms": 600_000});
            invocations.push(Invocation::start(&gateway, instructions));
            victim = witness.client.next().await;
        }
        kill_process(process(&victim), Signal::KILL).expect("it runs");
        for invocation in invocations {
            assert_error(
                invocation.outcome().await,
                "Runtime.ExitError",
                "signal: killed",
            );
        }
        let next = describe(&gateway).await;
        assert_ne!(next["process_id"], victim["process_id"]);
        gateway.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn a_panic_is_a_function_error_and_the_process_continues() {
    for flags in [["--concurrency", "1"], ["--in-flight", "8"]] {
        let gateway = probe::start(&json!({}), &flags).await;
        let before = describe(&gateway).await;
        let outcome = invoke(&gateway, json!({"panic": "on purpose"})).await;
        let error = outcome.expect_err("a function error");
        assert_eq!(
            error["errorMessage"], "Lambda panicked: on purpose",
            "{error}"
        );
        let after = describe(&gateway).await;
        assert_eq!(after["process_id"], before["process_id"]);
        gateway.stop().await.expect("stopped");
    }
}

/// Makes a folder of binaries: the probe, and `broken`, which is a shell script.
fn binaries(script: &str) -> PathBuf {
    let name = format!("{:016x}", fastrand::u64(..));
    let folder = server::scratch_folder().join(name);
    std::fs::create_dir(&folder).expect("the folder is writable");
    link_probe(&folder, "probe");
    let broken = folder.join("broken");
    std::fs::write(&broken, format!("#!/bin/sh\n{script}\n")).expect("written");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&broken, executable).expect("the mode is set");
    folder
}

/// Replaces a file of the folder by a link to the probe.
fn link_probe(folder: &Path, name: &str) {
    let link = folder.join("new");
    symlink(programs::folder().join("probe"), &link).expect("linked");
    std::fs::rename(link, folder.join(name)).expect("renamed");
}

/// Starts a gateway on the probe and on a function whose binary is `broken`.
async fn start_broken(folder: &Path) -> LocalGateway {
    let properties = json!({"Timeout": 2});
    let template = probe::template(json!({
        "ProbeFunction": function("probe", &json!({})),
        "BrokenFunction": function("broken", &properties),
    }));
    let launch = Launch::template(template).binaries(folder);
    let started = launch.flags(["--concurrency", "1"]).start().await;
    started.expect("it starts despite the broken function")
}

/// Invokes the function whose binary is `broken`. Returns its description, or the function error.
async fn describe_broken(gateway: &LocalGateway) -> Result<Value, Value> {
    let instructions = event(&json!({"describe": true}));
    gateway.invoke("BrokenFunction", &instructions).await
}

/// Waits for the log line about the broken function. It may come later than the line `ready`.
async fn until_start_failure_is_logged(gateway: &LocalGateway, reason: &str) {
    let matches =
        |line: &str| line.contains("BrokenFunction does not start") && line.contains(reason);
    until(async || gateway.log().lines().any(matches)).await;
}

#[tokio::test]
async fn a_function_that_exits_during_init_fails_its_events_until_it_is_repaired() {
    let folder = binaries("exit 3");
    let gateway = start_broken(&folder).await;
    until_start_failure_is_logged(&gateway, "exit status 3").await;
    describe(&gateway).await;

    let broken = async || describe_broken(&gateway).await;
    for _ in 0..2 {
        assert_error(broken().await, "Runtime.ExitError", "exit status 3");
    }
    link_probe(&folder, "broken");
    broken().await.expect("a result");
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_function_that_never_asks_for_an_event_times_out_until_it_is_repaired() {
    let folder = binaries("exec sleep 600");
    let gateway = start_broken(&folder).await;
    until_start_failure_is_logged(&gateway, "timed out after 10.00 seconds").await;
    describe(&gateway).await;

    let broken = async || describe_broken(&gateway).await;
    assert_error(broken().await, "Sandbox.Timedout", "Task timed out");
    link_probe(&folder, "broken");
    broken().await.expect("a result");
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn invalid_utf8_in_a_functions_log_is_replaced() {
    let probe = programs::folder().join("probe");
    let noise = format!("printf 'before \\377 after\\n'; exec {}", probe.display());
    let gateway = start_broken(&binaries(&noise)).await;
    describe_broken(&gateway).await.expect("a result");
    let log = gateway.log();
    assert!(log.contains("before \u{FFFD} after"), "{log}");
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn the_error_names_a_missing_binary() {
    let folder = binaries("exit 3");
    std::fs::remove_file(folder.join("probe")).expect("removed");
    let template = probe::template_with(&json!({}));
    let started = Launch::template(template).binaries(&folder).start().await;
    let error = started.err().expect("the start fails");
    let message = error.to_string();
    let missing = folder.join("probe").display().to_string();
    assert!(message.contains(&missing), "{message}");
}

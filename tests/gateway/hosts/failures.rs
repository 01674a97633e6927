//! Functions that take too long, crash, panic, or do not start.

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

async fn describe(gateway: &LocalGateway) -> Value {
    let description = invoke(gateway, json!({"describe": true})).await;
    description.expect("a result")
}

/// Checks the kind of a function error, and that its sentence has a part.
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
async fn what_else_a_process_has_in_hand_survives_a_timeout() {
    let gateway = probe::start(&json!({"Timeout": 10}), &["--in-flight", "8"]).await;
    let mut witness = Socket::open(&gateway).await;
    let gate = Socket::open(&gateway).await;
    let slow = Invocation::begin(&gateway, json!({"sleep_ms": 600_000}));
    // Its own time has to last longer.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let told = json!({"describe": true, "report": witness.id, "await_gone": gate.id});
    let other = Invocation::begin(&gateway, told);
    let described = witness.client.next().await;
    assert_error(slow.end().await, "Sandbox.Timedout", "10.00 seconds");

    let next = describe(&gateway).await;
    assert_ne!(next["process_id"], described["process_id"]);
    assert!(is_alive(process(&described)), "it has an event in hand");
    gate.client.close().await;
    assert_eq!(other.end().await, Ok(described.clone()));
    until(async || !is_alive(process(&described))).await;
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_process_that_exits_fails_its_event_and_the_next_one_is_served() {
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
async fn a_process_that_is_killed_fails_all_that_it_has_in_hand() {
    for flags in [["--concurrency", "1"], ["--in-flight", "8"]] {
        let gateway = probe::start(&json!({}), &flags).await;
        let mut witness = Socket::open(&gateway).await;
        let events = if flags[0] == "--in-flight" { 2 } else { 1 };
        let (mut invocations, mut victim) = (Vec::new(), Value::Null);
        for _ in 0..events {
            let told = json!({"describe": true, "report": witness.id, "sleep_ms": 600_000});
            invocations.push(Invocation::begin(&gateway, told));
            victim = witness.client.next().await;
        }
        kill_process(process(&victim), Signal::KILL).expect("it runs");
        for invocation in invocations {
            assert_error(
                invocation.end().await,
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
async fn a_panic_is_an_error_of_the_function_and_its_process_lives_on() {
    for flags in [["--concurrency", "1"], ["--in-flight", "8"]] {
        let gateway = probe::start(&json!({}), &flags).await;
        let before = describe(&gateway).await;
        let outcome = invoke(&gateway, json!({"panic": "as told"})).await;
        let error = outcome.expect_err("a function error");
        assert_eq!(error["errorMessage"], "Lambda panicked: as told", "{error}");
        let after = describe(&gateway).await;
        assert_eq!(after["process_id"], before["process_id"]);
        gateway.stop().await.expect("stopped");
    }
}

/// A folder of binaries: the probe, and a script under the name `broken`.
fn binaries(script: &str) -> PathBuf {
    let name = format!("{:016x}", fastrand::u64(..));
    let folder = server::scratch_folder().join(name);
    std::fs::create_dir(&folder).expect("the folder is writable");
    link_probe(&folder, "probe");
    let broken = folder.join("broken");
    std::fs::write(&broken, format!("#!/bin/sh\n{script}\n")).expect("written");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&broken, executable).expect("it is ours");
    folder
}

/// Makes a file of the folder the probe.
fn link_probe(folder: &Path, name: &str) {
    let link = folder.join("new");
    symlink(programs::folder().join("probe"), &link).expect("linked");
    std::fs::rename(link, folder.join(name)).expect("renamed");
}

/// A gateway on the probe and on a function whose binary is `broken`.
async fn start_broken(folder: &Path) -> LocalGateway {
    let properties = json!({"Timeout": 2});
    let template = probe::template(json!({
        "ProbeFunction": function("probe", &json!({})),
        "BrokenFunction": function("broken", &properties),
    }));
    let launch = Launch::template(template).binaries(folder);
    let started = launch.flags(["--concurrency", "1"]).start().await;
    started.expect("it starts all the same")
}

/// Invokes the function whose binary is `broken`: its description, or the function error.
async fn describe_broken(gateway: &LocalGateway) -> Result<Value, Value> {
    let told = event(&json!({"describe": true}));
    gateway.invoke("BrokenFunction", &told).await
}

/// Waits for the line about the broken function: its log is read beside the screen that says `ready`.
async fn logs_no_start(gateway: &LocalGateway, reason: &str) {
    let is_it =
        |line: &str| line.contains("BrokenFunction does not start") && line.contains(reason);
    until(async || gateway.log().lines().any(is_it)).await;
}

#[tokio::test]
async fn a_function_that_ends_in_its_init_fails_its_events_until_it_is_mended() {
    let folder = binaries("exit 3");
    let gateway = start_broken(&folder).await;
    logs_no_start(&gateway, "exit status 3").await;
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
async fn a_function_that_never_asks_for_an_event_times_out_until_it_is_mended() {
    let folder = binaries("exec sleep 600");
    let gateway = start_broken(&folder).await;
    logs_no_start(&gateway, "timed out after 10.00 seconds").await;
    describe(&gateway).await;

    let broken = async || describe_broken(&gateway).await;
    assert_error(broken().await, "Sandbox.Timedout", "Task timed out");
    link_probe(&folder, "broken");
    broken().await.expect("a result");
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_log_that_is_not_utf8_is_printed_all_the_same() {
    let probe = programs::folder().join("probe");
    let noise = format!("printf 'before \\377 after\\n'; exec {}", probe.display());
    let gateway = start_broken(&binaries(&noise)).await;
    describe_broken(&gateway).await.expect("a result");
    let log = gateway.log();
    assert!(log.contains("before \u{FFFD} after"), "{log}");
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_missing_binary_is_named() {
    let folder = binaries("exit 3");
    std::fs::remove_file(folder.join("probe")).expect("removed");
    let template = probe::template_with(&json!({}));
    let started = Launch::template(template).binaries(&folder).start().await;
    let error = started.err().expect("it ends");
    let said = error.to_string();
    let missing = folder.join("probe").display().to_string();
    assert!(said.contains(&missing), "{said}");
}

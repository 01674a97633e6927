//! The real `cargo lambda watch`, on the template of the conformance suite.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use rustix::process::Pid;
use serde_json::json;
use tests::launch::{Host, Launch};
use tests::process::descendants;
use tests::{Client, LocalGateway, server, until};

use super::is_alive;
use crate::probe::invoke;
use crate::project::{Project, RUST_FUNCTION, template};

/// Returns the launch of a gateway that runs the functions by `cargo lambda watch`.
fn launch() -> Launch {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/open.yaml");
    Launch::template(template).host(Host::Watch)
}

async fn start() -> LocalGateway {
    launch().start().await.expect("it starts")
}

/// Returns the name of the program of a process.
fn program(process: Pid) -> String {
    let id = process.as_raw_nonzero();
    let name = std::fs::read_to_string(format!("/proc/{id}/comm"));
    name.unwrap_or_default().trim().to_owned()
}

#[tokio::test]
async fn two_hundred_frames_at_once_all_get_a_response() {
    const FRAMES: u64 = 200;
    let gateway = start().await;
    let url = gateway.ws.as_deref().expect("a WebSocket API");
    let mut client = Client::connect(url).await.expect("connected");
    for number in 0..FRAMES {
        let instructions = json!({"return": {"statusCode": 200, "body": number.to_string()}});
        let frame = json!({"action": "reply", "probe": instructions});
        client.send(&frame).await;
    }
    let mut responses = BTreeSet::new();
    for _ in 0..FRAMES {
        let response = client.next().await;
        let number = response.as_u64();
        responses.insert(number.unwrap_or_else(|| panic!("not a response: {response}")));
    }
    assert_eq!(responses, (0..FRAMES).collect());
    gateway.stop().await.expect("stopped");
}

/// `cargo lambda watch` starts two processes, and does not restart one that crashes.
#[tokio::test]
async fn events_after_a_crash_get_a_response() {
    let gateway = start().await;
    let url = gateway.ws.as_deref().expect("a WebSocket API");
    let mut client = Client::connect(url).await.expect("connected");
    // The crash causes no response. The timeout of this route is a second.
    client
        .send(&json!({"action": "slow", "probe": {"exit": 1}}))
        .await;
    let frame = client.next().await;
    assert_eq!(frame["message"], "Endpoint request timed out", "{frame}");
    for number in 0..10 {
        let result = invoke(&gateway, json!({"return": number})).await;
        assert_eq!(result, Ok(json!(number)));
    }
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_function_error_is_passed_on() {
    let gateway = start().await;
    let throw = json!({"throw": {"type": "Kaputt", "message": "on purpose"}});
    let error = invoke(&gateway, throw).await.expect_err("an error");
    assert_eq!(error["errorType"], "Kaputt", "{error}");
    assert_eq!(error["errorMessage"], "on purpose", "{error}");
    assert_eq!(invoke(&gateway, json!({})).await.map(|_| ()), Ok(()));
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn no_process_outlives_a_killed_gateway() {
    let gateway = start().await;
    let processes = descendants(gateway.pid());
    let programs: Vec<_> = processes.iter().copied().map(program).collect();
    for expected in ["cargo-lambda", "probe"] {
        assert!(programs.iter().any(|name| name == expected), "{programs:?}");
    }
    gateway.kill();
    until(async || !processes.iter().copied().any(is_alive)).await;
}

/// Returns the PATH without the folders that have `cargo lambda`.
fn path_without_cargo_lambda() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path);
    let folders = folders.filter(|folder| !folder.join("cargo-lambda").exists());
    std::env::join_paths(folders).expect("the folders are those of a PATH")
}

#[tokio::test]
async fn without_cargo_lambda_the_error_says_how_to_install_it() {
    // Cargo searches this folder, too.
    let home = server::scratch_folder().join("cargo-home");
    let launch = launch()
        .env("PATH", path_without_cargo_lambda())
        .env("CARGO_HOME", home);
    let error = launch.start().await.err().expect("the start fails");
    let message = error.to_string();
    for part in ["cargo lambda is not installed", "pip install cargo-lambda"] {
        assert!(message.contains(part), "{message}");
    }
}

/// Returns the source of a function that returns `result`.
fn source(result: &str) -> String {
    RUST_FUNCTION.replace("RESULT", result)
}

#[tokio::test]
async fn a_change_of_the_source_changes_the_function() {
    // An event that arrives before the restart gets no response.
    let function = "CodeUri: ., Timeout: 2";
    let text = template(&[("ReloadedFunction", function)], &[]).replace(
        "Properties: {CodeUri",
        "Metadata: {BuildProperties: {Binary: reloaded}}, Properties: {CodeUri",
    );
    let project = Project::new(&[
        ("template.yaml", &text),
        (
            "Cargo.toml",
            "[package]\nname = \"reloaded\"\nedition = \"2024\"\n",
        ),
        ("src/main.rs", &source("1")),
    ]);
    let launch = project.launch().host(Host::Watch);
    let gateway = launch.start().await.expect("it starts");
    let invoke = async || gateway.invoke("ReloadedFunction", &json!({})).await;
    assert_eq!(invoke().await, Ok(json!(1)));
    project.write("src/main.rs", &source("2"));
    until(async || invoke().await == Ok(json!(2))).await;
    gateway.stop().await.expect("stopped");
}

//! `cargo lambda watch`, the real one, on the template of the conformance suite.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::process::Pid;
use serde_json::json;
use tests::launch::{Host, Launch};
use tests::process::descendants;
use tests::{Client, LocalGateway, server, until};

use super::is_alive;
use crate::probe::invoke;

/// A gateway that runs the functions by `cargo lambda watch`.
fn launch() -> Launch {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/open.yaml");
    Launch::template(template).host(Host::Watch)
}

async fn start() -> LocalGateway {
    launch().start().await.expect("it starts")
}

/// The names of programs, by their processes.
fn program(process: Pid) -> String {
    let id = process.as_raw_nonzero();
    let name = std::fs::read_to_string(format!("/proc/{id}/comm"));
    name.unwrap_or_default().trim().to_owned()
}

#[tokio::test]
async fn two_hundred_frames_at_once_are_all_answered() {
    const FRAMES: u64 = 200;
    let gateway = start().await;
    let url = gateway.ws.as_deref().expect("a WebSocket API");
    let mut client = Client::connect(url).await.expect("connected");
    for number in 0..FRAMES {
        let told = json!({"return": {"statusCode": 200, "body": number.to_string()}});
        let frame = json!({"action": "reply", "probe": told});
        client.send(&frame).await;
    }
    let mut answers = BTreeSet::new();
    for _ in 0..FRAMES {
        let answer = client.next().await;
        let number = answer.as_u64();
        answers.insert(number.unwrap_or_else(|| panic!("no answer: {answer}")));
    }
    assert_eq!(answers, (0..FRAMES).collect());
    gateway.stop().await.expect("stopped");
}

/// After one: it does not start the process again, and there are two.
#[tokio::test]
async fn after_a_crash_later_events_are_answered() {
    let gateway = start().await;
    let url = gateway.ws.as_deref().expect("a WebSocket API");
    let mut client = Client::connect(url).await.expect("connected");
    // It is never answered; the timeout of this route is a second.
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
async fn a_function_error_stays_one() {
    let gateway = start().await;
    let throw = json!({"throw": {"type": "Kaputt", "message": "as told"}});
    let error = invoke(&gateway, throw).await.expect_err("an error");
    assert_eq!(error["errorType"], "Kaputt", "{error}");
    assert_eq!(error["errorMessage"], "as told", "{error}");
    assert_eq!(invoke(&gateway, json!({})).await.map(|_| ()), Ok(()));
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn when_the_gateway_is_killed_nothing_stays() {
    let gateway = start().await;
    let processes = descendants(gateway.pid());
    let programs: Vec<_> = processes.iter().copied().map(program).collect();
    for expected in ["cargo-lambda", "probe"] {
        assert!(programs.iter().any(|name| name == expected), "{programs:?}");
    }
    gateway.kill();
    until(async || !processes.iter().copied().any(is_alive)).await;
}

/// The PATH without the folders that have `cargo lambda`.
fn path_without_cargo_lambda() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path);
    let folders = folders.filter(|folder| !folder.join("cargo-lambda").exists());
    std::env::join_paths(folders).expect("it was a PATH before")
}

#[tokio::test]
async fn without_cargo_lambda_it_says_how_to_install_it() {
    // Cargo looks there as well.
    let home = server::scratch_folder().join("cargo-home");
    let launch = launch()
        .env("PATH", path_without_cargo_lambda())
        .env("CARGO_HOME", home);
    let error = launch.start().await.err().expect("it ends");
    let said = error.to_string();
    for part in ["cargo lambda is not installed", "pip install cargo-lambda"] {
        assert!(said.contains(part), "{said}");
    }
}

/// A function in nothing but the standard library, so that it compiles at once. It returns `RESULT`.
const FUNCTION: &str = r#"
use std::io::{Read, Write};

fn main() {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").expect("told");
    loop {
        let answer = exchange(&api, "GET", "next", "");
        let lines = answer.lines().filter_map(|line| line.split_once(": "));
        let mut ids = lines.filter(|(name, _)| name.eq_ignore_ascii_case("lambda-runtime-aws-request-id"));
        if let Some((_, id)) = ids.next() {
            exchange(&api, "POST", &format!("{id}/response"), "RESULT");
        }
    }
}

fn exchange(api: &str, method: &str, path: &str, body: &str) -> String {
    let api = api.trim_start_matches("http://");
    let (address, base) = api.split_once('/').unwrap_or((api, ""));
    let mut stream = std::net::TcpStream::connect(address).expect("accepted");
    let length = body.len();
    write!(
        stream,
        "{method} /{base}/2018-06-01/runtime/invocation/{path} HTTP/1.1\r\nHost: {address}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    ).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}
"#;

/// A package of its own, outside of this workspace, whose function returns what its source says.
struct Package(PathBuf);

impl Package {
    fn new() -> Self {
        let name = format!("meetme-chat-{:016x}", fastrand::u64(..));
        let package = Self(std::env::temp_dir().join(name));
        std::fs::create_dir_all(package.0.join("src")).expect("the folder is writable");
        let manifest = "[package]\nname = \"reloaded\"\nedition = \"2024\"\n";
        std::fs::write(package.0.join("Cargo.toml"), manifest).expect("written");
        package.returns("1");
        package
    }

    /// Writes the source.
    fn returns(&self, result: &str) {
        let source = FUNCTION.replace("RESULT", result);
        std::fs::write(self.0.join("src/main.rs"), source).expect("written");
    }

    fn template(&self) -> PathBuf {
        let template = json!({
            "Transform": "AWS::Serverless-2016-10-31",
            "Resources": {
                "Sockets": {
                    "Type": "AWS::Serverless::WebSocketApi",
                    "Properties": {
                        "RouteSelectionExpression": "$request.body.action",
                        "Routes": {
                            "$default": {"FunctionArn": {"Fn::GetAtt": ["ReloadedFunction", "Arn"]}},
                        },
                    },
                },
                "ReloadedFunction": {
                    "Type": "AWS::Serverless::Function",
                    "Metadata": {"BuildProperties": {"Binary": "reloaded"}},
                    // A restart does not answer what came before it.
                    "Properties": {"CodeUri": ".", "Timeout": 2},
                },
            },
        });
        let path = self.0.join("template.json");
        std::fs::write(&path, template.to_string()).expect("written");
        path
    }
}

impl Drop for Package {
    fn drop(&mut self) {
        // What is left is left in the folder of such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_change_of_the_source_is_a_change_of_the_function() {
    let package = Package::new();
    let launch = Launch::template(package.template()).host(Host::Watch);
    let gateway = launch.start().await.expect("it starts");
    let invoke = async || gateway.invoke("ReloadedFunction", &json!({})).await;
    assert_eq!(invoke().await, Ok(json!(1)));
    package.returns("2");
    until(async || invoke().await == Ok(json!(2))).await;
    gateway.stop().await.expect("stopped");
}

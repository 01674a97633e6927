//! `cargo local` as a program: arguments, start, end.

use std::path::PathBuf;

use rustix::process::{Pid, test_kill_process};
use serde_json::Value;
use tests::launch::Launch;
use tests::process::{descendants, descendants_named};
use tests::{Client, LocalGateway, TIMEOUT, get, process, programs, server, until};
use tokio::process::Command;

async fn output(arguments: &[&str]) -> (bool, String) {
    output_of(programs::local(), arguments).await
}

async fn output_of(program: PathBuf, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("MONGODB_URI", server::uri().await);
    let output = process::output(&mut command, TIMEOUT).await;
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[tokio::test]
async fn help_names_every_flag() {
    let (good, help) = output(&["--help"]).await;
    assert!(good);
    for flag in [
        "--ws-port",
        "--http-port",
        "--release",
        "--concurrency",
        "--in-flight",
        "--fair-concurrency",
        "--watch",
        "--lambda-endpoint",
        "--parameter",
        "--idle-timeout",
        "--lifetime",
        "--access-key",
        "--fault",
        "--fresh",
        "--log",
        "--log-format",
        "--xray-daemon",
        "--auth",
        "--user",
        "MONGODB_URI",
    ] {
        assert!(help.contains(flag), "{flag}: {help}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_reported_in_one_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let (good, said) = output(&["--ws-port", &port]).await;
    assert!(!good);
    assert!(
        said.contains(&format!("port {port} is in use")) && said.contains("--ws-port"),
        "{said}"
    );
    assert_eq!(said.trim().lines().count(), 1, "{said}");
}

#[tokio::test]
async fn a_broken_template_is_named_with_its_line() {
    let folder = server::scratch_folder().join("templates");
    std::fs::create_dir_all(&folder).expect("a folder");
    for (text, expected) in [
        ("Resources: [", "is not a template"),
        (
            "Resources:\n  Api:\n    Type: AWS::Serverless::WebSocketApi\n    Properties: {Routes: !Cidr x}\n",
            "line 4",
        ),
        ("Resources: {}\n", "nothing to serve"),
    ] {
        let file = folder.join(format!("{:x}.yaml", fastrand::u64(..)));
        std::fs::write(&file, text).expect("written");
        let path = file.to_str().expect("UTF-8");
        let flags = ["--ws-port", "0", "--http-port", "0", "--template", path];
        let (good, said) = output_of(programs::gateway(), &flags).await;
        assert!(!good);
        assert!(
            said.starts_with("error: ") && said.contains(expected),
            "{text}: {said}"
        );
    }
}

#[tokio::test]
async fn tokens_without_an_issuer_are_refused_in_the_words_of_the_template() {
    let (good, said) = output(&["--parameter", "Auth=jwt"]).await;
    assert!(!good);
    for sentence in [
        "Auth=jwt needs JwtIssuer",
        "Auth=jwt needs JwtAudience",
        "Auth=jwt needs JwtKeysUrl, or else JwtSecretArn, and not both",
    ] {
        assert!(said.contains(sentence), "{sentence}: {said}");
    }
    assert!(said.starts_with("error: line "), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
}

#[tokio::test]
async fn contradictory_arguments_about_tokens_are_refused() {
    for (arguments, expected) in [
        (&["--user", "a"][..], "--auth"),
        (&["--auth", "--user", ""], "The user id is empty."),
        (
            &["--auth", "--user", "a\tb"],
            "The user id holds a control character.",
        ),
        (
            &["--auth", "--parameter", "JwtIssuer=https://x"],
            "--auth sets JwtIssuer itself",
        ),
    ] {
        let (good, said) = output(arguments).await;
        assert!(!good, "{arguments:?}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn a_function_that_cannot_start_ends_the_program_with_the_reason() {
    let folder = server::scratch_folder().join("no-functions");
    std::fs::create_dir_all(&folder).expect("a folder");
    let folder = folder.to_str().expect("UTF-8");
    let flags = ["--ws-port", "0", "--http-port", "0", "--binaries", folder];
    let (good, said) = output(&flags).await;
    assert!(!good);
    assert!(
        said.contains("there is no ") && said.contains(folder),
        "{said}"
    );
}

/// Starts a chat that finds its database itself.
async fn start(flags: &[&str]) -> anyhow::Result<LocalGateway> {
    Launch::chat().flags(flags).start().await
}

async fn connect(chat: &LocalGateway) -> Client {
    let url = chat.ws.as_deref().expect("it has a WebSocket API");
    let client = Client::connect(&format!("{url}?user_id=a")).await;
    client.expect("connected")
}

async fn history(chat: &LocalGateway) -> Vec<Value> {
    let url = chat.http.as_deref().expect("it has an HTTP API");
    let history = get(&format!("{url}/chat/history?user1=a&user2=b")).await;
    history.messages()
}

#[tokio::test]
async fn its_own_database_keeps_data_until_fresh_is_given() {
    server::uri().await; // Installs the server if need be.
    let data = server::scratch_folder().join("data");
    let data = data.to_str().expect("UTF-8");
    let messages = async |flags: &[&str], text: Option<&str>| {
        let chat = start(&[&["--data", data], flags].concat()).await;
        let chat = chat.expect("started");
        if let Some(text) = text {
            assert_eq!(
                connect(&chat).await.send_message("b", text).await["type"],
                "ack"
            );
        }
        let history = history(&chat).await;
        let (status, log) = chat.stop().await.expect("stopped");
        assert!(status.success(), "{status}");
        assert!(log.contains("stopping"), "{log}");
        history.len()
    };
    assert_eq!(messages(&[], Some("kept")).await, 1);
    assert_eq!(messages(&[], Some("and more")).await, 2);
    assert_eq!(messages(&["--fresh"], None).await, 0);
}

#[tokio::test]
async fn a_second_chat_does_not_touch_the_data_of_the_first() {
    server::uri().await; // Installs the server if need be.
    let data = server::scratch_folder().join("in-use");
    let flags = ["--data", data.to_str().expect("UTF-8"), "--fresh"];
    let chat = start(&flags).await.expect("started");
    assert_eq!(
        connect(&chat).await.send_message("b", "mine").await["type"],
        "ack"
    );

    let refused = start(&flags).await.err().expect("refused");
    let said = refused.to_string();
    assert!(
        said.contains("another cargo local uses") && said.contains("--data"),
        "{said}"
    );
    assert_eq!(history(&chat).await.len(), 1);
}

#[tokio::test]
async fn when_it_is_killed_its_functions_and_its_database_end_too() {
    let data = server::scratch_folder().join("killed");
    server::uri().await; // Installs the server if need be.
    let data = data.to_str().expect("UTF-8");
    let chat = start(&["--log", "off", "--data", data]).await;
    let chat = chat.expect("started");
    let ack = connect(&chat).await.send_message("b", "acknowledged").await;
    assert_eq!(ack["type"], "ack");
    let mut family = descendants(chat.pid());
    // The watcher that ties the gateway to this test does not belong to the chat.
    let watchers = descendants_named(chat.pid(), "sh");
    family.retain(|id| !watchers.contains(id));
    assert!(
        family.len() >= 8,
        "five functions, two supervisors and a database: {family:?}"
    );
    chat.kill();
    for id in family {
        until(async || test_kill_process(id).is_err() || is_zombie(id)).await;
    }
    // The acknowledged message is there after the kill.
    let chat = start(&["--data", data]).await.expect("started");
    assert_eq!(history(&chat).await[0]["message"], "acknowledged");
}

/// Whether a process has exited and waits for its parent.
fn is_zombie(id: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    status
        .rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

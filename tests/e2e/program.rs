//! `cargo local` as a program: arguments, start, end.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tests::stack::{descendants, launch, pid_of};
use tests::{Client, Stack, programs, server, until};
use tokio::process::Command;

async fn output(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(programs::local())
        .args(arguments)
        .env("MONGODB_URI", server::uri().await)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("it runs");
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
async fn a_port_in_use_is_said_in_one_sentence() {
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
        let (good, said) =
            output(&["--ws-port", "0", "--http-port", "0", "--template", path]).await;
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
async fn arguments_about_tokens_that_make_no_sense_are_refused() {
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
async fn functions_that_cannot_start_end_it_with_the_reason() {
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

#[tokio::test]
async fn its_own_database_keeps_data_until_it_is_asked_for_a_fresh_one() {
    server::uri().await; // Installs the server if need be.
    let data = server::scratch_folder().join("data");
    let data = data.to_str().expect("UTF-8");
    let history = async |flags: &[&str], say: Option<&str>| {
        let command = Stack::command(&[&["--data", data], flags].concat());
        let (mut child, log, ws, http) = launch(command).await.expect("started");
        if let Some(text) = say {
            let mut client = Client::connect(&format!("{ws}/?user_id=a"))
                .await
                .expect("connected");
            assert_eq!(client.say("b", text).await["type"], "ack");
        }
        let history = tests::get(&format!("{http}/chat/history?user1=a&user2=b"))
            .await
            .messages();
        kill_process(pid_of(&child), Signal::INT).expect("it runs");
        assert!(child.wait().await.expect("ended").success());
        assert!(log.await.expect("a log").contains("stopping"));
        history.len()
    };
    assert_eq!(history(&[], Some("kept")).await, 1);
    assert_eq!(history(&[], Some("and more")).await, 2);
    assert_eq!(history(&["--fresh"], None).await, 0);
}

#[tokio::test]
async fn a_second_one_does_not_touch_the_data_of_the_first() {
    server::uri().await; // Installs the server if need be.
    let data = server::scratch_folder().join("in-use");
    let flags = ["--data", data.to_str().expect("UTF-8"), "--fresh"];
    let (_child, _log, ws, http) = launch(Stack::command(&flags)).await.expect("started");
    let mut client = Client::connect(&format!("{ws}/?user_id=a"))
        .await
        .expect("connected");
    assert_eq!(client.say("b", "mine").await["type"], "ack");

    let refused = launch(Stack::command(&flags)).await.expect_err("refused");
    let said = refused.to_string();
    assert!(
        said.contains("another cargo local uses") && said.contains("--data"),
        "{said}"
    );
    let history = tests::get(&format!("{http}/chat/history?user1=a&user2=b")).await;
    assert_eq!(history.messages().len(), 1);
}

#[tokio::test]
async fn when_it_is_killed_its_functions_and_its_database_end_too() {
    let data = server::scratch_folder().join("killed");
    server::uri().await; // Installs the server if need be.
    let command = Stack::command(&["--log", "off", "--data", data.to_str().expect("UTF-8")]);
    let (mut child, _log, ws, _) = launch(command).await.expect("started");
    let mut client = Client::connect(&format!("{ws}/?user_id=a"))
        .await
        .expect("connected");
    assert_eq!(client.say("b", "acknowledged").await["type"], "ack");
    let family = descendants(pid_of(&child).as_raw_nonzero().get());
    assert!(
        family.len() >= 8,
        "five functions, two supervisors and a database: {family:?}"
    );
    kill_process(pid_of(&child), Signal::KILL).expect("killed");
    child.wait().await.expect("ended");
    for id in family {
        let pid = Pid::from_raw(id).expect("an id");
        until(async || test_kill_process(pid).is_err() || is_zombie(id)).await;
    }
    // What was acknowledged is there after the kill.
    let command = Stack::command(&["--data", data.to_str().expect("UTF-8")]);
    let (_child, _log, _, http) = launch(command).await.expect("started");
    let history = tests::get(&format!("{http}/chat/history?user1=a&user2=b"))
        .await
        .messages();
    assert_eq!(history[0]["message"], "acknowledged");
}

/// Whether a process has ended and only waits for its parent to notice.
fn is_zombie(id: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    status
        .rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

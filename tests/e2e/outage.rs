//! The database or a function exits, and comes back.

use hyper::StatusCode;
use local_gateway::process::ports::free_port;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tests::process::descendants_named;
use tests::{Chat, Client, in_time, server};

#[tokio::test]
async fn without_the_database_everything_is_unavailable_and_with_it_everything_works_again() {
    let folder = server::scratch_folder().join("outage");
    let port = free_port().expect("a port");
    let mut database = server::start_in(&folder, port).await;
    let chat = Chat::with().database(&database.uri, "meetme").start().await;
    let mut a = chat.connect("a").await;
    let mut b = chat.connect("b").await;
    assert_eq!(a.send_message("b", "before").await["seq"], 1);
    assert_eq!(b.next().await["message"], "before");

    database.shutdown().await.expect("stopped");
    let error = a.send_message("b", "during").await;
    assert_eq!(
        (&error["code"], &error["retryable"]),
        (&json!("unavailable"), &json!(true))
    );
    a.send(&json!({"receiver_id": "b", "message": "during"}))
        .await;
    assert_eq!(a.next().await["code"], "unavailable", "on $default too");
    let history = chat.history("a", "b", "").await;
    assert_eq!(history.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(history.header("content-type"), "application/problem+json");
    let refused = Client::connect(&format!("{}/?user_id=c", chat.ws))
        .await
        .err();
    assert_eq!(refused, Some(StatusCode::SERVICE_UNAVAILABLE));
    a.send(&json!({"action": "ping"})).await;
    assert_eq!(
        a.next().await["type"],
        "pong",
        "the socket is as good as ever"
    );

    let mut database = server::start_in(&folder, port).await;
    let ack = a.send_message("b", "after").await;
    assert_eq!(
        (&ack["seq"], &ack["status"]),
        (&json!(2), &json!("delivered"))
    );
    assert_eq!(
        b.next().await["message"],
        "after",
        "nothing of the failed sends was pushed"
    );
    let texts = chat.history("a", "b", "").await.messages();
    let texts: Vec<_> = texts
        .iter()
        .map(|message| message["message"].clone())
        .collect();
    assert_eq!(texts, ["before", "after"], "nothing half done");
    let log = chat.stop().await;
    assert!(log.contains("send failed"), "the cause is logged: {log}");
    database.shutdown().await.expect("stopped");
}

#[tokio::test]
async fn a_function_that_is_killed_is_started_again() {
    let chat = Chat::start().await;
    let mut a = chat.connect("a").await;
    assert_eq!(a.send_message("b", "before").await["seq"], 1);
    kill_process(process_of(&chat, "send-message"), Signal::KILL).expect("killed");
    // A frame may still meet the dying process; API Gateway reports that, and clients send again.
    let acknowledged = async {
        loop {
            a.send(&json!({
                "action": "sendMessage", "receiver_id": "b", "message": "after",
                "client_message_id": "x",
            }))
            .await;
            let response = a.next().await;
            if response["type"] == "ack" {
                break response;
            }
            assert_eq!(response["message"], "Internal server error", "{response}");
        }
    };
    let ack = in_time("an ack of the new process", acknowledged).await;
    assert_eq!(ack["seq"], 2);
    chat.stop().await;
}

/// Returns a process of the chat that runs a function.
pub fn process_of(chat: &Chat, function: &str) -> Pid {
    let found = descendants_named(chat.pid(), function);
    *found.first().expect("the function runs")
}

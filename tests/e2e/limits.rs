//! How fast a user may send, and how many sockets they may have.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chat::store::RateLimit;
use chat::{Store, UserId};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::launch::Host;
use tests::{Chat, Client, server, until};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// A chat with limits: parameters of the template, as `MessageRate=5`.
async fn start(host: Host, parameters: &[&str], flags: &[&str]) -> Chat {
    let settings = Chat::with().host(host).parameters(parameters);
    settings.flags(flags).start().await
}

fn message(receiver_id: &str) -> Value {
    json!({"action": "sendMessage", "receiver_id": receiver_id, "message": "m"})
}

/// Checks that a frame says that its sender has to wait; gives how long.
fn told_to_wait(frame: &Value) -> Duration {
    assert_eq!(frame["code"], "rate_limited", "{frame}");
    assert_eq!(frame["retryable"], true, "{frame}");
    let wait = frame["retry_after_ms"].as_u64().expect("a number");
    assert!(wait > 0, "{frame}");
    Duration::from_millis(wait)
}

async fn stored(stack: &Chat, sender_id: &str) -> u64 {
    let messages = stack.database.collection::<Document>("chat_messages");
    let count = messages.count_documents(doc! {"sender_id": sender_id});
    count.await.expect("counted")
}

/// The ids of a user's rows, the oldest first.
async fn rows(stack: &Chat, user_id: &str) -> Vec<String> {
    let connections = stack.database.collection::<Document>("connections");
    let rows = connections.find(doc! {"user_id": user_id});
    let rows = rows.sort(doc! {"connected_at": 1, "_id": 1}).await;
    let rows: Vec<Document> = rows.expect("rows").try_collect().await.expect("rows");
    let ids = rows.iter().map(|row| row.get_str("_id").expect("a string"));
    ids.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_flood_is_refused_while_another_user_chats_undisturbed() {
    const FRAMES: usize = 200;
    let limits = ["MessageRate=1", "MessageBurst=20"];
    let stack = start(Host::chosen(), &limits, &[]).await;
    let mut flooder = stack.connect("flooder").await;
    let mut a = stack.connect("a").await;
    let mut b = stack.connect("b").await;
    let start = Instant::now();
    let flood = async {
        let mut answers = BTreeMap::<String, u64>::new();
        for _ in 0..FRAMES {
            flooder.send(&message("victim")).await;
        }
        for _ in 0..FRAMES {
            let answer = flooder.next().await;
            if answer["type"] == "error" {
                told_to_wait(&answer);
            }
            let kind = answer["type"].as_str().expect("a string");
            *answers.entry(kind.to_owned()).or_default() += 1;
        }
        answers
    };
    let chat = async {
        for seq in 1..=20 {
            let ack = a.say("b", "undisturbed").await;
            assert_eq!(
                (&ack["seq"], &ack["status"]),
                (&json!(seq), &json!("delivered"))
            );
            assert_eq!(b.next().await["seq"], seq);
        }
    };
    let (answers, ()) = tokio::join!(flood, chat);
    let acks = answers["ack"];
    assert_eq!(acks, stored(&stack, "flooder").await);
    // All at once, so each of the gateway's ten executions may have had five more.
    let most = 20 + start.elapsed().as_secs() + 10 * 5;
    assert!((20..=most).contains(&acks), "{acks} of {most}");
    stack.stop().await;
}

#[tokio::test]
async fn who_waits_as_long_as_told_may_send_again() {
    let limits = ["MessageRate=2", "MessageBurst=3"];
    let stack = start(Host::Processes, &limits, &["--concurrency", "1"]).await;
    let mut a = stack.connect("a").await;
    let mut b = stack.connect("b").await;
    let mut sent = 0;
    for _ in 0..3 {
        let wait = loop {
            let answer = a.say("b", "m").await;
            if answer["type"] == "error" {
                break told_to_wait(&answer);
            }
            sent += 1;
            assert_eq!(answer["seq"], sent);
        };
        assert!(sent >= 3, "the burst is had: {sent}");
        assert!(wait <= Duration::from_millis(500), "{wait:?}");
        // Neither a ping nor a frame that is refused for another reason makes the wait longer.
        a.expect_nothing().await;
        assert_eq!(a.say("", "m").await["code"], "invalid_user_id");
        sleep(wait).await;
        sent += 1;
        assert_eq!(a.say("b", "m").await["seq"], sent);
    }
    for seq in 1..=sent {
        assert_eq!(b.next().await["seq"], seq, "nothing that was refused");
    }
    stack.stop().await;
}

#[tokio::test]
async fn the_limit_holds_over_processes_and_sockets() {
    const EXECUTIONS: u64 = 4;
    const TIME: Duration = Duration::from_secs(4);
    let limits = ["MessageRate=5", "MessageBurst=10"];
    let executions = ["--concurrency", &EXECUTIONS.to_string()];
    let stack = start(Host::Processes, &limits, &executions).await;
    let mut sockets = Vec::new();
    for _ in 0..EXECUTIONS {
        sockets.push(stack.connect("a").await);
    }
    let start = Instant::now();
    let floods = sockets.iter_mut().map(async |socket: &mut Client| {
        let mut refused = 0_u64;
        while start.elapsed() < TIME {
            socket.send(&message("b")).await;
            // The user's other sockets get each message too.
            while match socket.next().await {
                frame if frame["type"] == "message" => true,
                frame if frame["type"] == "error" => {
                    told_to_wait(&frame);
                    refused += 1;
                    false
                }
                _ack => false,
            } {}
        }
        refused
    });
    let refused: u64 = join_all(floods).await.into_iter().sum();
    let intervals = start.elapsed().as_millis() as u64 / 200;
    let stored = stored(&stack, "a").await;
    // While ten are left, two of an execution may be uncounted beside the one that is.
    let most = 10 + intervals + EXECUTIONS * 3;
    assert!(stored <= most, "{stored} of {most}");
    let least = 10 + TIME.as_millis() as u64 / 200 - EXECUTIONS;
    assert!(stored >= least, "{stored} of at least {least}");
    assert!(refused > stored, "it was a flood: {refused}");
    stack.stop().await;
}

#[tokio::test]
async fn on_default_the_refusal_is_pushed() {
    let limits = ["MessageRate=1", "MessageBurst=2"];
    let stack = start(Host::Processes, &limits, &["--concurrency", "1"]).await;
    let mut a = stack.connect("a").await;
    let mut b = stack.connect("b").await;
    let old = json!({"sender_id": "a", "receiver_id": "b", "message": "m"});
    for _ in 0..2 {
        a.send(&old).await;
        assert_eq!(b.next().await["type"], "message");
    }
    // The two are acknowledged by silence; the counting of the second may still be under way.
    until(async || {
        a.send(&old).await;
        a.send(&json!({"action": "ping"})).await;
        match a.next().await {
            frame if frame["type"] == "pong" => false,
            frame => {
                told_to_wait(&frame);
                true
            }
        }
    })
    .await;
    stack.stop().await;
}

#[tokio::test]
async fn a_limit_that_is_none_is_named_by_its_variable() {
    for (parameter, variable, problem) in [
        ("MessageRate=fast", "MESSAGE_RATE", "is not a number"),
        ("MessageRate=0", "MESSAGE_RATE", "is not from 0.001 to 1000"),
        (
            "MessageBurst=0",
            "MESSAGE_BURST",
            "is not from 1 to 1000000",
        ),
        (
            "SocketsPerUser=0",
            "SOCKETS_PER_USER",
            "is not a whole number from 1",
        ),
    ] {
        let stack = start(Host::Processes, &[parameter], &[]).await;
        match Client::connect(&format!("{}/?user_id=a", stack.ws)).await {
            Ok(mut a) => {
                a.send(&message("b")).await;
                assert_eq!(a.next().await["message"], "Internal server error");
            }
            Err(status) => assert_eq!((status.as_u16(), parameter), (502, "SocketsPerUser=0")),
        }
        let log = stack.stop().await;
        let said = format!("environment variable {variable} {problem}");
        assert!(log.contains(&said), "{log}");
    }
}

#[tokio::test]
async fn one_socket_too_many_closes_the_oldest() {
    let stack = start(Host::chosen(), &["SocketsPerUser=10"], &[]).await;
    let mut b = stack.connect("b").await;
    let mut first = stack.connect("a").await;
    let mut others = Vec::new();
    for _ in 2..=10 {
        others.push(stack.connect("a").await);
    }
    let before = rows(&stack, "a").await;
    assert_eq!(before.len(), 10);
    first.expect_nothing().await;

    others.push(stack.connect("a").await);
    assert_eq!(first.closed().await.code, CloseCode::Normal);
    let after = rows(&stack, "a").await;
    assert_eq!((after.len(), &after[..9]), (10, &before[1..]));
    assert_eq!(b.say("a", "to ten").await["status"], "delivered");
    for socket in &mut others {
        assert_eq!(socket.next().await["message"], "to ten");
    }
    stack.stop().await;
}

#[tokio::test]
async fn lost_disconnects_lock_nobody_out() {
    let faults = json!({"disconnect": {"drop": 1}}).to_string();
    let flags = ["--fault", faults.as_str()];
    let stack = start(Host::chosen(), &["SocketsPerUser=2"], &flags).await;
    let mut b = stack.connect("b").await;
    for _ in 0..5 {
        stack.connect("a").await.close().await;
    }
    assert!(
        rows(&stack, "a").await.len() >= 2,
        "nobody has forgotten them"
    );
    let (mut one, mut two) = (stack.connect("a").await, stack.connect("a").await);
    assert_eq!(b.say("a", "to both").await["status"], "delivered");
    assert_eq!(one.next().await["message"], "to both");
    assert_eq!(two.next().await["message"], "to both");
    stack.stop().await;
}

#[tokio::test]
async fn sockets_that_open_at_once_are_bounded_too() {
    let stack = start(Host::chosen(), &["SocketsPerUser=3"], &[]).await;
    let mut sockets = join_all((0..12).map(|_| stack.connect("a"))).await;
    // Handshakes at once may miss each other's rows; those that follow put it right.
    for _ in 0..3 {
        sockets.push(stack.connect("a").await);
    }
    until(async || rows(&stack, "a").await.len() == 3).await;
    for socket in &mut sockets[..12] {
        assert_eq!(socket.closed().await.code, CloseCode::Normal);
    }
    for socket in &mut sockets[12..] {
        socket.expect_nothing().await;
    }
    stack.stop().await;
}

fn user(id: &str) -> UserId {
    UserId::try_from(id.to_owned()).expect("a valid id")
}

#[tokio::test]
async fn debits_at_once_all_count() {
    const DEBITS: u32 = 32;
    let (uri, database) = (server::uri().await, server::database_name());
    let mut stores: Vec<Store> = Vec::new();
    for _ in 0..4 {
        stores.push(
            server::migrated_store(uri, &database)
                .await
                .expect("a store"),
        );
    }
    // 100 seconds a message, so that the time of the test does not matter.
    let limit = RateLimit::new(0.01, DEBITS).expect("a limit");
    for round in 0..10 {
        let user_id = user(&format!("$user.{round}"));
        let debits = (0..DEBITS as usize).map(|number| {
            let store = &stores[number % stores.len()];
            store.debit(&user_id, 1, limit)
        });
        for balance in join_all(debits).await {
            let balance = balance.expect("counted");
            assert!(balance.wait <= Duration::from_secs(100), "{balance:?}");
        }
        // They have emptied the bucket, and one more is a debt.
        let balance = stores[0].debit(&user_id, 1, limit).await.expect("counted");
        let expected = Duration::from_secs(100)..=Duration::from_secs(200);
        assert!(expected.contains(&balance.wait), "{balance:?}");
    }
    let store = &stores[0];
    store.database().drop().await.expect("dropped");
}

#[tokio::test]
async fn several_messages_may_be_counted_at_once() {
    let store = server::migrated_store(server::uri().await, &server::database_name()).await;
    let store = store.expect("a store");
    // 100 seconds a message, so that the time of the test does not matter.
    let limit = RateLimit::new(0.01, 20).expect("a limit");
    let mut left = Vec::new();
    for messages in [1, 5, 14] {
        let balance = store.debit(&user("a"), messages, limit).await;
        left.push(balance.expect("counted").left);
    }
    assert_eq!(left, [19, 14, 0]);
    store.database().drop().await.expect("dropped");
}

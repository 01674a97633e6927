//! Limits of messages and of connections per user.
//!
//! - [`groups`]: the limit of a group

mod groups;

use std::time::{Duration, Instant};

use chat::store::{Limited, RateLimit};
use chat::{Deadline, Store, UserId};
use chrono::TimeDelta;
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use hyper::StatusCode;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::launch::Host;
use tests::{Chat, Client, get, server, until};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::connections::{age_rows, leave_row};

/// Starts a chat with limits: parameters of the template, as `MessageRate=5`.
async fn start(host: Host, parameters: &[&str], flags: &[&str]) -> Chat {
    let settings = Chat::with().host(host).parameters(parameters);
    settings.flags(flags).start().await
}

fn message(receiver_id: &str) -> Value {
    json!({"action": "sendMessage", "receiver_id": receiver_id, "message": "m"})
}

/// Checks that a frame asks its sender to wait; returns for how long.
fn asked_to_wait(frame: &Value) -> Duration {
    assert_eq!(frame["code"], "rate_limited", "{frame}");
    assert_eq!(frame["retryable"], true, "{frame}");
    let wait = frame["retry_after_ms"].as_u64().expect("a number");
    assert!(wait > 0, "{frame}");
    Duration::from_millis(wait)
}

/// Returns whether the limit let a message pass. On a machine with much else to do, the processes may need
/// too long to number the messages of a burst: such a message is `unavailable`.
fn passed(response: &Value) -> bool {
    let passed = response["type"] == "ack" || response["code"] == "unavailable";
    if !passed {
        asked_to_wait(response);
    }
    passed
}

async fn stored(chat: &Chat, sender_id: &str) -> u64 {
    let messages = chat.database.collection::<Document>("chat_messages");
    let count = messages.count_documents(doc! {"sender_id": sender_id});
    count.await.expect("counted")
}

/// Returns the ids of a user's rows, the oldest first.
async fn rows(chat: &Chat, user_id: &str) -> Vec<String> {
    let connections = chat.database.collection::<Document>("connections");
    let rows = connections.find(doc! {"user_id": user_id});
    let rows = rows.sort(doc! {"connected_at": 1, "_id": 1}).await;
    let rows: Vec<Document> = rows.expect("rows").try_collect().await.expect("rows");
    let ids = rows.iter().map(|row| row.get_str("_id").expect("a string"));
    ids.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_flood_is_refused_while_another_user_chats_undisturbed() {
    // No more than a connection may have refused.
    const FRAMES: usize = 120;
    let limits = ["MessageRate=1", "MessageBurst=20"];
    let chat = start(Host::chosen(), &limits, &[]).await;
    let mut flooder = chat.connect("flooder").await;
    let mut a = chat.connect("a").await;
    let mut b = chat.connect("b").await;
    let start = Instant::now();
    let flood = async {
        for _ in 0..FRAMES {
            flooder.send(&message("victim")).await;
        }
        let mut count = 0;
        for _ in 0..FRAMES {
            count += u64::from(passed(&flooder.next().await));
        }
        count
    };
    let undisturbed = async {
        for seq in 1..=20 {
            let ack = a.send_message("b", "undisturbed").await;
            assert_eq!(
                (&ack["seq"], &ack["status"]),
                (&json!(seq), &json!("delivered"))
            );
            assert_eq!(b.next().await["seq"], seq);
        }
    };
    let (count, ()) = tokio::join!(flood, undisturbed);
    assert!(stored(&chat, "flooder").await <= count);
    // All are sent at once, so each of the gateway's ten executions may let five more through.
    let most = 20 + start.elapsed().as_secs() + 10 * 5;
    assert!((20..=most).contains(&count), "{count} of {most}");
    chat.stop().await;
}

/// All processes are new to the user, and each of them has to count before it lets a message through.
#[tokio::test]
async fn a_burst_over_many_processes_is_limited_before_it_is_stored() {
    const CONNECTIONS: usize = 5;
    const FRAMES: usize = 60;
    let limits = ["MessageRate=1", "MessageBurst=8"];
    let chat = start(Host::Processes, &limits, &["--concurrency", "40"]).await;
    let start = Instant::now();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(chat.connect("flooder").await);
    }
    let bursts = connections.into_iter().map(|mut client| async move {
        for _ in 0..FRAMES {
            client.send(&message("victim")).await;
        }
        let (mut count, mut responses) = (0, 0);
        while responses < FRAMES {
            let response = client.next().await;
            // A message that another of the connections has sent.
            if response["type"] == "message" {
                continue;
            }
            count += u64::from(passed(&response));
            responses += 1;
        }
        count
    });
    let count: u64 = join_all(bursts).await.into_iter().sum();
    assert!(stored(&chat, "flooder").await <= count);
    // A process lets more through, two at most, only after it has read that some tokens are left.
    let most = 8 + start.elapsed().as_secs() + 8 * 2;
    assert!((8..=most).contains(&count), "{count} of {most}");
    chat.stop().await;
}

#[tokio::test]
async fn a_user_who_waits_as_long_as_asked_may_send_again() {
    let limits = ["MessageRate=2", "MessageBurst=3"];
    let chat = start(Host::Processes, &limits, &["--concurrency", "1"]).await;
    let mut a = chat.connect("a").await;
    let mut b = chat.connect("b").await;
    let mut sent = 0;
    for _ in 0..3 {
        let wait = loop {
            let response = a.send_message("b", "m").await;
            if response["type"] == "error" {
                break asked_to_wait(&response);
            }
            sent += 1;
            assert_eq!(response["seq"], sent);
        };
        assert!(sent >= 3, "the burst is had: {sent}");
        assert!(wait <= Duration::from_millis(500), "{wait:?}");
        // Neither a ping nor a frame that is refused for another reason makes the wait longer.
        a.expect_nothing().await;
        assert_eq!(a.send_message("", "m").await["code"], "invalid_user_id");
        sleep(wait).await;
        sent += 1;
        assert_eq!(a.send_message("b", "m").await["seq"], sent);
    }
    for seq in 1..=sent {
        assert_eq!(b.next().await["seq"], seq, "nothing that was refused");
    }
    chat.stop().await;
}

#[tokio::test]
async fn the_limit_holds_over_processes_and_connections() {
    const EXECUTIONS: u64 = 4;
    const TIME: Duration = Duration::from_secs(4);
    let limits = ["MessageRate=5", "MessageBurst=10"];
    let executions = ["--concurrency", &EXECUTIONS.to_string()];
    let chat = start(Host::Processes, &limits, &executions).await;
    let mut sockets = Vec::new();
    for _ in 0..EXECUTIONS {
        sockets.push(chat.connect("a").await);
    }
    let start = Instant::now();
    let floods = sockets.iter_mut().map(async |socket: &mut Client| {
        let mut refused = 0_u64;
        while start.elapsed() < TIME {
            socket.send(&message("b")).await;
            // The user's other connections get each message too.
            while match socket.next().await {
                frame if frame["type"] == "message" => true,
                frame if frame["type"] == "error" => {
                    asked_to_wait(&frame);
                    refused += 1;
                    // It does not wait as long as asked, but its connection is not closed either.
                    sleep(Duration::from_millis(50)).await;
                    false
                }
                _ack => false,
            } {}
        }
        refused
    });
    let refused: u64 = join_all(floods).await.into_iter().sum();
    let intervals = start.elapsed().as_millis() as u64 / 200;
    let stored = stored(&chat, "a").await;
    // While ten are left, an execution may have two uncounted ones beside the counted one.
    let most = 10 + intervals + EXECUTIONS * 3;
    assert!(stored <= most, "{stored} of {most}");
    let least = 10 + TIME.as_millis() as u64 / 200 - EXECUTIONS;
    assert!(stored >= least, "{stored} of at least {least}");
    assert!(refused > stored, "it was a flood: {refused}");
    chat.stop().await;
}

#[tokio::test]
async fn on_default_the_error_is_pushed() {
    let limits = ["MessageRate=1", "MessageBurst=2"];
    let chat = start(Host::Processes, &limits, &["--concurrency", "1"]).await;
    let mut a = chat.connect("a").await;
    let mut b = chat.connect("b").await;
    let old = json!({"sender_id": "a", "receiver_id": "b", "message": "m"});
    for _ in 0..2 {
        a.send(&old).await;
        assert_eq!(b.next().await["type"], "message");
    }
    // The two are acknowledged by silence; the count of the second may still be under way.
    until(async || {
        a.send(&old).await;
        a.send(&json!({"action": "ping"})).await;
        match a.next().await {
            frame if frame["type"] == "pong" => false,
            frame => {
                asked_to_wait(&frame);
                true
            }
        }
    })
    .await;
    chat.stop().await;
}

#[tokio::test]
async fn pages_of_a_user_are_limited_by_their_messages() {
    let limits = ["HistoryRate=1", "HistoryBurst=10"];
    let chat = start(Host::Processes, &limits, &["--concurrency", "1"]).await;
    let page = async |user: &str, limit: u32| {
        let query = format!("user1={user}&user2=z&limit={limit}");
        get(&format!("{}/chat/history?{query}", chat.http)).await
    };
    // Nine of ten are left, and the page that empties the bucket passes.
    assert_eq!(page("a", 100).await.status, StatusCode::OK);
    assert_eq!(page("a", 1_000).await.status, StatusCode::OK);
    let refused = page("a", 1).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    let problem = refused.json();
    assert_eq!(
        (&problem["status"], &problem["title"]),
        (&json!(429), &json!("Too Many Requests"))
    );
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=3).contains(&wait), "{wait}");

    assert_eq!(
        page("b", 1_000).await.status,
        StatusCode::OK,
        "another user"
    );
    sleep(Duration::from_secs(wait)).await;
    assert_eq!(page("a", 1).await.status, StatusCode::OK);
    chat.stop().await;
}

#[tokio::test]
async fn handshakes_of_a_user_are_limited() {
    let limits = ["HandshakeRate=0.01", "HandshakeBurst=3"];
    let chat = start(Host::Processes, &limits, &["--concurrency", "1"]).await;
    for _ in 0..3 {
        chat.connect("a").await.close().await;
    }
    let url = format!("{}/?user_id=a", chat.ws);
    let refused = Client::connect(&url).await.err();
    assert_eq!(refused, Some(StatusCode::TOO_MANY_REQUESTS));
    until(async || rows(&chat, "a").await.is_empty()).await;
    chat.connect("b").await;
    chat.stop().await;
}

#[tokio::test]
async fn an_invalid_limit_is_named_by_its_variable() {
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
        let chat = start(Host::Processes, &[parameter], &[]).await;
        match Client::connect(&format!("{}/?user_id=a", chat.ws)).await {
            Ok(mut a) => {
                a.send(&message("b")).await;
                assert_eq!(a.next().await["message"], "Internal server error");
            }
            Err(status) => assert_eq!((status.as_u16(), parameter), (502, "SocketsPerUser=0")),
        }
        let log = chat.stop().await;
        let said = format!("environment variable {variable} {problem}");
        assert!(log.contains(&said), "{log}");
    }
}

#[tokio::test]
async fn one_connection_too_many_closes_the_oldest() {
    let chat = start(Host::chosen(), &["SocketsPerUser=10"], &[]).await;
    let mut b = chat.connect("b").await;
    let mut first = chat.connect("a").await;
    let mut others = Vec::new();
    for _ in 2..=10 {
        others.push(chat.connect("a").await);
    }
    let before = rows(&chat, "a").await;
    assert_eq!(before.len(), 10);
    first.expect_nothing().await;

    others.push(chat.connect("a").await);
    assert_eq!(first.closed().await.code, CloseCode::Normal);
    let after = rows(&chat, "a").await;
    assert_eq!((after.len(), &after[..9]), (10, &before[1..]));
    assert_eq!(b.send_message("a", "to ten").await["status"], "delivered");
    for socket in &mut others {
        assert_eq!(socket.next().await["message"], "to ten");
    }
    chat.stop().await;
}

#[tokio::test]
async fn lost_disconnects_lock_nobody_out() {
    let faults = json!({"disconnect": {"drop": 1}}).to_string();
    let flags = ["--fault", faults.as_str()];
    let chat = start(Host::chosen(), &["SocketsPerUser=2"], &flags).await;
    let mut b = chat.connect("b").await;
    for _ in 0..5 {
        chat.connect("a").await.close().await;
    }
    assert!(
        rows(&chat, "a").await.len() >= 2,
        "nobody has forgotten them"
    );
    let (mut one, mut two) = (chat.connect("a").await, chat.connect("a").await);
    assert_eq!(b.send_message("a", "to both").await["status"], "delivered");
    assert_eq!(one.next().await["message"], "to both");
    assert_eq!(two.next().await["message"], "to both");
    chat.stop().await;
}

#[tokio::test]
async fn handshakes_that_were_given_up_close_no_open_connection() {
    let chat = start(Host::chosen(), &["SocketsPerUser=2"], &[]).await;
    let mut first = chat.connect("a").await;
    age_rows(&chat).await;
    let opened = rows(&chat, "a").await;
    for (id, seconds) in [
        ("AAAAAAAAAAAAAAA=", 50),
        ("BBBBBBBBBBBBBBA=", 10),
        ("CCCCCCCCCCCCCCA=", 0),
    ] {
        leave_row(&chat, id, "a", TimeDelta::seconds(seconds)).await;
    }
    let mut second = chat.connect("a").await;
    let left = rows(&chat, "a").await;
    assert_eq!(
        left[..2],
        [&opened[0], "CCCCCCCCCCCCCCA="],
        "the last one may still be opening"
    );
    assert_eq!(left.len(), 3);
    first.expect_nothing().await;

    // The same rows close it if their connections are old: nobody looks them up.
    leave_row(&chat, "AAAAAAAAAAAAAAA=", "a", TimeDelta::seconds(70)).await;
    leave_row(&chat, "BBBBBBBBBBBBBBA=", "a", TimeDelta::seconds(65)).await;
    let _third = chat.connect("a").await;
    second.expect_nothing().await;
    chat.stop().await;
}

#[tokio::test]
async fn connections_that_open_at_once_are_limited_too() {
    let chat = start(Host::chosen(), &["SocketsPerUser=3"], &[]).await;
    let mut sockets = join_all((0..12).map(|_| chat.connect("a"))).await;
    // Simultaneous handshakes may miss each other's rows; the next ones correct that.
    for _ in 0..3 {
        sockets.push(chat.connect("a").await);
    }
    until(async || rows(&chat, "a").await.len() == 3).await;
    for socket in &mut sockets[..12] {
        assert_eq!(socket.closed().await.code, CloseCode::Normal);
    }
    for socket in &mut sockets[12..] {
        socket.expect_nothing().await;
    }
    chat.stop().await;
}

fn user(id: &str) -> UserId {
    UserId::try_from(id.to_owned()).expect("a valid id")
}

fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

#[tokio::test]
async fn messages_counted_at_once_all_count() {
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
    // 100 seconds a message, so that the duration of the test does not matter.
    let limit = RateLimit::new(0.01, DEBITS).expect("a limit");
    for round in 0..10 {
        let user_id = user(&format!("$user.{round}"));
        let debits = (0..DEBITS as usize).map(|number| {
            let store = &stores[number % stores.len()];
            store.take_tokens(Limited::Messages, user_id.as_str(), 1, limit, deadline())
        });
        for balance in join_all(debits).await {
            let balance = balance.expect("counted");
            assert!(balance.wait <= Duration::from_secs(100), "{balance:?}");
        }
        // The bucket is empty now, and one more is a debt.
        let balance = stores[0]
            .take_tokens(Limited::Messages, user_id.as_str(), 1, limit, deadline())
            .await
            .expect("counted");
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
    // 100 seconds a message, so that the duration of the test does not matter.
    let limit = RateLimit::new(0.01, 20).expect("a limit");
    let mut left = Vec::new();
    for messages in [1, 5, 14] {
        let balance = store
            .take_tokens(Limited::Messages, "a", messages, limit, deadline())
            .await;
        left.push(balance.expect("counted").tokens);
    }
    assert_eq!(left, [19, 14, 0]);
    store.database().drop().await.expect("dropped");
}

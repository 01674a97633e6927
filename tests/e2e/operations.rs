//! The database operations of each request, and operations that hang.

use serde_json::json;
use tests::launch::Host;
use tests::relay::{Counts, Relay};
use tests::{Chat, server};

use crate::connections::age_rows;

/// Starts a relay to the run's server.
async fn relay() -> Relay {
    Relay::start(server::uri().await).await
}

/// Starts a chat whose functions reach the database through a relay.
async fn start(relay: &Relay, flags: &[&str]) -> Chat {
    let settings = Chat::with().host(Host::Processes).flags(flags);
    let settings = settings.database(&relay.uri, &server::database_name());
    settings.start().await
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> Counts {
    expected
        .map(|(command, count)| (command.to_owned(), count))
        .into()
}

#[tokio::test]
async fn a_send_is_one_insert_and_one_look_up() {
    let relay = relay().await;
    let chat = start(&relay, &["--concurrency", "1"]).await;
    let (mut a, mut b) = (chat.connect("a").await, chat.connect("b").await);
    relay.take();

    a.send_message("b", "the first of this process to this conversation")
        .await;
    let first = counts([("insert", 1), ("find", 2), ("findAndModify", 1)]);
    assert_eq!(relay.take(), first, "the newest number, and the limit");

    for _ in 0..100 {
        a.send_message("b", "one of many").await;
    }
    let warm = counts([("insert", 100), ("find", 100), ("findAndModify", 20)]);
    assert_eq!(relay.take(), warm, "five messages are counted at once");

    let resent = json!({"action": "sendMessage", "receiver_id": "b", "message": "m",
        "client_message_id": "once"});
    for (expected, duplicate) in [
        (counts([("insert", 1), ("find", 1)]), false),
        (counts([("insert", 1), ("find", 2)]), true),
    ] {
        a.send(&resent).await;
        assert_eq!(a.next().await["duplicate"], duplicate);
        assert_eq!(relay.take(), expected);
    }

    a.send(&json!({"action": "ping"})).await;
    assert_eq!(a.next().await["type"], "pong");
    assert_eq!(relay.take(), counts([]), "a ping asks nobody");
    for seq in 1..=103 {
        assert_eq!(b.next().await["seq"], seq.min(102));
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_page_of_the_history_is_one_look_up_or_two() {
    let relay = relay().await;
    let chat = start(&relay, &[]).await;
    let mut a = chat.connect("a").await;
    for _ in 0..3 {
        a.send_message("b", "m").await;
    }
    relay.take();
    for (parameters, finds) in [("", 1), ("&after=1", 2), ("&before=2", 2)] {
        chat.history("a", "b", parameters).await.messages();
        assert_eq!(relay.take(), counts([("find", finds)]), "{parameters}");
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_hanging_look_up_does_not_hide_a_delivery() {
    let relay = relay().await;
    let chat = start(&relay, &["--concurrency", "1"]).await;
    let (mut a, mut b) = (chat.connect("a").await, chat.connect("b").await);
    age_rows(&chat).await;
    a.send_message("b", "now the process knows the sockets")
        .await;
    b.next().await;

    relay.hold("find");
    let ack = a.send_message("b", "m").await;
    assert_eq!(
        (&ack["seq"], &ack["status"]),
        (&json!(2), &json!("delivered"))
    );
    assert_eq!(b.next().await["seq"], 2);
    chat.stop().await;
}

//! How far users have a conversation: stored, told to who may see it, and never moved back.

use chat::Marks;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::launch::Host;
use tests::relay::Relay;
use tests::{Chat, Client, server};

use crate::connections::age_rows;
use crate::list;

pub fn mark(receiver_id: &str, read: i64) -> Value {
    json!({"action": "mark", "receiver_id": receiver_id, "read": read})
}

/// Sends a frame that gets no answer, and waits until it was served: one process serves the frames of a connection
/// one after another.
pub async fn send(client: &mut Client, frame: &Value) {
    client.send(frame).await;
    client.expect_nothing().await;
}

/// Sends a frame, and checks that it gets an error with `code`.
pub async fn assert_refused(client: &mut Client, frame: &Value, code: &str) {
    client.send(frame).await;
    let error = client.next().await;
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("error"), &json!(code)),
        "{frame}"
    );
}

/// Starts a chat whose functions have one process each.
pub async fn start() -> Chat {
    let settings = Chat::with().host(Host::Processes);
    settings.flags(&["--concurrency", "1"]).start().await
}

/// Returns the marks of a user that are stored.
async fn stored(chat: &Chat, user_id: &str) -> Option<Marks> {
    let members = chat.database.collection::<Marks>("members");
    let filter = doc! {"conversation_id": "direct:1:a:b", "user_id": user_id};
    members.find_one(filter).await.expect("found")
}

/// Checks that the next frame is a receipt of `user_id`, and returns its marks.
async fn receipt(client: &mut Client, user_id: &str) -> Marks {
    let frame = client.next().await;
    assert_eq!(
        (&frame["type"], &frame["user_id"], &frame["conversation_id"]),
        (&json!("receipt"), &json!(user_id), &json!("direct:1:a:b")),
        "{frame}"
    );
    assert!(
        frame["at"].as_str().is_some_and(|at| at.ends_with('Z')),
        "{frame}"
    );
    serde_json::from_value(frame).expect("numbers")
}

fn marks(read: i64, delivered: i64) -> Marks {
    Marks { read, delivered }
}

#[tokio::test]
async fn a_mark_goes_to_the_users_other_devices_and_to_the_other_user() {
    let chat = start().await;
    let mut a = chat.connect_modern("a").await;
    let mut other_of_a = chat.connect_modern("a").await;
    let mut b = chat.connect_modern("b").await;
    let (mut old_a, mut old_b) = (chat.connect("a").await, chat.connect("b").await);
    for _ in 0..3 {
        b.send_message("a", "m").await;
        for client in [&mut a, &mut other_of_a, &mut old_a, &mut old_b] {
            assert_eq!(client.next().await["type"], "message");
        }
    }
    send(&mut a, &mark("b", 2)).await;
    for client in [&mut b, &mut other_of_a] {
        assert_eq!(receipt(client, "a").await, marks(2, 2));
    }
    assert_eq!(stored(&chat, "a").await, Some(marks(2, 2)));
    let delivered = json!({"action": "mark", "conversation_id": "direct:1:a:b", "delivered": 3});
    send(&mut a, &delivered).await;
    for client in [&mut b, &mut other_of_a] {
        assert_eq!(receipt(client, "a").await, marks(2, 3));
    }
    for client in [&mut a, &mut b, &mut other_of_a, &mut old_a, &mut old_b] {
        client.expect_nothing().await;
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_receipt_reaches_whoever_has_reconnected_a_moment_ago() {
    let chat = start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    for _ in 0..2 {
        a.send_message("b", "m").await;
    }
    // The process knows the connections of both, for a minute.
    age_rows(&chat).await;
    b.send_message("a", "m").await;
    b.close().await;
    let mut b = chat.connect_modern("b").await;
    a.next().await;
    send(&mut a, &mark("b", 1)).await;
    assert_eq!(receipt(&mut b, "a").await, marks(1, 1));
    // A device that is new itself is heard by the older one.
    let mut second_of_a = chat.connect_modern("a").await;
    send(&mut second_of_a, &mark("b", 2)).await;
    for client in [&mut a, &mut b] {
        assert_eq!(receipt(client, "a").await, marks(2, 2));
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_mark_never_moves_back_nor_beyond_the_newest_message() {
    let chat = start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    // Nothing is there to be read.
    send(&mut a, &mark("b", 7)).await;
    assert_eq!(stored(&chat, "a").await, None);
    for _ in 0..5 {
        b.send_message("a", "m").await;
        a.next().await;
    }
    send(&mut a, &mark("b", 3)).await;
    assert_eq!(receipt(&mut b, "a").await, marks(3, 3));
    for late in [3, 2, 0, -1, i64::MIN] {
        send(&mut a, &mark("b", late)).await;
        b.expect_nothing().await;
        assert_eq!(stored(&chat, "a").await, Some(marks(3, 3)), "{late}");
    }
    let beyond = json!({"action": "mark", "receiver_id": "b", "read": 4, "delivered": 9_007_199_254_740_992_i64});
    send(&mut a, &beyond).await;
    assert_eq!(receipt(&mut b, "a").await, marks(4, 5));
    send(
        &mut a,
        &json!({"action": "mark", "receiver_id": "b", "read": 1e300}),
    )
    .await;
    assert_eq!(receipt(&mut b, "a").await, marks(5, 5));
    b.send_message("a", "a new one is not read").await;
    let row = list::only_row(&chat, "a").await;
    assert_eq!((&row["unread"], &row["read"]), (&json!(1), &json!(5)));
    chat.stop().await;
}

#[tokio::test]
async fn a_bad_mark_gets_an_error_and_marks_nothing() {
    let chat = start().await;
    let mut a = chat.connect_modern("a").await;
    a.send_message("b", "m").await;
    let conversation = |id: &str| json!({"action": "mark", "conversation_id": id, "read": 1});
    for (frame, code) in [
        (
            json!({"action": "mark", "receiver_id": "b"}),
            "invalid_frame",
        ),
        (
            json!({"action": "mark", "receiver_id": "b", "read": null}),
            "invalid_frame",
        ),
        (
            json!({"action": "mark", "receiver_id": "b", "read": "1"}),
            "invalid_frame",
        ),
        (
            json!({"action": "mark", "receiver_id": "b", "read": 1.5}),
            "invalid_frame",
        ),
        (
            json!({"action": "mark", "receiver_id": "b", "read": 1, "delivered": {}}),
            "invalid_frame",
        ),
        (json!({"action": "mark", "read": 1}), "invalid_frame"),
        (
            json!({"action": "mark", "receiver_id": {"$gt": ""}, "read": 1}),
            "invalid_frame",
        ),
        (
            json!({"action": "mark", "receiver_id": "", "read": 1}),
            "invalid_user_id",
        ),
        (conversation("direct:1:b:c"), "forbidden"),
        (conversation("direct:1:b:a"), "forbidden"),
        (conversation("group:x"), "forbidden"),
    ] {
        assert_refused(&mut a, &frame, code).await;
    }
    assert_eq!(stored(&chat, "a").await, Some(marks(0, 0)));
    chat.stop().await;
}

#[tokio::test]
async fn marks_beyond_the_limit_of_the_user_are_refused() {
    let limits = ["MarkRate=0.01", "MarkBurst=2"];
    let settings = Chat::with().host(Host::Processes).parameters(&limits);
    let chat = settings.flags(&["--concurrency", "1"]).start().await;
    let mut a = chat.connect_modern("a").await;
    a.send_message("b", "m").await;
    let mut reply = json!(null);
    while reply["code"] != "rate_limited" {
        a.send(&mark("b", 1)).await;
        a.send(&json!({"action": "ping"})).await;
        // The pong, or first the error.
        reply = a.next().await;
    }
    assert!(
        reply["retry_after_ms"]
            .as_i64()
            .is_some_and(|wait| wait > 0),
        "{reply}"
    );
    // Messages have a limit of their own.
    assert_eq!(a.send_message("b", "m").await["type"], "ack");
    chat.stop().await;
}

#[tokio::test]
async fn a_mark_is_one_operation_where_the_conversation_is_known() {
    let relay = Relay::start(server::uri().await).await;
    let settings = Chat::with().host(Host::Processes);
    let settings = settings.database(&relay.uri, &server::database_name());
    let chat = settings.flags(&["--concurrency", "1"]).start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    age_rows(&chat).await;
    for _ in 0..40 {
        b.send_message("a", "m").await;
        a.next().await;
    }
    relay.take();
    // The first one of the process: the limit, the mark, and the settings of both.
    send(&mut a, &mark("b", 1)).await;
    assert_eq!(receipt(&mut b, "a").await, marks(1, 1));
    let first = [("findAndModify".to_owned(), 2), ("find".to_owned(), 1)];
    assert_eq!(relay.take(), first.into());
    // Five are counted at once, as messages are.
    for read in 2..=11 {
        send(&mut a, &mark("b", read)).await;
        assert_eq!(receipt(&mut b, "a").await, marks(read, read));
    }
    assert_eq!(relay.take(), [("findAndModify".to_owned(), 12)].into());
    chat.stop().await;
}

#[tokio::test]
async fn a_send_writes_the_members_once_a_minute() {
    let relay = Relay::start(server::uri().await).await;
    let settings = Chat::with().host(Host::Processes);
    let settings = settings.database(&relay.uri, &server::database_name());
    let chat = settings.flags(&["--concurrency", "1"]).start().await;
    let (mut a, mut b) = (chat.connect("a").await, chat.connect("b").await);
    let members = chat.database.collection::<Document>("members");
    a.send_message("b", "the first").await;
    assert_eq!(members.count_documents(doc! {}).await.expect("counted"), 2);
    assert_eq!(
        members
            .count_documents(doc! {"wrote": true})
            .await
            .expect("counted"),
        1
    );
    relay.take();
    a.send_message("b", "another").await;
    assert_eq!(relay.take().get("update"), None, "they are known");
    b.send_message("a", "a reply").await;
    assert_eq!(relay.take().get("update"), Some(&1), "b has written too");
    assert_eq!(
        members
            .count_documents(doc! {"wrote": true})
            .await
            .expect("counted"),
        2
    );
    // To oneself there is one member.
    a.send_message("a", "a note").await;
    assert_eq!(members.count_documents(doc! {}).await.expect("counted"), 3);
    chat.stop().await;
}

//! The news that a user writes a message.

use serde_json::{Value, json};
use tests::launch::Host;
use tests::relay::Relay;
use tests::{Chat, server};

use crate::connections::age_rows;
use crate::marks::{assert_refused, mark, send, start};

fn typing(receiver_id: &str) -> Value {
    json!({"action": "typing", "receiver_id": receiver_id})
}

#[tokio::test]
async fn modern_clients_of_the_other_user_see_it_and_nobody_else_does() {
    let chat = start().await;
    let mut a = chat.connect_modern("a").await;
    let mut other_of_a = chat.connect_modern("a").await;
    let (mut b1, mut b2) = (
        chat.connect_modern("b").await,
        chat.connect_modern("b").await,
    );
    let mut old = chat.connect("b").await;
    let mut stranger = chat.connect_modern("c").await;

    send(&mut a, &typing("b")).await;
    let expected = json!({"type": "typing", "conversation_id": "direct:1:a:b", "user_id": "a"});
    assert_eq!(b1.next().await, expected);
    assert_eq!(b2.next().await, expected);
    for client in [&mut b1, &mut b2, &mut old, &mut other_of_a, &mut stranger] {
        client.expect_nothing().await;
    }

    // The old client still gets each message.
    assert_eq!(a.send_message("b", "hi").await["status"], "delivered");
    assert_eq!(old.next().await["message"], "hi");
    chat.stop().await;
}

#[tokio::test]
async fn a_conversation_can_be_named_by_its_id_and_a_repetition_is_dropped() {
    let chat = start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    let by_id = json!({"action": "typing", "conversation_id": "direct:1:a:b"});
    send(&mut b, &by_id).await;
    assert_eq!(a.next().await["user_id"], "b");
    send(&mut b, &by_id).await;
    send(&mut b, &typing("a")).await;
    a.expect_nothing().await;
    // To oneself there is nobody to tell.
    send(&mut a, &typing("a")).await;
    chat.stop().await;
}

#[tokio::test]
async fn a_bad_frame_gets_an_error() {
    let chat = start().await;
    let mut a = chat.connect_modern("a").await;
    let conversation = |id: &str| json!({"action": "typing", "conversation_id": id});
    for (frame, code) in [
        (json!({"action": "typing"}), "invalid_frame"),
        (
            json!({"action": "typing", "receiver_id": {"$gt": ""}}),
            "invalid_frame",
        ),
        (
            json!({"action": "typing", "receiver_id": ""}),
            "invalid_user_id",
        ),
        (
            json!({"action": "typing", "receiver_id": "b", "conversation_id": "direct:1:a:b"}),
            "invalid_frame",
        ),
        (conversation("direct:1:b:c"), "forbidden"),
        (conversation("direct:1:b:a"), "forbidden"),
        (conversation("group:x"), "forbidden"),
    ] {
        assert_refused(&mut a, &frame, code).await;
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_flood_of_typing_or_of_marks_is_throttled_and_messages_are_not() {
    const FRAMES: usize = 20;
    let parameters = [
        "TypingThrottleRate=1",
        "TypingThrottleBurst=2",
        "MarkThrottleRate=1",
        "MarkThrottleBurst=2",
    ];
    let chat = Chat::with().parameters(&parameters).start().await;
    let mut c = chat.connect_modern("c").await;
    let message = json!({"action": "sendMessage", "receiver_id": "b", "message": "m", "client_message_id": "m"});
    for frame in [typing("b"), mark("b", 1)] {
        let mut a = chat.connect_modern("a").await;
        for _ in 0..FRAMES {
            a.send(&frame).await;
        }
        a.send(&message).await;
        let (mut throttled, mut acknowledged) = (0, false);
        while throttled < FRAMES / 2 || !acknowledged {
            let response = a.next().await;
            if response["type"] == "ack" {
                acknowledged = true;
            } else {
                assert_eq!(response["message"], "Too Many Requests", "{response}");
                throttled += 1;
            }
        }
        assert_eq!(c.send_message("b", "m").await["type"], "ack");
    }
    chat.stop().await;
}

#[tokio::test]
async fn it_costs_no_operation_when_the_connections_are_known_and_leaves_no_line() {
    let relay = Relay::start(server::uri().await).await;
    let settings = Chat::with().host(Host::Processes);
    let settings = settings.database(&relay.uri, &server::database_name());
    let flags = ["--concurrency", "1", "--log-format", "json"];
    let chat = settings.flags(&flags).start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    age_rows(&chat).await;
    relay.take();
    send(&mut a, &typing("b")).await;
    assert_eq!(b.next().await["type"], "typing");
    assert_eq!(
        relay.take(),
        [("find".to_owned(), 1)].into(),
        "the connections of both"
    );

    send(&mut b, &typing("a")).await;
    assert_eq!(a.next().await["type"], "typing");
    assert_eq!(relay.take(), [].into(), "they are known");
    let mut second = chat.connect_modern("a").await;
    relay.take();
    send(&mut second, &typing("b")).await;
    assert_eq!(b.next().await["type"], "typing");
    assert_eq!(relay.take(), [].into(), "they are known");

    let log = chat.stop().await;
    let mut lines = log.lines();
    assert!(
        !lines.any(|line| line.contains("SendMessageFunction | {")),
        "{log}"
    );
}

//! The queue, the database or a message of the queue is no good.

use mongodb::bson::doc;
use serde_json::json;
use tests::relay::{Fault, Relay};
use tests::{queue, server, until};

use super::{MANY, connect, large_group, received, seq, settings, wait_delivered, waiting};
use crate::groups::{acked, entry, message, numbers};

/// Times with which a test need not wait for a minute: of the function, and of the queue.
const SHORT: [(&str, &str); 2] = [
    (
        "      CodeUri: ../functions/deliver\n",
        "      CodeUri: ../functions/deliver\n      Timeout: 3\n",
    ),
    ("VisibilityTimeout: 60", "VisibilityTimeout: 3"),
];

#[tokio::test]
async fn without_the_queue_an_entry_is_stored_and_acknowledged() {
    // Nobody listens there.
    let url = "          DELIVERY_QUEUE_URL: !Ref DeliveryQueue\n";
    let nowhere = format!("{url}          AWS_ENDPOINT_URL_SQS: http://127.0.0.1:9\n");
    let chat = settings().edited(&[(url, &nowhere)]).start().await;
    let mut a = chat.connect_modern("a").await;
    let group = large_group(&mut a, MANY).await;
    let ack = acked(&mut a, &message(&group, "m")).await;
    assert_eq!(ack["status"], "stored", "{ack}");
    let read = numbers(&chat, &group, &super::member(203), "").await;
    assert_eq!(
        read.last(),
        Some(&seq(&ack)),
        "who missed the push reads it"
    );
    let log = chat.stop().await;
    let lines = log
        .lines()
        .filter(|line| line.contains("pushes not queued"));
    let causes = lines.filter(|line| line.contains("send to the queue failed: "));
    // Those of the entries with more than a hundred members, and of the text.
    assert_eq!(causes.count(), 3 + 1, "{log}");
}

#[tokio::test]
async fn what_the_database_does_not_let_through_is_delivered_again() {
    let relay = Relay::start(server::uri().await).await;
    let settings = settings().database(&relay.uri, &server::database_name());
    let chat = settings.edited(&SHORT).start().await;
    let mut a = chat.connect_modern("a").await;
    let group = large_group(&mut a, MANY).await;
    wait_delivered(&chat).await;
    let mut clients = connect(&chat, [0, 203]).await;
    let refused = || Fault::Refuse(doc! {"ok": 0, "code": 1, "errmsg": "refused"});
    // One of the slices gets no members, and the other no connections.
    relay.fail("find", "members", refused());
    relay.fail("find", "connections", refused());
    let text = seq(&acked(&mut a, &message(&group, "m")).await);
    for client in &mut clients {
        assert_eq!(seq(&entry(client, "text").await), text);
    }
    wait_delivered(&chat).await;
    for client in &mut clients {
        client.expect_nothing().await;
    }
    let log = chat.stop().await;
    let failures = log
        .lines()
        .filter(|line| line.contains("slice not delivered"));
    assert_eq!(failures.count(), 2, "{log}");
}

#[tokio::test]
async fn what_is_no_slice_moves_to_the_dead_letter_queue_and_holds_nothing_up() {
    let once = ("maxReceiveCount: 5", "maxReceiveCount: 1");
    let edits = [SHORT[0], SHORT[1], once];
    let chat = settings().edited(&edits).start().await;
    let mut a = chat.connect_modern("a").await;
    let group = large_group(&mut a, MANY).await;
    wait_delivered(&chat).await;
    let mut clients = connect(&chat, [0]).await;
    let sqs = queue::client(&chat.gateway, "local");
    let url = format!("{}/123456789012/DeliveryQueue", chat.gateway.functions);
    for body in ["secret", r#"{"conversation_id":"g","seq":"secret"}"#] {
        let sent = sqs.send_message().queue_url(&url).message_body(body);
        sent.send().await.expect("sent");
    }
    acked(&mut a, &message(&group, "m")).await;
    received(&mut clients[0], 1).await;
    until(async || waiting(&chat, "DeliveryDeadLetterQueue").await == 2).await;
    assert_eq!(waiting(&chat, "DeliveryQueue").await, 0);
    // An entry that does not exist is no failure.
    let slice = json!({"conversation_id": group, "seq": 1_000, "from_user": "a", "to_user": "z"});
    let sent = sqs
        .send_message()
        .queue_url(&url)
        .message_body(slice.to_string());
    sent.send().await.expect("sent");
    wait_delivered(&chat).await;
    clients[0].expect_nothing().await;
    assert_eq!(waiting(&chat, "DeliveryDeadLetterQueue").await, 2);
    let log = chat.stop().await;
    assert!(!log.contains("secret"), "{log}");
}

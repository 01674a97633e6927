//! The limit of a group, which its members have together.

use std::time::Duration;

use chat::store::{Limited, RateLimit};
use chat::{ClientMessageId, ConversationId, Deadline, UserId};
use serde_json::json;
use tests::function::Function;
use tests::relay::Relay;
use tests::server;

use super::*;
use crate::groups::{acked, create, created, entry, frame, message};

/// A limit that is not reached again within a test, in one process, which counts one by one.
async fn limited(burst: &str) -> Chat {
    let limits = ["GroupRate=0.001", burst];
    start(Host::Processes, &limits, &["--concurrency", "1"]).await
}

#[tokio::test]
async fn entries_of_a_group_are_limited_together() {
    let chat = limited("GroupBurst=3").await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    let group = created(&mut a, &["b"]).await;
    let other = created(&mut a, &["b"]).await;
    let mut first = message(&group, "2");
    first["client_message_id"] = json!("m-1");
    acked(&mut a, &first).await;
    for kind in ["create", "create", "text"] {
        entry(&mut b, kind).await;
    }
    acked(&mut b, &message(&group, "3")).await;
    entry(&mut a, "text").await;
    let edit = json!({"seq": 2, "message": "two", "client_message_id": "e-1"});
    let edit = frame("editMessage", &group, edit);
    acked(&mut a, &edit).await;
    entry(&mut b, "edit").await;

    let delete = frame("deleteMessage", &group, json!({"seq": 2}));
    let rename = frame("rename", &group, json!({"title": "t"}));
    let leave = frame("leave", &group, json!({}));
    let text = message(&group, "5");
    for (client, frames) in [
        (&mut a, [&text, &delete, &rename]),
        (&mut b, [&text, &text, &leave]),
    ] {
        for refused in frames {
            client.send(refused).await;
            asked_to_wait(&client.next().await);
        }
    }
    // What is stored is acknowledged again, and pushed to nobody.
    for resend in [&first, &edit] {
        let ack = acked(&mut a, resend).await;
        assert_eq!(ack["duplicate"], true, "{ack}");
    }
    b.expect_nothing().await;
    // Nothing else is limited by it.
    acked(&mut a, &message(&other, "2")).await;
    assert_eq!(entry(&mut b, "text").await["conversation_id"], json!(other));
    assert_eq!(a.send_message("b", "m").await["status"], "delivered");
    acked(&mut a, &create("A third", &["b"], "g-3")).await;
    chat.stop().await;
}

#[tokio::test]
async fn who_is_not_in_a_group_uses_up_nothing_of_its_limit() {
    let chat = limited("GroupBurst=2").await;
    let (mut a, mut former) = (
        chat.connect_modern("a").await,
        chat.connect_modern("former").await,
    );
    let group = created(&mut a, &["former"]).await;
    entry(&mut former, "create").await;
    let mut leave = frame("leave", &group, json!({}));
    leave["client_message_id"] = json!("l-1");
    acked(&mut former, &leave).await;
    entry(&mut a, "leave").await;
    for _ in 0..5 {
        former.send(&message(&group, "m")).await;
        assert_eq!(former.next().await["code"], "forbidden");
        assert_eq!(acked(&mut former, &leave).await["duplicate"], true);
        // The resend is pushed again.
        entry(&mut a, "leave").await;
    }
    acked(&mut a, &message(&group, "3")).await;
    a.send(&message(&group, "4")).await;
    asked_to_wait(&a.next().await);
    chat.stop().await;
}

#[tokio::test]
async fn the_limit_of_a_group_holds_over_processes() {
    let (relay, database) = (
        Relay::start(server::uri().await).await,
        server::database_name(),
    );
    let store = server::migrated_store(server::uri().await, &database);
    let store = store.await.expect("a store");
    let process = Function::send_message(&relay.uri, &database).await;
    let created = process.reply("a", &create("t", &["b"], "g")).await;
    let group = created["conversation_id"].as_str().expect("an id");
    let user = UserId::try_from("a".to_owned()).expect("a valid id");
    let id = ClientMessageId::try_from("g".to_owned()).expect("a valid id");
    assert_eq!(group, ConversationId::group(&user, &id).as_str());

    let limit = RateLimit::new(1_000.0, 1_000_000).expect("the limit of the process");
    let deadline = Deadline::after(Duration::from_secs(20));
    let taken = store.take_tokens(Limited::Entries, group, 1_050_000, limit, deadline);
    taken.await.expect("taken");
    relay.take();
    asked_to_wait(&process.reply("a", &message(group, "m")).await);
    assert_eq!(relay.take().get("insert"), None);
    asked_to_wait(&process.reply("b", &message(group, "m")).await);
    let counted = relay.take();
    assert_eq!(counted.get("insert"), None);
    let of_b = counted.get("findAndModify");
    assert_eq!(
        of_b,
        Some(&1),
        "the process knows the group, and not the user"
    );
    store.database().drop().await.expect("dropped");
}

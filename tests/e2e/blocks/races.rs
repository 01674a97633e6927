//! Blocks beside sends, handshakes and other blocks.

use futures_util::future::join_all;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::function::Function;
use tests::launch::Host;
use tests::relay::{Fault, Relay};
use tests::{Chat, Client, programs, server, until};
use tokio::process::Command;
use tokio::sync::oneshot;

use super::{block, log, put, texts};
use crate::connections::age_rows;
use crate::marks::start;

/// Returns the numbers of the messages that a client gets until the pong of a ping that is sent now.
async fn received(client: &mut Client) -> Vec<i64> {
    let mut seqs = Vec::new();
    for _ in 0..2 {
        client.send(&json!({"action": "ping"})).await;
        loop {
            let frame = client.next().await;
            if frame["type"] == "pong" {
                break;
            }
            seqs.extend(frame["seq"].as_i64());
        }
    }
    seqs
}

#[tokio::test]
async fn nothing_that_is_sent_after_the_answer_to_a_block_arrives() {
    let chat = start().await;
    let mut senders = join_all((0..5).map(|_| chat.connect("a"))).await;
    let mut devices = join_all((0..3).map(|_| chat.connect_modern("b"))).await;
    age_rows(&chat).await;
    senders[0]
        .send_message("b", "the process knows the connections")
        .await;

    let (before, blocking) = tokio::join!(
        join_all(senders.iter_mut().map(async |sender| {
            let mut last = 0;
            for _ in 0..10 {
                let ack = sender.send_message("b", "beside the block").await;
                last = last.max(ack["seq"].as_i64().expect("a number"));
            }
            last
        })),
        block(&chat, "b", "a", true),
    );
    let () = blocking;
    let newest = before.into_iter().max().expect("five");
    assert_eq!(newest, 51);
    for device in &mut devices {
        received(device).await;
    }
    for _ in 0..10 {
        assert_eq!(
            senders[0].send_message("b", "after it").await["status"],
            "stored"
        );
    }
    for device in &mut devices {
        assert_eq!(received(device).await, [0; 0]);
    }
    let entries = log(&chat, "b", "a", "").await;
    assert_eq!(entries.len(), 61, "no hole");
    assert!(texts(&entries)[51..].iter().all(|text| text.is_empty()));
    // What is shown comes before what is withheld.
    let is_withheld = |entry: &Value| entry["withheld"] == true;
    assert!(entries.iter().is_sorted_by_key(is_withheld));
    chat.stop().await;
}

/// A device that opens while its user blocks somebody: the blocks are read, then comes the block, then the row.
#[tokio::test]
async fn a_connection_that_opens_beside_a_block_has_it() {
    let relay = Relay::start(server::uri().await).await;
    let database = server::database_name();
    let settings = Chat::with().host(Host::Processes);
    let chat = settings.database(&relay.uri, &database).start().await;
    let mut a = chat.connect("a").await;
    for round in 0..8 {
        let blocked = round % 2 == 0;
        let (release, held) = oneshot::channel();
        relay.take();
        relay.fail("insert", "connections", Fault::Hold(held));
        let ((), mut device) = tokio::join!(
            async {
                until(async || relay.take().contains_key("insert")).await;
                block(&chat, "b", "a", blocked).await;
                release.send(()).expect("it is held");
            },
            chat.connect_modern("b"),
        );
        let status = if blocked { "stored" } else { "delivered" };
        assert_eq!(
            a.send_message("b", "m").await["status"],
            status,
            "round {round}"
        );
        let expected = usize::from(!blocked);
        assert_eq!(received(&mut device).await.len(), expected, "round {round}");
        device.close().await;
        let rows = chat.database.collection::<Document>("connections");
        until(async || {
            rows.count_documents(doc! {"user_id": "b"})
                .await
                .expect("counted")
                == 0
        })
        .await;
    }
    chat.stop().await;
}

#[tokio::test]
async fn of_blocks_and_their_ends_at_once_the_last_is_in_force_everywhere() {
    let settings = Chat::with().host(Host::Processes);
    let chat = settings.flags(&["--concurrency", "8"]).start().await;
    let (mut a, mut b) = (chat.connect("a").await, chat.connect_modern("b").await);
    for _ in 0..20 {
        join_all((0..8).map(async |number| {
            let body = json!({"peer_id": "a", "blocked": number % 2 == 0});
            assert_eq!(put(&chat, "b", &body).await.status, 200);
        }))
        .await;
        let members = chat.database.collection::<Document>("members");
        let row = members
            .find_one(doc! {"user_id": "b", "conversation_id": "direct:1:a:b"})
            .await;
        let row = row.expect("found").expect("a row");
        let is_blocked = row.get_array("withheld").expect("a list").len() % 2 == 1;
        for name in ["connections", "users"] {
            let key = if name == "users" { "_id" } else { "user_id" };
            let copies = chat.database.collection::<Document>(name);
            let filter = doc! {key: "b", "blocks": "a"};
            let listed = copies.count_documents(filter).await.expect("counted");
            assert_eq!(listed, u64::from(is_blocked), "{name}");
        }
        received(&mut b).await;
        let status = if is_blocked { "stored" } else { "delivered" };
        assert_eq!(a.send_message("b", "m").await["status"], status);
        assert_eq!(received(&mut b).await.len(), usize::from(!is_blocked));
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_process_that_knew_the_connections_before_the_block_pushes_nothing() {
    let chat = start().await;
    let mut b = chat.connect_modern("b").await;
    age_rows(&chat).await;
    let endpoint = chat.management_endpoint();
    let program = programs::folder().join("send-message");
    let database = chat.database.name().to_owned();
    let starting = (0..2).map(async |_| {
        let mut command = Command::new(&program);
        Function::start(&mut command, &chat.uri, &database, &endpoint).await
    });
    let processes = join_all(starting).await;
    let frame = json!({"action": "sendMessage", "receiver_id": "b", "message": "m"});
    // One of them inserts without a read, after its reads were right.
    for (process, sends) in processes.iter().zip([40, 1]) {
        for _ in 0..sends {
            assert_eq!(process.reply("a", &frame).await["status"], "delivered");
            b.next().await;
        }
    }
    block(&chat, "b", "a", true).await;
    assert_eq!(b.next().await["type"], "conversation");
    for process in &processes {
        for _ in 0..2 {
            assert_eq!(process.reply("a", &frame).await["status"], "stored");
        }
    }
    assert_eq!(received(&mut b).await, [0; 0]);
    chat.stop().await;
}

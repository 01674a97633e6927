//! Writers against a removal, by processes that share no memory.

use std::sync::Arc;

use chat::store::StoreConfig;
use chat::{
    ClientMessageId, Content, ConversationId, Deadline, Draft, History, Recipient, Store, Text,
    Title, UserId,
};
use chrono::Utc;
use futures_util::future::join_all;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::function::Function;
use tests::relay::{Fault, Relay};
use tests::{TIMEOUT, server, until};
use tokio::sync::{Barrier, oneshot};

use super::{create, frame};

const WRITERS: usize = 50;
const PROCESSES: usize = 10;

/// Sends a frame until it is answered for good, as a client does.
async fn answer(process: &Function, user: &str, frame: &Value) -> Value {
    for _attempt in 0..50 {
        let answer = process.reply(user, frame).await;
        if answer["retryable"] != true {
            return answer;
        }
    }
    panic!("{frame} is not answered for good");
}

/// Returns the entries of a group, in the order of their numbers.
async fn log(store: &Store, group: &str) -> Vec<Document> {
    let messages = store.database().collection::<Document>("chat_messages");
    let found = messages
        .find(doc! {"conversation_id": group})
        .sort(doc! {"seq": 1})
        .await;
    let mut found = found.expect("found");
    let mut log = Vec::new();
    while found.advance().await.expect("the next one") {
        log.push(found.deserialize_current().expect("a document"));
    }
    log
}

#[tokio::test]
async fn no_message_of_a_removed_member_has_a_number_after_the_removal() {
    let (uri, database) = (server::uri().await, server::database_name());
    let store = server::migrated_store(uri, &database)
        .await
        .expect("a store");
    let processes = join_all((0..PROCESSES).map(|_| Function::send_message(uri, &database))).await;
    let created = processes[0].reply("a", &create("t", &["b"], "g")).await;
    let group = created["conversation_id"].as_str().expect("an id");
    // Each process knows the group with its member.
    for (number, process) in processes.iter().enumerate() {
        let first = frame(
            "sendMessage",
            group,
            json!({"message": "m", "client_message_id": format!("first-{number}")}),
        );
        assert_eq!(answer(process, "b", &first).await["type"], "ack");
    }
    let barrier = Arc::new(Barrier::new(WRITERS + 1));
    let writers = (0..WRITERS).map(|number| {
        let (process, barrier) = (&processes[number % PROCESSES], Arc::clone(&barrier));
        async move {
            let text = json!({"message": "m", "client_message_id": format!("m-{number}")});
            barrier.wait().await;
            answer(process, "b", &frame("sendMessage", group, text)).await
        }
    });
    let removal = async {
        barrier.wait().await;
        let remove = json!({"user_id": "b", "client_message_id": "r"});
        answer(&processes[0], "a", &frame("removeMember", group, remove)).await
    };
    let (answers, removed) = tokio::join!(join_all(writers), removal);
    assert_eq!(removed["type"], "ack", "{removed}");
    let end = removed["seq"].as_i64().expect("a number");
    let log = log(&store, group).await;
    let numbers = log
        .iter()
        .map(|entry| entry.get_i64("seq").expect("a number"));
    assert!(numbers.eq(1..=log.len() as i64), "{log:?}");
    let of_b = log
        .iter()
        .filter(|entry| entry.get_str("sender_id").is_ok_and(|id| id == "b"));
    assert!(
        of_b.clone()
            .all(|entry| entry.get_i64("seq").expect("a number") < end),
        "{log:?}"
    );
    let acked = answers
        .iter()
        .filter(|answer| answer["type"] == "ack")
        .count();
    assert_eq!(
        acked + PROCESSES,
        of_b.count(),
        "what is acknowledged is stored, and nothing else"
    );
    for answer in answers.iter().filter(|answer| answer["type"] != "ack") {
        assert_eq!(answer["code"], "forbidden", "{answer}");
    }
    store.database().drop().await.expect("dropped");
}

/// Returns the draft of a text of a user in a group.
fn text(user_id: &str, group: &ConversationId) -> Draft {
    let text = Text::try_from("m".to_owned()).expect("a valid text");
    let recipient = Recipient::Group(group.clone());
    Draft::new(user(user_id), recipient, Content::Text(text))
}

fn user(id: &str) -> UserId {
    UserId::try_from(id.to_owned()).expect("a valid id")
}

#[tokio::test]
async fn a_process_that_trusts_its_memory_looks_again_before_it_refuses() {
    let (uri, database) = (server::uri().await, server::database_name());
    let inviting = server::migrated_store(uri, &database)
        .await
        .expect("a store");
    let config = StoreConfig {
        concurrency: 2,
        ..StoreConfig::new(uri, &database)
    };
    let trusting = Store::open(&config).await.expect("a store");
    let id = ClientMessageId::try_from("g".to_owned()).expect("a valid id");
    let group = ConversationId::group(&user("a"), &id);
    let of_a = |content| Draft::new(user("a"), Recipient::Group(group.clone()), content);
    let deadline = || Deadline::after(TIMEOUT);
    let create = of_a(Content::Create {
        title: Title::try_from("t".to_owned()).expect("a title"),
        users: vec![user("a")],
        history: History::default(),
    });
    let created = trusting.append(&create, Utc::now(), deadline()).await;
    created.expect("created");
    let invite = of_a(Content::Join {
        users: vec![user("b")],
    });
    let invited = inviting.append(&invite, Utc::now(), deadline()).await;
    invited.expect("invited");
    let members = trusting.members_of(&group, &user("b"), deadline()).await;
    assert_eq!(members.expect("members"), [user("a"), user("b")]);

    let invite = of_a(Content::Join {
        users: vec![user("c")],
    });
    let invited = inviting.append(&invite, Utc::now(), deadline()).await;
    invited.expect("invited");
    let sent = trusting
        .append(&text("c", &group), Utc::now(), deadline())
        .await;
    assert_eq!(sent.expect("sent").entry.seq, 4);
    let refused = trusting
        .append(&text("d", &group), Utc::now(), deadline())
        .await;
    assert!(refused.is_err());
    inviting.database().drop().await.expect("dropped");
}

#[tokio::test]
async fn the_late_record_of_a_removal_does_not_remove_who_has_joined_again() {
    let (uri, database) = (server::uri().await, server::database_name());
    let store = server::migrated_store(uri, &database)
        .await
        .expect("a store");
    let relay = Relay::start(uri).await;
    let slow = Function::send_message(&relay.uri, &database).await;
    let other = Function::send_message(uri, &database).await;
    let created = slow.reply("a", &create("t", &["b"], "g")).await;
    let group = created["conversation_id"].as_str().expect("an id");
    let frame = |action: &str, mut fields: Value| {
        fields["client_message_id"] = json!(action);
        frame(action, group, fields)
    };
    let (release, released) = oneshot::channel();
    relay.fail("update", "members", Fault::Hold(released));
    let remove = frame("removeMember", json!({"user_id": "b"}));
    let rejoin = async {
        until(async || log(&store, group).await.len() == 2).await;
        let invite = frame("invite", json!({"users": ["b"]}));
        assert_eq!(answer(&other, "a", &invite).await["seq"], 3);
        release.send(()).expect("the record waits");
    };
    let (removed, ()) = tokio::join!(answer(&slow, "a", &remove), rejoin);
    assert_eq!(removed["seq"], 2);
    let members = store.database().collection::<Document>("members");
    let row = members.find_one(doc! {"conversation_id": group, "user_id": "b"});
    let row = row.await.expect("found").expect("a row");
    let seq = |field| row.get_i64(field).expect("a number");
    assert_eq!((seq("left_seq"), seq("joined_seq")), (2, 3));
    // One knows the removal only, one the return, one nothing.
    let fresh = Function::send_message(uri, &database).await;
    for (seq, process) in (4..).zip([&slow, &other, &fresh]) {
        let message = json!({"message": "m", "client_message_id": format!("m-{seq}")});
        let message = super::frame("sendMessage", group, message);
        let sent = answer(process, "b", &message).await;
        assert_eq!((&sent["type"], &sent["seq"]), (&json!("ack"), &json!(seq)));
    }
    store.database().drop().await.expect("dropped");
}

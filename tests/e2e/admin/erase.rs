//! `chat-admin erase`: no text of a user is left, and the others lose nothing.

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::Database;
use mongodb::bson::{Document, doc};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tests::{Chat, admin, in_time};

use super::run;
use super::verify::acked;
use crate::groups::{create, frame};
use crate::list;

/// A part of each text of the user who is erased, and of no other.
const SECRET: &str = "sesame";

/// Returns the collections and documents in which a text stands.
async fn found(database: &Database, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in database.list_collection_names().await.expect("names") {
        let documents = database.collection::<Document>(&name).find(doc! {}).await;
        let documents: Vec<Document> = documents
            .expect("a cursor")
            .try_collect()
            .await
            .expect("documents");
        let held = documents.iter().map(Document::to_string);
        let held = held.filter(|document| document.contains(text));
        found.extend(held.map(|document| format!("{name}: {document}")));
    }
    found
}

fn message(receiver: &str, text: &str) -> Value {
    json!({"action": "sendMessage", "receiver_id": receiver, "message": text})
}

/// Writes as `eve` in two direct conversations and a group, which has her id in its name; returns the group.
async fn write(chat: &Chat) -> String {
    let (mut eve, mut ben) = (
        chat.connect_modern("eve").await,
        chat.connect_modern("ben").await,
    );
    let secret = |text: &str| format!("{SECRET} {text}");
    acked(&mut eve, message("ben", &secret("one"))).await;
    acked(&mut ben, message("eve", "reply")).await;
    let edit =
        json!({"action": "editMessage", "receiver_id": "ben", "seq": 1, "message": secret("1")});
    acked(&mut eve, edit).await;
    acked(&mut eve, message("eve", &secret("note"))).await;
    let group = acked(&mut eve, create("Exam of eve", &["ben", "cyd"], "")).await;
    acked(
        &mut eve,
        frame("sendMessage", &group, json!({"message": secret("all")})),
    )
    .await;
    acked(
        &mut ben,
        frame("sendMessage", &group, json!({"message": "fine"})),
    )
    .await;
    let read = json!({"action": "mark", "receiver_id": "ben", "read": 2});
    eve.send(&read).await;
    acked(&mut ben, message("cyd", "unread")).await;
    group
}

async fn verify(chat: &Chat) {
    run(chat, &["verify", "--settle", "1"], 0).await;
}

#[tokio::test]
async fn no_text_of_an_erased_user_is_left_and_the_others_lose_nothing() {
    let chat = Chat::start().await;
    let group = write(&chat).await;
    let exported = run(&chat, &["export", "eve"], 0).await;
    let texts = |lines: &[Value]| {
        let has_text = |line: &&Value| line["message"].as_str().is_some_and(|it| !it.is_empty());
        lines.iter().filter(has_text).count()
    };
    assert_eq!(texts(&exported), 4);
    let mut eve = chat.connect_modern("eve").await;
    run(&chat, &["erase", "eve"], 0).await;
    eve.expect_nothing().await;
    assert!(!found(&chat.database, SECRET).await.is_empty());

    let erased = run(&chat, &["erase", "eve", "--confirm"], 0).await;
    assert_eq!(
        (
            &erased[0]["state"],
            &erased[0]["texts"],
            &erased[0]["groups_left"]
        ),
        (&json!("done"), &json!(4), &json!(1))
    );
    assert_eq!(erased[0]["not_done"].as_array().map(Vec::len), Some(5));
    in_time("the end of the connection", eve.rest()).await;
    assert_eq!(found(&chat.database, SECRET).await, Vec::<String>::new());
    assert_eq!(texts(&run(&chat, &["export", "eve"], 0).await), 0);
    verify(&chat).await;

    let history = chat.history("ben", "eve", "").await.messages();
    assert!(
        history.len() == 1 && history[0]["message"] == "reply",
        "{history:?}"
    );
    let rows = list::rows(&chat, "ben").await;
    let with_eve = rows
        .iter()
        .find(|row| row["peer_id"] == "eve")
        .expect("a row");
    assert_eq!(
        (
            &with_eve["newest_entry_seq"],
            &with_eve["unread"],
            &with_eve["preview"]["message"]
        ),
        (&json!(3), &json!(0), &json!("reply"))
    );
    assert_eq!(list::only_row(&chat, "cyd").await["unread"], 1);
    let conversations = chat.database.collection::<Document>("conversations");
    let group = conversations
        .find_one(doc! {"_id": &group})
        .await
        .expect("read");
    let title = group
        .expect("the group")
        .get_str("title")
        .expect("a name")
        .to_owned();
    assert_eq!(title, "Exam of former member");
    chat.stop().await;
}

/// A sender that is killed behind its insert leaves a text in nobody's list, and the old system left texts without
/// numbers.
#[tokio::test]
async fn texts_that_are_in_no_list_are_erased_too() {
    let chat = Chat::start().await;
    acked(
        &mut chat.connect_modern("eve").await,
        message("ben", SECRET),
    )
    .await;
    let members = chat.database.collection::<Document>("members");
    members.delete_many(doc! {}).await.expect("deleted");
    let entries = chat.database.collection::<Document>("chat_messages");
    let old = doc! {"sender_id": "eve", "receiver_id": "ben", "message": SECRET};
    entries.insert_one(old).await.expect("inserted");
    let users = chat.database.collection::<Document>("users");
    users.delete_many(doc! {}).await.expect("deleted");
    assert_eq!(found(&chat.database, SECRET).await.len(), 2);
    let exported = run(&chat, &["export", "eve"], 0).await;
    assert!(
        exported.iter().any(|line| line["message"] == SECRET),
        "{exported:?}"
    );
    let erased = run(&chat, &["erase", "eve", "--confirm"], 0).await;
    assert_eq!(erased[0]["texts"], 2);
    assert_eq!(found(&chat.database, SECRET).await, Vec::<String>::new());
    chat.stop().await;
}

#[tokio::test]
async fn an_outbox_that_comes_late_brings_no_text_back() {
    let chat = Chat::start().await;
    let mut frame = message("ben", &format!("{SECRET} one"));
    frame["client_message_id"] = json!("m-1");
    let mut eve = chat.connect_modern("eve").await;
    eve.send(&frame).await;
    assert_eq!(eve.next().await["type"], "ack");
    run(&chat, &["erase", "eve", "--confirm"], 0).await;

    let mut eve = chat.connect_modern("eve").await;
    let mut ben = chat.connect_modern("ben").await;
    eve.send(&frame).await;
    let ack = eve.next().await;
    assert_eq!(
        (&ack["type"], &ack["duplicate"]),
        (&json!("ack"), &json!(true))
    );
    let push = ben.next().await;
    assert_eq!(
        (&push["message"], &push["deleted_seq"]),
        (&json!(""), &json!(1))
    );
    assert_eq!(found(&chat.database, SECRET).await, Vec::<String>::new());

    // What was never stored before is; the repetition takes it away.
    acked(&mut eve, message("ben", &format!("{SECRET} two"))).await;
    let again = run(&chat, &["erase", "eve", "--confirm"], 0).await;
    assert_eq!(again[0]["texts"], 1);
    assert_eq!(found(&chat.database, SECRET).await, Vec::<String>::new());
    verify(&chat).await;
    chat.stop().await;
}

#[tokio::test]
async fn an_erasure_that_is_killed_or_interrupted_goes_on() {
    let chat = Chat::start().await;
    let mut eve = chat.connect_modern("eve").await;
    for peer in 0..30 {
        acked(&mut eve, message(&format!("b{peer}"), SECRET)).await;
    }
    drop(eve);
    for round in 0..4 {
        let mut program = admin::of(&chat);
        program.args(["erase", "eve", "--confirm"]);
        let mut program = program.spawn().expect("it starts");
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..120))).await;
        let pid = program
            .id()
            .and_then(|id| Pid::from_raw(id.try_into().expect("an id")));
        let signal = [Signal::KILL, Signal::INT][round % 2];
        kill_process(pid.expect("it runs"), signal).expect("a signal");
        in_time("the end of the program", program.wait())
            .await
            .expect("it ends");
    }
    let last = run(&chat, &["erase", "eve", "--confirm"], 0).await;
    assert_eq!(last[0]["state"], "done");
    assert_eq!(found(&chat.database, SECRET).await, Vec::<String>::new());
    verify(&chat).await;
    chat.stop().await;
}

#[tokio::test]
async fn a_job_is_listed_and_is_due_again_after_a_day_once() {
    let chat = Chat::start().await;
    acked(
        &mut chat.connect_modern("eve").await,
        message("ben", SECRET),
    )
    .await;
    run(&chat, &["erase", "eve", "--keep-texts", "--confirm"], 0).await;
    assert_eq!(found(&chat.database, SECRET).await.len(), 1);
    run(&chat, &["erase", "eve", "--confirm"], 0).await;
    let jobs = run(&chat, &["jobs"], 0).await;
    assert_eq!(
        (&jobs[0]["user_id"], &jobs[0]["state"]),
        (&json!("eve"), &json!("done"))
    );
    assert!(jobs[0]["repeat_after"].is_string());
    assert!(run(&chat, &["jobs", "ben"], 0).await.is_empty());

    let day_ago = mongodb::bson::DateTime::from_millis(
        mongodb::bson::DateTime::now().timestamp_millis() - 25 * 60 * 60 * 1_000,
    );
    let jobs = chat.database.collection::<Document>("jobs");
    let earlier = doc! {"$set": {"finished_at": day_ago}};
    jobs.update_one(doc! {}, earlier).await.expect("updated");
    run(&chat, &["jobs"], 1).await;
    let last = run(&chat, &["erase", "eve", "--confirm"], 0).await;
    assert!(last[0]["repeat_after"].is_null(), "{last:?}");
    run(&chat, &["jobs"], 0).await;

    jobs.update_one(doc! {}, doc! {"$set": {"state": "running"}})
        .await
        .expect("updated");
    run(&chat, &["jobs"], 1).await;
    chat.stop().await;
}

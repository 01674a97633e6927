//! The removal of old messages: what readers see, what stays, and runs that are killed beside traffic.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use mongodb::Database;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::client::{encode, get};
use tests::{Chat, admin, in_time};

use crate::groups::{acked, created, message};
use crate::list;

const FUNCTION: &str = "RetentionFunction";

/// The parameter of a chat that keeps messages for thirty days.
const THIRTY_DAYS: &str = "RetentionDays=30";

/// Makes the entries that a filter names older: their times, and the ids that begin with these.
pub async fn make_older(database: &Database, filter: Document, age: TimeDelta) {
    let entries = database.collection::<Document>("chat_messages");
    let found = entries.find(filter.clone()).sort(doc! {"seq": 1}).await;
    let mut found: Vec<Document> = found
        .expect("a cursor")
        .try_collect()
        .await
        .expect("entries");
    let time = Utc::now() - age;
    for entry in &mut found {
        let mut id = entry.get_object_id("_id").expect("an id").bytes();
        let seconds = u32::try_from(time.timestamp()).expect("before 2106");
        id[..4].copy_from_slice(&seconds.to_be_bytes());
        entry.insert("_id", ObjectId::from_bytes(id));
        entry.insert("timestamp", chat::timestamp::format(time));
    }
    entries.delete_many(filter).await.expect("deleted");
    entries.insert_many(found).await.expect("inserted");
}

/// Returns the numbers and texts that are stored of a conversation.
async fn stored(database: &Database, conversation: &str) -> Vec<(i64, String)> {
    let entries = database.collection::<Document>("chat_messages");
    let found = entries.find(doc! {"conversation_id": conversation});
    let found: Vec<Document> = found
        .sort(doc! {"seq": 1})
        .await
        .expect("a cursor")
        .try_collect()
        .await
        .expect("entries");
    let pair = |entry: &Document| {
        let text = entry.get_str("message").expect("a text");
        (entry.get_i64("seq").expect("a number"), text.to_owned())
    };
    found.iter().map(pair).collect()
}

/// Returns the numbers and texts that `user` reads of a conversation.
async fn read(chat: &Chat, conversation: &str, user: &str) -> Vec<(i64, String)> {
    let (http, id) = (&chat.http, encode(conversation));
    let url = format!("{http}/chat/history?conversation_id={id}&user={user}");
    let entries = get(&url).await.messages();
    let pair = |entry: &Value| {
        let text = entry["message"].as_str().expect("a text");
        (entry["seq"].as_i64().expect("a number"), text.to_owned())
    };
    entries.iter().map(pair).collect()
}

fn pairs(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
    let pair = |(seq, text): &(i64, &str)| (*seq, (*text).to_owned());
    expected.iter().map(pair).collect()
}

async fn verify(chat: &Chat) {
    let arguments = ["verify", "--settle", "1"];
    let printed = admin::run(&mut admin::of(chat), &arguments).await;
    assert_eq!(printed.status, 0, "{printed:?}");
}

/// Invokes the function as the schedule does.
async fn run(chat: &Chat) -> Value {
    let event = json!({"source": "aws.events", "detail-type": "Scheduled Event"});
    let summary = chat.gateway.invoke(FUNCTION, &event).await;
    summary.expect("it runs")
}

#[tokio::test]
async fn a_text_is_hidden_at_its_age_and_removed_a_day_later_and_the_numbers_go_on() {
    let chat = Chat::with().parameters(&[THIRTY_DAYS]).start().await;
    let mut a = chat.connect_modern("a").await;
    for text in ["one", "two", "three"] {
        a.send_message("b", text).await;
    }
    let id = "direct:1:a:b";
    make_older(
        &chat.database,
        doc! {"seq": {"$lte": 2}},
        TimeDelta::hours(30 * 24 + 12),
    )
    .await;

    assert_eq!(
        read(&chat, id, "b").await,
        pairs(&[(1, ""), (2, ""), (3, "three")])
    );
    let texts = chat.history("a", "b", "").await.messages();
    assert!(
        texts.len() == 1 && texts[0]["message"] == "three",
        "{texts:?}"
    );
    assert_eq!(list::only_row(&chat, "b").await["unread"], 1);
    assert_eq!(run(&chat).await["seen"], 0, "they are kept for another day");

    make_older(&chat.database, doc! {}, TimeDelta::days(32)).await;
    let row = list::only_row(&chat, "b").await;
    assert_eq!(
        (
            &row["unread"],
            &row["preview"]["message"],
            &row["newest_entry_seq"]
        ),
        (&json!(0), &json!(""), &json!(3))
    );
    let summary = run(&chat).await;
    assert_eq!(
        summary,
        json!({"seen": 3, "deleted": 2, "blanked": 1, "complete": true})
    );
    assert_eq!(stored(&chat.database, id).await, pairs(&[(3, "")]));
    verify(&chat).await;
    let again = run(&chat).await;
    assert_eq!(
        (&again["deleted"], &again["blanked"]),
        (&json!(0), &json!(0))
    );

    assert_eq!(a.send_message("b", "four").await["seq"], 4);
    assert_eq!(read(&chat, id, "b").await, pairs(&[(3, ""), (4, "four")]));
    assert_eq!(list::only_row(&chat, "b").await["unread"], 1);
    assert_eq!(
        run(&chat).await["deleted"],
        1,
        "it is not the newest any longer"
    );
    assert_eq!(stored(&chat.database, id).await, pairs(&[(4, "four")]));
    verify(&chat).await;
    chat.stop().await;
}

/// The ids of entries are times of clocks that differ, and their order is not that of numbers.
#[tokio::test]
async fn an_entry_that_is_not_old_stays_and_so_does_what_is_behind_it() {
    let chat = Chat::start().await;
    let mut a = chat.connect_modern("a").await;
    for text in ["one", "two", "three", "four", "five"] {
        a.send_message("b", text).await;
    }
    let id = "direct:1:a:b";
    let month = TimeDelta::days(30);
    make_older(&chat.database, doc! {"seq": {"$in": [1, 2, 4]}}, month).await;
    let remove = async |entries: u64| {
        let arguments = ["--json", "retention", "--older-than", "20d", "--confirm"];
        let printed = admin::run(&mut admin::of(&chat), &arguments).await;
        assert_eq!(printed.lines()[0]["deleted"], entries, "{printed:?}");
    };
    remove(2).await;
    let rest = pairs(&[(3, "three"), (4, "four"), (5, "five")]);
    assert_eq!(stored(&chat.database, id).await, rest);
    assert_eq!(read(&chat, id, "b").await, rest);
    make_older(&chat.database, doc! {"seq": 3}, TimeDelta::days(25)).await;
    remove(2).await;
    assert_eq!(stored(&chat.database, id).await, pairs(&[(5, "five")]));
    verify(&chat).await;
    chat.stop().await;
}

#[tokio::test]
async fn what_has_changed_a_group_stays_and_so_do_its_members() {
    let chat = Chat::with().parameters(&[THIRTY_DAYS]).start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    let group = created(&mut a, &["b"]).await;
    acked(&mut a, &message(&group, "old")).await;
    acked(&mut a, &message(&group, "older than a month")).await;
    make_older(&chat.database, doc! {}, TimeDelta::days(40)).await;
    assert_eq!(run(&chat).await["deleted"], 1);
    assert_eq!(
        stored(&chat.database, &group).await,
        pairs(&[(1, ""), (3, "")])
    );
    verify(&chat).await;
    for _ in 0..3 {
        b.next().await;
    }
    assert_eq!(acked(&mut b, &message(&group, "new")).await["seq"], 4);
    assert_eq!(run(&chat).await["deleted"], 1);
    assert_eq!(
        stored(&chat.database, &group).await,
        pairs(&[(1, ""), (4, "new")])
    );
    verify(&chat).await;
    chat.stop().await;
}

#[tokio::test]
async fn an_edit_whose_text_is_gone_goes_at_its_own_age() {
    let chat = Chat::with().parameters(&[THIRTY_DAYS]).start().await;
    let mut a = chat.connect_modern("a").await;
    a.send_message("b", "one").await;
    let edit = json!({"action": "editMessage", "receiver_id": "b", "seq": 1, "message": "1", "client_message_id": "e"});
    acked(&mut a, &edit).await;
    make_older(&chat.database, doc! {"seq": 1}, TimeDelta::days(40)).await;
    assert_eq!(run(&chat).await["deleted"], 1);
    verify(&chat).await;
    make_older(&chat.database, doc! {}, TimeDelta::days(40)).await;
    let summary = run(&chat).await;
    assert_eq!(
        (&summary["deleted"], &summary["blanked"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(
        stored(&chat.database, "direct:1:a:b").await,
        pairs(&[(2, "")])
    );
    verify(&chat).await;
    chat.stop().await;
}

#[tokio::test]
async fn a_schedule_fires_at_the_start_if_it_is_asked_to() {
    let chat = Chat::with().parameters(&[THIRTY_DAYS]).start().await;
    chat.connect("a").await.send_message("b", "one").await;
    make_older(&chat.database, doc! {}, TimeDelta::days(40)).await;
    let (uri, name) = (chat.uri.clone(), chat.database.name().to_owned());
    chat.shutdown().await;
    let fired = Chat::with()
        .parameters(&[THIRTY_DAYS])
        .flags(&["--fire", FUNCTION])
        .database(&uri, &name);
    let chat = fired.start().await;
    in_time("the removal", async {
        while stored(&chat.database, "direct:1:a:b").await != pairs(&[(1, "")]) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let log = chat.stop().await;
    assert!(
        log.contains("RetentionFunctionDaily fires RetentionFunction"),
        "{log}"
    );
}

/// Checks one writer and one reader: numbers go on, and a reader of the log finds no hole above its floor.
async fn talk(chat: &Chat, peer: String, is_over: &AtomicBool) -> i64 {
    let mut a = chat.connect_modern("a").await;
    let conversation = format!("direct:1:a:{peer}");
    let mut last = 0;
    while !is_over.load(Ordering::Relaxed) {
        let ack = a.send_message(&peer, "m").await;
        assert_eq!(ack["seq"], last + 1, "{ack}");
        last += 1;
        let numbers: Vec<i64> = read(chat, &conversation, "a")
            .await
            .iter()
            .map(|it| it.0)
            .collect();
        assert_eq!(numbers.last(), Some(&last), "the newest is there");
        let first = numbers[0];
        assert!(numbers.iter().copied().eq(first..=last), "{numbers:?}");
    }
    last
}

#[tokio::test]
async fn runs_that_are_killed_beside_traffic_leave_no_hole() {
    let chat = Chat::start().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let talks = join_all((0..4).map(|index| talk(&chat, format!("b{index}"), &is_over)));
    let removals = async {
        for round in 0..12 {
            let mut program = admin::of(&chat);
            program.args(["retention", "--older-than", "0s", "--confirm"]);
            program.stdout(Stdio::null()).stderr(Stdio::null());
            let mut program = program.spawn().expect("it starts");
            // Half of them are killed somewhere on their way.
            if round % 2 == 0 {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(20..200))).await;
                program.kill().await.expect("killed");
            } else {
                let status = in_time("the end of a run", program.wait()).await;
                assert!(status.expect("it ends").success());
            }
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let (lasts, ()) = tokio::join!(talks, removals);
    assert!(lasts.iter().all(|last| *last > 0), "{lasts:?}");
    // What is left was written within the last second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let printed = admin::run(
        &mut admin::of(&chat),
        &["--json", "retention", "--older-than", "0s", "--confirm"],
    )
    .await;
    assert_eq!(printed.lines()[0]["complete"], true, "{printed:?}");
    for (index, last) in lasts.iter().enumerate() {
        let conversation = format!("direct:1:a:b{index}");
        assert_eq!(
            stored(&chat.database, &conversation).await,
            pairs(&[(*last, "")])
        );
    }
    verify(&chat).await;
    chat.stop().await;
}

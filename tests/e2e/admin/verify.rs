//! `chat-admin verify`: it finds nothing in what the chat writes, each kind of damage, and repairs what it says.

use chat::migration;
use mongodb::Database;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::relay::{Fault, Relay};
use tests::{Chat, Client, admin};
use tokio::sync::oneshot;

use super::run;
use crate::blocks::block;
use crate::groups::{create, frame};

/// Sends a frame and waits for its ack; returns the conversation.
pub async fn acked(client: &mut Client, mut frame: Value) -> String {
    frame["client_message_id"] = json!(format!("{:x}", fastrand::u64(..)));
    client.send(&frame).await;
    loop {
        let answer = client.next().await;
        if is_answer(&answer, &frame) {
            assert_eq!(answer["type"], "ack", "{frame}: {answer}");
            return answer["conversation_id"]
                .as_str()
                .expect("an id")
                .to_owned();
        }
    }
}

fn is_answer(answer: &Value, frame: &Value) -> bool {
    let is_own = answer["client_message_id"] == frame["client_message_id"];
    is_own && ["ack", "error"].iter().any(|kind| answer["type"] == *kind)
}

/// Writes a conversation of `a` with `b`: three texts, of which the first is edited by 4 and the second deleted by 5.
pub async fn direct(a: &mut Client, b: &str) -> String {
    let send = |text: &str| json!({"action": "sendMessage", "receiver_id": b, "message": text});
    for text in ["one", "two", "three"] {
        acked(a, send(text)).await;
    }
    let edit = json!({"action": "editMessage", "receiver_id": b, "seq": 1, "message": "first"});
    acked(a, edit).await;
    let delete = json!({"action": "deleteMessage", "receiver_id": b, "seq": 2});
    acked(a, delete).await
}

/// Writes a group of `a`, `b` and `c`: 2 removes `c`, 3 renames it, 4 is a text.
async fn group(a: &mut Client) -> String {
    let group = acked(a, create("Study group", &["b", "c"], "")).await;
    acked(a, frame("removeMember", &group, json!({"user_id": "c"}))).await;
    acked(a, frame("rename", &group, json!({"title": "Exam"}))).await;
    acked(a, frame("sendMessage", &group, json!({"message": "m"}))).await
}

/// Changes a document of a collection.
async fn update(database: &Database, collection: &str, filter: Document, update: Document) {
    let collection = database.collection::<Document>(collection);
    let updated = collection
        .update_one(filter, update)
        .await
        .expect("updated");
    assert_eq!(updated.matched_count, 1);
}

#[tokio::test]
async fn nothing_is_found_in_what_the_chat_writes() {
    let chat = Chat::start().await;
    let old = |text: &str| {
        doc! {"sender_id": "b", "receiver_id": "a", "message": text, "timestamp": "2024-05-01T12:00:00"}
    };
    let messages = chat.database.collection::<Document>("chat_messages");
    messages
        .insert_many([old("1"), old("2")])
        .await
        .expect("inserted");
    migration::run(&chat.database, |_| Ok(()))
        .await
        .expect("migrated");
    let mut a = chat.connect_modern("a").await;
    direct(&mut a, "b").await;
    direct(&mut a, "a").await;
    let group_id = group(&mut a).await;
    acked(&mut a, frame("invite", &group_id, json!({"users": ["c"]}))).await;
    acked(&mut a, frame("leave", &group_id, json!({}))).await;
    for peer in ["b", "a stranger"] {
        block(&chat, "a", peer, true).await;
    }
    for (flags, conversations, entries) in [
        (&[][..], 4, 18),
        (&["--from", "direct:1:a:b"], 2, 13),
        (&["direct:1:a:b"], 1, 7),
    ] {
        let arguments = [&["verify", "--settle", "0"], flags].concat();
        let mut found = run(&chat, &arguments, 0).await;
        let summary = found.pop().expect("a summary");
        let counted = |field: &str, count: i64| assert_eq!(summary[field], count, "{summary}");
        counted("conversations", conversations);
        counted("entries", entries);
        counted("damages", 0);
        assert_eq!(found, Vec::<Value>::new(), "{flags:?}");
    }
    chat.stop().await;
}

/// A damage to a conversation of `a`: a change of a document with some filter, and what is found then.
type Case = (
    &'static str,
    Document,
    Document,
    &'static [(&'static str, &'static str)],
);

/// Damages of direct conversations. Each peer is the name of a case.
fn direct_cases() -> Vec<Case> {
    let seq = |seq: i64| doc! {"seq": seq};
    let set = |fields: Document| doc! {"$set": fields};
    vec![
        (
            "hole",
            seq(3),
            set(doc! {"seq": 6_i64}),
            &[("earlier", "impossible"), ("hole", "impossible")],
        ),
        (
            "earlier",
            seq(3),
            set(doc! {"timestamp": "2020-01-01T00:00:00.000Z"}),
            &[("earlier", "impossible")],
        ),
        (
            "stranger",
            seq(3),
            set(doc! {"sender_id": "x"}),
            &[("not_permitted", "impossible")],
        ),
        (
            "unreadable",
            seq(3),
            doc! {"$unset": {"sender_id": ""}},
            &[("unreadable", "impossible")],
        ),
        (
            "target",
            seq(5),
            set(doc! {"target_seq": 9_i64}),
            &[("no_change", "impossible"), ("no_target", "impossible")],
        ),
        (
            "change",
            seq(3),
            set(doc! {"deleted_seq": 4_i64, "message": ""}),
            &[("no_change", "impossible")],
        ),
        (
            "edit",
            seq(1),
            doc! {"$set": {"message": "one"}, "$unset": {"edited_seq": ""}},
            &[("not_applied", "repaired")],
        ),
        (
            "deletion",
            seq(2),
            doc! {"$set": {"message": "two"}, "$unset": {"deleted_seq": ""}},
            &[("not_applied", "repaired")],
        ),
        (
            "no target",
            seq(4),
            doc! {"$unset": {"target_seq": ""}},
            &[("no_change", "impossible"), ("no_target", "impossible")],
        ),
        (
            "text of a deletion",
            seq(5),
            set(doc! {"message": "two"}),
            &[("text_left", "repaired")],
        ),
        (
            "empty",
            seq(3),
            set(doc! {"message": ""}),
            &[("wrong_text", "impossible")],
        ),
        (
            "long",
            seq(3),
            set(doc! {"message": "x".repeat(16_385)}),
            &[("wrong_text", "impossible")],
        ),
        (
            "no time",
            seq(1),
            set(doc! {"timestamp": "yesterday"}),
            &[("no_time", "impossible")],
        ),
        (
            "future",
            seq(5),
            set(doc! {"timestamp": "2999-01-01T00:00:00.000Z"}),
            &[("in_future", "impossible")],
        ),
        (
            "text",
            seq(2),
            set(doc! {"message": "two"}),
            &[("text_left", "repaired")],
        ),
        (
            "wording",
            seq(1),
            set(doc! {"message": "other"}),
            &[("wording_differs", "impossible")],
        ),
    ]
}

/// Damages of the documents of the user `a` or of a conversation itself.
fn projection_cases() -> Vec<(&'static str, &'static str, Document, [&'static str; 2])> {
    let member = |peer, fields: Document, damage| {
        ("members", peer, doc! {"$set": fields}, [damage, "repaired"])
    };
    let withheld = |peer, numbers: [i64; 2]| {
        let change = doc! {"$set": {"withheld": numbers.to_vec()}};
        ("members", peer, change, ["withheld_wrong", "impossible"])
    };
    let beyond = doc! {"read": 99_i64, "delivered": 99_i64};
    let undelivered = doc! {"read": 3_i64, "delivered": 1_i64};
    let reached = doc! {"$set": {"reached_seq": 99_i64}};
    vec![
        member("wrote", doc! {"wrote": false}, "member_differs"),
        member("marks", beyond, "mark_too_large"),
        member("read", doc! {"read": -1_i64}, "mark_negative"),
        member("hint", doc! {"last_seq": -1_i64}, "mark_negative"),
        member("undelivered", undelivered, "read_not_delivered"),
        withheld("unsorted", [5, 3]),
        withheld("beyond", [3, 99]),
        (
            "conversations",
            "reached",
            reached,
            ["reached_too_large", "repaired"],
        ),
    ]
}

#[tokio::test]
async fn each_kind_of_damage_is_found_and_repaired_as_far_as_that_is_said() {
    let chat = Chat::start().await;
    let (database, mut a) = (&chat.database, chat.connect_modern("a").await);
    let mut expected = Vec::new();
    for (peer, filter, change, damages) in direct_cases() {
        let id = direct(&mut a, peer).await;
        let mut filter = filter;
        filter.insert("conversation_id", &id);
        update(database, "chat_messages", filter, change).await;
        let damages = damages
            .iter()
            .map(|(damage, repair)| (id.clone(), *damage, *repair));
        expected.extend(damages);
    }
    for (collection, peer, change, [damage, repair]) in projection_cases() {
        let id = direct(&mut a, peer).await;
        let filter = match collection {
            "members" => doc! {"conversation_id": &id, "user_id": "a"},
            _ => doc! {"_id": &id},
        };
        update(database, collection, filter, change).await;
        expected.push((id, damage, repair));
    }
    let id = direct(&mut a, "moved").await;
    let members = database.collection::<Document>("members");
    let of_a = doc! {"conversation_id": &id, "user_id": "a"};
    let row = members.find_one_and_delete(of_a).await.expect("deleted");
    let mut row = row.expect("a row");
    row.insert("user_id", "x");
    members.insert_one(row).await.expect("inserted");
    expected.push((id.clone(), "member_differs", "repaired"));
    expected.push((id, "no_member", "impossible"));
    expected.extend(damage_groups(database, &mut a).await);
    expected.extend(damage_blocks(&chat, &mut a).await);
    let conversations = database.collection::<Document>("conversations");
    conversations
        .insert_one(doc! {"_id": "direct:1:q:r"})
        .await
        .expect("inserted");
    expected.push(("direct:1:q:r".to_owned(), "no_log", "impossible"));
    direct(&mut a, "whole").await;
    expected.sort();

    let possible = |repair| {
        if repair == "repaired" {
            "possible"
        } else {
            repair
        }
    };
    let of = |repair: fn(&'static str) -> &'static str| {
        let expected = expected.iter().cloned();
        expected
            .map(|(id, damage, it)| (id, damage.to_owned(), repair(it).to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&chat, &[], 1).await, of(possible));
    assert_eq!(found(&chat, &["--repair"], 1).await, of(possible));
    assert_eq!(
        found(&chat, &["--repair", "--confirm"], 1).await,
        of(|repair| repair)
    );
    let mut remaining = of(|repair| repair);
    remaining.retain(|(_, _, repair)| repair != "repaired");
    assert_eq!(found(&chat, &[], 1).await, remaining);
    chat.stop().await;
}

/// Makes groups and damages them; returns what is to be found.
async fn damage_groups(
    database: &Database,
    a: &mut Client,
) -> Vec<(String, &'static str, &'static str)> {
    let mut expected = Vec::new();
    for (collection, change, damage) in [
        (
            "conversations",
            doc! {"$set": {"title": "Other"}},
            "group_differs",
        ),
        (
            "conversations",
            doc! {"$unset": {"title": "", "title_seq": ""}},
            "group_differs",
        ),
        (
            "members",
            doc! {"$set": {"owner_seq": 0_i64}},
            "member_differs",
        ),
        (
            "members",
            doc! {"$unset": {"joined_seq": ""}},
            "member_differs",
        ),
    ] {
        let id = group(a).await;
        let filter = match collection {
            "members" => doc! {"conversation_id": &id, "user_id": "a"},
            _ => doc! {"_id": &id},
        };
        update(database, collection, filter, change).await;
        expected.push((id, damage, "repaired"));
    }
    let id = group(a).await;
    let rename = doc! {"conversation_id": &id, "seq": 3_i64};
    let message = doc! {"$set": {"message": "m"}};
    update(database, "chat_messages", rename, message).await;
    expected.push((id, "wrong_text", "impossible"));
    let id = group(a).await;
    let text = doc! {"conversation_id": &id, "seq": 4_i64};
    update(
        database,
        "chat_messages",
        text,
        doc! {"$set": {"sender_id": "c"}},
    )
    .await;
    expected.push((id, "not_permitted", "impossible"));
    expected
}

/// Lets `a`, who is connected, block users, and changes where that is written; returns what is to be found.
async fn damage_blocks(chat: &Chat, a: &mut Client) -> Vec<(String, &'static str, &'static str)> {
    let mut expected = Vec::new();
    let of_a = |field: &str| doc! {field: "a"};
    let pull = |peer: &str| doc! {"$pull": {"blocks": peer}};
    let cases = [
        ("users", of_a("_id"), "b1", pull("b1")),
        ("connections", of_a("user_id"), "b2", pull("b2")),
        (
            "members",
            of_a("user_id"),
            "b3",
            doc! {"$unset": {"withheld": ""}},
        ),
        // There is no conversation of the two.
        ("users", of_a("_id"), "b4", doc! {"$push": {"blocks": "b4"}}),
        (
            "connections",
            of_a("user_id"),
            "b5",
            doc! {"$push": {"blocks": "b5"}},
        ),
    ];
    for (collection, mut filter, peer, change) in cases {
        let id = format!("direct:1:a:{peer}");
        if ["b1", "b2", "b3"].contains(&peer) {
            direct(a, peer).await;
            block(chat, "a", peer, true).await;
        }
        if collection == "members" {
            filter.insert("conversation_id", &id);
        }
        update(&chat.database, collection, filter, change).await;
        expected.push((id, "block_differs", "repaired"));
    }
    block(chat, "a", "b6", true).await;
    expected
}

/// Returns the lines of damages, which a summary follows that counts them.
pub fn damages(mut lines: Vec<Value>) -> Vec<Value> {
    let summary = lines.pop().expect("a summary");
    assert_eq!(summary["damages"], lines.len(), "{summary}");
    lines
}

/// Returns what is found: conversation, damage and repair, in order.
async fn found(chat: &Chat, flags: &[&str], status: i32) -> Vec<(String, String, String)> {
    let arguments = [&["verify", "--settle", "0"], flags].concat();
    let text = |line: &Value, field: &str| line[field].as_str().expect("text").to_owned();
    let lines = damages(run(chat, &arguments, status).await);
    let mut found: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                text(line, "conversation_id"),
                text(line, "damage"),
                text(line, "repair"),
            )
        })
        .collect();
    found.sort();
    found
}

/// Puts a second document like the one that a filter names.
async fn copy(database: &Database, collection: &str, filter: Document, without: &str) {
    let collection = database.collection::<Document>(collection);
    let found = collection.find_one(filter).await.expect("read");
    let mut document = found.expect("a document");
    document.remove("_id");
    document.remove(without);
    collection.insert_one(document).await.expect("inserted");
}

#[tokio::test]
async fn what_only_a_unique_index_prevents_is_found_and_so_is_its_absence() {
    let chat = Chat::start().await;
    let mut a = chat.connect_modern("a").await;
    let id = direct(&mut a, "b").await;
    for (collection, index) in [
        ("chat_messages", "conversation_id_1_seq_1"),
        ("members", "conversation_id_1_user_id_1"),
    ] {
        let collection = chat.database.collection::<Document>(collection);
        collection.drop_index(index).await.expect("dropped");
    }
    let second = doc! {"conversation_id": &id, "seq": 3_i64};
    copy(&chat.database, "chat_messages", second, "client_message_id").await;
    let row = doc! {"conversation_id": &id, "user_id": "b"};
    copy(&chat.database, "members", row, "").await;
    let lines = run(&chat, &["verify", "--settle", "0"], 1).await;
    let line = |collection: &str, index: &str| json!({"collection": collection, "index": index, "damage": "index_missing", "repair": "impossible"});
    let expected = [
        json!({"conversation_id": id, "damage": "number_twice", "seq": 3, "repair": "impossible"}),
        json!({"conversation_id": id, "damage": "member_twice", "user_id": "b", "repair": "impossible"}),
        line("chat_messages", "conversation_id_1_seq_1"),
        line("members", "conversation_id_1_user_id_1"),
    ];
    assert_eq!(damages(lines), expected);
    chat.stop().await;
}

#[tokio::test]
async fn each_document_that_cannot_be_read_is_named_and_a_message_without_a_number_is_counted() {
    let chat = Chat::start().await;
    let mut a = chat.connect_modern("a").await;
    let id = direct(&mut a, "b").await;
    let sorted = |mut lines: Vec<Value>| {
        lines.sort_by_key(|line| line["document_id"].to_string());
        lines
    };
    let mut expected = Vec::new();
    let of_conversation = json!({"conversation_id": id});
    for (collection, document, about) in [
        (
            "chat_messages",
            doc! {"conversation_id": 7, "seq": 1_i64},
            json!({}),
        ),
        ("members", doc! {"user_id": "b"}, json!({})),
        (
            "members",
            doc! {"conversation_id": &id, "user_id": ""},
            of_conversation,
        ),
        ("connections", doc! {"user_id": "c"}, json!({})),
        ("users", doc! {"blocks": "everybody"}, json!({})),
    ] {
        let document_id = format!("{collection} {}", document.len());
        let mut document = document;
        document.insert("_id", &document_id);
        let documents = chat.database.collection::<Document>(collection);
        documents.insert_one(document).await.expect("inserted");
        let mut line = about;
        line["damage"] = json!("unreadable");
        line["collection"] = json!(collection);
        line["document_id"] = json!(document_id);
        line["repair"] = json!("impossible");
        expected.push(line);
    }
    let messages = chat.database.collection::<Document>("chat_messages");
    for document in [doc! {"message": "old"}, doc! {"no": "message"}] {
        messages.insert_one(document).await.expect("inserted");
    }
    for flags in [&[][..], &["--repair", "--confirm"]] {
        let arguments = [&["verify", "--settle", "0"], flags].concat();
        let lines = run(&chat, &arguments, 1).await;
        assert_eq!(lines.last().expect("a summary")["unnumbered"], 2);
        assert_eq!(sorted(damages(lines)), sorted(expected.clone()));
    }
    chat.stop().await;
}

#[tokio::test]
async fn what_was_found_before_a_failure_is_reported_and_nothing_is_skipped_after_it() {
    let chat = Chat::start().await;
    let mut a = chat.connect_modern("a").await;
    let ids = [direct(&mut a, "b").await, direct(&mut a, "c").await];
    let wrong = doc! {"conversation_id": &ids[0], "seq": 3_i64};
    let earlier = doc! {"$set": {"timestamp": "2020-01-01T00:00:00.000Z"}};
    update(&chat.database, "chat_messages", wrong, earlier).await;
    // The log, then the changes of each conversation, are one query. The second look may fail as well.
    for (second_look, found, go_on) in [(false, 1, &ids[1]), (true, 0, &ids[0])] {
        let relay = Relay::start(&chat.uri).await;
        let refuse = || Fault::Refuse(doc! {"ok": 0.0, "code": 8_000, "errmsg": "it is ill"});
        for _ in 0..2 {
            let (_, passes) = oneshot::channel();
            relay.fail("find", "chat_messages", Fault::Hold(passes));
        }
        let refusals = if second_look { 2 } else { 1 };
        for _ in 0..refusals {
            relay.fail("find", "chat_messages", refuse());
        }
        let mut command = admin::with(&relay.uri, chat.database.name());
        let printed = admin::run(&mut command, &["--json", "verify", "--settle", "0"]).await;
        assert_eq!(printed.status, 2, "{printed:?}");
        for part in [
            "it is ill".to_owned(),
            format!("; go on with --from '{go_on}'"),
        ] {
            assert!(printed.stderr.contains(&part), "{printed:?}");
        }
        let lines = printed.lines();
        let summary = lines.last().expect("a summary");
        assert_eq!(summary["uncertain"], 1 - found, "{printed:?}");
        assert_eq!(damages(lines).len(), found, "{printed:?}");
    }
    chat.stop().await;
}

#[tokio::test]
async fn that_there_is_nothing_to_verify_is_told() {
    let chat = Chat::start().await;
    let verify = async |database: &str, flags: &[&str], status: i32, sentence: &str| {
        let arguments = [&["verify", "--settle", "0"], flags].concat();
        let printed = admin::run(&mut admin::with(&chat.uri, database), &arguments).await;
        assert_eq!(printed.status, status, "{printed:?}");
        assert!(printed.stderr.contains(sentence), "{printed:?}");
        printed.stdout
    };
    let name = chat.database.name();
    verify(name, &[], 0, "is MONGODB_DATABASE right?").await;
    chat.connect("a").await.send_message("b", "m").await;
    verify(
        name,
        &["direct:1:a:c"],
        1,
        "nothing is known of direct:1:a:c",
    )
    .await;
    verify(
        name,
        &["--from", "direct:1:b"],
        1,
        "no conversation from direct:1:b on",
    )
    .await;
    verify(
        name,
        &["direct:1:a:b"],
        0,
        "1 conversations, 1 entries: 0 damages",
    )
    .await;
    // A new deployment has its indexes before it has messages.
    let misspelt = format!("{name}_");
    let found = verify(&misspelt, &[], 1, "is MONGODB_DATABASE right?").await;
    assert!(found.contains("run the migration"), "{found}");
    chat.stop().await;
}

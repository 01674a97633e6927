//! Edits and deletions: entries of the log, applied to the texts that they are about.
//!
//! - [`races`]: edits that race the deletion of their text, by processes that are killed

mod races;

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::client::{encode, get};
use tests::relay::{Counts, Relay};
use tests::{Chat, Client, messages, server};

use crate::list;
use crate::marks::{assert_refused, start};
use crate::operations;

pub const CONVERSATION: &str = "direct:1:a:b";

pub fn edit(seq: i64, message: &str, id: &str) -> Value {
    json!({
        "action": "editMessage", "conversation_id": CONVERSATION, "seq": seq, "message": message,
        "client_message_id": id,
    })
}

pub fn delete(seq: i64, id: &str) -> Value {
    json!({
        "action": "deleteMessage", "conversation_id": CONVERSATION, "seq": seq,
        "client_message_id": id,
    })
}

/// Sends a frame and returns its ack.
async fn acked(client: &mut Client, frame: &Value) -> Value {
    client.send(frame).await;
    let ack = client.next().await;
    assert_eq!(
        (&ack["type"], &ack["client_message_id"]),
        (&json!("ack"), &frame["client_message_id"]),
        "{frame}: {ack}"
    );
    ack
}

/// Reads the numbered log, with further `parameters` (`&limit=10`).
pub async fn log(chat: &Chat, parameters: &str) -> Vec<Value> {
    let (http, id) = (&chat.http, encode(CONVERSATION));
    let url = format!("{http}/chat/history?conversation_id={id}{parameters}");
    get(&url).await.messages()
}

/// Reads the texts in the form of the old system.
pub async fn texts(chat: &Chat) -> Vec<Value> {
    let messages = chat.history("a", "b", "").await.messages();
    messages
        .iter()
        .map(|message| message["message"].clone())
        .collect()
}

/// Returns the fields of entries that changes are about.
fn facts(entries: &[Value]) -> Vec<Value> {
    let fields = [
        "seq",
        "kind",
        "target_seq",
        "message",
        "edited_seq",
        "deleted_seq",
    ];
    let facts = |entry: &Value| {
        let entry = entry.as_object().expect("an object");
        let facts = entry
            .iter()
            .filter(|(name, _)| fields.contains(&name.as_str()));
        facts
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    entries.iter().map(facts).collect()
}

#[tokio::test]
async fn a_change_is_an_entry_and_every_reader_ends_with_the_same_view() {
    let chat = start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    let mut other_of_a = chat.connect_modern("a").await;
    let (mut old_a, mut old_b) = (chat.connect("a").await, chat.connect("b").await);
    for text in ["At 2PM?", "Bring cake", "Bye"] {
        a.send_message("b", text).await;
        for client in [&mut b, &mut other_of_a, &mut old_a, &mut old_b] {
            assert_eq!(client.next().await["message"], text);
        }
    }
    let edited = acked(&mut a, &edit(1, "At 3PM?", "e")).await;
    assert_eq!(
        (&edited["seq"], &edited["status"], &edited["duplicate"]),
        (&json!(4), &json!("delivered"), &json!(false))
    );
    let deleted = acked(&mut a, &delete(2, "d")).await;
    assert_eq!(deleted["seq"], 5);
    let entry = |kind: &str, ack: &Value, target: i64, message: &str| {
        json!({
            "type": "entry", "kind": kind, "message_id": ack["message_id"],
            "conversation_id": CONVERSATION, "seq": ack["seq"], "sender_id": "a",
            "receiver_id": "b", "target_seq": target, "message": message,
            "timestamp": ack["timestamp"], "client_message_id": ack["client_message_id"],
        })
    };
    for client in [&mut b, &mut other_of_a] {
        assert_eq!(client.next().await, entry("edit", &edited, 1, "At 3PM?"));
        assert_eq!(client.next().await, entry("delete", &deleted, 2, ""));
    }
    for client in [&mut a, &mut b, &mut other_of_a, &mut old_a, &mut old_b] {
        client.expect_nothing().await;
    }

    let whole = [
        json!({"seq": 1, "message": "At 3PM?", "edited_seq": 4}),
        json!({"seq": 2, "message": "", "deleted_seq": 5}),
        json!({"seq": 3, "message": "Bye"}),
        json!({"seq": 4, "kind": "edit", "target_seq": 1, "message": "At 3PM?"}),
        json!({"seq": 5, "kind": "delete", "target_seq": 2, "message": ""}),
    ];
    assert_eq!(facts(&log(&chat, "").await), whole);
    assert_eq!(facts(&log(&chat, "&after=3").await), whole[3..]);
    assert_eq!(facts(&log(&chat, "&before=3").await), whole[..2]);
    assert_eq!(texts(&chat).await, ["At 3PM?", "Bye"]);
    chat.stop().await;
}

#[tokio::test]
async fn an_edit_of_a_deleted_text_leaves_no_wording_behind() {
    let chat = start().await;
    let mut a = chat.connect_modern("a").await;
    a.send_message("b", "secret 1").await;
    for (number, id) in [(2, "e-2"), (3, "e-3")] {
        acked(&mut a, &edit(1, &format!("secret {number}"), id)).await;
    }
    acked(&mut a, &delete(1, "d")).await;
    assert_refused(&mut a, &edit(1, "secret 4", "e-4"), "message_not_found").await;
    assert_eq!(
        facts(&log(&chat, "").await),
        [
            json!({"seq": 1, "message": "", "edited_seq": 3, "deleted_seq": 4}),
            json!({"seq": 2, "kind": "edit", "target_seq": 1, "message": ""}),
            json!({"seq": 3, "kind": "edit", "target_seq": 1, "message": ""}),
            json!({"seq": 4, "kind": "delete", "target_seq": 1, "message": ""}),
        ]
    );
    messages::assert_nowhere(&chat.database, "secret").await;
    assert_eq!(texts(&chat).await, [Value::Null; 0]);
    chat.stop().await;
}

#[tokio::test]
async fn only_own_texts_can_be_changed() {
    let chat = start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    let mut stranger = chat.connect_modern("c").await;
    a.send_message("b", "from a").await;
    b.next().await;
    acked(&mut a, &edit(1, "from a, edited", "e")).await;
    b.next().await;
    for frame in [edit(1, "mine", "x"), delete(1, "x")] {
        assert_refused(&mut b, &frame, "forbidden").await;
        assert_refused(&mut stranger, &frame, "forbidden").await;
    }
    for seq in [i64::MIN, -1, 0, 2, 3, i64::MAX] {
        assert_refused(&mut a, &edit(seq, "m", "x"), "message_not_found").await;
        assert_refused(&mut a, &delete(seq, "x"), "message_not_found").await;
    }
    let action = |action: &str, fields: Value| {
        let mut frame = fields;
        frame["action"] = json!(action);
        frame["conversation_id"] = json!(CONVERSATION);
        frame
    };
    for (fields, code) in [
        (json!({"message": "m"}), "invalid_frame"),
        (json!({"seq": "1", "message": "m"}), "invalid_frame"),
        (json!({"seq": 1.5, "message": "m"}), "invalid_frame"),
        (json!({"seq": {"$gt": 0}, "message": "m"}), "invalid_frame"),
        (json!({"seq": 1}), "invalid_frame"),
        (json!({"seq": 1, "message": null}), "invalid_frame"),
        (json!({"seq": 1, "message": ""}), "message_empty"),
        (
            json!({"seq": 1, "message": "x".repeat(16_385)}),
            "message_too_long",
        ),
        (
            json!({"seq": 1, "message": "m", "receiver_id": "b"}),
            "invalid_frame",
        ),
        (
            json!({"seq": 1, "message": "m", "client_message_id": ""}),
            "invalid_frame",
        ),
    ] {
        assert_refused(&mut a, &action("editMessage", fields), code).await;
    }
    b.expect_nothing().await;
    assert_eq!(texts(&chat).await, ["from a, edited"]);
    chat.stop().await;
}

#[tokio::test]
async fn a_change_has_its_time() {
    let settings = Chat::with().parameters(&["EditWindow=0", "DeleteWindow=3600"]);
    let chat = settings.start().await;
    let mut a = chat.connect_modern("a").await;
    for _ in 0..2 {
        a.send_message("b", "m").await;
    }
    assert_refused(&mut a, &edit(1, "n", "e"), "too_late").await;
    let messages = chat.database.collection::<Document>("chat_messages");
    let hour_ago = chrono::Utc::now() - chrono::TimeDelta::seconds(3_601);
    let older = doc! {"$set": {"timestamp": chat::timestamp::format(hour_ago)}};
    let aged = messages.update_one(doc! {"seq": 1}, older).await;
    assert_eq!(aged.expect("aged").matched_count, 1);
    assert_refused(&mut a, &delete(1, "d"), "too_late").await;
    acked(&mut a, &delete(2, "d")).await;
    chat.stop().await;
}

#[tokio::test]
async fn a_resend_of_a_change_is_one_change_also_when_it_would_be_refused_by_now() {
    let chat = start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    let mut old_b = chat.connect("b").await;
    a.send_message("b", "one").await;
    let mut first = Vec::new();
    for frame in [edit(1, "two", "e"), delete(1, "d")] {
        first.push((acked(&mut a, &frame).await, frame));
    }
    for client in [&mut b, &mut old_b] {
        assert_eq!(client.next().await["type"], "message");
    }
    for kind in ["edit", "delete"] {
        assert_eq!(b.next().await["kind"], kind);
    }
    for (ack, frame) in &first {
        let again = acked(&mut a, frame).await;
        assert_eq!(
            (&again["seq"], &again["message_id"], &again["duplicate"]),
            (&ack["seq"], &ack["message_id"], &json!(true))
        );
        // It is pushed again, without the text that is taken back.
        let pushed = b.next().await;
        assert_eq!(
            (&pushed["seq"], &pushed["message"]),
            (&ack["seq"], &json!(""))
        );
    }
    // What says something else under the same id is no resend.
    for frame in [delete(1, "e"), edit(1, "two", "d")] {
        assert_refused(&mut a, &frame, "id_conflict").await;
    }
    old_b.expect_nothing().await;
    assert_eq!(log(&chat, "").await.len(), 3);
    chat.stop().await;
}

#[tokio::test]
async fn a_late_resend_of_a_text_brings_no_older_wording_back() {
    let chat = start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    let mut old_b = chat.connect("b").await;
    let text = |id: &str| json!({"action": "sendMessage", "receiver_id": "b", "message": "one", "client_message_id": id});
    for id in ["m-1", "m-2"] {
        acked(&mut a, &text(id)).await;
    }
    acked(&mut a, &edit(1, "two", "e")).await;
    acked(&mut a, &delete(2, "d")).await;
    for _ in 0..4 {
        b.next().await;
    }
    for _ in 0..2 {
        old_b.next().await;
    }
    for (id, seq, pushed) in [
        (
            "m-1",
            1,
            json!({"seq": 1, "message": "two", "edited_seq": 3}),
        ),
        ("m-2", 2, json!({"seq": 2, "message": "", "deleted_seq": 4})),
    ] {
        let again = acked(&mut a, &text(id)).await;
        assert_eq!(
            (&again["seq"], &again["duplicate"]),
            (&json!(seq), &json!(true))
        );
        assert_eq!(facts(&[b.next().await]), [pushed]);
    }
    assert_eq!(old_b.next().await["message"], "two");
    old_b.expect_nothing().await;
    assert_eq!(log(&chat, "").await.len(), 4);
    chat.stop().await;
}

#[tokio::test]
async fn the_list_shows_the_newest_wording_and_counts_texts_only() {
    let chat = start().await;
    let mut a = chat.connect_modern("a").await;
    for text in ["one", "two", "three"] {
        a.send_message("b", text).await;
    }
    let row = async |expected: (i64, &str, i64, i64)| {
        let row = list::only_row(&chat, "b").await;
        let (newest, message, seq, unread) = expected;
        // Older copies of the library read on up to the newest number in the form that shows texts only.
        let newest_text = if message.is_empty() { 0 } else { seq };
        assert_eq!(row["newest_seq"], newest_text, "{row}");
        assert_eq!(
            (
                &row["newest_entry_seq"],
                &row["preview"]["message"],
                &row["preview"]["seq"],
                &row["unread"]
            ),
            (&json!(newest), &json!(message), &json!(seq), &json!(unread)),
            "{row}"
        );
    };
    row((3, "three", 3, 3)).await;
    acked(&mut a, &edit(3, "four", "e")).await;
    row((4, "four", 3, 3)).await;
    acked(&mut a, &delete(3, "d-3")).await;
    row((5, "two", 2, 2)).await;
    // A hint of a list may lie behind all texts.
    let members = chat.database.collection::<Document>("members");
    let hint = doc! {"$set": {"last_seq": 5_i64}};
    members.update_many(doc! {}, hint).await.expect("moved");
    row((5, "two", 2, 2)).await;
    for seq in [1, 2] {
        acked(&mut a, &delete(seq, &format!("d-{seq}"))).await;
    }
    row((7, "", 7, 0)).await;
    chat.stop().await;
}

#[tokio::test]
async fn the_operations_of_a_change_are_counted() {
    let relay = Relay::start(server::uri().await).await;
    let chat = operations::start(&relay, &["--concurrency", "1"]).await;
    let mut a = chat.connect_modern("a").await;
    for _ in 0..3 {
        a.send_message("b", "m").await;
    }
    relay.take();
    let expected = |updates: usize, extra: &[(&str, usize)]| {
        // The target, the newest number and the connections.
        let operations = [("find", 3), ("insert", 1), ("update", updates)];
        let operations = operations.iter().chain(extra);
        operations
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect::<Counts>()
    };
    // One of five messages and changes counts them.
    acked(&mut a, &edit(1, "n", "e-1")).await;
    assert_eq!(relay.take(), expected(1, &[]));
    acked(&mut a, &edit(1, "o", "e-2")).await;
    assert_eq!(relay.take(), expected(1, &[]));
    // The text, then all of its edits.
    acked(&mut a, &delete(1, "d")).await;
    assert_eq!(relay.take(), expected(2, &[("findAndModify", 1)]));
    chat.stop().await;
}

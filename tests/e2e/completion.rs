//! A sender that was killed behind its insert: whoever reads the entry completes what follows from it.

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::relay::{Fault, Relay};
use tests::{Chat, Client, messages, server};

use crate::changes::{CONVERSATION, delete, edit, log, texts};
use crate::marks::assert_refused;
use crate::{groups, list, operations};

/// A chat whose database fails on demand.
struct Failing {
    relay: Relay,
    chat: Chat,
}

impl Failing {
    async fn start() -> Self {
        let relay = Relay::start(server::uri().await).await;
        let chat = operations::start(&relay, &[]).await;
        Self { relay, chat }
    }

    /// Sends a frame whose entry is inserted, and whose first update of a collection is refused. Its sender gets no
    /// ack, as if the function had been killed.
    async fn interrupt(&self, client: &mut Client, frame: &Value, collection: &'static str) {
        // The updates of some collections are tried twice.
        let attempts = if collection == "members" { 2 } else { 1 };
        for _ in 0..attempts {
            let refusal = doc! {"ok": 0, "code": 1, "errmsg": "refused"};
            let fault = Fault::Refuse(refusal);
            self.relay.fail("update", collection, fault);
        }
        assert_refused(client, frame, "unavailable").await;
    }
}

#[tokio::test]
async fn a_reader_of_a_change_finds_it_applied() {
    let failing = Failing::start().await;
    let chat = &failing.chat;
    let mut a = chat.connect_modern("a").await;
    a.send_message("b", "secret").await;
    failing
        .interrupt(&mut a, &edit(1, "new wording", "e"), "chat_messages")
        .await;
    assert_eq!(texts(chat).await, ["secret"], "old clients do not read it");

    // A page that begins behind the text.
    let read = log(chat, "&after=1").await;
    assert_eq!(read[0]["message"], "new wording");
    assert_eq!(texts(chat).await, ["new wording"]);
    messages::assert_nowhere(&chat.database, "secret").await;

    failing
        .interrupt(&mut a, &delete(1, "d"), "chat_messages")
        .await;
    assert_eq!(texts(chat).await, ["new wording"]);
    let read = log(chat, "").await;
    assert_eq!(read[0]["deleted_seq"], 3, "as it is when it is applied");
    messages::assert_nowhere(&chat.database, "new wording").await;
    failing.chat.stop().await;
}

#[tokio::test]
async fn a_reader_of_a_deletion_takes_away_the_edits_that_it_has_left() {
    let failing = Failing::start().await;
    let chat = &failing.chat;
    let mut a = chat.connect_modern("a").await;
    a.send_message("b", "one").await;
    for frame in [edit(1, "secret", "e"), delete(1, "d")] {
        groups::acked(&mut a, &frame).await;
    }
    let entries = chat.database.collection::<Document>("chat_messages");
    let edit = doc! {"conversation_id": CONVERSATION, "seq": 2};
    let left = doc! {"$set": {"message": "secret"}};
    entries.update_one(edit, left).await.expect("updated");

    assert_eq!(log(chat, "&after=2").await.len(), 1, "the deletion alone");
    messages::assert_nowhere(&chat.database, "secret").await;
    failing.chat.stop().await;
}

#[tokio::test]
async fn a_sender_who_reads_a_first_message_has_it_in_both_lists() {
    let failing = Failing::start().await;
    let chat = &failing.chat;
    let mut a = chat.connect_modern("a").await;
    let frame = json!({
        "action": "sendMessage", "receiver_id": "b", "message": "m", "client_message_id": "m",
    });
    failing.interrupt(&mut a, &frame, "members").await;
    assert_eq!(list::rows(chat, "a").await, [Value::Null; 0]);

    assert_eq!(log(chat, "").await.len(), 1);
    for user in ["a", "b"] {
        let row = list::only_row(chat, user).await;
        assert_eq!(row["preview"]["message"], "m", "{user}");
    }
    failing.chat.stop().await;
}

#[tokio::test]
async fn a_reader_of_a_group_completes_its_members() {
    let failing = Failing::start().await;
    let chat = &failing.chat;
    let mut a = chat.connect_modern("a").await;
    let group = groups::created(&mut a, &["b"]).await;
    let invite = groups::frame("invite", &group, json!({"users": ["c"]}));
    failing.interrupt(&mut a, &invite, "members").await;
    let groups_of_c = async || list::page(chat, "c", "&groups=true").await.messages();
    assert_eq!(groups_of_c().await, [Value::Null; 0]);

    assert_eq!(groups::numbers(chat, &group, "a", "").await, [1, 2]);
    assert_eq!(groups_of_c().await[0]["conversation_id"], group);
    failing.chat.stop().await;
}

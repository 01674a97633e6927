//! A user mutes a conversation, or blocks another user, who cannot tell.
//!
//! - [`races`]: blocks beside sends, handshakes and other blocks

mod races;

use chat::{ConversationId, UserId};
use hyper::Method;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::client::{HttpResponse, encode, get, request};
use tests::launch::Host;
use tests::relay::Relay;
use tests::{Chat, Client, server};

use crate::list::{only_row, rows};
use crate::marks::{mark, send, start};

/// Changes what `user_id` has set for a conversation.
pub async fn put(chat: &Chat, user_id: &str, body: &Value) -> HttpResponse {
    let url = format!("{}/chat/conversations?user={}", chat.http, encode(user_id));
    request(Method::PUT, &url, body.to_string().into()).await
}

/// Lets `user_id` block `peer_id`, or end that.
pub async fn block(chat: &Chat, user_id: &str, peer_id: &str, blocked: bool) {
    let body = json!({"peer_id": peer_id, "blocked": blocked});
    let response = put(chat, user_id, &body).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.json()["blocked"], blocked, "{response:?}");
}

fn user(id: &str) -> UserId {
    UserId::try_from(id.to_owned()).expect("a valid id")
}

/// Returns the numbered log of a direct conversation as `reader` sees it.
async fn log(chat: &Chat, reader: &str, peer: &str, parameters: &str) -> Vec<Value> {
    let id = ConversationId::direct(&user(reader), &user(peer));
    let (id, user) = (encode(id.as_str()), encode(reader));
    let http = &chat.http;
    let url = format!("{http}/chat/history?conversation_id={id}&user={user}{parameters}");
    get(&url).await.messages()
}

/// Returns the text of each entry.
fn texts(entries: &[Value]) -> Vec<&str> {
    let text = |entry: &'_ Value| entry["message"].as_str().is_some();
    assert!(entries.iter().all(text), "{entries:?}");
    let texts = entries.iter().map(|entry| entry["message"].as_str());
    texts.flatten().collect()
}

/// Sends an edit of the text `seq`, and returns its ack.
async fn edit(client: &mut Client, peer: &str, seq: i64, message: &str) -> Value {
    let frame =
        json!({"action": "editMessage", "receiver_id": peer, "seq": seq, "message": message});
    client.send(&frame).await;
    client.next().await
}

#[tokio::test]
async fn a_muted_conversation_is_muted_on_all_devices_and_stays_unread() {
    let chat = start().await;
    let mut a = [
        chat.connect_modern("a").await,
        chat.connect_modern("a").await,
    ];
    let (mut old, mut b) = (chat.connect("a").await, chat.connect_modern("b").await);
    b.send_message("a", "one").await;
    for client in a.iter_mut().chain([&mut old]) {
        client.next().await;
    }
    let mute = json!({"conversation_id": "direct:1:a:b", "muted": true});
    let muted = put(&chat, "a", &mute).await;
    let settings = json!({"conversation_id": "direct:1:a:b", "muted": true, "blocked": false});
    assert_eq!(muted.json(), settings);
    for client in &mut a {
        let mut frame = client.next().await;
        assert_eq!(frame["type"].take(), "conversation");
        frame.as_object_mut().expect("an object").remove("type");
        assert_eq!(frame, settings);
    }
    assert_eq!(b.send_message("a", "two").await["status"], "delivered");
    assert_eq!(old.next().await["message"], "two");
    let row = only_row(&chat, "a").await;
    assert_eq!((&row["muted"], &row["unread"]), (&json!(true), &json!(2)));
    let of_b = only_row(&chat, "b").await;
    assert_eq!(of_b.get("muted"), None, "it is the user's own");
    put(&chat, "a", &json!({"peer_id": "b", "muted": false})).await;
    assert_eq!(only_row(&chat, "a").await.get("muted"), None);
    chat.stop().await;
}

#[tokio::test]
async fn a_group_is_muted_by_its_members_and_nobody_is_blocked_in_it() {
    let chat = start().await;
    let mut a = chat.connect_modern("a").await;
    a.send(
        &json!({"action": "createGroup", "title": "t", "users": ["b"], "client_message_id": "g"}),
    )
    .await;
    let group = a.next().await["conversation_id"].clone();
    let muted = put(
        &chat,
        "b",
        &json!({"conversation_id": group, "muted": true}),
    )
    .await;
    assert_eq!(muted.json()["muted"], true, "{muted:?}");
    let url = format!("{}/chat/conversations?user=b&groups=true", chat.http);
    assert_eq!(get(&url).await.messages()[0]["muted"], true);
    for (user, body, status) in [
        ("c", json!({"conversation_id": group, "muted": true}), 403),
        (
            "c",
            json!({"conversation_id": "direct:1:a:b", "muted": true}),
            403,
        ),
        ("b", json!({"conversation_id": group, "blocked": true}), 400),
        ("b", json!({"peer_id": "b", "blocked": true}), 400),
        ("b", json!({"muted": true}), 400),
    ] {
        assert_eq!(
            put(&chat, user, &body).await.status,
            status,
            "{user}: {body}"
        );
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_user_blocks_five_hundred_others_and_may_block_one_of_them_again() {
    let chat = start().await;
    let others: Vec<String> = (0..500).map(|number| format!("u{number}")).collect();
    let users = chat.database.collection::<Document>("users");
    let row = doc! {"_id": "a", "blocks": &others};
    users.insert_one(row).await.expect("inserted");
    let refused = put(&chat, "a", &json!({"peer_id": "b", "blocked": true})).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    block(&chat, "a", "u7", true).await;
    block(&chat, "a", "u7", false).await;
    block(&chat, "a", "b", true).await;
    let mut device = chat.connect("a").await;
    for (peer, status) in [("u8", "stored"), ("b", "stored"), ("u7", "delivered")] {
        let mut sender = chat.connect(peer).await;
        assert_eq!(
            sender.send_message("a", "m").await["status"],
            status,
            "{peer}"
        );
    }
    assert_eq!(device.next().await["sender_id"], "u7");
    device.expect_nothing().await;
    chat.stop().await;
}

#[tokio::test]
async fn what_a_blocked_user_writes_is_withheld_for_good() {
    let chat = start().await;
    let mut a = chat.connect_modern("a").await;
    let (mut b, mut old) = (chat.connect_modern("b").await, chat.connect("b").await);
    a.send_message("b", "one").await;
    a.send_message("b", "two").await;
    for client in [&mut b, &mut old] {
        client.next().await;
        client.next().await;
    }
    block(&chat, "b", "a", true).await;
    assert_eq!(b.next().await["type"], "conversation");
    assert_eq!(a.send_message("b", "three").await["status"], "stored");
    edit(&mut a, "b", 1, "reworded").await;
    a.send(&json!({"action": "deleteMessage", "receiver_id": "b", "seq": 2}))
        .await;
    a.next().await;
    let row = only_row(&chat, "b").await;
    assert_eq!(
        (&row["blocked"], &row["unread"], &row["newest_entry_seq"]),
        (&json!(true), &json!(0), &json!(5)),
        "{row}"
    );
    assert!(!row.to_string().contains("three"), "{row}");

    block(&chat, "b", "a", false).await;
    b.next().await;
    edit(&mut a, "b", 3, "again").await;
    assert_eq!(
        b.next().await["message"],
        "again",
        "about what the client has as deleted"
    );
    assert_eq!(a.send_message("b", "six").await["status"], "delivered");
    for client in [&mut b, &mut old] {
        assert_eq!(client.next().await["message"], "six");
        client.expect_nothing().await;
    }
    let entries = log(&chat, "b", "a", "").await;
    assert_eq!(texts(&entries), ["", "", "", "", "", "", "six"], "no hole");
    let withheld: Vec<bool> = entries
        .iter()
        .map(|entry| entry["withheld"] == true)
        .collect();
    assert_eq!(withheld, [true, false, true, true, false, true, false]);
    assert_eq!(
        texts(&log(&chat, "b", "a", "&after=2&limit=3").await),
        ["", "", ""]
    );
    // An old client reads texts alone.
    assert_eq!(texts(&chat.history("b", "a", "").await.messages()), ["six"]);
    assert_eq!(chat.history("b", "a", "&limit=1").await.link("prev"), None);
    let row = only_row(&chat, "b").await;
    assert_eq!(
        (&row["unread"], &row["blocked"]),
        (&json!(1), &Value::Null),
        "{row}"
    );
    assert_eq!(row["preview"]["message"], "six");
    // The sender sees it all.
    let own = log(&chat, "a", "b", "").await;
    assert_eq!(
        texts(&own),
        ["reworded", "", "again", "reworded", "", "again", "six"]
    );
    chat.stop().await;
}

#[tokio::test]
async fn a_message_of_the_time_of_a_block_that_is_sent_again_later_stays_withheld() {
    let chat = start().await;
    let mut a = chat.connect("a").await;
    let (mut own, mut b) = (chat.connect("a").await, chat.connect("b").await);
    let message = |receiver: &str| json!({"action": "sendMessage", "receiver_id": receiver, "message": "m", "client_message_id": "m"});
    block(&chat, "b", "a", true).await;
    a.send(&message("b")).await;
    assert_eq!(a.next().await["status"], "stored");
    block(&chat, "b", "a", false).await;
    // That the sender had blocked the receiver, too, changes nothing for the sender's own devices.
    block(&chat, "a", "b", true).await;
    a.send(&message("b")).await;
    let ack = a.next().await;
    assert_eq!(
        (&ack["status"], &ack["duplicate"]),
        (&json!("stored"), &json!(true))
    );
    b.expect_nothing().await;
    for _ in 0..2 {
        assert_eq!(own.next().await["message"], "m");
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_blocked_conversation_stays_where_it_is_in_the_list() {
    let chat = start().await;
    let (mut a, mut c) = (chat.connect("a").await, chat.connect("c").await);
    a.send_message("b", "from a").await;
    c.send_message("b", "from c").await;
    block(&chat, "b", "a", true).await;
    for _ in 0..60 {
        a.send_message("b", "withheld").await;
    }
    let list = rows(&chat, "b").await;
    assert_eq!(list[0]["peer_id"], "c");
    assert_eq!(list[1]["preview"]["message"], "from a");
    assert_eq!(
        (&list[1]["unread"], &list[1]["newest_seq"]),
        (&json!(1), &json!(1))
    );
    // A user who is blocked before the first message is in no list.
    block(&chat, "b", "d", true).await;
    assert_eq!(rows(&chat, "b").await.len(), 2);
    let mut d = chat.connect("d").await;
    assert_eq!(d.send_message("b", "hello").await["seq"], 1);
    assert_eq!(texts(&log(&chat, "b", "d", "").await), [""]);
    chat.stop().await;
}

/// Returns what a frame or a response says, without what differs from message to message.
fn without_ids(mut answer: Value) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        fields.remove("conversation_id");
        for field in ["client_message_id", "message_id", "timestamp"] {
            if let Some(value) = fields.get_mut(field) {
                *value = true.into();
            }
        }
    }
    answer
}

/// Reads frames up to one that is wanted.
async fn until(client: &mut Client, is_wanted: impl Fn(&Value) -> bool) {
    while !is_wanted(&client.next().await) {}
}

/// Sends frames of every kind from a device of `a` to `peer`. Returns all that it gets, also by requests.
///
/// Each frame waits for the one before, which `a`'s other device sees: a process shares the reads of frames that it
/// has at once, and the operations could not be counted.
async fn answers(chat: &Chat, [a, other]: &mut [Client; 2], peer: &str) -> Vec<Value> {
    let mut answers = Vec::new();
    for text in ["one", "two"] {
        answers.push(a.send_message(peer, text).await);
    }
    let newest = answers[1]["seq"].as_i64().expect("a number");
    a.send(&json!({"receiver_id": peer, "message": "three", "sender_id": "a"}))
        .await;
    until(other, |frame| frame["message"] == "three").await;
    send(a, &json!({"action": "typing", "receiver_id": peer})).await;
    send(a, &mark(peer, newest)).await;
    until(other, |frame| frame["type"] == "receipt").await;
    answers.push(edit(a, peer, newest, "changed").await);
    a.send(&json!({"action": "deleteMessage", "receiver_id": peer, "seq": newest}))
        .await;
    answers.push(a.next().await);
    a.expect_nothing().await;
    let list = rows(chat, "a").await;
    let row = list
        .iter()
        .find(|row| row["peer_id"] == peer)
        .expect("a row");
    let fields = [
        "unread",
        "read",
        "peer_read",
        "peer_delivered",
        "newest_entry_seq",
    ];
    answers.push(fields.iter().map(|field| row[field].clone()).collect());
    let presence = format!("{}/chat/presence?user=a&of={}", chat.http, encode(peer));
    let mut presence = get(&presence).await.json();
    presence[0]["user_id"].take();
    answers.push(presence);
    answers.into_iter().map(without_ids).collect()
}

/// The same, five times: the requests of a user are counted for the limits in batches of five.
async fn rounds(chat: &Chat, a: &mut [Client; 2], peer: &str) -> Vec<Vec<Value>> {
    let mut rounds = Vec::new();
    for _ in 0..5 {
        rounds.push(answers(chat, a, peer).await);
    }
    rounds
}

/// Reads frames up to the pong of a ping.
async fn skip(client: &mut Client) {
    client.send(&json!({"action": "ping"})).await;
    until(client, |frame| frame["type"] == "pong").await;
}

/// A blocked user gets exactly what a user gets whose peer is offline and unknown, and the server does the same for
/// both.
async fn cannot_tell(host: Host, flags: &[&str]) {
    let relay = Relay::start(server::uri().await).await;
    let settings = Chat::with().host(host).flags(flags);
    let settings = settings.database(&relay.uri, &server::database_name());
    let chat = settings.start().await;
    let mut a = [
        chat.connect_modern("a").await,
        chat.connect_modern("a").await,
    ];
    let mut blocker = [
        chat.connect_modern("blocker").await,
        chat.connect_modern("blocker").await,
        chat.connect("blocker").await,
    ];
    // The processes know the connections before the block.
    for peer in ["blocker", "offline"] {
        answers(&chat, &mut a, peer).await;
    }
    let [first, second, old] = &mut blocker;
    for client in [&mut *first, &mut *second, &mut *old] {
        skip(client).await;
    }

    block(&chat, "blocker", "a", true).await;
    for client in [&mut *first, &mut *second] {
        assert_eq!(client.next().await["type"], "conversation");
    }
    relay.take();
    let of_blocker = rounds(&chat, &mut a, "blocker").await;
    let operations = relay.take();
    let of_offline = rounds(&chat, &mut a, "offline").await;
    assert_eq!(relay.take(), operations, "the same operations");
    assert_eq!(of_blocker, of_offline);
    assert_eq!(of_blocker[0][0]["status"], "stored");
    // What the blocker marks and types is not told.
    send(first, &mark("a", 3)).await;
    send(first, &json!({"action": "typing", "receiver_id": "a"})).await;
    a[0].expect_nothing().await;
    assert_eq!(
        second.next().await["type"],
        "receipt",
        "it is told to the user's own devices"
    );
    let list = rows(&chat, "a").await;
    let row = list
        .iter()
        .find(|row| row["peer_id"] == "blocker")
        .expect("a row");
    assert_eq!(row["peer_read"], 0, "as before the block");
    // Nothing has come, on any device.
    for client in &mut blocker {
        client.expect_nothing().await;
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_blocked_user_cannot_tell() {
    cannot_tell(Host::Processes, &["--concurrency", "1"]).await;
}

#[tokio::test]
async fn a_blocked_user_cannot_tell_from_a_process_with_many_events() {
    cannot_tell(Host::InFlight, &[]).await;
}

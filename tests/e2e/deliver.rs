//! Pushes to large groups: `send-message` puts them into a queue, and `deliver` makes them.
//!
//! - [`failures`]: the queue, the database or a message of the queue is no good

mod failures;

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};
use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};
use tests::client::{Connect, Connection};
use tests::function::Function;
use tests::launch::Host;
use tests::relay::{Counts, Relay};
use tests::{Chat, Client, programs, queue, server, until};
use tokio::net::TcpSocket;
use tokio::process::Command;

use crate::groups::{acked, create, entry, frame, message};

/// The users whom a frame may name.
const USERS_OF_A_FRAME: usize = 49;

/// More members than a chunk of the queue has, beside the owner.
pub const MANY: usize = 204;

/// Settings under which a group may have that many members.
pub fn settings() -> tests::chat::Settings {
    Chat::with().parameters(&["GroupSize=1000"])
}

pub fn member(number: usize) -> String {
    format!("u{number:03}")
}

/// Creates a group of the client's user and of so many members.
pub async fn large_group(owner: &mut Client, members: usize) -> String {
    let users: Vec<String> = (0..members).map(member).collect();
    let mut frames = users.chunks(USERS_OF_A_FRAME);
    let first: Vec<&str> = frames
        .next()
        .expect("members")
        .iter()
        .map(|it| &**it)
        .collect();
    let id = format!("g-{}", fastrand::u64(..));
    let ack = acked(owner, &create("Lecture", &first, &id)).await;
    let group = ack["conversation_id"].as_str().expect("an id").to_owned();
    for users in frames {
        acked(owner, &frame("invite", &group, json!({"users": users}))).await;
    }
    group
}

/// Connects modern clients of members.
async fn connect(chat: &Chat, members: impl IntoIterator<Item = usize>) -> Vec<Client> {
    let mut clients = Vec::new();
    for number in members {
        clients.push(chat.connect_modern(&member(number)).await);
    }
    clients
}

/// Receives so many entries, and returns them by their numbers.
async fn received(client: &mut Client, count: usize) -> BTreeMap<i64, Vec<Value>> {
    let mut entries = BTreeMap::<i64, Vec<Value>>::new();
    for _ in 0..count {
        let entry = client.next().await;
        assert_eq!(entry["type"], "entry", "{entry}");
        entries.entry(seq(&entry)).or_default().push(entry);
    }
    entries
}

/// Receives the entries that were pushed so far, and returns them by their numbers.
async fn received_until_pong(client: &mut Client) -> BTreeMap<i64, Vec<Value>> {
    client.send(&json!({"action": "ping"})).await;
    let mut entries = BTreeMap::<i64, Vec<Value>>::new();
    loop {
        let frame = client.next().await;
        if frame["type"] == "pong" {
            return entries;
        }
        entries.entry(seq(&frame)).or_default().push(frame);
    }
}

fn seq(frame: &Value) -> i64 {
    frame["seq"].as_i64().expect("a number")
}

/// Waits until the queue is empty, and every push was made.
pub async fn wait_delivered(chat: &Chat) {
    until(async || waiting(chat, "DeliveryQueue").await == 0).await;
}

/// Returns how many messages are in a queue, those that are with a function included.
async fn waiting(chat: &Chat, queue: &str) -> u64 {
    use aws_sdk_sqs::types::QueueAttributeName;
    let url = format!("{}/123456789012/{queue}", chat.gateway.functions);
    let client = queue::client(&chat.gateway, "local");
    let wanted = client.get_queue_attributes().queue_url(url);
    let wanted = wanted.attribute_names(QueueAttributeName::All);
    let attributes = wanted.send().await.expect("a response").attributes;
    let attributes = attributes.expect("they are there");
    let names = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
    ];
    let counts = names.map(|name| attributes[&name].parse::<u64>().expect("a number"));
    counts.into_iter().sum()
}

#[tokio::test]
async fn every_connection_of_a_large_group_gets_every_kind_of_entry_once() {
    let chat = settings().start().await;
    let mut a = chat.connect_modern("a").await;
    let group = large_group(&mut a, MANY).await;
    wait_delivered(&chat).await;
    // Of both chunks, the ends of each, and several devices of one member.
    let mut clients = connect(&chat, [0, 0, 0, 7, 198, 199, 200, 203]).await;
    clients.push(chat.connect_modern("a").await);
    let mut old = chat.connect(&member(7)).await;
    let mut stranger = chat.connect_modern("stranger").await;
    let text = seq(&acked(&mut a, &message(&group, "hello")).await);
    for (action, fields) in [
        ("editMessage", json!({"seq": text, "message": "Hello"})),
        ("deleteMessage", json!({"seq": text})),
        ("rename", json!({"title": "Lab"})),
        ("setRole", json!({"user_id": member(1), "role": "owner"})),
        ("invite", json!({"users": ["x"]})),
        ("removeMember", json!({"user_id": "x"})),
    ] {
        let ack = acked(&mut a, &frame(action, &group, fields)).await;
        assert_eq!(ack["status"], "stored", "{action}: {ack}");
    }
    wait_delivered(&chat).await;
    for client in &mut clients {
        let entries = received(client, 7).await;
        assert!(entries.keys().copied().eq(text..text + 7), "{entries:?}");
    }
    for client in clients.iter_mut().chain([&mut a, &mut old, &mut stranger]) {
        client.expect_nothing().await;
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_group_of_few_members_with_many_connections_goes_by_the_queue() {
    let chat = settings().flags(&["--concurrency", "1"]).start().await;
    let mut a = chat.connect_modern("a").await;
    let group = large_group(&mut a, 11).await;
    let mut clients = connect(&chat, (0..100).map(|number| number % 11)).await;
    let ack = acked(&mut a, &message(&group, "to a hundred")).await;
    assert_eq!(ack["status"], "delivered", "within the request: {ack}");
    clients.extend(connect(&chat, [10]).await);
    for text in ["to more", "and more"] {
        let ack = acked(&mut a, &message(&group, text)).await;
        assert_eq!(ack["status"], "stored", "{ack}");
    }
    wait_delivered(&chat).await;
    for (index, client) in clients.iter_mut().enumerate() {
        let entries = received_until_pong(client).await;
        let first = if index < 100 { 2 } else { 3 };
        assert!(entries.keys().copied().eq(first..=4), "{entries:?}");
        for (seq, entries) in entries {
            // The process remembers the hundred, and may have pushed to them before it read of one more.
            let most = if seq == 3 { 2 } else { 1 };
            assert!(entries.len() <= most, "{entries:?}");
        }
    }
    a.expect_nothing().await;
    chat.stop().await;
}

#[tokio::test]
async fn an_ack_does_not_wait_for_the_pushes_of_a_large_group() {
    // Nobody takes what is in the queue.
    let edit = (
        "      BatchSize: 1\n",
        "      BatchSize: 1\n      Enabled: false\n",
    );
    let chat = settings().edited(&[edit]).start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern(&member(0)).await,
    );
    let group = large_group(&mut a, MANY).await;
    entry(&mut b, "create").await;
    let before = waiting(&chat, "DeliveryQueue").await;
    let ack = acked(&mut a, &message(&group, "m")).await;
    assert_eq!(ack["status"], "stored", "{ack}");
    let chunks = 2;
    assert_eq!(waiting(&chat, "DeliveryQueue").await, before + chunks);
    chat.stop().await;
}

#[tokio::test]
async fn a_message_of_the_queue_that_comes_twice_does_no_harm() {
    let faults = json!({"queues": {"duplicate": 1, "delay_ms": 50}}).to_string();
    let chat = settings().flags(&["--fault", &faults]).start().await;
    let mut a = chat.connect_modern("a").await;
    let group = large_group(&mut a, MANY).await;
    wait_delivered(&chat).await;
    let mut clients = connect(&chat, [0, 203]).await;
    let mut last = 0;
    for text in ["1", "2", "3"] {
        let ack = acked(&mut a, &message(&group, text)).await;
        last = ack["seq"].as_i64().expect("a number");
    }
    wait_delivered(&chat).await;
    for client in &mut clients {
        let entries = received(client, 3 * 2).await;
        assert!(entries.keys().copied().eq(last - 2..=last), "{entries:?}");
        for twice in entries.values() {
            assert_eq!(twice[0], twice[1]);
        }
        client.expect_nothing().await;
    }
    chat.stop().await;
}

#[tokio::test]
async fn who_is_removed_from_a_large_group_gets_the_removal_and_nothing_later() {
    let chat = settings().start().await;
    let mut a = chat.connect_modern("a").await;
    let group = large_group(&mut a, MANY).await;
    wait_delivered(&chat).await;
    let mut clients = connect(&chat, [150, 151]).await;
    let removal = frame("removeMember", &group, json!({"user_id": member(150)}));
    let removal = seq(&acked(&mut a, &removal).await);
    acked(&mut a, &message(&group, "not for all")).await;
    wait_delivered(&chat).await;
    let [removed, other] = clients.as_mut_slice() else {
        panic!("two clients");
    };
    assert_eq!(seq(&entry(removed, "leave").await), removal);
    removed.expect_nothing().await;
    let entries = received(other, 2).await;
    assert!(
        entries.keys().copied().eq(removal..=removal + 1),
        "{entries:?}"
    );
    chat.stop().await;
}

#[tokio::test]
async fn one_row_of_each_gone_connection_of_a_large_group_is_deleted() {
    let chat = settings().start().await;
    let mut a = chat.connect_modern("a").await;
    let group = large_group(&mut a, MANY).await;
    wait_delivered(&chat).await;
    let mut clients = connect(&chat, [3, 200]).await;
    let rows = chat.database.collection::<Document>("connections");
    let long_ago = DateTime::from_millis((Utc::now() - TimeDelta::minutes(10)).timestamp_millis());
    for (number, id) in [
        (3, "AAAAAAAAAAAAAAA="),
        (4, "BBBBBBBBBBBBBBA="),
        (200, "CCCCCCCCCCCCCCA="),
    ] {
        let row = rows
            .find_one(doc! {"user_id": member(3)})
            .await
            .expect("found");
        let mut row = row.expect("a row");
        row.extend(doc! {"_id": id, "user_id": member(number), "connected_at": long_ago});
        rows.insert_one(row).await.expect("inserted");
    }
    acked(&mut a, &message(&group, "m")).await;
    wait_delivered(&chat).await;
    for client in &mut clients {
        entry(client, "text").await;
    }
    let left = rows.count_documents(doc! {"connected_at": long_ago}).await;
    let all = rows.count_documents(doc! {}).await;
    assert_eq!((left.expect("counted"), all.expect("counted")), (0, 3));
    chat.stop().await;
}

/// Connects a client of a member that never reads, and has little room for what it is sent.
async fn silent(chat: &Chat, user: &str) -> Connection {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 * 1024).expect("set");
    let address = chat.ws.trim_start_matches("ws://");
    let stream = socket.connect(address.parse().expect("an address"));
    let connect = Connect::user(&chat.ws, user).header("sec-websocket-protocol", "chat.v1");
    let opened = connect.open_on(stream.await.expect("connected")).await;
    opened.expect("the handshake succeeds")
}

#[tokio::test]
async fn a_member_who_does_not_read_holds_up_nobody_in_a_large_group() {
    let chat = settings().start().await;
    let mut a = chat.connect_modern("a").await;
    let group = large_group(&mut a, MANY).await;
    wait_delivered(&chat).await;
    let _silent = silent(&chat, &member(1)).await;
    let mut others = connect(&chat, [0, 2, 203]).await;
    let text = message(&group, &"x".repeat(16_384));
    // Until the gateway takes nothing more for the one who does not read.
    let mut sent = 0;
    while !chat.gateway.log().contains("push failed") {
        sent += 1;
        assert!(sent < 2_000, "the gateway takes all");
        let ack = acked(&mut a, &text).await;
        for client in &mut others {
            assert_eq!(entry(client, "text").await["seq"], ack["seq"]);
        }
    }
    chat.stop().await;
}

/// A bare function, and a deployment from before the queue.
#[tokio::test]
async fn without_a_queue_a_large_group_gets_its_pushes_within_the_request() {
    let chat = settings().start().await;
    let mut a = chat.connect_modern("a").await;
    let group = large_group(&mut a, MANY).await;
    wait_delivered(&chat).await;
    let mut clients = connect(&chat, [0, 203]).await;
    let mut program = Command::new(programs::folder().join("send-message"));
    let (name, endpoint) = (chat.database.name(), chat.management_endpoint());
    let process = Function::start(&mut program, &chat.uri, name, &endpoint).await;
    let ack = process.reply("a", &message(&group, "m")).await;
    assert_eq!(ack["status"], "delivered", "{ack}");
    for client in &mut clients {
        entry(client, "text").await;
    }
    assert_eq!(waiting(&chat, "DeliveryQueue").await, 0);
    chat.stop().await;
}

#[tokio::test]
async fn the_operations_of_a_large_group_are_counted() {
    let relay = Relay::start(server::uri().await).await;
    let settings = settings()
        .host(Host::Processes)
        .flags(&["--concurrency", "1"]);
    let settings = settings.database(&relay.uri, &server::database_name());
    let chat = settings.start().await;
    let mut a = chat.connect_modern("a").await;
    let group = large_group(&mut a, MANY).await;
    acked(&mut a, &message(&group, "m")).await;
    wait_delivered(&chat).await;
    relay.take();
    for _ in 0..5 {
        acked(&mut a, &message(&group, "m")).await;
    }
    wait_delivered(&chat).await;
    let expected = [
        ("insert", 5),
        // What the process has missed with the newest number, and no connections. By `deliver`, for each of two
        // slices: the entry, its members, their connections.
        ("find", 5 * (1 + 2 * 3)),
        // The limit of the user, and that of the group.
        ("findAndModify", 1 + 1),
    ];
    let expected: Counts = expected
        .map(|(name, count)| (name.to_owned(), count))
        .into();
    assert_eq!(relay.take(), expected);
    chat.stop().await;
}

/// The database orders texts as the slices do, and finds those of a range.
#[tokio::test]
async fn users_with_ids_of_any_script_are_in_the_slice_that_their_bytes_say() {
    let chat = settings().start().await;
    let mut a = chat.connect_modern("a").await;
    let group = large_group(&mut a, MANY).await;
    let odd = ["\u{ffff}", "\u{1f600}", "é\"\\", "$gt", "Z", "ü"];
    acked(&mut a, &frame("invite", &group, json!({"users": odd}))).await;
    wait_delivered(&chat).await;
    let mut clients = Vec::new();
    for user in odd {
        clients.push(chat.connect_modern(user).await);
    }
    acked(&mut a, &message(&group, "m")).await;
    wait_delivered(&chat).await;
    for client in &mut clients {
        entry(client, "text").await;
        client.expect_nothing().await;
    }
    chat.stop().await;
}

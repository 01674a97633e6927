//! Groups: who is in one, what members get and see, and what nobody else does.
//!
//! - [`fence`]: writers against a removal

mod fence;

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::client::{HttpResponse, encode, get};
use tests::relay::{Counts, Fault, Relay};
use tests::{Chat, Client, messages, server};

use crate::list;
use crate::marks::{assert_refused, send, start};
use crate::operations;

pub fn create(title: &str, users: &[&str], id: &str) -> Value {
    json!({"action": "createGroup", "title": title, "users": users, "client_message_id": id})
}

/// Returns a frame of a group, with further fields.
pub fn frame(action: &str, group: &str, fields: Value) -> Value {
    let mut frame = fields;
    frame["action"] = json!(action);
    frame["conversation_id"] = json!(group);
    frame
}

pub fn message(group: &str, text: &str) -> Value {
    frame("sendMessage", group, json!({"message": text}))
}

/// Sends a frame and returns its ack.
pub async fn acked(client: &mut Client, frame: &Value) -> Value {
    client.send(frame).await;
    let ack = client.next().await;
    assert_eq!(ack["type"], "ack", "{frame}: {ack}");
    ack
}

/// Creates a group of the client's user and others; returns its id.
pub async fn created(client: &mut Client, users: &[&str]) -> String {
    let id = format!("g-{}", fastrand::u64(..));
    let ack = acked(client, &create("Study group", users, &id)).await;
    ack["conversation_id"].as_str().expect("an id").to_owned()
}

/// Checks that the next frame is an entry of this kind, and returns it.
pub async fn entry(client: &mut Client, kind: &str) -> Value {
    let frame = client.next().await;
    let expected = if kind == "text" {
        Value::Null
    } else {
        json!(kind)
    };
    assert_eq!(
        (&frame["type"], &frame["kind"]),
        (&json!("entry"), &expected),
        "{frame}"
    );
    frame
}

async fn read(chat: &Chat, group: &str, user: &str, parameters: &str) -> HttpResponse {
    let (http, id) = (&chat.http, encode(group));
    get(&format!(
        "{http}/chat/history?conversation_id={id}&user={user}{parameters}"
    ))
    .await
}

/// Returns the numbers that a user reads of a group.
pub async fn numbers(chat: &Chat, group: &str, user: &str, parameters: &str) -> Vec<i64> {
    let entries = read(chat, group, user, parameters).await.messages();
    entries
        .iter()
        .map(|entry| entry["seq"].as_i64().expect("a number"))
        .collect()
}

/// Returns the members of a group and their roles, as `user` sees them.
async fn members(chat: &Chat, group: &str, user: &str) -> Vec<(String, String)> {
    let (http, id) = (&chat.http, encode(group));
    let url = format!("{http}/chat/members?user={user}&conversation_id={id}");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let members = get(&url).await.messages();
    members
        .iter()
        .map(|it| (text(&it["user_id"]), text(&it["role"])))
        .collect()
}

fn roles(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(user, role)| ((*user).to_owned(), (*role).to_owned()))
        .collect()
}

#[tokio::test]
async fn a_message_reaches_every_modern_device_of_the_members_and_nobody_else() {
    let chat = start().await;
    let mut a = chat.connect_modern("a").await;
    let mut other_of_a = chat.connect_modern("a").await;
    let (mut b, mut c) = (
        chat.connect_modern("b").await,
        chat.connect_modern("c").await,
    );
    let (mut old_b, mut stranger) = (chat.connect("b").await, chat.connect_modern("d").await);
    let group = created(&mut a, &["b", "c"]).await;
    for client in [&mut other_of_a, &mut b, &mut c] {
        let created = entry(client, "create").await;
        let expected = (&json!("Study group"), &json!(["a", "b", "c"]), &json!(1));
        assert_eq!(
            (&created["title"], &created["users"], &created["seq"]),
            expected
        );
        assert_eq!(created.get("receiver_id"), None);
    }
    let ack = acked(&mut b, &message(&group, "hello")).await;
    assert_eq!(
        (&ack["seq"], &ack["status"]),
        (&json!(2), &json!("delivered"))
    );
    for client in [&mut a, &mut other_of_a, &mut c] {
        let text = entry(client, "text").await;
        assert_eq!(
            (&text["message"], &text["sender_id"]),
            (&json!("hello"), &json!("b"))
        );
    }
    for client in [&mut a, &mut b, &mut c, &mut old_b, &mut stranger] {
        client.expect_nothing().await;
    }
    // Old clients ask for the list without groups.
    assert_eq!(list::rows(&chat, "b").await, [Value::Null; 0]);
    chat.stop().await;
}

#[tokio::test]
async fn a_resent_creation_is_one_group() {
    let chat = start().await;
    let mut a = chat.connect_modern("a").await;
    let first = acked(&mut a, &create("One", &["b"], "g")).await;
    let again = acked(&mut a, &create("One", &["b"], "g")).await;
    assert_eq!(
        (&first["duplicate"], &again["duplicate"]),
        (&json!(false), &json!(true))
    );
    for field in ["conversation_id", "message_id", "seq"] {
        assert_eq!(first[field], again[field]);
    }
    assert_refused(&mut a, &create("Another", &["b"], "g"), "id_conflict").await;
    let rows = list::page(&chat, "b", "&groups=true").await.messages();
    assert_eq!(rows.len(), 1);
    chat.stop().await;
}

#[tokio::test]
async fn who_joins_reads_from_there_on_and_who_left_up_to_there() {
    let chat = start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    let group = created(&mut a, &["c"]).await;
    acked(&mut a, &message(&group, "2")).await;
    acked(
        &mut a,
        &frame("invite", &group, json!({"users": ["b", "c"]})),
    )
    .await;
    let joined = entry(&mut b, "join").await;
    assert_eq!(joined["users"], json!(["b"]), "c is in the group already");
    acked(&mut a, &message(&group, "4")).await;
    entry(&mut b, "text").await;
    assert_eq!(numbers(&chat, &group, "b", "").await, [3, 4]);
    assert_eq!(numbers(&chat, &group, "b", "&after=0").await, [3, 4]);
    assert_eq!(numbers(&chat, &group, "b", "&before=4").await, [3]);
    assert_eq!(
        read(&chat, &group, "b", "&before=4").await.link("prev"),
        None
    );
    acked(
        &mut a,
        &frame("removeMember", &group, json!({"user_id": "b"})),
    )
    .await;
    assert_eq!(entry(&mut b, "leave").await["users"], json!(["b"]));
    acked(&mut a, &message(&group, "6")).await;
    b.expect_nothing().await;
    assert_eq!(numbers(&chat, &group, "b", "").await, [3, 4, 5]);
    assert_eq!(
        read(&chat, &group, "b", "&after=3&limit=2")
            .await
            .link("next"),
        None
    );
    acked(&mut a, &frame("invite", &group, json!({"users": ["b"]}))).await;
    entry(&mut b, "join").await;
    assert_eq!(numbers(&chat, &group, "b", "").await, [7]);
    assert_eq!(numbers(&chat, &group, "a", "").await, [1, 2, 3, 4, 5, 6, 7]);
    chat.stop().await;
}

#[tokio::test]
async fn a_group_can_show_everything_to_those_who_join() {
    let chat = start().await;
    let mut a = chat.connect_modern("a").await;
    let mut create = create("t", &[], "g");
    for history in [json!("none"), json!(7)] {
        create["history"] = history;
        assert_refused(&mut a, &create, "invalid_frame").await;
    }
    create["history"] = json!("all");
    let group = acked(&mut a, &create).await["conversation_id"].clone();
    let group = group.as_str().expect("an id");
    acked(&mut a, &message(group, "2")).await;
    acked(&mut a, &frame("invite", group, json!({"users": ["b"]}))).await;
    let entries = read(&chat, group, "b", "").await.messages();
    assert_eq!((entries.len(), &entries[0]["history"]), (3, &json!("all")));
    acked(
        &mut a,
        &frame("removeMember", group, json!({"user_id": "b"})),
    )
    .await;
    acked(&mut a, &message(group, "5")).await;
    assert_eq!(numbers(&chat, group, "b", "").await, [1, 2, 3, 4]);
    create["history"] = json!("joined");
    assert_refused(&mut a, &create, "id_conflict").await;
    chat.stop().await;
}

#[tokio::test]
async fn who_is_not_in_a_group_learns_nothing_of_it() {
    let chat = start().await;
    let (mut a, mut stranger) = (
        chat.connect_modern("a").await,
        chat.connect_modern("s").await,
    );
    let mut former = chat.connect_modern("f").await;
    let group = created(&mut a, &["f"]).await;
    entry(&mut former, "create").await;
    acked(&mut former, &frame("leave", &group, json!({}))).await;
    entry(&mut a, "leave").await;
    acked(&mut a, &message(&group, "3")).await;
    let unknown = "group:0123456789012345678901";
    for client in [&mut stranger, &mut former] {
        let mut answers = Vec::new();
        for group in [group.as_str(), unknown] {
            for (action, fields) in [
                ("sendMessage", json!({"message": "m"})),
                ("editMessage", json!({"seq": 3, "message": "m"})),
                ("deleteMessage", json!({"seq": 3})),
                ("invite", json!({"users": ["x"]})),
                ("removeMember", json!({"user_id": "a"})),
                ("leave", json!({})),
                ("rename", json!({"title": "t"})),
                ("setRole", json!({"user_id": "a", "role": "member"})),
                ("typing", json!({})),
                ("mark", json!({"read": 1})),
            ] {
                client.send(&frame(action, group, fields)).await;
                let mut answer = client.next().await;
                assert_eq!(answer["type"], "error", "{action}: {answer}");
                answer["action"] = json!(action);
                answers.push(answer);
            }
        }
        assert_eq!(
            answers[..10],
            answers[10..],
            "whether it exists makes no difference"
        );
    }
    for url in [
        format!("/chat/history?conversation_id={group}&user=s"),
        format!("/chat/history?conversation_id={unknown}&user=s"),
        format!("/chat/members?conversation_id={group}&user=s"),
        format!("/chat/members?conversation_id={group}&user=f"),
        format!("/chat/members?conversation_id={unknown}&user=s"),
    ] {
        let response = get(&format!("{}{url}", chat.http)).await;
        assert_eq!(response.status, 403, "{url}");
    }
    let rows = chat.database.collection::<Document>("members");
    let of_strangers = rows.count_documents(doc! {"user_id": "s"}).await;
    assert_eq!(of_strangers.expect("counted"), 0);
    a.expect_nothing().await;
    chat.stop().await;
}

#[tokio::test]
async fn only_owners_change_a_group_and_it_always_has_one() {
    let chat = start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    let group = created(&mut a, &["b", "c"]).await;
    entry(&mut b, "create").await;
    for (action, fields) in [
        ("invite", json!({"users": ["x"]})),
        ("removeMember", json!({"user_id": "c"})),
        ("rename", json!({"title": "t"})),
        ("setRole", json!({"user_id": "b", "role": "owner"})),
    ] {
        assert_refused(&mut b, &frame(action, &group, fields), "forbidden").await;
    }
    for (action, fields) in [
        ("invite", json!({"users": ["b", "c"]})),
        ("removeMember", json!({"user_id": "x"})),
        ("setRole", json!({"user_id": "b", "role": "member"})),
        ("setRole", json!({"user_id": "a", "role": "member"})),
        ("setRole", json!({"user_id": "x", "role": "owner"})),
    ] {
        assert_refused(&mut a, &frame(action, &group, fields), "no_change").await;
    }
    acked(&mut a, &frame("rename", &group, json!({"title": "Exam"}))).await;
    assert_eq!(entry(&mut b, "rename").await["title"], "Exam");
    let promote = json!({"user_id": "c", "role": "owner"});
    acked(&mut a, &frame("setRole", &group, promote)).await;
    let role = entry(&mut b, "role").await;
    assert_eq!(
        (&role["users"], &role["role"]),
        (&json!(["c"]), &json!("owner"))
    );
    let expected = roles(&[("a", "owner"), ("b", "member"), ("c", "owner")]);
    assert_eq!(members(&chat, &group, "b").await, expected);
    // The last owners leave.
    acked(
        &mut a,
        &frame("removeMember", &group, json!({"user_id": "c"})),
    )
    .await;
    acked(&mut a, &frame("leave", &group, json!({}))).await;
    assert_eq!(members(&chat, &group, "b").await, roles(&[("b", "owner")]));
    for (user, new_owner) in [("c", Value::Null), ("a", json!("b"))] {
        let leave = entry(&mut b, "leave").await;
        assert_eq!(
            (&leave["users"], &leave["new_owner"]),
            (&json!([user]), &new_owner)
        );
    }
    acked(&mut b, &frame("invite", &group, json!({"users": ["a"]}))).await;
    assert_eq!(
        members(&chat, &group, "b").await,
        roles(&[("b", "owner"), ("a", "member")])
    );
    chat.stop().await;
}

#[tokio::test]
async fn a_group_has_a_limit_of_members_and_a_frame_one_of_users() {
    let settings = Chat::with().parameters(&["GroupSize=3"]);
    let chat = settings.start().await;
    let mut a = chat.connect_modern("a").await;
    assert_refused(&mut a, &create("t", &["b", "c", "d"], "g"), "group_full").await;
    let group = created(&mut a, &["b"]).await;
    let invite = |users: Value| frame("invite", &group, json!({"users": users}));
    assert_refused(&mut a, &invite(json!(["c", "d"])), "group_full").await;
    acked(&mut a, &invite(json!(["b", "c"]))).await;
    assert_refused(&mut a, &invite(json!(["d"])), "group_full").await;
    let many: Vec<String> = (0..50).map(|number| format!("u{number}")).collect();
    for users in [
        json!([]),
        json!("d"),
        json!([7]),
        json!([{"$gt": ""}]),
        json!(many),
        Value::Null,
    ] {
        assert_refused(&mut a, &invite(users), "invalid_frame").await;
    }
    for title in [
        json!(""),
        json!(7),
        Value::Null,
        json!("x".repeat(257)),
        json!("a\nb"),
    ] {
        let rename = frame("rename", &group, json!({"title": title}));
        assert_refused(&mut a, &rename, "invalid_frame").await;
    }
    let without_id = json!({"action": "createGroup", "title": "t"});
    assert_refused(&mut a, &without_id, "invalid_frame").await;
    let role = frame("setRole", &group, json!({"user_id": "b", "role": "king"}));
    assert_refused(&mut a, &role, "invalid_frame").await;
    let direct = frame("leave", "direct:1:a:b", json!({}));
    assert_refused(&mut a, &direct, "forbidden").await;
    chat.stop().await;
}

#[tokio::test]
async fn texts_of_a_group_are_edited_by_their_writer_and_deleted_by_an_owner_too() {
    let chat = start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    let group = created(&mut a, &["b", "c"]).await;
    entry(&mut b, "create").await;
    acked(&mut a, &message(&group, "secret of a")).await;
    entry(&mut b, "text").await;
    acked(&mut b, &message(&group, "secret of b")).await;
    entry(&mut a, "text").await;
    let edit = |seq: i64| {
        frame(
            "editMessage",
            &group,
            json!({"seq": seq, "message": "edited"}),
        )
    };
    let delete = |seq: i64| frame("deleteMessage", &group, json!({"seq": seq}));
    assert_refused(&mut a, &edit(3), "forbidden").await;
    assert_refused(&mut b, &delete(2), "forbidden").await;
    acked(&mut b, &edit(3)).await;
    entry(&mut a, "edit").await;
    acked(&mut a, &delete(3)).await;
    assert_eq!(entry(&mut b, "delete").await["target_seq"], 3);
    acked(&mut a, &delete(2)).await;
    messages::assert_nowhere(&chat.database, "secret").await;
    messages::assert_nowhere(&chat.database, "\"edited\"").await;
    chat.stop().await;
}

#[tokio::test]
async fn the_list_has_groups_with_what_their_members_may_see() {
    let chat = start().await;
    let mut a = chat.connect_modern("a").await;
    let group = created(&mut a, &["b"]).await;
    acked(&mut a, &message(&group, "before c")).await;
    acked(&mut a, &frame("invite", &group, json!({"users": ["c"]}))).await;
    let row = async |user: &str| {
        let rows = list::page(&chat, user, "&groups=true").await.messages();
        rows.into_iter()
            .find(|row| row["conversation_id"] == json!(group))
    };
    let of_c = row("c").await.expect("a row");
    assert_eq!(
        (
            &of_c["title"],
            &of_c["role"],
            &of_c["unread"],
            &of_c["preview"]["message"]
        ),
        (
            &json!("Study group"),
            &json!("member"),
            &json!(0),
            &json!("")
        )
    );
    assert_eq!(
        (&of_c["newest_entry_seq"], of_c.get("peer_id")),
        (&json!(3), None)
    );
    let of_b = row("b").await.expect("a row");
    assert_eq!(
        (&of_b["unread"], &of_b["preview"]["message"]),
        (&json!(1), &json!("before c"))
    );
    acked(&mut a, &message(&group, "for all")).await;
    for user in ["b", "c"] {
        let row = row(user).await.expect("a row");
        assert_eq!(
            (&row["preview"]["message"], &row["preview"]["seq"]),
            (&json!("for all"), &json!(4))
        );
    }
    assert_eq!(row("c").await.expect("a row")["unread"], 1);
    let mut c = chat.connect_modern("c").await;
    send(&mut c, &frame("mark", &group, json!({"read": 4}))).await;
    assert_eq!(row("c").await.expect("a row")["unread"], 0);
    let receipt = a.next().await;
    assert_eq!(
        (&receipt["type"], &receipt["user_id"], &receipt["read"]),
        (&json!("receipt"), &json!("c"), &json!(4))
    );
    // Beside direct conversations.
    acked(
        &mut a,
        &json!({"action": "sendMessage", "receiver_id": "c", "message": "hi"}),
    )
    .await;
    let rows = list::page(&chat, "c", "&groups=true").await.messages();
    assert_eq!((rows.len(), &rows[0]["peer_id"]), (2, &json!("a")));
    acked(
        &mut a,
        &frame("removeMember", &group, json!({"user_id": "c"})),
    )
    .await;
    assert_eq!(row("c").await, None);
    // Who joins again has what was written since then, and what it had not read before the removal counts no more.
    acked(&mut a, &message(&group, "without c")).await;
    acked(&mut a, &frame("invite", &group, json!({"users": ["c"]}))).await;
    assert_eq!(row("c").await.expect("a row")["unread"], 0);
    acked(&mut a, &message(&group, "with c again")).await;
    let of_c = row("c").await.expect("a row");
    assert_eq!(
        (&of_c["unread"], &of_c["preview"]["message"]),
        (&json!(1), &json!("with c again"))
    );
    chat.stop().await;
}

#[tokio::test]
async fn typing_in_a_group_is_seen_by_its_members() {
    let chat = start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    let mut stranger = chat.connect_modern("s").await;
    let group = created(&mut a, &["b"]).await;
    entry(&mut b, "create").await;
    send(&mut b, &frame("typing", &group, json!({}))).await;
    let typing = a.next().await;
    assert_eq!(
        (&typing["type"], &typing["user_id"]),
        (&json!("typing"), &json!("b"))
    );
    for client in [&mut a, &mut b, &mut stranger] {
        client.expect_nothing().await;
    }
    chat.stop().await;
}

#[tokio::test]
async fn marks_and_typing_are_told_in_groups_of_up_to_twenty_members() {
    let chat = start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    let mut other_of_a = chat.connect_modern("a").await;
    // The larger one first: its `typing` is not passed on, and so holds none back that follows.
    for (size, are_told) in [(21, false), (20, true)] {
        let mut users = vec!["b".to_owned()];
        users.extend((2..size).map(|number| format!("m{number}")));
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        let group = created(&mut a, &users).await;
        assert_eq!(members(&chat, &group, "a").await.len(), size);
        for client in [&mut other_of_a, &mut b] {
            entry(client, "create").await;
        }
        acked(&mut b, &message(&group, "m")).await;
        for client in [&mut a, &mut other_of_a] {
            entry(client, "text").await;
        }
        send(&mut a, &frame("mark", &group, json!({"read": 2}))).await;
        send(&mut a, &frame("typing", &group, json!({}))).await;
        let mut frames = vec![other_of_a.next().await];
        let mut expected = vec!["receipt"];
        if are_told {
            frames.extend([b.next().await, b.next().await]);
            expected.extend(["receipt", "typing"]);
        }
        let kinds: Vec<&Value> = frames.iter().map(|frame| &frame["type"]).collect();
        assert_eq!(kinds, expected, "{size} members");
        for frame in &frames {
            assert_eq!(
                (&frame["conversation_id"], &frame["user_id"]),
                (&json!(group), &json!("a"))
            );
        }
        for client in [&mut a, &mut other_of_a, &mut b] {
            client.expect_nothing().await;
        }
    }
    chat.stop().await;
}

#[tokio::test]
async fn the_operations_in_a_group_are_counted() {
    let relay = Relay::start(server::uri().await).await;
    let chat = operations::start(&relay, &["--concurrency", "1"]).await;
    let mut a = chat.connect_modern("a").await;
    let group = created(&mut a, &["b", "c"]).await;
    for _ in 0..2 {
        acked(&mut a, &message(&group, "m")).await;
    }
    relay.take();
    let counts = |expected: &[(&str, usize)]| -> Counts {
        expected
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    };
    // What the process has missed with the newest number, the insert, the connections.
    acked(&mut a, &message(&group, "m")).await;
    assert_eq!(relay.take(), counts(&[("find", 2), ("insert", 1)]));
    // And the projection: the members, then the group.
    acked(
        &mut a,
        &frame("invite", &group, json!({"users": ["d", "e"]})),
    )
    .await;
    assert_eq!(
        relay.take(),
        counts(&[("find", 2), ("insert", 1), ("update", 2)])
    );
    chat.stop().await;
}

#[tokio::test]
async fn whoever_appends_next_completes_the_projection_that_a_killed_process_has_left() {
    let relay = Relay::start(server::uri().await).await;
    let chat = operations::start(&relay, &["--concurrency", "1"]).await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    let group = created(&mut a, &["b", "c"]).await;
    entry(&mut b, "create").await;
    let left_of = async |user: &str| {
        let members = chat.database.collection::<Document>("members");
        let row = members
            .find_one(doc! {"user_id": user})
            .await
            .expect("found");
        row.expect("a document")
            .get_i64("left_seq")
            .expect("a number")
    };
    relay.fail(
        "update",
        "members",
        Fault::Refuse(doc! {"ok": 0, "code": 1, "errmsg": "refused"}),
    );
    relay.fail(
        "update",
        "members",
        Fault::Refuse(doc! {"ok": 0, "code": 1, "errmsg": "refused"}),
    );
    a.send(&frame("removeMember", &group, json!({"user_id": "c"})))
        .await;
    assert_eq!(a.next().await["code"], "unavailable");
    assert_eq!(left_of("c").await, 0);
    acked(&mut b, &message(&group, "m")).await;
    assert_eq!(left_of("c").await, 2);
    chat.stop().await;
}

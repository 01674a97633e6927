//! `GET /chat/presence` and `/chat/settings`: who is there, and what a user shows.

use chrono::{TimeDelta, Utc};
use hyper::Method;
use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};
use tests::client::{HttpResponse, encode, get, request};
use tests::{Chat, Client, until};

use crate::connections::age_rows;
use crate::list;
use crate::marks::{mark, send, start};

/// Requests the presence of users, as `user_id`.
async fn presence(chat: &Chat, user_id: &str, of: &[&str]) -> Value {
    let of: String = of
        .iter()
        .map(|user| format!("&of={}", encode(user)))
        .collect();
    let (http, user) = (&chat.http, encode(user_id));
    let response = get(&format!("{http}/chat/presence?user={user}{of}")).await;
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

/// Requests the presence of one user, as `user_id`.
async fn presence_of(chat: &Chat, user_id: &str, of: &str) -> Value {
    presence(chat, user_id, &[of]).await[0].clone()
}

/// Connects two users who have written to each other.
async fn acquainted(chat: &Chat) -> (Client, Client) {
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    a.send_message("b", "m").await;
    b.send_message("a", "m").await;
    (a, b)
}

fn offline(user_id: &str) -> Value {
    json!({"user_id": user_id, "online": false})
}

fn online(user_id: &str) -> Value {
    json!({"user_id": user_id, "online": true})
}

async fn put(chat: &Chat, user_id: &str, body: &str) -> HttpResponse {
    let url = format!("{}/chat/settings?user={}", chat.http, encode(user_id));
    request(Method::PUT, &url, body.into()).await
}

/// Waits until a user has no connection in the database.
async fn gone(chat: &Chat, user_id: &str) {
    let connections = chat.database.collection::<Document>("connections");
    let none = async || {
        let count = connections.count_documents(doc! {"user_id": user_id}).await;
        count.expect("counted") == 0
    };
    until(none).await;
}

/// Lets the last time at which a user was seen be `ago` ago, once it is recorded.
async fn seen(chat: &Chat, user_id: &str, ago: TimeDelta) {
    let at = DateTime::from_millis((Utc::now() - ago).timestamp_millis());
    let users = chat.database.collection::<Document>("users");
    let set = async || {
        let update = users.update_one(doc! {"_id": user_id}, doc! {"$set": {"last_seen": at}});
        update.await.expect("updated").matched_count == 1
    };
    until(set).await;
}

#[tokio::test]
async fn presence_is_told_to_those_to_whom_the_user_has_written() {
    let chat = start().await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    assert_eq!(
        presence_of(&chat, "a", "b").await,
        offline("b"),
        "strangers"
    );
    a.send_message("b", "hello?").await;
    assert_eq!(
        presence_of(&chat, "a", "b").await,
        offline("b"),
        "a stranger who wrote once"
    );
    assert_eq!(
        presence_of(&chat, "b", "a").await,
        offline("a"),
        "nor the other way"
    );
    b.next().await;
    b.send_message("a", "hello").await;
    let all = presence(&chat, "a", &["b", "nobody", "b"]).await;
    assert_eq!(all, json!([online("b"), offline("nobody"), online("b")]));
    assert_eq!(presence_of(&chat, "b", "a").await, online("a"));
    assert_eq!(
        presence_of(&chat, "c", "b").await,
        offline("b"),
        "a third user"
    );
    chat.stop().await;
}

#[tokio::test]
async fn a_user_is_online_while_one_of_two_tabs_is_open_and_was_seen_when_the_last_has_closed() {
    let chat = start().await;
    let (_a, b) = acquainted(&chat).await;
    let second = chat.connect_modern("b").await;
    second.close().await;
    let connections = chat.database.collection::<Document>("connections");
    let one = async || {
        connections
            .count_documents(doc! {"user_id": "b"})
            .await
            .expect("counted")
            == 1
    };
    until(one).await;
    // By the connection, and not because b was seen a moment ago.
    seen(&chat, "b", TimeDelta::minutes(1)).await;
    assert_eq!(presence_of(&chat, "a", "b").await, online("b"));
    b.close().await;
    gone(&chat, "b").await;
    // b may be reconnecting, once the end of the last connection is recorded.
    until(async || presence_of(&chat, "a", "b").await == online("b")).await;

    for (ago, format) in [
        (TimeDelta::minutes(5), "%Y-%m-%dT%H:%M:00.000Z"),
        (TimeDelta::hours(5), "%Y-%m-%dT%H:00:00.000Z"),
        (TimeDelta::days(5), "%Y-%m-%dT00:00:00.000Z"),
    ] {
        let before = (Utc::now() - ago).format(format).to_string();
        seen(&chat, "b", ago).await;
        let after = (Utc::now() - ago).format(format).to_string();
        let last_seen = presence_of(&chat, "a", "b").await["last_seen"].clone();
        assert!(
            last_seen == before || last_seen == after,
            "{last_seen}: {before}"
        );
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_lost_disconnect_corrects_itself() {
    let chat = start().await;
    let (_a, b) = acquainted(&chat).await;
    // The row of a connection of which the gateway knows nothing.
    let connections = chat.database.collection::<Document>("connections");
    let mut row = connections
        .find_one(doc! {"user_id": "b"})
        .await
        .expect("found")
        .expect("a row");
    b.close().await;
    gone(&chat, "b").await;
    row.insert("_id", "lost");
    connections.insert_one(row).await.expect("inserted");
    age_rows(&chat).await;
    seen(&chat, "b", TimeDelta::hours(1)).await;
    assert_eq!(presence_of(&chat, "a", "b").await["online"], false);
    let rows = connections.count_documents(doc! {"_id": "lost"}).await;
    assert_eq!(rows.expect("counted"), 0);
    chat.stop().await;
}

#[tokio::test]
async fn a_hidden_user_is_the_same_as_an_unknown_one_and_sees_nobody() {
    let chat = start().await;
    let (_a, b) = acquainted(&chat).await;
    assert_eq!(presence_of(&chat, "a", "b").await, online("b"));
    assert_eq!(put(&chat, "b", r#"{"presence":false}"#).await.status, 200);
    assert_eq!(presence_of(&chat, "a", "b").await, offline("b"));
    assert_eq!(presence_of(&chat, "b", "a").await, offline("a"));
    b.close().await;
    gone(&chat, "b").await;
    assert_eq!(
        presence_of(&chat, "a", "b").await,
        offline("b"),
        "not even when it was seen"
    );
    chat.stop().await;
}

#[tokio::test]
async fn settings_are_kept_and_told_to_the_users_devices() {
    let chat = start().await;
    let mut a = chat.connect_modern("a").await;
    let (mut old, mut b) = (chat.connect("a").await, chat.connect_modern("b").await);
    let url = format!("{}/chat/settings?user=a", chat.http);
    assert_eq!(
        get(&url).await.json(),
        json!({"receipts": true, "presence": true})
    );
    let changed = put(&chat, "a", r#"{"receipts":false}"#).await.json();
    assert_eq!(changed, json!({"receipts": false, "presence": true}));
    let frame = json!({"type": "settings", "receipts": false, "presence": true});
    assert_eq!(a.next().await, frame);
    assert_eq!(get(&url).await.json(), changed);
    assert_eq!(put(&chat, "a", "{}").await.json(), changed);
    assert_eq!(a.next().await, frame);
    for client in [&mut old, &mut b] {
        client.expect_nothing().await;
    }
    for body in [
        "",
        "[]",
        "null",
        "[true,true]",
        r#"{"receipts":"no"}"#,
        r#"{"presence":{"$ne":true}}"#,
    ] {
        let response = put(&chat, "a", body).await;
        assert_eq!(
            (response.status.as_u16(), response.header("content-type")),
            (400, "application/problem+json")
        );
    }
    assert_eq!(get(&url).await.json(), changed);
    chat.stop().await;
}

#[tokio::test]
async fn without_receipts_neither_side_sees_the_others_and_own_devices_do() {
    let chat = start().await;
    let mut a = chat.connect_modern("a").await;
    let (mut second_of_a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    put(&chat, "a", r#"{"receipts":false}"#).await;
    for client in [&mut a, &mut second_of_a] {
        assert_eq!(client.next().await["type"], "settings");
    }
    for (from, to) in [(&mut a, "b"), (&mut b, "a")] {
        from.send_message(to, "m").await;
    }
    assert_eq!(a.next().await["seq"], 2);
    assert_eq!(
        (
            &second_of_a.next().await["seq"],
            &second_of_a.next().await["seq"]
        ),
        (&json!(1), &json!(2))
    );
    send(&mut a, &mark("b", 2)).await;
    assert_eq!(second_of_a.next().await["read"], 2);
    send(&mut b, &mark("a", 2)).await;
    for client in [&mut a, &mut b] {
        client.expect_nothing().await;
    }
    for (user, own) in [("a", 2), ("b", 2)] {
        let row = list::only_row(&chat, user).await;
        assert_eq!(
            (&row["read"], row.get("peer_read")),
            (&json!(own), None),
            "{row}"
        );
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_bad_request_gets_a_problem_document() {
    let chat = start().await;
    let many = "&of=b".repeat(101);
    for (query, detail) in [
        ("user=a", "`of` is missing."),
        ("of=a", "`user` is missing."),
        ("user=a&of=", "`of`: The user id is empty."),
        ("user=a&of=b&of=%FF", "`of` is not UTF-8."),
        (
            &format!("user=a{many}"),
            "`of` is given more than 100 times.",
        ),
    ] {
        let response = get(&format!("{}/chat/presence?{query}", chat.http)).await;
        assert_eq!(
            (response.status.as_u16(), &response.json()["detail"]),
            (400, &json!(detail))
        );
    }
    chat.stop().await;
}

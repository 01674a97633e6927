//! `GET /chat/conversations`: newest first, with a preview, a count of unread messages and the marks of both sides.

use chat::UserId;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::client::{HttpResponse, encode, get};
use tests::relay::Relay;
use tests::{Chat, messages, server};

use crate::marks::{mark, send, start};

/// Requests a page of a user's list, with further `parameters` (`&limit=10`).
pub async fn page(chat: &Chat, user_id: &str, parameters: &str) -> HttpResponse {
    let (http, user) = (&chat.http, encode(user_id));
    get(&format!(
        "{http}/chat/conversations?user={user}{parameters}"
    ))
    .await
}

/// Returns the first page of a user's list.
pub async fn rows(chat: &Chat, user_id: &str) -> Vec<Value> {
    page(chat, user_id, "").await.messages()
}

/// Returns the only conversation in a user's list.
pub async fn only_row(chat: &Chat, user_id: &str) -> Value {
    let [row] = &rows(chat, user_id).await[..] else {
        panic!("one conversation");
    };
    row.clone()
}

#[tokio::test]
async fn the_newest_conversation_is_first_with_its_newest_text() {
    let chat = start().await;
    let mut a = chat.connect_modern("a").await;
    assert_eq!(rows(&chat, "a").await, [Value::Null; 0]);
    a.send_message("b", "to b").await;
    a.send_message("c", &"é".repeat(300)).await;
    let mut b = chat.connect_modern("b").await;
    b.send_message("a", "from b").await;
    let ack = a.send_message("b", "to b again").await;

    let list = rows(&chat, "a").await;
    let expected = json!({
        "conversation_id": "direct:1:a:b", "peer_id": "b", "newest_seq": 3, "newest_entry_seq": 3, "timestamp": ack["timestamp"],
        "preview": {"seq": 3, "sender_id": "a", "message": "to b again", "timestamp": ack["timestamp"]},
        "unread": 1, "read": 0, "delivered": 0, "peer_read": 0, "peer_delivered": 0,
    });
    assert_eq!(list[0], expected);
    assert_eq!(list[1]["peer_id"], "c");
    assert_eq!(
        list[1]["preview"]["message"],
        "é".repeat(200),
        "only a preview"
    );
    assert_eq!(
        (list.len(), &list[1]["unread"]),
        (2, &json!(0)),
        "own ones are read"
    );
    let of_c = only_row(&chat, "c").await;
    assert_eq!(
        (&of_c["peer_id"], &of_c["unread"]),
        (&json!("a"), &json!(1))
    );
    chat.stop().await;
}

#[tokio::test]
async fn unread_is_what_others_wrote_after_the_mark() {
    let chat = start().await;
    let mut a = chat.connect_modern("a").await;
    let mut second_of_a = chat.connect_modern("a").await;
    let mut b = chat.connect_modern("b").await;
    let unread = async || only_row(&chat, "a").await["unread"].clone();
    for text in ["1", "2", "3"] {
        b.send_message("a", text).await;
    }
    assert_eq!(unread().await, 3);
    // Sending reads nothing: the text may have waited in an outbox while the others came.
    for _ in 0..3 {
        a.next().await;
    }
    a.send_message("b", "written an hour ago").await;
    assert_eq!(unread().await, 3);
    second_of_a.send_message("b", "from another device").await;
    assert_eq!(unread().await, 3);
    a.next().await;
    send(&mut a, &mark("b", 2)).await;
    assert_eq!(unread().await, 1);
    send(&mut a, &mark("b", 1)).await;
    assert_eq!(unread().await, 1, "a late mark");
    let mut reconnected = chat.connect_modern("a").await;
    send(&mut reconnected, &mark("b", 5)).await;
    assert_eq!(unread().await, 0);
    let row = only_row(&chat, "b").await;
    assert_eq!((&row["peer_read"], &row["unread"]), (&json!(5), &json!(2)));
    chat.stop().await;
}

#[tokio::test]
async fn unread_messages_of_a_long_conversation_are_counted_up_to_a_hundred() {
    let chat = start().await;
    let users = ["b", "a"].map(|id| UserId::try_from(id.to_owned()).expect("a valid id"));
    messages::fill(&chat.database, &users, 100_000).await;
    let (mut a, mut b) = (
        chat.connect_modern("a").await,
        chat.connect_modern("b").await,
    );
    b.send_message("a", "the newest").await;
    a.next().await;
    for (read, unread) in [
        (0, 100),
        (50_000, 100),
        (99_901, 100),
        (99_902, 99),
        (100_001, 0),
    ] {
        send(&mut a, &mark("b", read)).await;
        let row = only_row(&chat, "a").await;
        assert_eq!(
            (&row["unread"], &row["newest_seq"]),
            (&json!(unread), &json!(100_001))
        );
    }
    chat.stop().await;
}

#[tokio::test]
async fn messages_of_the_old_system_are_listed_and_read() {
    let uri = server::uri().await;
    let name = server::database_name();
    let database = server::database(uri, &name).await.expect("a database");
    let old = |sender: &str, receiver: &str, day: u32| {
        doc! {"sender_id": sender, "receiver_id": receiver, "message": format!("of day {day}"),
        "timestamp": format!("2024-05-{day:02}T12:00:00.123456")}
    };
    let olds = [
        old("a", "b", 1),
        old("b", "a", 2),
        old("c", "a", 3),
        old("a", "a", 4),
    ];
    let messages = database.collection::<Document>("chat_messages");
    messages.insert_many(olds).await.expect("inserted");
    let settings = Chat::with().database(uri, &name);
    let chat = settings.flags(&["--concurrency", "1"]).start().await;

    let list = rows(&chat, "a").await;
    let peers: Vec<&Value> = list.iter().map(|row| &row["peer_id"]).collect();
    assert_eq!(peers, ["a", "c", "b"]);
    for row in &list {
        assert_eq!(
            (&row["newest_seq"], &row["unread"]),
            (&json!(0), &json!(0)),
            "{row}"
        );
    }
    assert_eq!(list[2]["preview"]["message"], "of day 2");
    let mut b = chat.connect_modern("b").await;
    b.send_message("a", "of today").await;
    let list = rows(&chat, "a").await;
    assert_eq!(
        (&list[0]["peer_id"], &list[0]["unread"]),
        (&json!("b"), &json!(1))
    );
    chat.stop().await;
}

#[tokio::test]
async fn a_list_of_two_thousand_conversations_is_read_page_by_page_in_five_operations() {
    const CONVERSATIONS: i64 = 2_000;
    let relay = Relay::start(server::uri().await).await;
    let settings = Chat::with().database(&relay.uri, &server::database_name());
    let chat = settings.flags(&["--concurrency", "1"]).start().await;
    messages::fill_list(&chat.database, "me", CONVERSATIONS).await;
    page(&chat, "me", "&limit=1").await.messages();

    relay.take();
    let first = page(&chat, "me", "").await;
    let mut operations = relay.take();
    // Pages are counted at times; that is no step of the list.
    operations.remove("findAndModify");
    assert_eq!(
        operations,
        [("find".to_owned(), 4), ("aggregate".to_owned(), 1)].into()
    );

    let mut peers: Vec<Value> = Vec::new();
    let mut response = first;
    loop {
        peers.extend(response.messages().iter().map(|row| row["peer_id"].clone()));
        let Some(next) = response.link("next") else {
            break;
        };
        assert!(next.starts_with("?user=me&limit="), "{next}");
        response = get(&format!("{}/chat/conversations{next}", chat.http)).await;
    }
    let expected: Vec<Value> = (0..CONVERSATIONS)
        .rev()
        .map(|n| json!(format!("p{n}")))
        .collect();
    assert_eq!(peers, expected);
    chat.stop().await;
}

#[tokio::test]
async fn a_bad_request_gets_a_problem_document() {
    let chat = start().await;
    for (query, detail) in [
        ("", "`user` is missing."),
        ("?user=", "`user`: The user id is empty."),
        ("?user=a&user=b", "`user` is given more than once."),
        ("?user=%FF", "`user` is not UTF-8."),
        ("?user[$ne]=a", "`user` is missing."),
        ("?user=a&limit=0", "`limit` must be between 1 and 100."),
        ("?user=a&limit=x", "`limit` must be a whole number."),
        (
            "?user=a&before=1",
            "`before` must come from the link of another page.",
        ),
    ] {
        let response = get(&format!("{}/chat/conversations{query}", chat.http)).await;
        assert_eq!(response.status, 400, "{query}");
        assert_eq!(response.header("content-type"), "application/problem+json");
        assert_eq!(response.json()["detail"], detail, "{query}");
    }
    chat.stop().await;
}

//! Pages of the history, their links and limits.

use chat::store::{Range, View};
use chat::{ConversationId, Deadline, Store, UserId};
use hyper::StatusCode;
use mongodb::Database;
use mongodb::bson::{Document, doc, oid::ObjectId};
use serde_json::{Value, json};
use tests::client::get;
use tests::{Chat, TIMEOUT, messages, server};

/// Inserts messages 1 to `count` between `a` and `b` into the database, as the store writes them.
async fn seed(chat: &Chat, count: i64, text: &str) {
    insert(&chat.database, 1..=count, text).await;
}

async fn insert(database: &Database, numbers: impl IntoIterator<Item = i64>, text: &str) {
    let message = |seq: i64| {
        doc! {
            "_id": ObjectId::new(), "conversation_id": "direct:1:a:b", "seq": seq,
            "sender_id": "a", "receiver_id": "b", "message": text,
            "timestamp": "2026-01-01T00:00:00.000Z",
        }
    };
    let messages = database.collection::<Document>("chat_messages");
    messages
        .insert_many(numbers.into_iter().map(message))
        .await
        .expect("inserted");
}

fn users() -> [UserId; 2] {
    ["a", "b"].map(|id| UserId::try_from(id.to_owned()).expect("a valid id"))
}

fn numbers(messages: &[Value]) -> Vec<i64> {
    messages
        .iter()
        .map(|message| message["seq"].as_i64().expect("a number"))
        .collect()
}

#[tokio::test]
async fn both_directions_come_in_order_whichever_user_is_named_first() {
    let chat = Chat::start().await;
    let mut a = chat.connect("a").await;
    let mut b = chat.connect("b").await;
    for round in 0..3 {
        a.send_message("b", &format!("a {round}")).await;
        b.send_message("a", &format!("b {round}")).await;
    }
    let one = chat.history("a", "b", "").await;
    let other = chat.history("b", "a", "").await;
    assert_eq!(one.body, other.body);
    let texts: Vec<Value> = one
        .messages()
        .iter()
        .map(|message| message["message"].clone())
        .collect();
    assert_eq!(texts, ["a 0", "b 0", "a 1", "b 1", "a 2", "b 2"]);
    assert_eq!(one.header("content-type"), "application/json");
    assert_eq!(one.link("next").or(one.link("prev")), None);
    assert_eq!(chat.history("a", "nobody", "").await.json(), json!([]));
    chat.stop().await;
}

#[tokio::test]
async fn limit_after_and_before_select_the_right_messages() {
    let chat = Chat::start().await;
    seed(&chat, 20, "m").await;
    type Case = (
        &'static str,
        &'static [i64],
        Option<&'static str>,
        Option<&'static str>,
    );
    let cases: &[Case] = &[
        // Without a cursor: the newest messages.
        ("&limit=3", &[18, 19, 20], Some("before=18"), None),
        (
            "&limit=20",
            &[
                1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
            ],
            None,
            None,
        ),
        ("&after=17", &[18, 19, 20], Some("before=18"), None),
        ("&after=0&limit=2", &[1, 2], None, Some("after=2")),
        (
            "&after=5&limit=2",
            &[6, 7],
            Some("before=6"),
            Some("after=7"),
        ),
        ("&after=20", &[], None, None),
        ("&after=-5&limit=1", &[1], None, Some("after=1")),
        ("&before=4", &[1, 2, 3], None, Some("after=3")),
        (
            "&before=4&limit=2",
            &[2, 3],
            Some("before=2"),
            Some("after=3"),
        ),
        ("&before=21&limit=1", &[20], Some("before=20"), None),
        ("&before=1", &[], None, None),
        ("&after=3&before=6", &[4, 5], None, None),
        (
            "&after=3&before=9&limit=2",
            &[4, 5],
            None,
            Some("after=5&before=9"),
        ),
    ];
    for (parameters, expected, prev, next) in cases {
        let response = chat.history("a", "b", parameters).await;
        assert_eq!(numbers(&response.messages()), *expected, "{parameters}");
        for (relation, expected) in [("prev", prev), ("next", next)] {
            let link = response.link(relation);
            let cursor = link.as_ref().map(|link| {
                let part = |part: &&str| part.starts_with("after") || part.starts_with("before");
                link.split('&').filter(part).collect::<Vec<_>>().join("&")
            });
            assert_eq!(cursor.as_deref(), *expected, "{parameters} {relation}");
        }
    }
    chat.stop().await;
}

#[tokio::test]
async fn links_walk_a_long_conversation_both_ways_with_every_message_exactly_once() {
    const TOTAL: i64 = 2_500;
    let chat = Chat::start().await;
    seed(&chat, TOTAL, "m").await;
    let walk = async |start: &str, relation: &str| {
        let mut pages = Vec::new();
        let mut query = Some(format!("?user1=a&user2=b{start}"));
        while let Some(next) = query {
            let response = get(&format!("{}/chat/history{next}", chat.http)).await;
            pages.push(numbers(&response.messages()));
            query = response.link(relation);
        }
        pages
    };
    let all: Vec<i64> = (1..=TOTAL).collect();
    for limit in ["", "&limit=999", "&limit=7"] {
        let forward = walk(&format!("&after=0{limit}"), "next").await;
        assert_eq!(forward.concat(), all, "{limit}");
        let mut backward = walk(limit, "prev").await;
        backward.reverse();
        assert_eq!(backward.concat(), all, "{limit}");
    }
    assert_eq!(
        walk("", "prev").await[0].len(),
        1_000,
        "the page without a limit"
    );
    chat.stop().await;
}

/// A page by its numbers, and whether there are older and newer ones.
type Numbers = (Vec<i64>, bool, bool);

async fn read(store: &Store, range: Range, limit: u32) -> Numbers {
    let [a, b] = users();
    let conversation_id = ConversationId::direct(&a, &b);
    let page = store.page(
        &conversation_id,
        View::Texts,
        range,
        limit,
        |_| true,
        Deadline::after(TIMEOUT),
    );
    let page = page.await.expect("a page");
    let numbers = page.entries.iter().map(|entry| entry.seq).collect();
    (numbers, page.has_older, page.has_newer)
}

/// Returns the page by its definition. `numbers` are in order.
fn expected(numbers: &[i64], Range { after, before }: Range, limit: u32) -> Numbers {
    let in_range = |seq: &&i64| {
        after.is_none_or(|after| **seq > after) && before.is_none_or(|before| **seq < before)
    };
    let all: Vec<i64> = numbers.iter().filter(in_range).copied().collect();
    let length = all.len().min(limit as usize);
    let is_cut = length < all.len();
    let page = match after {
        Some(_) => all[..length].to_vec(),
        None => all[all.len() - length..].to_vec(),
    };
    let older = page.first().is_some_and(|first| numbers[0] < *first);
    let newer = page.last().is_some_and(|last| numbers.last() > Some(last));
    match (after, before) {
        (Some(_), None) => (page, older, is_cut),
        (None, Some(_)) => (page, is_cut, newer),
        (Some(_), Some(_)) => (page, false, is_cut),
        (None, None) => (page, is_cut, false),
    }
}

#[tokio::test]
async fn pages_of_a_conversation_with_holes_leave_out_no_message() {
    let database = server::database_name();
    let store = server::migrated_store(server::uri().await, &database).await;
    let store = store.expect("a store");
    let kept: Vec<i64> = (-9..=200)
        .filter(|seq| ![-7, -6, 0, 2, 5, 6, 7].contains(seq) && !(20..150).contains(seq))
        .collect();
    insert(store.database(), kept.iter().copied(), "m").await;
    let ends = [i64::MIN, -10, -8, 0, 1, 4, 19, 60, 151, 200, 201, i64::MAX];
    let ends = || ends.into_iter().map(Some).chain([None]);
    for (after, before) in ends().flat_map(|after| ends().map(move |before| (after, before))) {
        for limit in [1, 4, 1_000] {
            let range = Range { after, before };
            let page = read(&store, range, limit).await;
            assert_eq!(
                page,
                expected(&kept, range, limit),
                "{range:?}, limit {limit}"
            );
        }
    }
    store.database().drop().await.expect("dropped");
}

#[tokio::test]
async fn every_64th_number_is_recorded_and_a_lost_record_does_no_harm() {
    let chat = Chat::start().await;
    messages::fill(&chat.database, &users(), 127).await;
    let conversations = chat.database.collection::<Document>("conversations");
    let recorded = async || {
        let conversation = conversations.find_one(doc! {"_id": "direct:1:a:b"}).await;
        let conversation = conversation.expect("the database responds");
        conversation.map(|row| row.get_i64("reached_seq").expect("a number"))
    };
    let mut a = chat.connect("a").await;
    for (seq, expected) in [(128, None), (129, Some(129)), (130, Some(129))] {
        assert_eq!(a.send_message("b", "m").await["seq"], seq);
        assert_eq!(recorded().await, expected);
    }
    let newest = async || numbers(&chat.history("a", "b", "&limit=2").await.messages());
    assert_eq!(newest().await, [129, 130]);

    // Lost, too small, and too large, as after a restore of an older log.
    conversations.drop().await.expect("dropped");
    assert_eq!(newest().await, [129, 130]);
    for wrong in [1_i64, 64_000] {
        let row = doc! {"_id": "direct:1:a:b", "reached_seq": wrong};
        conversations.insert_one(row).await.expect("inserted");
        assert_eq!(newest().await, [129, 130]);
        conversations.drop().await.expect("dropped");
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_page_of_large_messages_stays_below_the_limit_of_lambda() {
    let chat = Chat::start().await;
    // Quotes are escaped twice on the way: once in the body, once around it.
    seed(&chat, 400, &"\"".repeat(16_384)).await;
    let mut walked = 0;
    let mut query = Some("?user1=a&user2=b&after=0".to_owned());
    while let Some(next) = query {
        let response = get(&format!("{}/chat/history{next}", chat.http)).await;
        let page = response.messages();
        assert!(!page.is_empty() && page.len() < 400);
        assert!(response.body.len() < 5_000_000);
        walked += page.len();
        query = response.link("next");
    }
    assert_eq!(walked, 400);
    chat.stop().await;
}

#[tokio::test]
async fn an_old_message_too_large_for_any_page_does_not_hide_the_messages_behind_it() {
    let chat = Chat::start().await;
    seed(&chat, 9, "m").await;
    let messages = chat.database.collection::<Document>("chat_messages");
    let huge = doc! {"$set": {"message": "x".repeat(6_000_000)}};
    messages
        .update_one(doc! {"seq": 5}, huge)
        .await
        .expect("updated");
    let mut walked = Vec::new();
    let mut query = Some("?user1=a&user2=b&limit=2".to_owned());
    while let Some(next) = query {
        let response = get(&format!("{}/chat/history{next}", chat.http)).await;
        walked.extend(numbers(&response.messages()).into_iter().rev());
        query = response.link("prev");
    }
    assert_eq!(walked, [9, 8, 7, 6, 4, 3, 2, 1]);
    chat.stop().await;
}

#[tokio::test]
async fn bad_parameters_get_a_problem_document_that_names_them() {
    let chat = Chat::start().await;
    for (query, named) in [
        ("", "`user1`"),
        ("?user1=a", "`user2`"),
        ("?user1=&user2=b", "`user1`"),
        ("?user1=a&user2=b%00", "`user2`"),
        ("?user1=a&user2=%FF", "`user2`"),
        ("?user1=a&user1=c&user2=b", "`user1`"),
        ("?user1[$gt]=&user2=b", "`user1`"),
        ("?user1=a&user2=b&limit=0", "`limit`"),
        ("?user1=a&user2=b&limit=1001", "`limit`"),
        ("?user1=a&user2=b&limit=-1", "`limit`"),
        ("?user1=a&user2=b&after=x", "`after`"),
        ("?user1=a&user2=b&before={}", "`before`"),
    ] {
        let query = query.replace('{', "%7B").replace('}', "%7D");
        let response = get(&format!("{}/chat/history{query}", chat.http)).await;
        assert_eq!(response.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(response.header("content-type"), "application/problem+json");
        let problem = response.json();
        assert_eq!(
            (&problem["status"], &problem["title"]),
            (&json!(400), &json!("Bad Request"))
        );
        assert!(
            problem["detail"]
                .as_str()
                .expect("a string")
                .contains(named),
            "{query}: {problem}"
        );
    }
    chat.stop().await;
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let chat = Chat::start().await;
    let response = get(&format!("{}/chat", chat.http)).await;
    assert_eq!(response.status, StatusCode::NOT_FOUND);
    assert_eq!(response.json(), json!({"message": "Not Found"}));
    chat.stop().await;
}

//! Malicious input: operators of the database's query language, deep and large input, input that a
//! response could repeat.

use hyper::StatusCode;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::client::{HttpResponse, encode};
use tests::raw::{Raw, UPGRADE, statuses};
use tests::{Chat, Client, get};

/// Text that a response must not repeat.
const MARKER: &str = "xyzzy-marker";

/// Ids that are special for a database, a template or a shell, and ordinary here.
const ODD_IDS: &[&str] = &[
    r#"{"$gt":""}"#,
    r#"{"$ne":null}"#,
    r#"["a","b"]"#,
    "$where",
    "$user_id",
    "user_id[$gt]",
    "a.b",
    "__proto__",
    "' || '1'=='1",
    "${jndi:ldap://x}",
    "null",
];

/// Returns values of all types but string and null, operators among them.
fn values_of_other_types() -> Vec<Value> {
    vec![
        json!({"$gt": ""}),
        json!({"$ne": null}),
        json!({"$in": ["a", "b"]}),
        json!({"$regex": ".*"}),
        json!({"$where": "true"}),
        json!({"$oid": "6b030f6496dc982c8b31a53e"}),
        json!({"$or": [{"user_id": {"$gt": ""}}, {"$and": [{"seq": {"$gt": 0}}]}]}),
        json!({}),
        json!([]),
        json!(["b"]),
        json!([{"$gt": ""}]),
        json!(7),
        json!(-0.5),
        json!(true),
    ]
}

/// Two users who have nothing to do with the attacker `a`, and their messages.
async fn bystanders(chat: &Chat) -> Value {
    let mut x = chat.connect("x").await;
    let mut y = chat.connect("y").await;
    x.send_message("y", "between us").await;
    y.next().await;
    x.close().await;
    y.close().await;
    chat.history("x", "y", "").await.json()
}

async fn count(chat: &Chat, collection: &str) -> u64 {
    let collection = chat.database.collection::<Document>(collection);
    collection.count_documents(doc! {}).await.expect("a count")
}

/// Requests the history with a query string as it is.
async fn raw_history(chat: &Chat, query: &str) -> HttpResponse {
    get(&format!("{}/chat/history?{query}", chat.http)).await
}

/// Percent-encodes the brackets and quotes that a URL may not hold.
fn as_url(query: &str) -> String {
    let encoded = |c: char| match c {
        '{' | '}' | '"' | ' ' | '|' | '<' | '>' => encode(&c.to_string()),
        _ => c.to_string(),
    };
    query.chars().map(encoded).collect()
}

#[tokio::test]
async fn no_operator_in_any_field_of_a_frame_reaches_a_query() {
    let chat = Chat::start().await;
    let theirs = bystanders(&chat).await;
    let mut a = chat.connect("a").await;
    for field in [
        "action",
        "sender_id",
        "receiver_id",
        "message",
        "client_message_id",
    ] {
        for value in values_of_other_types() {
            for action in [None, Some("sendMessage")] {
                let mut frame = json!({"receiver_id": "y", "message": "m"});
                if let Some(action) = action {
                    frame["action"] = action.into();
                }
                frame[field] = value.clone();
                a.send(&frame).await;
                let response = a.next().await;
                assert_eq!(response["code"], "invalid_frame", "{frame}: {response}");
            }
        }
    }
    // Operators beside the valid fields are unknown fields.
    a.send(&json!({
        "action": "sendMessage", "receiver_id": "b", "message": "m", "$where": "true",
        "receiver_id[$gt]": "", "$or": [{"receiver_id": "y"}], "client_message_id": "1",
    }))
    .await;
    assert_eq!(a.next().await["conversation_id"], "direct:1:a:b");
    assert_eq!(chat.history("x", "y", "").await.json(), theirs);
    assert_eq!(count(&chat, "chat_messages").await, 2);
    chat.stop().await;
}

#[tokio::test]
async fn no_operator_in_a_handshake_is_another_user() {
    let chat = Chat::start().await;
    bystanders(&chat).await;
    for query in [
        "user_id[$gt]=",
        "user_id[$ne]=x",
        "user_id%5B%24gt%5D=",
        "user_id[]=x",
        "user_id[0]=x",
        "user_id.$gt=",
        "user_id=x&user_id=y",
        "user_id=a&user_id[$gt]=&user_id=x",
        "user_id=a&user_id=a",
        "user_id=a&user%5Fid=x",
        "USER_ID=x",
        "",
    ] {
        let refused = Client::connect(&format!("{}/?{query}", chat.ws)).await;
        assert_eq!(refused.err(), Some(StatusCode::BAD_REQUEST), "{query}");
    }
    assert_eq!(count(&chat, "connections").await, 0);

    // Operators beside the valid parameter are unknown parameters.
    let url = format!("{}/?user_id=a&user_id[$gt]=&user_id[]=x", chat.ws);
    let _a = Client::connect(&url).await.expect("connected");
    let connections = chat.database.collection::<Document>("connections");
    let row = connections.find_one(doc! {}).await.expect("read");
    let row = row.expect("a row");
    assert_eq!(row.get_str("user_id").ok(), Some("a"));
    chat.stop().await;
}

#[tokio::test]
async fn no_operator_in_a_query_reads_the_history_of_others() {
    let chat = Chat::start().await;
    bystanders(&chat).await;
    for query in [
        "user1[$gt]=&user2[$gt]=",
        "user1[$gt]=&user2=y",
        "user1%5B%24gt%5D=&user2=y",
        "user1%5b$ne%5d=a&user2=y",
        "user1=a&user2[$ne]=a",
        "user1[]=x&user2[]=y",
        "user1[0]=x&user2[0]=y",
        "user1.$gt=&user2=y",
        "user1=a&user1=x&user2=y",
        "user1=x&user1=x&user2=y",
        "user1=a&user%31=x&user2=y",
        "user1=a&user2=a&user2=y",
        "USER1=x&user2=y",
        "user1=x%00&user2=y",
        "user1=x;user2=y",
    ] {
        let response = raw_history(&chat, query).await;
        assert_eq!(response.status, StatusCode::BAD_REQUEST, "{query}");
    }
    // Ids are exact strings: these are users without messages.
    for query in [
        r#"user1={"$gt":""}&user2=y"#,
        r#"user1={"$gt":""}&user2={"$gt":""}"#,
        "user1=%7B%22%24gt%22%3A%22%22%7D&user2=y",
        "user1=%257B%2522%2524gt%2522%253A%2522%2522%257D&user2=y",
        r#"user1=["x","y"]&user2=y"#,
        "user1=x,y&user2=y",
        "user1=.*&user2=y",
        "user1=x%26user2=y&user2=y",
        "user1=$where&user2=y",
        "user1=X&user2=Y",
        "user1=x+&user2=y",
        "user1=1:x&user2=y",
        "user1=x:y&user2=y",
    ] {
        let response = raw_history(&chat, &as_url(query)).await;
        assert_eq!(response.status, StatusCode::OK, "{query}");
        assert_eq!(response.json(), json!([]), "{query}");
    }
    for name in ["limit", "after", "before"] {
        for value in [r#"{"$gt":0}"#, "1,2", "[1]", "1e3", "0x1", "null", "true"] {
            let query = as_url(&format!("user1=x&user2=y&{name}={value}"));
            let response = raw_history(&chat, &query).await;
            assert_eq!(response.status, StatusCode::BAD_REQUEST, "{query}");
        }
        let query = format!("user1=x&user2=y&{name}[$gt]=9&{name}[]=9");
        let response = raw_history(&chat, &query).await;
        assert_eq!(response.messages().len(), 1, "{query}");
    }
    chat.stop().await;
}

#[tokio::test]
async fn a_user_named_like_an_operator_is_an_ordinary_user() {
    let chat = Chat::start().await;
    let theirs = bystanders(&chat).await;
    let mut friend = chat.connect("friend").await;
    for id in ODD_IDS {
        let mut odd = chat.connect(id).await;
        // The text and the client's own id look like the user id.
        for duplicate in [false, true] {
            odd.send(&json!({
                "action": "sendMessage", "sender_id": id, "receiver_id": "friend", "message": id,
                "client_message_id": id,
            }))
            .await;
            let ack = odd.next().await;
            assert_eq!(ack["duplicate"], duplicate, "{ack}");
            assert_eq!(ack["seq"], 1, "{ack}");
            assert_eq!(friend.next().await["sender_id"], *id);
        }
        assert_eq!(friend.send_message(id, "back").await["seq"], 2);
        assert_eq!(odd.next().await["message"], "back");
        let messages = chat.history(id, "friend", "").await.messages();
        let texts: Vec<_> = messages.iter().map(|message| &message["message"]).collect();
        assert_eq!(texts, [*id, "back"]);
        odd.close().await;
    }
    assert_eq!(chat.history("x", "y", "").await.json(), theirs);
    chat.stop().await;
}

#[tokio::test]
async fn huge_and_deep_input_is_refused_and_breaks_nothing() {
    let chat = Chat::start().await;
    let mut a = chat.connect("a").await;
    // Just below the limit of a WebSocket frame of API Gateway.
    let deep = 32_000;
    for text in [
        "[".repeat(deep),
        r#"{"a":"#.repeat(deep / 5),
        format!(r#"{{"receiver_id":"b","message":{}"#, "[".repeat(deep)),
        format!(r#"{{"action":"sendMessage","x":{}"#, "[".repeat(deep)),
        format!(r#"{{"client_message_id":"{}"}}"#, "x".repeat(deep)),
        format!(r#"{{"receiver_id":{}}}"#, "9".repeat(deep)),
        format!("\u{feff}{}", " ".repeat(deep)),
    ] {
        a.send_text(text).await;
        assert_eq!(a.next().await["code"], "invalid_frame");
    }
    for query in [
        format!("user1=a&user2={}", "x".repeat(9_000)),
        format!("user1={}&user2=b", "%25".repeat(3_000)),
        format!("user1=a&{}", "user2=&".repeat(1_200)),
        format!("user1=a&user2=b&after={}", "9".repeat(9_000)),
    ] {
        let response = raw_history(&chat, &query).await;
        assert_eq!(response.status, StatusCode::BAD_REQUEST, "{}", &query[..20]);
    }
    let many = format!("user1=a&user2=b{}", "&x".repeat(4_500));
    assert_eq!(raw_history(&chat, &many).await.json(), json!([]));
    let ack = a.send_message("b", "still here").await;
    assert_eq!(ack["seq"], 1, "{ack}");
    let log = chat.stop().await;
    assert!(!log.contains("starts it again"), "no process ends: {log}");
}

/// Values of `Host` that are no host, or no part of a URL.
const ODD_HOSTS: &[&str] = &[
    "",
    "[::1",
    "[",
    "]",
    "a b",
    "a@b",
    "a/b",
    "a?b#c",
    "a:b",
    "1.2.3.4:99999",
    "300.300.300.300",
    "%",
    "%zz",
    "xn--a",
    "\u{e9}",
    "\\",
    "{\"$gt\":\"\"}",
];

/// Queries that hold what a URL may not.
const ODD_QUERIES: &[&str] = &[
    "%", "%zz", "[{}]|^`", "\"<>\"", "\u{e9}", "?&=&&==", "%00%FF",
];

#[tokio::test]
async fn no_host_and_no_query_makes_a_function_fail() {
    let chat = Chat::start().await;
    let hosts = ODD_HOSTS.iter().map(|host| (*host, "x"));
    for (host, query) in hosts.chain(ODD_QUERIES.iter().map(|query| ("localhost", *query))) {
        for path in ["/chat/history?user1=a&user2=b&", "/?", "/page/main.js?"] {
            let mut raw = Raw::open(&chat.http).await.expect("connected");
            let head = format!("GET {path}{query} HTTP/1.1\r\nHost: {host}\r\n");
            raw.send(format!("{head}Connection: close\r\n\r\n")).await;
            let found = statuses(&raw.rest().await);
            // The gateway itself may reject what is no HTTP.
            assert!(
                [[200], [400]].contains(&[found[0]]),
                "{host} {path}{query}: {found:?}"
            );
        }
    }
    for host in ODD_HOSTS {
        let mut raw = Raw::open(&chat.ws).await.expect("connected");
        let head = format!("GET /?user_id=a HTTP/1.1\r\nHost: {host}\r\n");
        raw.send(format!("{head}{UPGRADE}\r\n")).await;
        let found = raw
            .accepted()
            .await
            .map_err(|response| response.to_string());
        let is_rejected = |response: String| response.starts_with("HTTP/1.1 400");
        assert!(found.map_or_else(is_rejected, |()| true), "{host}");
    }
    let log = chat.stop().await;
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn responses_repeat_nothing_of_refused_input() {
    let chat = Chat::start().await;
    let mut a = chat.connect("a").await;
    let mut frames = vec![
        MARKER.to_owned(),
        format!("{{\"{MARKER}"),
        json!([MARKER]).to_string(),
        json!({MARKER: MARKER}).to_string(),
        json!({"sender_id": MARKER, "receiver_id": "b", "message": MARKER}).to_string(),
        json!({"receiver_id": format!("{MARKER}\n"), "message": MARKER}).to_string(),
        json!({"receiver_id": "b", "message": MARKER.repeat(1_500)}).to_string(),
    ];
    for field in ["action", "sender_id", "receiver_id", "client_message_id"] {
        for value in [json!([MARKER]), json!({MARKER: MARKER})] {
            let mut frame = json!({"receiver_id": "b", "message": MARKER});
            frame[field] = value;
            frames.push(frame.to_string());
        }
    }
    for frame in frames {
        a.send_text(&frame).await;
        let response = a.next().await;
        assert_eq!(response["type"], "error", "{frame}: {response}");
        assert!(!response.to_string().contains(MARKER), "{response}");
    }
    for query in [
        format!("user1={MARKER}"),
        format!("user1={MARKER}&user2={MARKER}%00"),
        format!("user1={MARKER}&user1={MARKER}&user2=b"),
        format!("user1={MARKER}%FF&user2={MARKER}"),
        format!("user1[{MARKER}]={MARKER}&user2={MARKER}"),
        format!("user1=a&user2=b&limit={MARKER}"),
        format!("user1=a&user2=b&after={MARKER}"),
        format!("user1=a&user2=b&before={MARKER}&{MARKER}={MARKER}"),
    ] {
        let response = raw_history(&chat, &query).await;
        assert_eq!(response.status, StatusCode::BAD_REQUEST, "{query}");
        let body = String::from_utf8_lossy(&response.body).into_owned();
        assert!(!body.contains(MARKER), "{body}");
        assert!(!format!("{:?}", response.headers).contains(MARKER));
    }
    chat.stop().await;
}

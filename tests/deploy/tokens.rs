//! Accepted and rejected tokens, and the limits of a user.

use chrono::Utc;
use futures_util::future::join_all;
use hyper::StatusCode;
use serde_json::{Value, json};
use tests::client::get_as;
use tests::issuer::{Issuer, Key, unsigned};
use tests::ministack::MiniStack;
use tests::raw::{Raw, client_frame, handshake};
use tests::{Client, get};
use tokio::time::{Duration, sleep};

use crate::chat::{Chat, connect_as};
use crate::life::{PROFESSOR, STUDENT};

/// The status if the authorizer fails with `Unauthorized`. On AWS it is 401, but the emulator
/// treats this failure like any other.
const UNAUTHORIZED: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

/// More messages than a user may send at once.
const MAX_FLOOD: usize = 100;

/// The reasons of rejections. Each must be in the log.
const REASONS: [&str; 8] = [
    "the audience of the token is another one",
    "the issuer of the token is another one",
    "the signature of the token is wrong",
    "the token has expired",
    "the token is malformed",
    "the user of the URL is not that of the token",
    "there is more than one token",
    "there is no token",
];

/// Handshakes and history requests are rejected without a valid token, and with that of another
/// user.
pub async fn reject_bad_tokens(emulator: &MiniStack, chat: &Chat) {
    let url = chat.url_of(PROFESSOR);
    let history = format!("{}?user1={PROFESSOR}&user2={STUDENT}", chat.history_url);
    for token in bad_tokens(&chat.issuer) {
        let rejected = connect_as(&token, &url).await.err();
        assert_eq!(rejected, Some(UNAUTHORIZED), "{token}");
        assert_eq!(get_as(&token, &history).await.status, UNAUTHORIZED);
    }
    assert_eq!(Client::connect(&url).await.err(), Some(UNAUTHORIZED));
    assert_eq!(get(&history).await.status, UNAUTHORIZED);

    let token = chat.issuer.token(PROFESSOR);
    let in_url = format!("{url}&token={token}");
    assert_eq!(Client::connect(&in_url).await.err(), Some(UNAUTHORIZED));
    let twice = [
        ("authorization", &*format!("Bearer {token}")),
        (
            "sec-websocket-protocol",
            &format!("chat.v1, bearer.{token}"),
        ),
    ];
    let rejected = Client::connect_with(&url, &twice).await.err();
    assert_eq!(rejected, Some(UNAUTHORIZED));

    let other_token = chat.issuer.token(STUDENT);
    let rejected = connect_as(&other_token, &url).await.err();
    assert_eq!(rejected, Some(StatusCode::FORBIDDEN));
    let log = rejections(emulator, chat).await;
    for reason in REASONS {
        assert!(log.contains(reason), "no rejection because {reason}: {log}");
    }
}

/// Returns the log lines of the authorizer about rejections.
async fn rejections(emulator: &MiniStack, chat: &Chat) -> String {
    let logs = ["logs", "filter-log-events", "--log-group-name"];
    let pattern = ["--filter-pattern", "\"not authorized\""];
    let arguments = [&logs[..], &[&chat.function_logs], &pattern].concat();
    let response = emulator.aws(&arguments).await;
    let events = response["events"].as_array().expect("events");
    let lines = events.iter().filter_map(|event| event["message"].as_str());
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns tokens that are each invalid for one reason.
fn bad_tokens(issuer: &Issuer) -> [String; 5] {
    let with = |name: &str, value: Value| {
        let mut claims = issuer.claims(PROFESSOR);
        claims[name] = value;
        issuer.key.sign(&claims)
    };
    let other_key = Key::other_rsa(&issuer.key.id);
    [
        with("exp", (Utc::now().timestamp() - 3_600).into()),
        with("iss", "https://elsewhere.example.com".into()),
        with("aud", "another-chat".into()),
        other_key.sign(&issuer.claims(PROFESSOR)),
        unsigned(&issuer.claims(PROFESSOR)),
    ]
}

/// A token is accepted as a subprotocol, which is how browsers send it. AWS returns the subprotocol
/// `chat.v1`, but the emulator returns none, so this client does not require it.
pub async fn accept_a_subprotocol_token(chat: &Chat) {
    let token = chat.issuer.token(PROFESSOR);
    let request = handshake(&chat.websocket_url);
    let request = request.trim_end();
    let offer = format!("Sec-WebSocket-Protocol: chat.v1, bearer.{token}");
    let mut browser = Raw::open(&chat.websocket_url).await.expect("a connection");
    browser.send(format!("{request}\r\n{offer}\r\n\r\n")).await;
    browser.accepted().await.expect("the handshake succeeds");

    // The user id is that of the token, because the URL has none.
    let forged = json!({
        "action": "sendMessage",
        "sender_id": STUDENT,
        "receiver_id": PROFESSOR,
        "message": "I fail.",
    });
    browser
        .send(client_frame(0x81, forged.to_string().as_bytes()))
        .await;
    let (_, response) = browser.frame().await.expect("a response");
    let response: Value = serde_json::from_slice(&response).expect("JSON");
    assert_eq!(response["code"], "sender_mismatch", "{response}");
}

/// A third user gets the same rejection whether or not the conversation exists.
pub async fn reject_the_history_of_others(chat: &Chat) {
    let pairs = [[PROFESSOR, STUDENT], ["nobody@example.com", STUDENT]];
    let ask = |pair| chat.history_as("third@example.com", pair, "");
    let [existing, missing] = <[_; 2]>::try_from(join_all(pairs.map(ask)).await).expect("two");
    assert_eq!(existing.status, StatusCode::FORBIDDEN);
    assert_eq!(existing.header("content-type"), "application/problem+json");
    assert_eq!(
        (existing.status, existing.body),
        (missing.status, missing.body)
    );
}

/// A user who sends too much gets an error, and may send again after the time that it states.
/// Returns the number of messages that were sent.
pub async fn limit_a_flood(chat: &Chat) -> usize {
    let mut flooder = chat.connect("flood@example.com").await;
    let mut sent = 0;
    let rejection = loop {
        let response = flooder.send_message("dam@example.com", "Water.").await;
        if response["type"] == "error" {
            break response;
        }
        sent += 1;
        assert!(sent < MAX_FLOOD, "the rate limit does not apply");
    };
    assert_eq!(rejection["code"], "rate_limited", "{rejection}");
    wait_for_retry(&rejection).await;
    let response = flooder.send_message("dam@example.com", "A drop.").await;
    assert_eq!(response["type"], "ack", "{response}");
    flooder.close().await;
    sent + 1
}

/// Waits as long as the `retry_after_ms` of an error.
pub async fn wait_for_retry(rejection: &Value) {
    let millis = rejection["retry_after_ms"].as_u64().expect("a time");
    sleep(Duration::from_millis(millis)).await;
}

/// A new connection above the limit closes the oldest connection of the user.
pub async fn close_the_oldest_connection(chat: &Chat, connections_per_user: usize) {
    const MANY: &str = "many@example.com";
    let mut oldest = chat.connect(MANY).await;
    let mut others = Vec::new();
    for _ in 0..connections_per_user {
        others.push(chat.connect(MANY).await);
    }
    oldest.rest().await;
    for mut other in others {
        other.expect_nothing().await;
        other.close().await;
    }
}

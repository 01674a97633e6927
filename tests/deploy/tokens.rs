//! Who gets into a deployed chat, who does not, and how much they may do there.

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

/// What becomes of a caller whose authorizer says `Unauthorized`. On AWS it is 401: the emulator knows
/// no difference between this failure and others.
const UNAUTHORIZED: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

/// More than any user may send at once.
const FLOOD: usize = 100;

/// What the log says of refusals: each of these.
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

/// No handshake and no history without a good token, nor with somebody else's.
pub async fn refuse_all_others(emulator: &MiniStack, chat: &Chat) {
    let url = chat.url_of(PROFESSOR);
    let history = format!("{}?user1={PROFESSOR}&user2={STUDENT}", chat.history_url);
    for token in bad_tokens(&chat.issuer) {
        let refused = connect_as(&token, &url).await.err();
        assert_eq!(refused, Some(UNAUTHORIZED), "{token}");
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
    let refused = Client::connect_with(&url, &twice).await.err();
    assert_eq!(refused, Some(UNAUTHORIZED));

    let of_another = chat.issuer.token(STUDENT);
    let refused = connect_as(&of_another, &url).await.err();
    assert_eq!(refused, Some(StatusCode::FORBIDDEN));
    let log = refusals(emulator, chat).await;
    for reason in REASONS {
        assert!(log.contains(reason), "not refused since {reason}: {log}");
    }
}

/// What the authorizer has logged of refusals.
async fn refusals(emulator: &MiniStack, chat: &Chat) -> String {
    let logs = ["logs", "filter-log-events", "--log-group-name"];
    let pattern = ["--filter-pattern", "\"not authorized\""];
    let arguments = [&logs[..], &[&chat.function_logs], &pattern].concat();
    let answer = emulator.aws(&arguments).await;
    let events = answer["events"].as_array().expect("events");
    let lines = events.iter().filter_map(|event| event["message"].as_str());
    lines.collect::<Vec<_>>().join("\n")
}

/// Tokens that are wrong in one way each.
fn bad_tokens(issuer: &Issuer) -> [String; 5] {
    let with = |name: &str, value: Value| {
        let mut claims = issuer.claims(PROFESSOR);
        claims[name] = value;
        issuer.key.sign(&claims)
    };
    let stranger = Key::other_rsa(&issuer.key.id);
    [
        with("exp", (Utc::now().timestamp() - 3_600).into()),
        with("iss", "https://elsewhere.example.com".into()),
        with("aud", "another-chat".into()),
        stranger.sign(&issuer.claims(PROFESSOR)),
        unsigned(&issuer.claims(PROFESSOR)),
    ]
}

/// A browser shows its token by a subprotocol. On AWS it is answered `chat.v1`: the emulator answers
/// none, so a client that insists would hang up.
pub async fn come_in_as_a_browser(chat: &Chat) {
    let token = chat.issuer.token(PROFESSOR);
    let request = handshake(&chat.websocket_url);
    let request = request.trim_end();
    let offer = format!("Sec-WebSocket-Protocol: chat.v1, bearer.{token}");
    let mut browser = Raw::open(&chat.websocket_url).await.expect("a connection");
    browser.send(format!("{request}\r\n{offer}\r\n\r\n")).await;
    browser.accepted().await.expect("the handshake succeeds");

    // It is known who it is, though no URL says so.
    let forged = json!({
        "action": "sendMessage",
        "sender_id": STUDENT,
        "receiver_id": PROFESSOR,
        "message": "I fail.",
    });
    browser
        .send(client_frame(0x81, forged.to_string().as_bytes()))
        .await;
    let (_, answer) = browser.frame().await.expect("an answer");
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(answer["code"], "sender_mismatch", "{answer}");
}

/// A third user gets the same refusal, whether or not there is a conversation.
pub async fn refuse_the_history_of_others(chat: &Chat) {
    let pairs = [[PROFESSOR, STUDENT], ["nobody@example.com", STUDENT]];
    let ask = |pair| chat.history_as("third@example.com", pair, "");
    let [there, not_there] = <[_; 2]>::try_from(join_all(pairs.map(ask)).await).expect("two");
    assert_eq!(there.status, StatusCode::FORBIDDEN);
    assert_eq!(there.header("content-type"), "application/problem+json");
    assert_eq!(
        (there.status, there.body),
        (not_there.status, not_there.body)
    );
}

/// Somebody who sends too much is refused, and may go on when told so. Returns how many messages they
/// have sent.
pub async fn refuse_a_flood(chat: &Chat) -> usize {
    let mut flooder = chat.connect("flood@example.com").await;
    let mut sent = 0;
    let refusal = loop {
        let answer = flooder.say("dam@example.com", "Water.").await;
        if answer["type"] == "error" {
            break answer;
        }
        sent += 1;
        assert!(sent < FLOOD, "nobody stops it");
    };
    assert_eq!(refusal["code"], "rate_limited", "{refusal}");
    wait_as_told(&refusal).await;
    let answer = flooder.say("dam@example.com", "A drop.").await;
    assert_eq!(answer["type"], "ack", "{answer}");
    flooder.close().await;
    sent + 1
}

/// Waits as long as an error says.
pub async fn wait_as_told(refusal: &Value) {
    let millis = refusal["retry_after_ms"].as_u64().expect("a time");
    sleep(Duration::from_millis(millis)).await;
}

/// The oldest socket of a user makes room for a new one.
pub async fn close_the_oldest_socket(chat: &Chat, sockets_per_user: usize) {
    const MANY: &str = "many@example.com";
    let mut oldest = chat.connect(MANY).await;
    let mut others = Vec::new();
    for _ in 0..sockets_per_user {
        others.push(chat.connect(MANY).await);
    }
    oldest.rest().await;
    for mut other in others {
        other.expect_nothing().await;
        other.close().await;
    }
}

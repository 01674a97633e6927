//! The whole chat with an issuer of tokens: no user connects, writes or reads as another user.
//!
//! - `expiry`: connections whose token expires
//! - `history`: who reads the history
//! - `identity`: the sender of a frame

mod expiry;
mod history;
mod identity;

use chrono::Utc;
use hyper::header::SEC_WEBSOCKET_PROTOCOL;
use hyper::{Method, StatusCode};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::client::{HttpResponse, encode, get_as, send};
use tests::issuer::{Issuer, Key, RSA_PUBLIC_PEM, unsigned};
use tests::{Chat, Client, get, until};

const PROF: &str = "prof@example.com";
const STUDENT: &str = "student@example.com";
const THIRD: &str = "third@example.com";

async fn guarded() -> (Chat, Issuer) {
    let issuer = Issuer::start(Key::ec("k"));
    (Chat::with().issuer(&issuer).start().await, issuer)
}

/// Connects with a token in the `Authorization` header.
async fn open(chat: &Chat, path: &str, token: &str) -> Result<Client, StatusCode> {
    let bearer = format!("Bearer {token}");
    let url = format!("{}{path}", chat.ws);
    let opened = Client::connect_with(&url, &[("authorization", &bearer)]).await;
    opened.map(|(client, _)| client)
}

async fn refused(chat: &Chat, path: &str, token: &str) -> u16 {
    match open(chat, path, token).await {
        Ok(_) => panic!("{path} lets in"),
        Err(status) => status.as_u16(),
    }
}

fn history_url(chat: &Chat, query: &str) -> String {
    format!("{}/chat/history?{query}", chat.http)
}

#[tokio::test]
async fn an_app_connects_with_an_authorization_header() {
    let (chat, issuer) = guarded().await;
    let mut student = open(&chat, "/", &issuer.token(STUDENT)).await.expect("in");
    let mut prof = open(&chat, "/", &issuer.token(PROF)).await.expect("in");
    let ack = prof.send_message(STUDENT, "At 3PM?").await;
    assert_eq!(ack["status"], "delivered", "{ack}");
    let message = student.next().await;
    assert_eq!(message["sender_id"], PROF);
    assert_eq!(message["message"], "At 3PM?");

    let url = history_url(&chat, &format!("user1={PROF}&user2={STUDENT}"));
    for reader in [PROF, STUDENT] {
        let page = get_as(&issuer.token(reader), &url).await;
        assert_eq!(page.messages().len(), 1, "{reader}");
    }
    chat.stop().await;
}

/// A browser cannot set headers: `new WebSocket(url, ["chat.v1", "bearer." + token])`.
#[tokio::test]
async fn a_browser_connects_with_a_subprotocol() {
    let (chat, issuer) = guarded().await;
    let offered = format!("chat.v1, bearer.{}", issuer.token(PROF));
    let headers = [("sec-websocket-protocol", offered.as_str())];
    let opened = Client::connect_with(&format!("{}/", chat.ws), &headers).await;
    let (mut prof, response) = opened.expect("in");
    assert_eq!(response[SEC_WEBSOCKET_PROTOCOL], "chat.v1");
    assert_eq!(prof.send_message(STUDENT, "At 3PM?").await["type"], "ack");

    let offered = format!("chat.v1, bearer.{}", unsigned(&issuer.claims(PROF)));
    let headers = [("sec-websocket-protocol", offered.as_str())];
    let opened = Client::connect_with(&format!("{}/", chat.ws), &headers).await;
    assert_eq!(opened.err(), Some(StatusCode::UNAUTHORIZED));
    chat.stop().await;
}

/// URLs end up in logs, so a token in the URL is accepted only if a parameter allows it.
#[tokio::test]
async fn a_token_in_the_url_is_accepted_only_if_allowed() {
    let (chat, issuer) = guarded().await;
    let path = format!("/?token={}", issuer.token(PROF));
    let opened = Client::connect(&format!("{}{path}", chat.ws)).await;
    assert_eq!(opened.err(), Some(StatusCode::UNAUTHORIZED));
    chat.stop().await;

    let chat = Chat::with()
        .issuer(&issuer)
        .parameters(&["JwtInQuery=on"])
        .start()
        .await;
    let opened = Client::connect(&format!("{}{path}", chat.ws)).await;
    assert_eq!(
        opened.expect("in").send_message(STUDENT, "m").await["type"],
        "ack"
    );
    assert_eq!(
        refused(&chat, &path, &issuer.token(PROF)).await,
        401,
        "two tokens"
    );
    chat.stop().await;
}

#[tokio::test]
async fn a_handshake_without_a_valid_token_is_refused() {
    let issuer = Issuer::start(Key::rsa("k"));
    let chat = Chat::with().issuer(&issuer).start().await;
    let with = |name: &str, value: Value| {
        let mut claims = issuer.claims(PROF);
        claims[name] = value;
        issuer.key.sign(&claims)
    };
    let claims = issuer.claims(PROF);
    let now = Utc::now().timestamp();
    let url = history_url(&chat, &format!("user1={PROF}&user2={STUDENT}"));
    for (what, token) in [
        ("empty", String::new()),
        ("nonsense", "nonsense".to_owned()),
        ("expired", with("exp", json!(now - 60))),
        ("not yet valid", with("nbf", json!(now + 60))),
        ("another issuer", with("iss", json!("https://evil.example"))),
        ("another audience", with("aud", json!("others"))),
        ("another key", Key::other_rsa("k").sign(&claims)),
        ("an unknown key", Key::other_ec("made-up").sign(&claims)),
        ("alg none", unsigned(&claims)),
        (
            "a secret",
            Key::secret("k", RSA_PUBLIC_PEM.as_bytes()).sign(&claims),
        ),
        ("nobody's", with("sub", json!(""))),
        ("huge", with("padding", json!("x".repeat(7_000)))),
    ] {
        assert_eq!(refused(&chat, "/", &token).await, 401, "{what}");
        let response = get_as(&token, &url).await;
        assert_eq!(response.status, 401, "{what}");
        assert_eq!(response.json(), json!({"message": "Unauthorized"}));
    }
    let opened = Client::connect(&format!("{}/?user_id={PROF}", chat.ws)).await;
    assert_eq!(opened.err(), Some(StatusCode::UNAUTHORIZED));
    assert_eq!(get(&url).await.status, 401);
    let bearer = format!("Bearer {}", issuer.token(PROF));
    for second in [
        ("authorization", bearer.clone()),
        (
            "sec-websocket-protocol",
            format!("chat.v1, bearer.{}", issuer.token(PROF)),
        ),
    ] {
        let headers = [
            ("authorization", bearer.as_str()),
            (second.0, second.1.as_str()),
        ];
        let opened = Client::connect_with(&format!("{}/", chat.ws), &headers).await;
        assert_eq!(opened.err(), Some(StatusCode::UNAUTHORIZED), "two tokens");
    }
    let connections = chat.database.collection::<Document>("connections");
    assert_eq!(
        connections.count_documents(doc! {}).await.expect("counted"),
        0
    );
    chat.stop().await;
}

#[tokio::test]
async fn the_user_of_the_url_must_be_that_of_the_token() {
    let (chat, issuer) = guarded().await;
    let token = issuer.token(PROF);
    for path in [
        format!("/?user_id={STUDENT}"),
        format!("/ws/chat/{STUDENT}"),
        "/?user_id=".to_owned(),
        "/?user_id=PROF@example.com".to_owned(),
        format!("/?user_id={PROF}&user_id={STUDENT}"),
        format!("/?user_id={STUDENT}&user_id={PROF}"),
        format!("/ws/chat/{PROF}?user_id={STUDENT}"),
    ] {
        assert_eq!(refused(&chat, &path, &token).await, 403, "{path}");
    }
    for path in [
        format!("/?user_id={PROF}"),
        format!("/?user_id={}", encode(PROF)),
        format!("/ws/chat/{PROF}"),
        "/?user_id[$ne]=x".to_owned(),
    ] {
        let mut prof = open(&chat, &path, &token).await.expect(&path);
        let frame = json!({"action": "sendMessage", "sender_id": PROF, "receiver_id": STUDENT, "message": "m"});
        prof.send(&frame).await;
        assert_eq!(prof.next().await["type"], "ack", "{path}");
    }
    chat.stop().await;
}

#[tokio::test]
async fn user_ids_of_all_kinds_pass_through_a_token_unchanged() {
    let (chat, issuer) = guarded().await;
    let receiver = "a/b?c=d&e%20+😀";
    for sender in [
        "學生",
        "auth0|5f7c",
        " a b ",
        "{\"$gt\":\"\"}",
        "%41",
        "é",
        &"x".repeat(254),
    ] {
        let mut socket = open(&chat, "/", &issuer.token(sender)).await.expect(sender);
        assert_eq!(
            socket.send_message(receiver, "m").await["type"],
            "ack",
            "{sender}"
        );
        let query = format!("user1={}&user2={}", encode(receiver), encode(sender));
        let page = get_as(&issuer.token(sender), &history_url(&chat, &query)).await;
        let messages = page.messages();
        assert_eq!(messages.len(), 1, "{sender}");
        assert_eq!(messages[0]["sender_id"], sender);
    }
    chat.stop().await;
}

#[tokio::test]
async fn handshakes_are_refused_until_the_keys_can_be_read() {
    let issuer = Issuer::start(Key::ec("k"));
    issuer.set_down(true);
    let chat = Chat::with().issuer(&issuer).start().await;
    let url = history_url(&chat, &format!("user1={PROF}&user2={STUDENT}"));
    let token = issuer.token(PROF);
    assert_eq!(refused(&chat, "/", &token).await, 500);
    assert_eq!(get_as(&token, &url).await.status, 500);
    issuer.set_down(false);
    until(async || open(&chat, "/", &token).await.is_ok()).await;
    until(async || get_as(&token, &url).await.status == 200).await;

    // A new key needs no restart.
    let new = Key::other_ec("new");
    issuer.publish(&[&issuer.key, &new]);
    let token = new.sign(&issuer.claims(PROF));
    until(async || open(&chat, "/", &token).await.is_ok()).await;
    chat.stop().await;
}

/// Without authorization nothing changes, and a browser may still offer the protocol.
#[tokio::test]
async fn an_open_chat_answers_the_subprotocol_only_if_it_is_offered() {
    let chat = Chat::start().await;
    let url = format!("{}/?user_id=a", chat.ws);
    let (_, response) = Client::connect_with(&url, &[]).await.expect("in");
    assert!(!response.contains_key(SEC_WEBSOCKET_PROTOCOL));
    let offered = [("sec-websocket-protocol", "chat.v2, chat.v1")];
    let (_, response) = Client::connect_with(&url, &offered).await.expect("in");
    assert_eq!(response[SEC_WEBSOCKET_PROTOCOL], "chat.v1");
    // A token is neither needed nor checked.
    let offered = [("sec-websocket-protocol", "chat.v1, bearer.nonsense")];
    let (mut client, _) = Client::connect_with(&url, &offered).await.expect("in");
    assert_eq!(client.send_message("b", "m").await["type"], "ack");
    chat.stop().await;
}

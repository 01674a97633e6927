//! The whole chat with an issuer of tokens: no user connects, writes or reads as another user.

use chrono::Utc;
use hyper::header::SEC_WEBSOCKET_PROTOCOL;
use hyper::{Method, StatusCode};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::client::{HttpResponse, encode, get_as, request, send};
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
async fn a_sender_cannot_be_forged() {
    let (chat, issuer) = guarded().await;
    let mut third = open(&chat, "/", &issuer.token(THIRD)).await.expect("in");
    for forged in [PROF, STUDENT, "third@example.com ", "THIRD@example.com"] {
        let mut frame = json!({"sender_id": forged, "receiver_id": STUDENT, "message": "m"});
        third.send(&frame).await;
        assert_eq!(third.next().await["code"], "sender_mismatch", "{forged}");
        frame["action"] = json!("sendMessage");
        third.send(&frame).await;
        assert_eq!(third.next().await["code"], "sender_mismatch", "{forged}");
    }
    let messages = chat.database.collection::<Document>("chat_messages");
    assert_eq!(messages.count_documents(doc! {}).await.expect("counted"), 0);
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

/// The response to a third user is the same whether or not there are messages.
#[tokio::test]
async fn a_third_user_reads_nothing_by_any_form_of_the_parameters() {
    let (chat, issuer) = guarded().await;
    let mut prof = open(&chat, "/", &issuer.token(PROF)).await.expect("in");
    assert_eq!(
        prof.send_message(STUDENT, "for your eyes only").await["type"],
        "ack"
    );

    let token = issuer.token(THIRD);
    let (p, s, t) = (encode(PROF), encode(STUDENT), encode(THIRD));
    let read = async |query: &str| get_as(&token, &history_url(&chat, query)).await;
    let forbidden = read("user1=nobody%40example.com&user2=no-one").await;
    assert_eq!(forbidden.status, 403);
    assert_eq!(forbidden.header("content-type"), "application/problem+json");
    for query in [
        format!("user1={PROF}&user2={STUDENT}"),
        format!("user2={PROF}&user1={STUDENT}"),
        format!("user1={p}&user2={s}"),
        format!("user1={PROF}&user2={STUDENT}&limit=1&after=0"),
        format!("user1={PROF}&user2={STUDENT}&user3={THIRD}"),
        format!("user1={PROF}&user2={STUDENT}&USER1={THIRD}"),
        format!("%75ser1={PROF}&use%722={STUDENT}"),
        format!("user1={PROF}&user2={STUDENT}&user_id={THIRD}"),
    ] {
        let response = read(&query).await;
        assert_eq!(response.status, 403, "{query}");
        assert_eq!(response.body, forbidden.body, "{query}");
    }
    for query in [
        format!("user1={PROF}&user2={STUDENT}&user2={THIRD}"),
        format!("user1={t}&user1={PROF}&user2={STUDENT}"),
        format!("user1[]={PROF}&user2={STUDENT}"),
        format!("user1[0]={THIRD}&user1={PROF}&user2[]={STUDENT}"),
        format!("user1[$ne]={THIRD}&user2={STUDENT}"),
        format!("user1={PROF}%00&user2={STUDENT}"),
        format!("user1={PROF}"),
        format!("user1={PROF}&user2"),
    ] {
        let response = read(&query).await;
        assert_eq!(response.status, 400, "{query}");
        assert!(
            !response.body.windows(4).any(|bytes| bytes == b"eyes"),
            "{query}"
        );
    }
    // Forms that name other users, the caller among them: they have no messages.
    for query in [
        format!("{PROF},{STUDENT}"),
        format!("{PROF}&user2={STUDENT}"),
        format!("[\"{PROF}\",\"{STUDENT}\"]"),
        "{\"$gt\":\"\"}".to_owned(),
        format!("direct:16:{PROF}:{STUDENT}"),
    ] {
        let query = format!("user1={THIRD}&user2={}", encode(&query));
        assert!(read(&query).await.messages().is_empty(), "{query}");
    }
    let url = history_url(&chat, &format!("user1={p}&user2={s}"));
    let own = get_as(&issuer.token(PROF), &url).await;
    assert_eq!(own.messages().len(), 1);
    chat.stop().await;
}

/// A page of another origin reads nothing, whatever token it has.
#[tokio::test]
async fn only_pages_of_listed_origins_read_the_history() {
    const OURS: &str = "https://meetme.example.com";
    let issuer = Issuer::start(Key::ec("k"));
    let origins = ["AllowedOrigins=https://other.example.com,https://meetme.example.com"];
    let settings = Chat::with().issuer(&issuer).parameters(&origins);
    let chat = settings.start().await;
    let url = history_url(&chat, &format!("user1={PROF}&user2={STUDENT}"));
    let bearer = format!("Bearer {}", issuer.token(PROF));
    let allowed = async |origin: &str| {
        let preflight = [
            ("origin", origin),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "authorization"),
        ];
        let preflight = send(Method::OPTIONS, &url, &preflight).await;
        let headers = [("origin", origin), ("authorization", bearer.as_str())];
        let response = send(Method::GET, &url, &headers).await;
        assert_eq!(response.status, 200, "{origin}");
        let header = |response: &HttpResponse, name: &str| response.header(name).to_owned();
        [
            header(&preflight, "access-control-allow-origin"),
            header(&preflight, "access-control-allow-headers"),
            header(&response, "access-control-allow-origin"),
        ]
    };
    assert_eq!(allowed(OURS).await, [OURS, "authorization", OURS]);
    for origin in ["https://evil.example", "null", "http://meetme.example.com"] {
        assert_eq!(allowed(origin).await, ["", "", ""], "{origin}");
    }
    chat.stop().await;
}

/// Returns a token that ends in some two seconds: it has expired, but clocks may differ.
fn ending(issuer: &Issuer, user_id: &str) -> String {
    let mut claims = issuer.claims(user_id);
    let leeway = authorizer::token::LEEWAY.as_secs() as i64;
    claims["exp"] = json!(Utc::now().timestamp() - leeway + 3);
    issuer.key.sign(&claims)
}

#[tokio::test]
async fn a_connection_is_closed_when_its_token_expires() {
    let (chat, issuer) = guarded().await;
    let message = json!({"receiver_id": STUDENT, "message": "m", "client_message_id": "id"});
    let mut with_action = message.clone();
    with_action["action"] = json!("sendMessage");
    for (frame, id) in [
        (with_action, json!("id")),
        (message, json!("id")),
        (json!({"action": "ping"}), Value::Null),
        (json!({"receiver_id": 7}), Value::Null),
    ] {
        let token = ending(&issuer, PROF);
        let mut prof = open(&chat, "/", &token).await.expect("in");
        let connections = chat.database.collection::<Document>("connections");
        let row = connections.find_one(doc! {"user_id": PROF}).await;
        let row = row.expect("a response").expect("a row");
        let end = row.get_datetime("expires_at").expect("a date");
        until(async || Utc::now().timestamp_millis() > end.timestamp_millis()).await;
        prof.send(&frame).await;
        let error = prof.next().await;
        assert_eq!(error["code"], "token_expired", "{frame}: {error}");
        assert_eq!(error["client_message_id"], id);
        assert_eq!(error["retryable"], false);
        assert_eq!(u16::from(prof.closed().await.code), 1000);
        let rows = async || connections.count_documents(doc! {}).await.expect("counted");
        until(async || rows().await == 0).await;
    }
    let messages = chat.database.collection::<Document>("chat_messages");
    assert_eq!(messages.count_documents(doc! {}).await.expect("counted"), 0);
    chat.stop().await;
}

#[tokio::test]
async fn an_idle_connection_gets_nothing_after_its_token_expires() {
    let (chat, issuer) = guarded().await;
    let mut prof = open(&chat, "/", &issuer.token(PROF)).await.expect("in");
    let mut student = open(&chat, "/", &ending(&issuer, STUDENT))
        .await
        .expect("in");
    assert_eq!(
        prof.send_message(STUDENT, "first").await["status"],
        "delivered"
    );
    assert_eq!(student.next().await["message"], "first");
    until(async || prof.send_message(STUDENT, "later").await["status"] == "stored").await;
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

/// The sender of a frame is known from the handshake, so no change in the database can change it.
#[tokio::test]
async fn the_sender_is_not_looked_up() {
    let chat = Chat::start().await;
    let mut client = chat.connect("a").await;
    let connections = chat.database.collection::<Document>("connections");
    let forge = doc! {"$set": {"user_id": "b"}};
    connections
        .update_many(doc! {}, forge)
        .await
        .expect("updated");
    client
        .send(&json!({"sender_id": "b", "receiver_id": "c", "message": "m"}))
        .await;
    assert_eq!(client.next().await["code"], "sender_mismatch");
    connections.delete_many(doc! {}).await.expect("deleted");
    assert_eq!(client.send_message("c", "m").await["type"], "ack");
    chat.stop().await;
}

/// Connections from before there was an authorizer have no user; those from before it was turned on
/// have a user who has proved nothing.
#[tokio::test]
async fn a_frame_without_an_identity_has_to_connect_again() {
    let chat = Chat::start().await;
    assert_eq!(code_of_a_frame(&chat, json!({})).await, "not_connected");
    let claimed = json!({"user_id": "a"});
    assert_eq!(code_of_a_frame(&chat, claimed.clone()).await, Value::Null);
    chat.stop().await;
    let (chat, _issuer) = guarded().await;
    assert_eq!(code_of_a_frame(&chat, claimed).await, "not_connected");
    chat.stop().await;
}

/// Returns the error code of a valid message whose event has this authorizer context.
async fn code_of_a_frame(chat: &Chat, authorizer: Value) -> Value {
    let event = json!({
        "requestContext": {
            "routeKey": "sendMessage", "eventType": "MESSAGE", "connectionId": "AAAAAAAAAAAAAAA=",
            "connectedAt": 1_770_660_703_000_i64, "requestTimeEpoch": 1_770_660_703_000_i64,
            "authorizer": authorizer,
        },
        "body": json!({"action": "sendMessage", "sender_id": "a", "receiver_id": "b", "message": "m"}).to_string(),
        "isBase64Encoded": false,
    });
    let http = chat.ws.replace("ws:", "http:");
    let url = format!("{http}/2015-03-31/functions/SendMessageFunction/invocations");
    let response = request(Method::POST, &url, event.to_string().into_bytes()).await;
    let body = response.json()["body"].as_str().expect("a body").to_owned();
    let frame: Value = serde_json::from_str(&body).expect("a frame");
    frame["code"].clone()
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

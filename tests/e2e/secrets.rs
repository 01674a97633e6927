//! The logs of the gateway and the functions hold no message text, no token and no password.
//!
//! Debug builds log more than release builds, at `trace` everything: text that is not in these logs
//! is in none.

use chat_local::database::own::Database;
use hyper::{Method, StatusCode};
use local_gateway::process::ports::free_port;
use mongodb::bson::doc;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use tests::client::{get_as, request};
use tests::issuer::{Issuer, Key, unsigned};
use tests::{Chat, Client, server, until};

use crate::outage::process_of;

const TEXT: &str = "xyzzy-text";
const BAD_TOKEN: &str = "xyzzy-token";
const CLAIM: &str = "xyzzy-claim";
const PASSWORD: &str = "xyzzy-password";
/// The common part of the texts above.
const MARKER: &str = "xyzzy";

/// A chat that accepts tokens in every form.
struct GuardedChat {
    chat: Chat,
    database: Database,
    issuer: Issuer,
}

impl GuardedChat {
    /// Starts a chat on a database whose connection string has a password in it.
    async fn start(log_format: &str) -> Self {
        let (database, uri) = database_with_password(log_format).await;
        let issuer = Issuer::start(Key::ed("k"));
        let settings = Chat::with()
            .database(&uri, "meetme")
            .issuer(&issuer)
            .parameters(&["JwtInQuery=on"])
            .flags(&["--log", "trace", "--log-format", log_format]);
        Self {
            chat: settings.start().await,
            database,
            issuer,
        }
    }

    fn token(&self, user_id: &str) -> String {
        let mut claims = self.issuer.claims(user_id);
        claims["note"] = CLAIM.into();
        self.issuer.key.sign(&claims)
    }

    fn ws(&self, query: &str) -> String {
        format!("{}/?{query}", self.chat.ws)
    }

    async fn history(&self, token: &str, query: &str) -> StatusCode {
        let url = format!("{}/chat/history?user1=a&user2=b&{query}", self.chat.http);
        get_as(token, &url).await.status
    }

    /// Replaces all faults.
    async fn set_faults(&self, faults: &Value) {
        let url = format!("{}/_local/faults", self.chat.ws.replace("ws:", "http:"));
        let response = request(Method::PUT, &url, faults.to_string().into_bytes()).await;
        assert_eq!(response.status, StatusCode::OK, "{response:?}");
    }
}

async fn database_with_password(name: &str) -> (Database, String) {
    let folder = server::scratch_folder().join(format!("secrets-{name}"));
    let database = server::start_in(&folder, free_port().expect("a port")).await;
    let client = mongodb::Client::with_uri_str(&database.uri).await;
    let admin = client.expect("a client").database("admin");
    let user = doc! {"createUser": "chat", "pwd": PASSWORD, "roles": ["root"]};
    admin.run_command(user).await.expect("a user");
    let scheme = format!("mongodb://chat:{PASSWORD}@");
    let uri = database.uri.replace("mongodb://", &scheme);
    (database, uri)
}

/// Connects with valid tokens in every form, as two users.
async fn come_in(chat: &GuardedChat) -> (Client, Client) {
    let authorization = format!("Bearer {}", chat.token("a"));
    let a = Client::connect_with(&chat.ws(""), &[("authorization", &authorization)]).await;
    let protocols = format!("chat.v1, bearer.{}", chat.token("b"));
    let b = Client::connect_with(&chat.ws(""), &[("sec-websocket-protocol", &protocols)]).await;
    let c = Client::connect(&chat.ws(&format!("token={}", chat.token("c")))).await;
    c.expect("in").close().await;
    (a.expect("in").0, b.expect("in").0)
}

/// Connects with invalid tokens, or with tokens in places where none is read.
async fn stay_out(chat: &GuardedChat) {
    let unsigned = unsigned(&chat.issuer.claims(CLAIM));
    let good = chat.token("a");
    for token in [BAD_TOKEN, &unsigned, &format!("{good}{BAD_TOKEN}")] {
        for (name, value) in [
            ("authorization", format!("Bearer {token}")),
            ("authorization", format!("Basic {token}")),
            ("sec-websocket-protocol", format!("chat.v1, bearer.{token}")),
            ("cookie", format!("token={token}")),
        ] {
            let opened = Client::connect_with(&chat.ws(""), &[(name, &value)]).await;
            assert_eq!(opened.err(), Some(StatusCode::UNAUTHORIZED), "{name}");
        }
        let opened = Client::connect(&chat.ws(&format!("token={token}"))).await;
        assert_eq!(opened.err(), Some(StatusCode::UNAUTHORIZED));
        assert_eq!(chat.history(token, "").await, StatusCode::UNAUTHORIZED);
    }
    let opened = Client::connect(&chat.ws(&format!("user_id=b&token={good}"))).await;
    assert_eq!(opened.err(), Some(StatusCode::FORBIDDEN));
    let third = chat.token("c");
    assert_eq!(chat.history(&third, "").await, StatusCode::FORBIDDEN);
}

async fn send_valid_and_invalid_frames(a: &mut Client, b: &mut Client) {
    assert_eq!(a.send_message("b", TEXT).await["type"], "ack");
    assert_eq!(b.next().await["message"], TEXT);
    a.send(&json!({"sender_id": "a", "receiver_id": "b", "message": TEXT}))
        .await;
    assert_eq!(b.next().await["message"], TEXT);
    for frame in [
        TEXT.to_owned(),
        format!("{{\"receiver_id\":\"b\",\"message\":\"{TEXT}"),
        json!({"receiver_id": 7, "message": TEXT}).to_string(),
        json!({"receiver_id": "b", "message": [TEXT]}).to_string(),
        json!({"receiver_id": "b", "message": TEXT.repeat(2_000)}).to_string(),
        json!({"action": TEXT, "receiver_id": "b", "message": TEXT}).to_string(),
        json!({"sender_id": "c", "receiver_id": "b", "message": TEXT}).to_string(),
        json!({"receiver_id": "b", "message": TEXT, TEXT: TEXT, "sender_id": 1}).to_string(),
    ] {
        a.send_text(frame).await;
        assert_eq!(a.next().await["type"], "error");
    }
}

/// Makes pushes fail, kills a function, and stops the database.
async fn fall_over(chat: &mut GuardedChat, a: &mut Client) {
    chat.set_faults(&json!({"posts": {"500": 1}})).await;
    assert_eq!(a.send_message("b", TEXT).await["status"], "stored");
    chat.set_faults(&json!({})).await;
    kill_process(process_of(&chat.chat, "send-message"), Signal::KILL).expect("killed");
    let killed = json!({"action": "sendMessage", "receiver_id": "b", "message": TEXT});
    until(async || {
        // A frame may still meet the dying process.
        a.send(&killed).await;
        a.next().await["type"] == "ack"
    })
    .await;

    chat.database.shutdown().await.expect("stopped");
    assert_eq!(a.send_message("b", TEXT).await["code"], "unavailable");
    let token = chat.token("a");
    let opened = Client::connect(&chat.ws(&format!("token={token}"))).await;
    assert_eq!(opened.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
    let status = chat.history(&token, "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn logs_hold_no_text_no_token_and_no_password() {
    for log_format in ["text", "json"] {
        let mut chat = GuardedChat::start(log_format).await;
        let (mut a, mut b) = come_in(&chat).await;
        stay_out(&chat).await;
        send_valid_and_invalid_frames(&mut a, &mut b).await;
        let token = chat.token("b");
        let query = format!("token={token}&x={TEXT}");
        assert_eq!(chat.history(&token, "").await, StatusCode::OK);
        assert_eq!(chat.history(&token, &query).await, StatusCode::UNAUTHORIZED);
        fall_over(&mut chat, &mut a).await;
        let log = chat.chat.shutdown().await;
        for line in [
            "not authorized",
            "connected",
            "message stored",
            "frame refused",
            "send failed",
            "history failed",
            "handshake failed",
        ] {
            assert!(log.contains(line), "the log tells of it: {line}: {log}");
        }
        // Tokens are base64, and begin with `{"typ":` or `{"alg":`.
        for secret in [MARKER, "eyJ0eXAiO", "eyJhbGciO", "mongodb://"] {
            let found: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
            assert!(found.is_empty(), "{found:#?}");
        }
    }
}

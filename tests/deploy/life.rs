//! A chat is deployed, used, upgraded and deleted. Its database remains.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{TimeDelta, Utc};
use futures_util::TryStreamExt;
use hyper::StatusCode;
use local_gateway::process::ports::free_port;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::{Collection, Database};
use serde_json::{Value, json};
use tests::issuer::{Issuer, Key};
use tests::ministack::MiniStack;
use tests::{Client, programs, sam, server, until};
use tokio::process::Command;

use crate::adapt::release;
use crate::chat::Chat;
use crate::tokens;

pub const PROFESSOR: &str = "prof@example.com";
pub const STUDENT: &str = "student@example.com";

/// The password of a connection string. No output may contain it.
const PASSWORD: &str = "correct-horse";

/// Limits that are lower than the defaults, so that a test reaches them soon.
const LIMITS: [(&str, &str); 3] = [
    ("MessageRate", "2"),
    ("MessageBurst", "10"),
    ("SocketsPerUser", "3"),
];

/// The number of messages that two runs of `smoke` send.
const SMOKE_MESSAGES: usize = 4;

/// Prints the names of all resources that the template can create, by the operation that lists
/// them.
const INVENTORY: &str = r#"
import boto3, json
kinds = [
    ('lambda', 'list_functions', 'Functions', 'FunctionName'),
    ('apigatewayv2', 'get_apis', 'Items', 'ApiId'),
    ('logs', 'describe_log_groups', 'logGroups', 'logGroupName'),
    ('iam', 'list_roles', 'Roles', 'RoleName'),
    ('cloudwatch', 'describe_alarms', 'MetricAlarms', 'AlarmName'),
    ('cloudwatch', 'list_dashboards', 'DashboardEntries', 'DashboardName'),
    ('cloudfront', 'list_distributions', 'DistributionList', 'Id'),
    ('cloudfront', 'list_functions', 'FunctionList', 'Name'),
]
found = {}
for service, operation, field, name in kinds:
    items = getattr(boto3.client(service), operation)()[field]
    items = items.get('Items', []) if isinstance(items, dict) else items
    found[operation] = [item[name] for item in items]
print(json.dumps(found))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_is_deployed_used_upgraded_and_deleted_and_its_messages_remain() {
    let emulator = MiniStack::start().await;
    let life = Life::new(&emulator).await;
    let before = inventory(&emulator).await;
    insert_old_messages(&life.database, PROFESSOR, STUDENT, 9).await;

    a_stack_without_an_issuer_is_rejected(&life).await;
    assert_eq!(inventory(&emulator).await, before);

    life.deploy("first", &LIMITS).await;
    let chat = Chat::of(&emulator, "chat", &life.issuer).await;
    let mut log: Vec<_> = (0..9).map(|n| (n - 8, format!("old {n}"))).collect();
    assert_eq!(chat.log(PROFESSOR, STUDENT).await, log);
    log.extend(use_chat(&chat, &life.database).await);
    the_page_has_the_address_of_the_websocket_api(&chat).await;
    assert_eq!(chat.log(STUDENT, PROFESSOR).await, log);
    tokens::reject_bad_tokens(&emulator, &chat).await;
    tokens::accept_a_subprotocol_token(&chat).await;
    tokens::reject_the_history_of_others(&chat).await;
    tokens::close_the_oldest_connection(&chat, 3).await;
    let flood = tokens::limit_a_flood(&chat).await;

    a_stack_without_a_database_fails_with_the_reason(&life).await;

    an_upgrade_without_a_database_is_rolled_back(&life).await;
    assert_eq!(chat.log(PROFESSOR, STUDENT).await, log);

    insert_old_messages(&life.database, PROFESSOR, "late@example.com", 2).await;
    log.extend(upgrade_during_traffic(&life, &chat).await);
    assert_eq!(chat.log(PROFESSOR, STUDENT).await, log);
    the_page_has_the_address_of_the_cloudfront_distribution(&chat).await;
    smoke(&chat).await;
    let late = [(-1, "old 0".to_owned()), (0, "old 1".to_owned())];
    assert_eq!(chat.log(PROFESSOR, "late@example.com").await, late);

    let deployed = inventory(&emulator).await;
    let all_exist = deployed.values().all(|names| !names.is_empty());
    assert!(all_exist, "{deployed:?}");
    let (first, second) = tokio::join!(
        sam::delete(&emulator, "chat"),
        sam::delete(&emulator, "unreachable")
    );
    first.and(second).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(inventory(&emulator).await, before);
    let messages = messages(&life.database).count_documents(doc! {}).await;
    let others = (late.len() + SMOKE_MESSAGES + flood) as u64;
    assert_eq!(messages.expect("counted"), log.len() as u64 + others);
    life.database.drop().await.expect("dropped");
}

/// The page gets the address of the WebSocket API, and that users need a token.
async fn the_page_has_the_address_of_the_websocket_api(chat: &Chat) {
    let expected = json!({
        "socketUrl": chat.websocket_url,
        "auth": "jwt",
        "userClaim": "sub",
    });
    assert_eq!(chat.page_config().await, expected);
}

/// With CloudFront, the page gets the domain of the distribution, and the path of the old system,
/// which contains the user id.
async fn the_page_has_the_address_of_the_cloudfront_distribution(chat: &Chat) {
    let config = chat.page_config().await;
    let socket_url = config["socketUrl"].as_str().expect("a URL");
    let domain = socket_url.strip_prefix("wss://");
    let domain = domain.and_then(|rest| rest.strip_suffix("/ws/chat/{user}"));
    assert!(domain.is_some_and(|it| !it.contains('/')), "{config}");
}

/// State that all steps of the test share.
struct Life<'a> {
    emulator: &'a MiniStack,
    database: Database,
    secret_arn: String,
    issuer: Issuer,
}

impl<'a> Life<'a> {
    async fn new(emulator: &'a MiniStack) -> Self {
        let uri = server::uri().await;
        let client = mongodb::Client::with_uri_str(uri).await;
        let secret = emulator
            .aws(&[
                "secretsmanager",
                "create-secret",
                "--name",
                "database",
                "--secret-string",
                uri,
            ])
            .await;
        Self {
            emulator,
            database: client.expect("a client").database(&server::database_name()),
            secret_arn: secret["ARN"].as_str().expect("a secret").to_owned(),
            issuer: Issuer::start(Key::rsa("first")),
        }
    }

    /// Deploys the stack `chat`, or upgrades it. It must succeed.
    async fn deploy(&self, name: &str, more: &[(&str, &str)]) {
        let deployed = self.try_deploy(name, more).await;
        deployed.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Deploys the stack `chat`, or upgrades it.
    ///
    /// # Errors
    ///
    /// The deployment fails: the output of `sam deploy`.
    async fn try_deploy(&self, name: &str, more: &[(&str, &str)]) -> Result<(), String> {
        let defaults = [
            ("Architecture", sam::ARCHITECTURE),
            ("MongodbSecretArn", &self.secret_arn),
            ("MongodbDatabase", self.database.name()),
            ("JwtIssuer", &self.issuer.url),
            ("JwtAudience", &self.issuer.audience),
            ("JwtKeysUrl", &self.issuer.keys_url()),
        ];
        let parameters = [&defaults, more].concat();
        let template = release(self.emulator, name).await;
        sam::deploy(self.emulator, &template, "chat", &parameters).await
    }

    /// Stores a connection string in the secret.
    async fn set_secret(&self, uri: &str) {
        let id = ["--secret-id", &self.secret_arn, "--secret-string", uri];
        let put = [&["secretsmanager", "put-secret-value"], &id[..]].concat();
        self.emulator.aws(&put).await;
    }
}

/// Returns a connection string to a port on which no server listens, and the port.
fn unreachable_database() -> (String, String) {
    let port = free_port().expect("a port").to_string();
    (format!("mongodb://chat:{PASSWORD}@127.0.0.1:{port}/"), port)
}

/// Inserts messages of the old system between two users: one a minute, with alternating senders.
async fn insert_old_messages(database: &Database, user1: &str, user2: &str, count: usize) {
    let old = (0..count).map(|n| {
        let (sender, receiver) = [(user1, user2), (user2, user1)][n % 2];
        doc! {
            "sender_id": sender,
            "receiver_id": receiver,
            "message": format!("old {n}"),
            "timestamp": format!("2026-01-01T00:{n:02}:00"),
        }
    });
    let inserted = messages(database).insert_many(old).await;
    inserted.expect("inserted");
}

fn messages(database: &Database) -> Collection<Document> {
    database.collection("chat_messages")
}

/// Uses every function of the chat. Returns the numbers and texts of the new messages.
async fn use_chat(chat: &Chat, database: &Database) -> Vec<(i64, String)> {
    eprintln!("Using the chat.");
    let mut professor = chat.connect(PROFESSOR).await;
    let mut student = chat.connect(STUDENT).await;

    let ack = professor.send_message(STUDENT, "At 3PM?").await;
    let expected = json!(["ack", 1, "delivered", false]);
    assert_eq!(
        parts(&ack, ["type", "seq", "status", "duplicate"]),
        expected
    );
    let push = student.next().await;
    let expected = json!(["message", 1, PROFESSOR, "At 3PM?"]);
    assert_eq!(
        parts(&push, ["type", "seq", "sender_id", "message"]),
        expected
    );

    student
        .send(&json!({"sender_id": STUDENT, "receiver_id": PROFESSOR, "message": "Yes."}))
        .await;
    let push = professor.next().await;
    assert_eq!(parts(&push, ["seq", "message"]), json!([2, "Yes."]));
    student.expect_nothing().await;

    send_twice(&mut professor, &mut student).await;
    send_invalid_input(&mut student, chat).await;
    disconnect_without_close(student, &mut professor, database).await;
    professor.close().await;
    until(async || connections_of(database, PROFESSOR).await.is_empty()).await;
    let texts = [
        (1, "At 3PM?"),
        (2, "Yes."),
        (3, "Room 7."),
        (4, "Are you there?"),
    ];
    texts.map(|(seq, text)| (seq, text.to_owned())).to_vec()
}

/// Returns some fields of a frame.
fn parts<const N: usize>(frame: &Value, names: [&str; N]) -> Value {
    json!(names.map(|name| frame[name].clone()).to_vec())
}

/// A message that is sent twice is stored once.
async fn send_twice(sender: &mut Client, receiver: &mut Client) {
    let frame = json!({
        "action": "sendMessage",
        "receiver_id": STUDENT,
        "message": "Room 7.",
        "client_message_id": "m-3",
    });
    for duplicate in [false, true] {
        sender.send(&frame).await;
        let ack = sender.next().await;
        let expected = json!(["m-3", 3, duplicate]);
        assert_eq!(
            parts(&ack, ["client_message_id", "seq", "duplicate"]),
            expected
        );
        assert_eq!(receiver.next().await["seq"], 3);
    }
}

/// Invalid input gets an error on both kinds of route, and over HTTP.
async fn send_invalid_input(client: &mut Client, chat: &Chat) {
    for frame in [json!({"message": 7}), json!({"action": "sendMessage"})] {
        client.send(&frame).await;
        let error = client.next().await;
        assert_eq!(
            parts(&error, ["type", "code"]),
            json!(["error", "invalid_frame"])
        );
    }
    let response = chat.history(PROFESSOR, "", "").await;
    assert_eq!(response.status, StatusCode::BAD_REQUEST);
    assert_eq!(response.header("content-type"), "application/problem+json");
}

/// The row of a connection is deleted when the connection breaks. If no event says so, it is
/// deleted by the next push.
async fn disconnect_without_close(client: Client, other: &mut Client, database: &Database) {
    let rows = connections_of(database, STUDENT).await;
    drop(client);
    until(async || connections_of(database, STUDENT).await.is_empty()).await;

    let mut row = rows.into_iter().next().expect("the connection has a row");
    row.insert("_id", "AAAAAAAAAAAAAAA=");
    // A push does not delete a new row, because its connection may not be open yet.
    let connected_at = Utc::now() - TimeDelta::minutes(10);
    let connected_at = DateTime::from_millis(connected_at.timestamp_millis());
    row.insert("connected_at", connected_at);
    let inserted = connections(database).insert_one(row).await;
    inserted.expect("inserted");
    let ack = other.send_message(STUDENT, "Are you there?").await;
    assert_eq!(ack["status"], "stored");
    assert!(connections_of(database, STUDENT).await.is_empty());
}

fn connections(database: &Database) -> Collection<Document> {
    database.collection("connections")
}

/// Returns the rows of a user's connections, oldest first.
async fn connections_of(database: &Database, user_id: &str) -> Vec<Document> {
    let connections = connections(database);
    let rows = connections
        .find(doc! {"user_id": user_id})
        .sort(doc! {"connected_at": 1});
    let rows = rows.await.expect("found").try_collect().await;
    rows.expect("found")
}

/// By default, clients need a token, so the stack needs an issuer.
async fn a_stack_without_an_issuer_is_rejected(life: &Life<'_>) {
    let parameters = [
        ("Architecture", sam::ARCHITECTURE),
        ("MongodbSecretArn", life.secret_arn.as_str()),
    ];
    let template = release(life.emulator, "open-door").await;
    let deployed = sam::deploy(life.emulator, &template, "open-door", &parameters).await;
    let error = deployed.expect_err("the stack has no issuer");
    assert!(error.contains("Auth=jwt needs JwtIssuer"), "{error}");
}

/// This stack has an unreachable database. It does not need tokens.
async fn a_stack_without_a_database_fails_with_the_reason(life: &Life<'_>) {
    let (uri, port) = unreachable_database();
    let parameters = [
        ("Architecture", sam::ARCHITECTURE),
        ("MongodbUri", uri.as_str()),
        ("Auth", "open"),
    ];
    let template = release(life.emulator, "unreachable").await;
    let deployed = sam::deploy(life.emulator, &template, "unreachable", &parameters).await;
    let error = deployed.expect_err("the database is unreachable");

    let events = life
        .emulator
        .aws(&[
            "cloudformation",
            "describe-stack-events",
            "--stack-name",
            "unreachable",
        ])
        .await;
    let events = events["StackEvents"].as_array().expect("events");
    let failed = |event: &&Value| event["ResourceStatus"] == "CREATE_FAILED";
    let failed: Vec<_> = events.iter().filter(failed).collect();
    let [failed] = failed[..] else {
        panic!("one resource fails: {failed:?}");
    };
    assert_eq!(failed["LogicalResourceId"], "Migration");
    let reason = failed["ResourceStatusReason"].as_str().expect("a reason");
    assert!(reason.contains(&port), "{reason}");
    assert!(
        !(error + reason).contains(PASSWORD),
        "the output has the password"
    );
}

/// The migration of an upgrade fails without a database, and the rollback succeeds without one. The
/// next upgrade deploys the same release.
async fn an_upgrade_without_a_database_is_rolled_back(life: &Life<'_>) {
    let before = code(life.emulator).await;
    let (uri, port) = unreachable_database();
    life.set_secret(&uri).await;
    let deployed = life.try_deploy("second", &[]).await;
    let error = deployed.expect_err("the database is unreachable");
    assert!(error.contains(&port), "{error}");
    assert!(error.contains("UPDATE_ROLLBACK_COMPLETE"), "{error}");
    assert!(!error.contains(PASSWORD), "the output has the password");
    assert_eq!(code(life.emulator).await, before);
    life.set_secret(server::uri().await).await;
}

/// The program `smoke` succeeds on the deployed chat, also if its users have sent messages before.
async fn smoke(chat: &Chat) {
    let users = ["try@example.com", "retry@example.com"];
    let tokens = users.map(|user_id| chat.issuer.token(user_id)).join(",");
    for _ in 0..SMOKE_MESSAGES / 2 {
        run_smoke(chat, users, &tokens).await;
    }
}

async fn run_smoke(chat: &Chat, [prof, student]: [&str; 2], tokens: &str) {
    let output = Command::new(programs::folder().join("smoke"))
        .args([&chat.websocket_url, &chat.history_url])
        .args(["--users", prof, student])
        // The emulator does not return the subprotocol.
        .arg("--without-browser")
        .env("SMOKE_TOKENS", tokens)
        .output()
        .await
        .expect("smoke runs");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
}

/// Upgrades the stack to new code, another setting and CloudFront, while two users send messages
/// over connections that were open before. Returns the numbers and texts of the messages.
async fn upgrade_during_traffic(life: &Life<'_>, chat: &Chat) -> Vec<(i64, String)> {
    let mut professor = chat.connect(PROFESSOR).await;
    let mut student = chat.connect(STUDENT).await;
    let code = code(life.emulator).await;
    let endpoint = chat
        .websocket_url
        .replace("ws://127.0.0.1", "http://localhost");

    let upgraded = AtomicBool::new(false);
    let upgrade = async {
        let parameters = [("ManagementEndpoint", &*endpoint), ("Edge", "cloudfront")];
        life.deploy("second", &parameters).await;
        upgraded.store(true, Ordering::Relaxed);
    };
    let ((), mut sent) = tokio::join!(upgrade, send_until(&mut professor, &upgraded));
    // The new code uses the old setting for the open connection, and the new setting for a new one.
    let mut newcomer = chat.connect(PROFESSOR).await;
    sent.push(send(&mut professor, "I stay.").await);
    assert_eq!(newcomer.next().await["message"], "I stay.");
    sent.push(send(&mut newcomer, "I am new.").await);
    assert_eq!(professor.next().await["message"], "I am new.");
    expect_pushes(&mut student, &sent).await;
    let rows = connections_of(&life.database, PROFESSOR).await;
    let newest = rows.last().expect("the connection has a row");
    assert_eq!(newest.get_str("endpoint").expect("text"), endpoint);
    let new = self::code(life.emulator).await;
    assert!(code.keys().eq(new.keys()), "the functions are the same");
    assert!(code.iter().all(|(name, hash)| new[name] != *hash));

    for client in [professor, newcomer, student] {
        client.close().await;
    }
    for user_id in [PROFESSOR, STUDENT] {
        until(async || connections_of(&life.database, user_id).await.is_empty()).await;
    }
    sent
}

/// Sends messages, one after another, until `done` is true. Returns their numbers and texts.
async fn send_until(client: &mut Client, done: &AtomicBool) -> Vec<(i64, String)> {
    let mut sent = Vec::new();
    while !done.load(Ordering::Relaxed) {
        sent.push(send(client, &format!("during {}", sent.len())).await);
    }
    eprintln!("{} messages were sent during the upgrade.", sent.len());
    sent
}

/// Sends a message until it is acknowledged, as clients do. It may exceed the rate limit, and the
/// emulator kills the processes of a function that it updates, while AWS lets them finish. Returns
/// its number and its text.
async fn send(client: &mut Client, text: &str) -> (i64, String) {
    let frame = json!({
        "action": "sendMessage",
        "receiver_id": STUDENT,
        "message": text,
        "client_message_id": text,
    });
    loop {
        client.send(&frame).await;
        let response = client.next().await;
        if response["type"] == "ack" {
            assert_eq!(response["status"], "delivered", "{response}");
            let seq = response["seq"].as_i64().expect("a number");
            return (seq, text.to_owned());
        }
        if response["code"] == "rate_limited" {
            tokens::wait_for_retry(&response).await;
        } else {
            assert!(response["errorType"].is_string(), "{response}");
        }
    }
}

/// Checks that messages are pushed in their order. A message that was sent again may be pushed
/// again.
async fn expect_pushes(client: &mut Client, sent: &[(i64, String)]) {
    let mut received = Vec::new();
    while received.len() < sent.len() {
        let push = client.next().await;
        let text = push["message"].as_str().expect("a message").to_owned();
        let entry = (push["seq"].as_i64().expect("a number"), text);
        if !received.contains(&entry) {
            received.push(entry);
        }
    }
    assert_eq!(received, sent);
}

/// Returns the hash of each function's code.
async fn code(emulator: &MiniStack) -> BTreeMap<String, Value> {
    let response = emulator.aws(&["lambda", "list-functions"]).await;
    let functions = response["Functions"].as_array().expect("functions");
    let entry = |function: &Value| {
        let name = function["FunctionName"].as_str().expect("a name");
        (name.to_owned(), function["CodeSha256"].clone())
    };
    functions.iter().map(entry).collect()
}

/// Returns the names of all resources, by the operation that lists them.
async fn inventory(emulator: &MiniStack) -> BTreeMap<String, Vec<String>> {
    let found = emulator.python(INVENTORY).await;
    serde_json::from_value(found).expect("lists of names")
}

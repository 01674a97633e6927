//! A chat is deployed, used, upgraded and deleted, and the database outlives it.

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

/// The password of a connection string that no output may show.
const PASSWORD: &str = "correct-horse";

/// Other than the defaults, and few: so floods are short.
const LIMITS: [(&str, &str); 3] = [
    ("MessageRate", "2"),
    ("MessageBurst", "10"),
    ("SocketsPerUser", "3"),
];

/// Messages that two runs of `smoke` leave.
const SMOKE_MESSAGES: usize = 4;

/// What exists, by kind, of all that the template makes.
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
async fn a_chat_is_deployed_used_upgraded_and_deleted_and_its_messages_stay() {
    let emulator = MiniStack::start().await;
    let life = Life::new(&emulator).await;
    let nothing = inventory(&emulator).await;
    leave_old_messages(&life.database, PROFESSOR, STUDENT, 9).await;

    a_stack_without_an_issuer_is_refused(&life).await;
    assert_eq!(inventory(&emulator).await, nothing);

    life.deploy("first", &LIMITS).await;
    let chat = Chat::of(&emulator, "chat", &life.issuer).await;
    let mut log: Vec<_> = (0..9).map(|n| (n - 8, format!("old {n}"))).collect();
    assert_eq!(chat.log(PROFESSOR, STUDENT).await, log);
    log.extend(use_it(&chat, &life.database).await);
    the_page_is_told_where_to_connect(&chat).await;
    assert_eq!(chat.log(STUDENT, PROFESSOR).await, log);
    tokens::refuse_all_others(&emulator, &chat).await;
    tokens::come_in_as_a_browser(&chat).await;
    tokens::refuse_the_history_of_others(&chat).await;
    tokens::close_the_oldest_socket(&chat, 3).await;
    let flood = tokens::refuse_a_flood(&chat).await;

    a_stack_without_a_database_fails_with_the_reason(&life).await;

    an_upgrade_without_a_database_goes_back(&life).await;
    assert_eq!(chat.log(PROFESSOR, STUDENT).await, log);

    leave_old_messages(&life.database, PROFESSOR, "late@example.com", 2).await;
    log.extend(upgrade_while_they_talk(&life, &chat).await);
    assert_eq!(chat.log(PROFESSOR, STUDENT).await, log);
    the_page_is_told_the_edge(&chat).await;
    smoke(&chat).await;
    let late = [(-1, "old 0".to_owned()), (0, "old 1".to_owned())];
    assert_eq!(chat.log(PROFESSOR, "late@example.com").await, late);

    let exist = inventory(&emulator).await;
    assert!(exist.values().all(|names| !names.is_empty()), "{exist:?}");
    let (first, second) = tokio::join!(
        sam::delete(&emulator, "chat"),
        sam::delete(&emulator, "unreachable")
    );
    first.and(second).unwrap_or_else(|said| panic!("{said}"));
    assert_eq!(inventory(&emulator).await, nothing);
    let messages = messages(&life.database).count_documents(doc! {}).await;
    let others = (late.len() + SMOKE_MESSAGES + flood) as u64;
    assert_eq!(messages.expect("counted"), log.len() as u64 + others);
    life.database.drop().await.expect("dropped");
}

/// By a token, at the address of the WebSocket API.
async fn the_page_is_told_where_to_connect(chat: &Chat) {
    let expected = json!({
        "socketUrl": chat.websocket_url,
        "auth": "jwt",
        "userClaim": "sub",
    });
    assert_eq!(chat.page_config().await, expected);
}

/// With an edge there is one domain for all, and the path of the old system with the user in it.
async fn the_page_is_told_the_edge(chat: &Chat) {
    let config = chat.page_config().await;
    let socket_url = config["socketUrl"].as_str().expect("a URL");
    let domain = socket_url.strip_prefix("wss://");
    let domain = domain.and_then(|rest| rest.strip_suffix("/ws/chat/{user}"));
    assert!(domain.is_some_and(|it| !it.contains('/')), "{config}");
}

/// What all steps of the test work with.
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

    /// Deploys the stack `chat`, or upgrades it.
    async fn deploy(&self, name: &str, more: &[(&str, &str)]) {
        let deployed = self.try_deploy(name, more).await;
        deployed.unwrap_or_else(|said| panic!("{said}"));
    }

    /// The same; an error is what is said of the failure.
    async fn try_deploy(&self, name: &str, more: &[(&str, &str)]) -> Result<(), String> {
        let usual = [
            ("Architecture", sam::ARCHITECTURE),
            ("MongodbSecretArn", &self.secret_arn),
            ("MongodbDatabase", self.database.name()),
            ("JwtIssuer", &self.issuer.url),
            ("JwtAudience", &self.issuer.audience),
            ("JwtKeysUrl", &self.issuer.keys_url()),
        ];
        let parameters = [&usual, more].concat();
        let template = release(self.emulator, name).await;
        sam::deploy(self.emulator, &template, "chat", &parameters).await
    }

    /// Puts another connection string into the secret.
    async fn set_secret(&self, uri: &str) {
        let id = ["--secret-id", &self.secret_arn, "--secret-string", uri];
        let put = [&["secretsmanager", "put-secret-value"], &id[..]].concat();
        self.emulator.aws(&put).await;
    }
}

/// A connection string to where nobody listens, and the port.
fn nowhere() -> (String, String) {
    let port = free_port().expect("a port").to_string();
    (format!("mongodb://chat:{PASSWORD}@127.0.0.1:{port}/"), port)
}

/// Messages of the old system, one a minute, between two users who take turns.
async fn leave_old_messages(database: &Database, user1: &str, user2: &str, count: usize) {
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

/// Does all that the chat can do; returns what its log has then got.
async fn use_it(chat: &Chat, database: &Database) -> Vec<(i64, String)> {
    eprintln!("Using the chat.");
    let mut professor = chat.connect(PROFESSOR).await;
    let mut student = chat.connect(STUDENT).await;

    let ack = professor.say(STUDENT, "At 3PM?").await;
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

    resend(&mut professor, &mut student).await;
    be_refused(&mut student, chat).await;
    vanish(student, &mut professor, database).await;
    professor.close().await;
    until(async || open_sockets(database, PROFESSOR).await.is_empty()).await;
    let texts = [
        (1, "At 3PM?"),
        (2, "Yes."),
        (3, "Room 7."),
        (4, "Are you there?"),
    ];
    texts.map(|(seq, text)| (seq, text.to_owned())).to_vec()
}

/// Fields of a frame.
fn parts<const N: usize>(frame: &Value, names: [&str; N]) -> Value {
    json!(names.map(|name| frame[name].clone()).to_vec())
}

/// A message that is sent twice is stored once.
async fn resend(sender: &mut Client, receiver: &mut Client) {
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

/// Errors on both kinds of route, and over HTTP.
async fn be_refused(client: &mut Client, chat: &Chat) {
    for frame in [json!({"message": 7}), json!({"action": "sendMessage"})] {
        client.send(&frame).await;
        let error = client.next().await;
        assert_eq!(
            parts(&error, ["type", "code"]),
            json!(["error", "invalid_frame"])
        );
    }
    let answer = chat.history(PROFESSOR, "", "").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

/// A socket that ends without a word is forgotten; so is one of which nobody ever heard again.
async fn vanish(client: Client, other: &mut Client, database: &Database) {
    let rows = open_sockets(database, STUDENT).await;
    drop(client);
    until(async || open_sockets(database, STUDENT).await.is_empty()).await;

    let mut row = rows.into_iter().next().expect("the socket was open");
    row.insert("_id", "AAAAAAAAAAAAAAA=");
    // A fresh one is left alone: its socket may still be coming up.
    let some_time_ago = Utc::now() - TimeDelta::minutes(10);
    let some_time_ago = DateTime::from_millis(some_time_ago.timestamp_millis());
    row.insert("connected_at", some_time_ago);
    let inserted = connections(database).insert_one(row).await;
    inserted.expect("inserted");
    let ack = other.say(STUDENT, "Are you there?").await;
    assert_eq!(ack["status"], "stored");
    assert!(open_sockets(database, STUDENT).await.is_empty());
}

fn connections(database: &Database) -> Collection<Document> {
    database.collection("connections")
}

/// The rows of a user's sockets, oldest first.
async fn open_sockets(database: &Database, user_id: &str) -> Vec<Document> {
    let connections = connections(database);
    let rows = connections
        .find(doc! {"user_id": user_id})
        .sort(doc! {"connected_at": 1});
    let rows = rows.await.expect("found").try_collect().await;
    rows.expect("found")
}

/// By default nobody gets in without a token, so somebody must issue them.
async fn a_stack_without_an_issuer_is_refused(life: &Life<'_>) {
    let parameters = [
        ("Architecture", sam::ARCHITECTURE),
        ("MongodbSecretArn", life.secret_arn.as_str()),
    ];
    let template = release(life.emulator, "open-door").await;
    let deployed = sam::deploy(life.emulator, &template, "open-door", &parameters).await;
    let said = deployed.expect_err("nobody issues tokens");
    assert!(said.contains("Auth=jwt needs JwtIssuer"), "{said}");
}

/// The database of this one does not answer. It asks for no tokens.
async fn a_stack_without_a_database_fails_with_the_reason(life: &Life<'_>) {
    let (uri, port) = nowhere();
    let parameters = [
        ("Architecture", sam::ARCHITECTURE),
        ("MongodbUri", uri.as_str()),
        ("Auth", "open"),
    ];
    let template = release(life.emulator, "unreachable").await;
    let deployed = sam::deploy(life.emulator, &template, "unreachable", &parameters).await;
    let said = deployed.expect_err("there is no database");

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
    assert!(!(said + reason).contains(PASSWORD), "a password is shown");
}

/// The release of the next upgrade, tried too early: its migration fails, and going back needs no
/// database. That the same release can be deployed later is what the next upgrade shows.
async fn an_upgrade_without_a_database_goes_back(life: &Life<'_>) {
    let before = code(life.emulator).await;
    let (uri, port) = nowhere();
    life.set_secret(&uri).await;
    let said = life.try_deploy("second", &[]).await;
    let said = said.expect_err("there is no database");
    assert!(said.contains(&port), "{said}");
    assert!(said.contains("UPDATE_ROLLBACK_COMPLETE"), "{said}");
    assert!(!said.contains(PASSWORD), "a password is shown");
    assert_eq!(code(life.emulator).await, before);
    life.set_secret(server::uri().await).await;
}

/// The program that tries a deployed chat, as the README says, has nothing to say against it. Its
/// users have talked before.
async fn smoke(chat: &Chat) {
    let users = ["try@example.com", "retry@example.com"];
    let tokens = users.map(|user_id| chat.issuer.token(user_id)).join(",");
    for _ in 0..SMOKE_MESSAGES / 2 {
        try_out(chat, users, &tokens).await;
    }
}

async fn try_out(chat: &Chat, [prof, student]: [&str; 2], tokens: &str) {
    let output = Command::new(programs::folder().join("smoke"))
        .args([&chat.websocket_url, &chat.history_url])
        .args(["--users", prof, student])
        // The emulator does not answer the subprotocol.
        .arg("--without-browser")
        .env("SMOKE_TOKENS", tokens)
        .output()
        .await
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// The stack gets new code, another setting and an edge, while two users talk over sockets that were
/// open before. Returns what they said.
async fn upgrade_while_they_talk(life: &Life<'_>, chat: &Chat) -> Vec<(i64, String)> {
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
    let ((), mut said) = tokio::join!(upgrade, speak_until(&mut professor, &upgraded));
    // The new code, with the setting of before for this socket and with the new one for the next.
    let mut newcomer = chat.connect(PROFESSOR).await;
    said.push(say(&mut professor, "I stay.").await);
    assert_eq!(newcomer.next().await["message"], "I stay.");
    said.push(say(&mut newcomer, "I am new.").await);
    assert_eq!(professor.next().await["message"], "I am new.");
    expect_pushes(&mut student, &said).await;
    let rows = open_sockets(&life.database, PROFESSOR).await;
    let newest = rows.last().expect("it is open");
    assert_eq!(newest.get_str("endpoint").expect("text"), endpoint);
    let new = self::code(life.emulator).await;
    assert!(code.keys().eq(new.keys()), "the functions are the same");
    assert!(code.iter().all(|(name, hash)| new[name] != *hash));

    for client in [professor, newcomer, student] {
        client.close().await;
    }
    for user_id in [PROFESSOR, STUDENT] {
        until(async || open_sockets(&life.database, user_id).await.is_empty()).await;
    }
    said
}

/// Sends one message after the other; returns their numbers and texts.
async fn speak_until(client: &mut Client, done: &AtomicBool) -> Vec<(i64, String)> {
    let mut said = Vec::new();
    while !done.load(Ordering::Relaxed) {
        said.push(say(client, &format!("during {}", said.len())).await);
    }
    eprintln!("{} messages were sent during the upgrade.", said.len());
    said
}

/// Sends a message until it is acknowledged, as clients do: it may come too soon after the others,
/// and the emulator ends the processes of a function that it updates, where AWS lets them finish.
/// Returns its number and its text.
async fn say(client: &mut Client, text: &str) -> (i64, String) {
    let frame = json!({
        "action": "sendMessage",
        "receiver_id": STUDENT,
        "message": text,
        "client_message_id": text,
    });
    loop {
        client.send(&frame).await;
        let answer = client.next().await;
        if answer["type"] == "ack" {
            assert_eq!(answer["status"], "delivered", "{answer}");
            return (answer["seq"].as_i64().expect("a number"), text.to_owned());
        }
        match answer["code"] == "rate_limited" {
            true => tokens::wait_as_told(&answer).await,
            false => assert!(answer["errorType"].is_string(), "{answer}"),
        }
    }
}

/// Checks that messages are pushed in their order. One that was sent again may come again.
async fn expect_pushes(client: &mut Client, said: &[(i64, String)]) {
    let mut received = Vec::new();
    while received.len() < said.len() {
        let push = client.next().await;
        let text = push["message"].as_str().expect("a message").to_owned();
        let entry = (push["seq"].as_i64().expect("a number"), text);
        if !received.contains(&entry) {
            received.push(entry);
        }
    }
    assert_eq!(received, said);
}

/// A hash of each function's code.
async fn code(emulator: &MiniStack) -> BTreeMap<String, Value> {
    let answer = emulator.aws(&["lambda", "list-functions"]).await;
    let functions = answer["Functions"].as_array().expect("functions");
    let entry = |function: &Value| {
        let name = function["FunctionName"].as_str().expect("a name");
        (name.to_owned(), function["CodeSha256"].clone())
    };
    functions.iter().map(entry).collect()
}

/// The names of all that exists, by kind.
async fn inventory(emulator: &MiniStack) -> BTreeMap<String, Vec<String>> {
    let found = emulator.python(INVENTORY).await;
    serde_json::from_value(found).expect("lists of names")
}

//! A chat is deployed, used, upgraded and deleted. Its database remains.
//!
//! - `usage`: clients use the chat
//! - `groups`: a group whose pushes leave by the queue
//! - `database`: its database, read and written beside it
//! - `inventory`: the resources of the emulator

mod database;
mod groups;
mod inventory;
mod usage;

use std::sync::atomic::{AtomicBool, Ordering};

use mongodb::Database;
use mongodb::bson::doc;
use serde_json::{Value, json};
use tests::issuer::{Issuer, Key};
use tests::ministack::MiniStack;
use tests::{sam, server, until};

use crate::adapt::release;
use crate::chat::Chat;
use crate::tokens;
use database::{PASSWORD, connections_of, insert_old_messages, messages, unreachable_database};
use groups::push_to_a_large_group;
use inventory::{code, inventory};
use usage::{SMOKE_MESSAGES, expect_pushes, send, send_until, smoke, use_chat};

pub const PROFESSOR: &str = "prof@example.com";
pub const STUDENT: &str = "student@example.com";

/// Limits that are lower than the defaults, so that a test reaches them soon.
const LIMITS: [(&str, &str); 3] = [
    ("MessageRate", "2"),
    ("MessageBurst", "10"),
    ("SocketsPerUser", "3"),
];

/// A limit that is higher than the default, so that a group has more members than pushes within a request.
const LARGE_GROUPS: (&str, &str) = ("GroupSize", "200");

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_is_deployed_used_upgraded_and_deleted_and_its_messages_remain() {
    let emulator = MiniStack::start().await;
    let life = Life::new(&emulator).await;
    let before = inventory(&emulator).await;
    insert_old_messages(&life.database, PROFESSOR, STUDENT, 9).await;

    a_stack_without_an_issuer_is_rejected(&life).await;
    assert_eq!(inventory(&emulator).await, before);

    life.deploy("first", &[&LIMITS[..], &[LARGE_GROUPS]].concat())
        .await;
    let chat = Chat::of(&emulator, "chat", &life.issuer).await;
    let mut log: Vec<_> = (0..9).map(|n| (n - 8, format!("old {n}"))).collect();
    assert_eq!(chat.log(PROFESSOR, STUDENT).await, log);
    // The two stacks have nothing in common, and a deployment uses one core.
    let (flood, ()) = tokio::join!(
        use_every_part(&life, &chat, &mut log),
        a_stack_without_a_database_fails_with_the_reason(&life)
    );

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

/// Uses the chat, its page and its tokens. Adds the messages of professor and student to `log`;
/// returns how many messages other users have stored.
async fn use_every_part(life: &Life<'_>, chat: &Chat, log: &mut Vec<(i64, String)>) -> usize {
    log.extend(use_chat(chat, &life.database).await);
    the_page_has_the_address_of_the_websocket_api(chat).await;
    assert_eq!(chat.log(STUDENT, PROFESSOR).await, *log);
    tokens::reject_bad_tokens(life.emulator, chat).await;
    tokens::accept_a_subprotocol_token(chat).await;
    tokens::reject_the_history_of_others(chat).await;
    tokens::close_the_oldest_connection(chat, 3).await;
    let of_group = push_to_a_large_group(chat, &life.database).await;
    tokens::limit_a_flood(chat).await + of_group
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

//! The stages under test: one of each template.
//!
//! `CONFORMANCE_TARGETS` may name a JSON file with deployed stages; `ws`, `http` and `management`
//! are the outputs of the template:
//!
//! ```json
//! {
//!   "region": "eu-west-1", "access_key_id": "…", "secret_access_key": "…", "session_token": null,
//!   "idle_seconds": 600, "lifetime_seconds": 7200,
//!   "issuer": {"url": "https://…", "audience": "conformance", "key_id": "…", "key_file": "key.pem"},
//!   "open": {"ws": "wss://…/prod", "http": "https://…", "management": "https://…/prod"},
//!   "guarded": {"ws": "wss://…/beta", "http": "https://…/v1", "management": "https://…/beta"},
//!   "bare": {"ws": "wss://…/live", "management": "https://…/live"}
//! }
//! ```
//!
//! The caller needs `execute-api:ManageConnections` on the three APIs. `issuer` is the token issuer
//! with which `guarded` was deployed: `key_file` is its private RSA key (PEM), and `key_id` the
//! `kid` of the published public key. Without the variable, this run starts a local gateway for
//! each template and shuts it down at its end.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tests::LocalGateway;
use tokio::sync::OnceCell;

use crate::issuer;

/// A stage of a WebSocket API, with the HTTP API beside it.
#[derive(Debug, Clone)]
pub struct Target {
    /// The URL for WebSocket clients: `wss://…/stage`.
    pub ws: String,
    /// The base URL of the HTTP API, with its stage if that has a name; empty if there is none.
    pub http: String,
    /// The base URL of `@connections`.
    pub management: String,
    /// The region of signatures.
    pub region: String,
    /// The id of the access key that signs.
    pub access_key_id: String,
    /// The secret of the access key.
    pub secret_access_key: String,
    /// The session token, if the credentials are temporary.
    pub session_token: Option<String>,
    /// The time without data after which a connection is closed.
    pub idle: Duration,
    /// The time after which a connection is closed, whatever its traffic.
    pub lifetime: Duration,
}

impl Target {
    /// Returns the name of the stage, from the WebSocket URL.
    pub fn stage(&self) -> &str {
        self.ws.rsplit('/').next().expect("a URL has a slash")
    }

    fn read(file: &Value, name: &str) -> Self {
        let stage = &file[name];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let seconds = |key: &str, default| {
            let value = file[key].as_f64().unwrap_or(default);
            Duration::from_secs_f64(value)
        };
        Self {
            ws: text(&stage["ws"]),
            http: text(&stage["http"]),
            management: text(&stage["management"]),
            region: text(&file["region"]),
            access_key_id: text(&file["access_key_id"]),
            secret_access_key: text(&file["secret_access_key"]),
            session_token: file["session_token"].as_str().map(str::to_owned),
            idle: seconds("idle_seconds", 600.0),
            lifetime: seconds("lifetime_seconds", 7_200.0),
        }
    }
}

/// Returns the path of a template of this suite.
pub fn template(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance");
    PathBuf::from(folder).join(name).with_extension("yaml")
}

/// Returns the stage of `open.yaml`: no authorizer, every kind of route response, an HTTP API with
/// CORS.
pub async fn open() -> &'static Target {
    static OPEN: OnceCell<Stage> = OnceCell::const_new();
    &OPEN
        .get_or_init(async || Stage::find("open", &[]).await)
        .await
        .target
}

/// Returns the stage of `guarded.yaml`: authorizers, written with the resources of API Gateway.
pub async fn guarded() -> &'static Target {
    static GUARDED: OnceCell<Stage> = OnceCell::const_new();
    let find = async || {
        let issuer = issuer::of_run();
        let url = format!("Issuer={}", issuer.url);
        let audience = format!("Audience={}", issuer.audience);
        Stage::find("guarded", &["--parameter", &url, "--parameter", &audience]).await
    };
    &GUARDED.get_or_init(find).await.target
}

/// Returns the stage of `bare.yaml`: no `$connect`, no `$disconnect`, no `$default`.
pub async fn bare() -> &'static Target {
    static BARE: OnceCell<Stage> = OnceCell::const_new();
    &BARE
        .get_or_init(async || Stage::find("bare", &[]).await)
        .await
        .target
}

/// Returns the stage of `open.yaml`. A local one has an idle timeout of four seconds.
pub async fn short_idle() -> &'static Target {
    static SHORT_IDLE: OnceCell<Stage> = OnceCell::const_new();
    let find = async || Stage::find("open", &["--idle-timeout", "4"]).await;
    &SHORT_IDLE.get_or_init(find).await.target
}

/// Returns the stage of `open.yaml`. A local one closes connections after four seconds.
pub async fn short_lived() -> &'static Target {
    static SHORT_LIVED: OnceCell<Stage> = OnceCell::const_new();
    let find = async || Stage::find("open", &["--lifetime", "4"]).await;
    &SHORT_LIVED.get_or_init(find).await.target
}

/// Reads the file of deployed stages, if `CONFORMANCE_TARGETS` names one.
pub fn deployed() -> Option<Value> {
    let file = std::env::var_os("CONFORMANCE_TARGETS")?;
    let text = std::fs::read_to_string(file).expect("CONFORMANCE_TARGETS names a file");
    Some(serde_json::from_str(&text).expect("the file of CONFORMANCE_TARGETS is JSON"))
}

/// A target, and its gateway if it is local.
struct Stage {
    target: Target,
    _gateway: Option<LocalGateway>,
}

impl Stage {
    async fn find(name: &str, flags: &[&str]) -> Self {
        if let Some(file) = deployed() {
            let target = Target::read(&file, name);
            return Self {
                target,
                _gateway: None,
            };
        }
        let gateway = LocalGateway::start(&template(name), flags).await;
        let gateway = gateway.expect("the local gateway serves the template");
        Self {
            target: local_target(&gateway, flags),
            _gateway: Some(gateway),
        }
    }
}

/// Returns a local gateway as a target. `flags` are the flags with which it was started.
pub fn local_target(gateway: &LocalGateway, flags: &[&str]) -> Target {
    let seconds = |flag: &str| {
        let mut pairs = flags.windows(2);
        pairs.find(|pair| pair[0] == flag)?[1].parse::<f64>().ok()
    };
    let file = json!({
        "region": "us-east-1",
        "access_key_id": "local",
        "secret_access_key": "local",
        "idle_seconds": seconds("--idle-timeout"),
        "lifetime_seconds": seconds("--lifetime"),
        "stage": {"ws": gateway.ws, "http": gateway.http, "management": gateway.management},
    });
    Target::read(&file, "stage")
}

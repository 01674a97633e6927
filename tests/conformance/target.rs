//! What the suite is pointed at: a stage of each template.
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
//! The caller needs `execute-api:ManageConnections` on the three APIs. `issuer` is what `guarded`
//! was deployed with: `key_file` is its private RSA key (PEM), and `key_id` the `kid` under which it
//! publishes the public one. Without the variable each template is served by a local gateway of this
//! run, which ends with it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tests::gateway::Gateway;
use tokio::sync::OnceCell;

use crate::issuer;

/// A stage of a WebSocket API, with the HTTP API beside it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where WebSocket clients connect: `wss://…/stage`.
    pub ws: String,
    /// The base URL of the HTTP API, with its stage if that has a name; empty if there is none.
    pub http: String,
    /// The base URL of `@connections`.
    pub management: String,
    /// The region in signatures.
    pub region: String,
    /// Who signs.
    pub access_key_id: String,
    /// The secret of the key.
    pub secret_access_key: String,
    /// With temporary credentials: their token.
    pub session_token: Option<String>,
    /// After how long without data a socket is closed.
    pub idle: Duration,
    /// After how long a socket is closed whatever happens on it.
    pub lifetime: Duration,
}

impl Target {
    /// The stage in its URLs.
    pub fn stage(&self) -> &str {
        self.ws.rsplit('/').next().expect("a URL has a slash")
    }

    fn read(file: &Value, name: &str) -> Self {
        let stage = &file[name];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let seconds = |key: &str, usual| {
            let given = file[key].as_f64().unwrap_or(usual);
            Duration::from_secs_f64(given)
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

/// The path of a template of this suite.
pub fn template(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance");
    PathBuf::from(folder).join(name).with_extension("yaml")
}

/// The stage of `open.yaml`: no authorizer, every kind of route response, an HTTP API with CORS.
pub async fn open() -> &'static Target {
    static OPEN: OnceCell<Stage> = OnceCell::const_new();
    &OPEN
        .get_or_init(async || Stage::find("open", &[]).await)
        .await
        .target
}

/// The stage of `guarded.yaml`: authorizers, in the raw resources of API Gateway.
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

/// The stage of `bare.yaml`: no `$connect`, no `$disconnect`, no `$default`.
pub async fn bare() -> &'static Target {
    static BARE: OnceCell<Stage> = OnceCell::const_new();
    &BARE
        .get_or_init(async || Stage::find("bare", &[]).await)
        .await
        .target
}

/// The stage of `open.yaml` with a short idle timeout where the suite may choose it.
pub async fn soon_idle() -> &'static Target {
    static SOON_IDLE: OnceCell<Stage> = OnceCell::const_new();
    let find = async || Stage::find("open", &["--idle-timeout", "4"]).await;
    &SOON_IDLE.get_or_init(find).await.target
}

/// The stage of `open.yaml` with a short lifetime of sockets where the suite may choose it.
pub async fn short_lived() -> &'static Target {
    static SHORT_LIVED: OnceCell<Stage> = OnceCell::const_new();
    let find = async || Stage::find("open", &["--lifetime", "4"]).await;
    &SHORT_LIVED.get_or_init(find).await.target
}

/// The file with deployed stages, if there is one.
pub fn deployed() -> Option<Value> {
    let file = std::env::var_os("CONFORMANCE_TARGETS")?;
    let text = std::fs::read_to_string(file).expect("CONFORMANCE_TARGETS names a file");
    Some(serde_json::from_str(&text).expect("the file of CONFORMANCE_TARGETS is JSON"))
}

/// A target, and the gateway behind it if it is a local one.
struct Stage {
    target: Target,
    _gateway: Option<Gateway>,
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
        let gateway = Gateway::start(&template(name), flags).await;
        let gateway = gateway.expect("the local gateway serves the template");
        Self {
            target: local_target(&gateway, flags),
            _gateway: Some(gateway),
        }
    }
}

/// A local gateway as a target; `flags` are those it was started with.
pub fn local_target(gateway: &Gateway, flags: &[&str]) -> Target {
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

//! Bad input, most of it from raw connections. Whatever comes, the gateway refuses it or answers
//! once, its memory stays bounded, others are served, and nothing panics.
//!
//! - [`frames`]: bad frames on an open socket
//! - [`requests`]: bad HTTP on both ports
//! - [`load`]: too much of what would be good by itself
//! - [`tokens`]: tokens, good and bad, and the log
//!
//! Each test has a gateway of its own; [`Target::end`] looks at it once more after the attack.

mod frames;
mod load;
mod requests;
mod tokens;

use std::path::Path;

use aws_sdk_apigatewaymanagement::Client as Sockets;
use hyper::StatusCode;
use tests::LocalGateway;
use tests::TIMEOUT;
use tests::raw::{Raw, statuses};
use tests::{Client, management, process};
use tokio::time::timeout;

/// What bad input may cost in all, in KB; more than the gateway needs, much less than what the
/// input asks for.
const ALLOWANCE_KB: u64 = 64 * 1_024;

/// The first byte of a text frame that is a whole message.
const TEXT: u8 = 0x81;

/// A frame that the template's function answers.
const FRAME: &str = r#"{"action":"reply"}"#;

/// A gateway under attack.
struct Target {
    gateway: LocalGateway,
    memory_before_kb: u64,
}

impl Target {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(flags: &[&str]) -> Self {
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/open.yaml");
        let gateway = LocalGateway::start(&template, flags)
            .await
            .expect("it starts");
        let mut target = Self {
            gateway,
            memory_before_kb: 0,
        };
        target.serves().await;
        target.memory_before_kb = process::peak_memory_kb(target.gateway.id());
        target
    }

    fn ws(&self) -> &str {
        self.gateway.ws.as_deref().expect("a WebSocket API")
    }

    fn http(&self) -> &str {
        self.gateway.http.as_deref().expect("an HTTP API")
    }

    fn sockets(&self) -> Sockets {
        let endpoint = self.gateway.management.as_deref().expect("an address");
        let credentials = management::credentials("local", "local", None);
        management::client(endpoint, "us-east-1", credentials)
    }

    async fn connect(&self) -> Client {
        Client::connect(self.ws()).await.expect("connected")
    }

    async fn upgrade(&self) -> Raw {
        Raw::upgrade(self.ws()).await.expect("connected")
    }

    /// Checks that the most memory that it has ever had is not `allowance_kb` more than before.
    fn has_grown_less_than(&self, allowance_kb: u64) {
        let peak_kb = process::peak_memory_kb(self.gateway.id());
        let growth_kb = peak_kb - self.memory_before_kb;
        assert!(growth_kb < allowance_kb, "{growth_kb} KB more");
    }

    /// Checks that it serves a client, and an HTTP caller.
    async fn serves(&self) {
        let mut client = self.connect().await;
        connection_id(&mut client).await;
        client.close().await;
        let answer = tests::get(&format!("{}/echo", self.http())).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }

    /// Checks that it still serves, ends well, and that nothing in it has panicked.
    async fn end(self) {
        self.serves().await;
        let stopped = timeout(TIMEOUT, self.gateway.stop()).await;
        let (status, log) = stopped.expect("it ends in time").expect("it ends");
        assert!(status.success(), "{status}: {log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// The id of a socket, from the event that its frame becomes.
async fn connection_id(client: &mut Client) -> String {
    client.send_text(FRAME).await;
    let event = client.next().await;
    let id = event["requestContext"]["connectionId"].as_str();
    id.unwrap_or_else(|| panic!("no event: {event}")).to_owned()
}

/// The statuses of all that is answered to bytes on a connection of their own.
async fn answers(url: &str, bytes: impl AsRef<[u8]>) -> Vec<u16> {
    let mut raw = Raw::open(url).await.expect("accepted");
    raw.send(bytes).await;
    statuses(&raw.rest().await)
}

//! Bad input, most of it on raw connections. The gateway rejects the input or sends one response,
//! its memory stays bounded, it continues to serve other clients, and it does not panic.
//!
//! - [`frames`]: bad frames on an open connection
//! - [`requests`]: bad HTTP requests on both ports
//! - [`load`]: too many well-formed connections, posts and requests
//! - [`tokens`]: tokens and the log
//!
//! Each test starts a gateway of its own. [`Target::shutdown`] checks it after the attack.

mod frames;
mod load;
mod requests;
mod tokens;

use std::path::Path;

use aws_sdk_apigatewaymanagement::Client as Management;
use chrono::Utc;
use hyper::StatusCode;
use tests::LocalGateway;
use tests::raw::{Raw, statuses};
use tests::{Client, management, process};

/// Limit of the memory growth by bad input, in KB. It is more than the gateway needs, and much less
/// than the size of the input.
const MAX_GROWTH_KB: u64 = 64 * 1_024;

/// The first byte of a text frame that is a whole message.
const TEXT: u8 = 0x81;

/// A frame that gets a response from the template's function.
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
        target.assert_serving().await;
        target.memory_before_kb = process::peak_memory_kb(target.gateway.id());
        target
    }

    fn ws(&self) -> &str {
        self.gateway.ws.as_deref().expect("a WebSocket API")
    }

    fn http(&self) -> &str {
        self.gateway.http.as_deref().expect("an HTTP API")
    }

    /// Returns a client of the `@connections` API.
    fn management(&self) -> Management {
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

    /// Checks that the peak memory has grown by less than `max_kb` since the start.
    fn assert_growth_below(&self, max_kb: u64) {
        let peak_kb = process::peak_memory_kb(self.gateway.id());
        let growth_kb = peak_kb - self.memory_before_kb;
        assert!(growth_kb < max_kb, "{growth_kb} KB more");
    }

    /// Checks that the gateway serves a WebSocket client and an HTTP request.
    async fn assert_serving(&self) {
        let mut client = self.connect().await;
        connection_id(&mut client).await;
        client.close().await;
        let response = tests::get(&format!("{}/echo", self.http())).await;
        assert_eq!(response.status, StatusCode::OK, "{response:?}");
    }

    /// Checks that the gateway still serves, shuts down cleanly, and has not panicked.
    async fn shutdown(self) {
        self.assert_serving().await;
        let (status, log) = self.gateway.stop().await.expect("stopped in time");
        assert!(status.success(), "{status}: {log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// Returns the id of a connection, from the event of a frame.
async fn connection_id(client: &mut Client) -> String {
    client.send_text(FRAME).await;
    let event = client.next().await;
    let id = event["requestContext"]["connectionId"].as_str();
    id.unwrap_or_else(|| panic!("no event: {event}")).to_owned()
}

/// Returns the headers of a request whose signature can be found wrong only once its body has been read.
fn claim(service: &str) -> String {
    let date = Utc::now().format("%Y%m%dT%H%M%SZ");
    format!(
        "X-Amz-Date: {date}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/\
         {service}/aws4_request, SignedHeaders=host, Signature=00\r\n"
    )
}

/// Sends bytes on a new connection and returns the statuses of all responses.
async fn send_bytes(url: &str, bytes: impl AsRef<[u8]>) -> Vec<u16> {
    let mut raw = Raw::open(url).await.expect("accepted");
    raw.send(bytes).await;
    statuses(&raw.rest().await)
}

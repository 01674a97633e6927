//! Frames that wait for a process when their connection closes.

use std::path::Path;

use serde_json::{Value, json};
use tests::{LocalGateway, management, until};
use tokio_tungstenite::tungstenite::Message;

use crate::probe::Socket;

/// Frames that wait.
const WAITING: usize = 5;

/// A gateway whose only process is busy, and a client whose frames wait for it.
struct Waiting {
    gateway: LocalGateway,
    /// Gets a report of each event of the client.
    witness: Socket,
    client: Socket,
    /// The process is busy until this connection closes.
    blocker: Socket,
}

impl Waiting {
    async fn start() -> Self {
        // All routes of this template have one function.
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/open.yaml");
        let gateway = LocalGateway::start(&template, &["--concurrency", "1"]).await;
        let gateway = gateway.expect("it starts");
        let (mut witness, blocker) = (Socket::open(&gateway).await, Socket::open(&gateway).await);
        let report = json!({"report": witness.id});
        let mut client = Socket::open_with(&gateway, &json!({"disconnect": report})).await;
        let mut frame = json!({"action": "notify", "probe": report});
        frame["probe"]["await_gone"] = blocker.id.as_str().into();
        client.client.send(&frame).await;
        witness.client.next().await;
        frame["probe"] = report;
        for _ in 0..WAITING {
            client.client.send(&frame).await;
        }
        // The gateway has read all frames before the ping.
        client.client.send_raw(Message::Ping("read".into())).await;
        let pong = client.client.next_raw().await;
        assert!(matches!(pong, Message::Pong(_)), "{pong}");
        Self {
            gateway,
            witness,
            client,
            blocker,
        }
    }

    /// Frees the process once the connection has ended with `code`. Returns the types of the events that it
    /// then gets from the client.
    async fn events_after(mut self, code: u16) -> Vec<Value> {
        let line = format!("$disconnect {} {code}", self.client.id);
        until(async || self.gateway.log().contains(&line)).await;
        self.blocker.client.close().await;
        let mut events = Vec::new();
        while events.last().is_none_or(|last| last != "DISCONNECT") {
            let event = self.witness.client.next().await;
            events.push(event["requestContext"]["eventType"].clone());
        }
        self.gateway.stop().await.expect("stopped");
        events
    }
}

#[tokio::test]
async fn frames_of_a_connection_that_the_gateway_closed_are_dropped() {
    // A deletion, and a frame that is too large.
    let mut waiting = Waiting::start().await;
    let endpoint = waiting.gateway.management.as_deref().expect("an address");
    let credentials = management::credentials("local", "local", None);
    let management = management::client(endpoint, "us-east-1", credentials);
    let delete = management
        .delete_connection()
        .connection_id(&waiting.client.id);
    delete.send().await.expect("deleted");
    assert_eq!(waiting.client.client.closed().await.code, 1000.into());
    assert_eq!(waiting.events_after(1000).await, ["DISCONNECT"]);

    let mut waiting = Waiting::start().await;
    waiting.client.client.send_text("x".repeat(33 * 1024)).await;
    assert_eq!(waiting.client.client.closed().await.code, 1009.into());
    assert_eq!(waiting.events_after(1009).await, ["DISCONNECT"]);
}

#[tokio::test]
async fn frames_of_a_client_that_closes_are_served() {
    let mut waiting = Waiting::start().await;
    waiting.client.client.send_raw(Message::Close(None)).await;
    let events = waiting.events_after(1005).await;
    assert_eq!(events.len(), WAITING + 1, "{events:?}");
}

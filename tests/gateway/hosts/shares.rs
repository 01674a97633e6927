//! Shares of several users in the events that are served at once.

use std::path::Path;

use serde_json::json;
use tests::LocalGateway;

use crate::probe::Socket;

/// Frames that a client sends at once.
const FRAMES: usize = 40;

/// Returns how many events of a client were served at once at most, while another client sends too.
async fn served_at_once(fair_concurrency: &str) -> usize {
    // All routes of this template have one function.
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/open.yaml");
    let flags = [
        "--concurrency",
        "10",
        "--fair-concurrency",
        fair_concurrency,
    ];
    let gateway = LocalGateway::start(&template, &flags).await;
    let gateway = gateway.expect("it starts");
    let mut other = Socket::open(&gateway).await;
    let mut client = Socket::open(&gateway).await;
    // Reports the begin of an event to the client. The response is its end.
    let frame = json!({"action": "reply", "probe": {
        "report": client.id,
        "sleep_ms": 20,
        "return": {"statusCode": 200, "body": "\"end\""},
    }});
    for _ in 0..FRAMES {
        client.client.send(&frame).await;
    }
    let sends = async {
        loop {
            other.client.send(&json!({"action": "reply"})).await;
            other.client.next().await;
        }
    };
    let counts = async {
        let (mut served, mut most, mut ended) = (0_usize, 0, 0);
        while ended < FRAMES {
            if client.client.next().await == "end" {
                ended += 1;
                served -= 1;
            } else {
                served += 1;
                most = most.max(served);
            }
        }
        most
    };
    let most = tokio::select! {
        most = counts => most,
        () = sends => unreachable!("it sends for ever"),
    };
    gateway.stop().await.expect("stopped");
    most
}

#[tokio::test]
async fn a_client_has_only_its_share_of_the_events_that_are_served_at_once() {
    // The next event may begin just before the response to the last one is sent.
    let most = served_at_once("1").await;
    assert!((1..=3).contains(&most), "{most} at once");
}

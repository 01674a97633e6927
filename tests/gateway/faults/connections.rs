//! Cut connections, and dropped or delayed `$disconnect` events.

use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tests::LocalGateway;
use tests::until;

use super::{both_ways, control, set, start};
use crate::probe::{self, Socket};

/// Opens a connection whose `$disconnect` event is reported to the witness.
async fn reporting(gateway: &LocalGateway, witness: &Socket) -> Socket {
    let instructions = json!({"disconnect": {"report": witness.id}});
    Socket::open_with(gateway, &instructions).await
}

/// Waits for the next reported `$disconnect` event and returns its connection id and code.
async fn disconnect(witness: &mut Socket) -> (String, u64) {
    let event = witness.client.next().await;
    let context = &event["requestContext"];
    assert_eq!(context["eventType"], "DISCONNECT", "{event}");
    let id = context["connectionId"].as_str().expect("an id");
    let code = context["disconnectStatusCode"].as_u64().expect("a code");
    (id.to_owned(), code)
}

/// Sends a cut request and returns how many connections were cut.
async fn cut(gateway: &LocalGateway, body: &Value) -> Value {
    let response = control(&gateway.functions, Method::POST, "cut", body).await;
    assert_eq!(response.status, StatusCode::OK, "{response:?}");
    response.json()["cut"].clone()
}

#[tokio::test]
async fn a_dropped_disconnect_event_is_never_invoked() {
    for gateway in both_ways(&json!({"disconnect": {"drop": 1}})).await {
        let mut witness = Socket::open(&gateway).await;
        let dropped = reporting(&gateway, &witness).await;
        dropped.client.close().await;
        let line = format!("$disconnect {} ", dropped.id);
        until(async || gateway.log().contains(&line)).await;
        witness.expect_nothing().await;

        set(&gateway, &json!({})).await;
        let reported = reporting(&gateway, &witness).await;
        reported.client.close().await;
        assert_eq!(disconnect(&mut witness).await.0, reported.id);
        gateway.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn a_delayed_disconnect_event_is_invoked_later() {
    const DELAY: Duration = Duration::from_millis(1_500);
    for gateway in both_ways(&json!({"disconnect": {"delay_ms": DELAY.as_millis()}})).await {
        let mut witness = Socket::open(&gateway).await;
        let socket = reporting(&gateway, &witness).await;
        let before = Instant::now();
        socket.client.close().await;
        assert_eq!(disconnect(&mut witness).await.0, socket.id);
        assert!(before.elapsed() >= DELAY);
        gateway.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn a_frame_cuts_its_connection_and_is_not_handled() {
    for gateway in both_ways(&json!({"disconnect": {"drop": 0}})).await {
        let mut witness = Socket::open(&gateway).await;
        let mut socket = reporting(&gateway, &witness).await;
        set(&gateway, &json!({"cut": 1})).await;
        socket.instruct(json!({"report": witness.id})).await;
        let rest = socket.client.rest().await;
        assert!(rest.is_empty(), "no frame arrives: {rest:?}");
        // A report of the frame would have arrived before that of `$disconnect`.
        assert_eq!(disconnect(&mut witness).await, (socket.id, 1_006));
        set(&gateway, &json!({})).await;
        witness.expect_nothing().await;
        gateway.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn the_flag_makes_frames_cut_their_connection_too() {
    let gateway = start(&json!({"cut": 1})).await;
    let url = gateway.ws.as_deref().expect("a WebSocket API");
    let mut client = tests::Client::connect(url).await.expect("connected");
    client.send(&json!({"action": "reply"})).await;
    let rest = client.rest().await;
    assert!(rest.is_empty(), "{rest:?}");
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_cut_request_ends_one_connection_or_all() {
    let gateway = probe::start(&json!({}), &[]).await;
    let mut witness = Socket::open(&gateway).await;
    let mut first = reporting(&gateway, &witness).await;
    let mut second = reporting(&gateway, &witness).await;
    let unknown = json!({"connection_id": "AAAAAAAAAAAAAAA="});
    assert_eq!(cut(&gateway, &unknown).await, 0);
    assert_eq!(cut(&gateway, &json!({"connection_id": first.id})).await, 1);
    let rest = first.client.rest().await;
    assert!(rest.is_empty(), "no frame arrives: {rest:?}");
    assert_eq!(disconnect(&mut witness).await, (first.id, 1_006));
    second.expect_nothing().await;

    assert_eq!(cut(&gateway, &json!({})).await, 2);
    for mut socket in [second, witness] {
        let rest = socket.client.rest().await;
        assert!(rest.is_empty(), "no frame arrives: {rest:?}");
        let line = format!("$disconnect {} 1006", socket.id);
        until(async || gateway.log().contains(&line)).await;
    }
    gateway.stop().await.expect("stopped");
}

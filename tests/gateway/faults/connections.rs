//! Sockets that are cut, and `$disconnect`.

use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tests::LocalGateway;
use tests::until;

use super::{both_ways, control, set, start};
use crate::probe::{self, Socket};

/// A socket whose `$disconnect` reports to a witness.
async fn reporting(gateway: &LocalGateway, witness: &Socket) -> Socket {
    let told = json!({"disconnect": {"report": witness.id}});
    Socket::open_telling(gateway, &told).await
}

/// The id and the code of the next `$disconnect` that is reported.
async fn disconnect(witness: &mut Socket) -> (String, u64) {
    let event = witness.client.next().await;
    let context = &event["requestContext"];
    assert_eq!(context["eventType"], "DISCONNECT", "{event}");
    let id = context["connectionId"].as_str().expect("an id");
    let code = context["disconnectStatusCode"].as_u64().expect("a code");
    (id.to_owned(), code)
}

/// How many sockets are cut.
async fn cut(gateway: &LocalGateway, body: &Value) -> Value {
    let answer = control(&gateway.functions, Method::POST, "cut", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["cut"].clone()
}

#[tokio::test]
async fn a_dropped_disconnect_is_never_invoked() {
    for gateway in both_ways(&json!({"disconnect": {"drop": 1}})).await {
        let mut witness = Socket::open(&gateway).await;
        let silent = reporting(&gateway, &witness).await;
        silent.client.close().await;
        let ended = format!("$disconnect {} ", silent.id);
        until(async || gateway.log().contains(&ended)).await;
        witness.expect_nothing().await;

        set(&gateway, &json!({})).await;
        let heard = reporting(&gateway, &witness).await;
        heard.client.close().await;
        assert_eq!(disconnect(&mut witness).await.0, heard.id);
        gateway.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn a_delayed_disconnect_is_invoked_later() {
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
async fn a_frame_cuts_its_socket_and_is_not_handled() {
    for gateway in both_ways(&json!({"disconnect": {"drop": 0}})).await {
        let mut witness = Socket::open(&gateway).await;
        let mut socket = reporting(&gateway, &witness).await;
        set(&gateway, &json!({"cut": 1})).await;
        socket.tell(json!({"report": witness.id})).await;
        let rest = socket.client.rest().await;
        assert!(rest.is_empty(), "no close frame, nothing: {rest:?}");
        // The frame would have been reported before.
        assert_eq!(disconnect(&mut witness).await, (socket.id, 1_006));
        set(&gateway, &json!({})).await;
        witness.expect_nothing().await;
        gateway.stop().await.expect("stopped");
    }
}

#[tokio::test]
async fn every_frame_may_be_the_last_by_the_flag_too() {
    let gateway = start(&json!({"cut": 1})).await;
    let url = gateway.ws.as_deref().expect("a WebSocket API");
    let mut client = tests::Client::connect(url).await.expect("connected");
    client.send(&json!({"action": "reply"})).await;
    let rest = client.rest().await;
    assert!(rest.is_empty(), "{rest:?}");
    gateway.stop().await.expect("stopped");
}

#[tokio::test]
async fn sockets_are_cut_at_once_one_or_all() {
    let gateway = probe::start(&json!({}), &[]).await;
    let mut witness = Socket::open(&gateway).await;
    let mut first = reporting(&gateway, &witness).await;
    let mut second = reporting(&gateway, &witness).await;
    let nobody = json!({"connection_id": "AAAAAAAAAAAAAAA="});
    assert_eq!(cut(&gateway, &nobody).await, 0);
    assert_eq!(cut(&gateway, &json!({"connection_id": first.id})).await, 1);
    let rest = first.client.rest().await;
    assert!(rest.is_empty(), "no close frame, nothing: {rest:?}");
    assert_eq!(disconnect(&mut witness).await, (first.id, 1_006));
    second.expect_nothing().await;

    assert_eq!(cut(&gateway, &json!({})).await, 2);
    for mut socket in [second, witness] {
        let rest = socket.client.rest().await;
        assert!(rest.is_empty(), "no close frame, nothing: {rest:?}");
        let ended = format!("$disconnect {} 1006", socket.id);
        until(async || gateway.log().contains(&ended)).await;
    }
    gateway.stop().await.expect("stopped");
}

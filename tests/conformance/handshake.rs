//! What opens a socket and what refuses it.

use serde_json::{Value, json};
use tests::client::Answer;

use crate::socket::{Handshake, Observer, connect};
use crate::target;

/// A refusal by what `$connect` does.
async fn refused(connect: Value) -> Answer {
    let target = target::open().await;
    let told = json!({"connect": connect});
    Handshake::new(target, "").tell(&told).refused().await
}

/// Handshake: 101 on 200/201.
#[tokio::test]
async fn a_status_from_200_to_299_opens_the_socket() {
    let target = target::open().await;
    for status in [200, 201, 204, 299] {
        let told = json!({"connect": {"return": {"statusCode": status}}});
        let mut socket = Handshake::new(target, "").tell(&told).open().await;
        let event = socket.event().await;
        assert_eq!(event["requestContext"]["eventType"], "MESSAGE", "{status}");
    }
}

/// Handshake: status passthrough 400/401/403/500.
#[tokio::test]
async fn any_other_status_of_the_function_is_that_of_the_refusal() {
    for status in [301, 400, 401, 403, 404, 500, 501] {
        let refusal = refused(json!({"return": {"statusCode": status}})).await;
        assert_eq!(refusal.status, status);
    }
}

/// Handshake: throw → 502. So is a panic, and the end of the process.
#[tokio::test]
async fn a_function_that_throws_refuses_with_502() {
    for connect in [
        json!({"throw": {"type": "Error", "message": "no"}}),
        json!({"panic": "no"}),
        json!({"exit": 1}),
    ] {
        assert_eq!(refused(connect.clone()).await.status, 502, "{connect}");
    }
}

/// Handshake: null result → 502. So is any other that is not a proxy response.
#[tokio::test]
async fn a_result_that_is_no_response_refuses_with_502() {
    for result in [
        Value::Null,
        json!({}),
        json!("200"),
        json!({"status": 200}),
        json!({"statusCode": 200, "unheardOf": true}),
    ] {
        let refusal = refused(json!({"return": result})).await;
        assert_eq!(refusal.status, 502, "{result}");
    }
}

/// Handshake: timeout → 504 \[U\].
#[tokio::test]
async fn a_function_that_misses_the_integration_timeout_refuses_with_504() {
    // The route gives it 10 seconds.
    assert_eq!(refused(json!({"sleep_ms": 12_000})).await.status, 504);
}

/// The body of a refusal is `{"message", "connectionId", "requestId"}`, and the function's own
/// is not returned \[U\].
#[tokio::test]
async fn a_refusal_names_the_connection_and_the_request() {
    let refusal = refused(json!({"return": {"statusCode": 400, "body": "{\"mine\":1}"}})).await;
    let body = refusal.json();
    let mut keys: Vec<_> = body.as_object().expect("an object").keys().collect();
    keys.sort_unstable();
    assert_eq!(keys, ["connectionId", "message", "requestId"], "{body}");
}

/// Handshake: no `$connect` route → 101.
#[tokio::test]
async fn without_a_connect_route_every_client_gets_in() {
    let mut socket = connect(target::bare().await).await;
    assert!(socket.id().await.ends_with('='));
}

/// Handshake: wrong stage → 403 \[U\]. So is a path below the stage.
#[tokio::test]
async fn an_unknown_stage_refuses_with_403() {
    let target = target::open().await;
    let (host, stage) = target.ws.rsplit_once('/').expect("a stage");
    for path in ["", "nowhere", "nowhere/at/all", &format!("{stage}/deeper")] {
        let refusal = Handshake::at(&format!("{host}/{path}")).refused().await;
        assert_eq!(refusal.status, 403, "{path}");
    }
}

/// Handshake: no Upgrade → 426 \[U\].
#[tokio::test]
async fn a_request_without_an_upgrade_is_refused_with_426() {
    let target = target::open().await;
    let request = hyper::Request::get(&target.ws).body(Default::default());
    let answer = crate::web::send(request.expect("a URL")).await;
    assert_eq!(answer.status, 426);
}

/// A URL has at most 4,096 bytes; the status for longer ones is not documented \[U\].
#[tokio::test]
async fn a_url_above_4_096_bytes_is_refused_with_414() {
    let target = target::open().await;
    let token = |bytes: usize| format!("token={}", "t".repeat(bytes));
    Handshake::new(target, &token(3_900)).open().await;
    let refusal = Handshake::new(target, &token(4_100)).refused().await;
    assert_eq!(refusal.status, 414);
}

/// A head has at most 10,240 bytes, as in HTTP APIs: not documented of handshakes \[U\].
#[tokio::test]
async fn a_head_above_10_240_bytes_is_refused_with_431() {
    let target = target::open().await;
    for name in ["Authorization", "Sec-WebSocket-Protocol"] {
        let token = |bytes: usize| format!("bearer.{}", "t".repeat(bytes));
        let with = |bytes: usize| Handshake::new(target, "").header(name, &token(bytes));
        with(9_500).open().await;
        assert_eq!(with(10_300).refused().await.status, 431, "{name}");
    }
}

/// Handshake: subprotocol echoed only when returned.
#[tokio::test]
async fn a_subprotocol_is_spoken_only_if_the_function_returns_it() {
    let target = target::open().await;
    let asking = || Handshake::new(target, "").header("Sec-WebSocket-Protocol", "chat.v2, chat.v1");
    let told = json!({"connect": {"return": {
        "statusCode": 200,
        "headers": {"Sec-WebSocket-Protocol": "chat.v1"},
    }}});
    let chosen = asking().tell(&told).open().await;
    assert_eq!(chosen.headers["sec-websocket-protocol"], "chat.v1");

    let silent = asking().open().await;
    assert!(!silent.headers.contains_key("sec-websocket-protocol"));
}

/// Permessage-deflate is not negotiated \[U\].
#[tokio::test]
async fn no_extension_is_agreed_on() {
    let target = target::open().await;
    let offer = Handshake::new(target, "").header("Sec-WebSocket-Extensions", "permessage-deflate");
    let socket = offer.open().await;
    assert!(!socket.headers.contains_key("sec-websocket-extensions"));
}

/// Handshake: ids end in `=`; they have 16 characters of URL-safe base64.
#[tokio::test]
async fn ids_are_16_characters_and_end_in_an_equals_sign() {
    let mut socket = connect(target::open().await).await;
    let event = socket.event().await;
    for key in [
        "connectionId",
        "requestId",
        "extendedRequestId",
        "messageId",
    ] {
        let id = event["requestContext"][key].as_str().expect("a string");
        let (rest, last) = id.split_at(id.len() - 1);
        assert_eq!((id.len(), last), (16, "="), "{key}: {id}");
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(rest.bytes().all(is_good), "{key}: {id}");
    }
}

/// A refused socket was never open, so it gets no DISCONNECT event either.
#[tokio::test]
async fn a_refused_socket_is_not_disconnected() {
    let target = target::open().await;
    let mut observer = Observer::open(target).await;
    let told = |status: u16| {
        json!({
            "connect": {"return": {"statusCode": status}},
            "disconnect": {"report": observer.id},
        })
    };
    let refused = Handshake::new(target, "").tell(&told(403));
    let accepted = Handshake::new(target, "").tell(&told(200));
    assert_eq!(refused.refused().await.status, 403);

    let mut socket = accepted.open().await;
    let id = socket.id().await;
    socket.close(None).await;
    let event = observer.next().await;
    assert_eq!(event["requestContext"]["connectionId"], id.as_str());
    observer.expect_nothing().await;
}

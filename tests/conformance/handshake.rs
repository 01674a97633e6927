//! Accepted and rejected handshakes.

use serde_json::{Value, json};
use tests::client::HttpResponse;
use tests::raw::{Raw, handshake};

use crate::socket::{Handshake, Observer, connect};
use crate::target;

/// Returns the response to a handshake that is rejected by the `$connect` function with these
/// instructions.
async fn rejected_by(connect: Value) -> HttpResponse {
    let target = target::open().await;
    let instructions = json!({"connect": connect});
    Handshake::new(target, "")
        .instruct(&instructions)
        .rejection()
        .await
}

/// A `$connect` status from 200 to 299 opens the connection with 101.
#[tokio::test]
async fn a_status_from_200_to_299_opens_the_connection() {
    let target = target::open().await;
    for status in [200, 201, 204, 299] {
        let instructions = json!({"connect": {"return": {"statusCode": status}}});
        let mut socket = Handshake::new(target, "")
            .instruct(&instructions)
            .open()
            .await;
        let event = socket.event().await;
        assert_eq!(event["requestContext"]["eventType"], "MESSAGE", "{status}");
    }
}

/// Any other `$connect` status rejects the handshake with that status.
#[tokio::test]
async fn any_other_status_rejects_the_handshake_with_that_status() {
    for status in [301, 400, 401, 403, 404, 500, 501] {
        let rejection = rejected_by(json!({"return": {"statusCode": status}})).await;
        assert_eq!(rejection.status, status);
    }
}

/// An error, a panic or an exit of the `$connect` function rejects the handshake with 502.
#[tokio::test]
async fn a_connect_function_that_fails_rejects_with_502() {
    for connect in [
        json!({"throw": {"type": "Error", "message": "no"}}),
        json!({"panic": "no"}),
        json!({"exit": 1}),
    ] {
        assert_eq!(rejected_by(connect.clone()).await.status, 502, "{connect}");
    }
}

/// A `$connect` result that is null or not a proxy response rejects the handshake with 502.
#[tokio::test]
async fn a_result_that_is_not_a_proxy_response_rejects_with_502() {
    for result in [
        Value::Null,
        json!({}),
        json!("200"),
        json!({"status": 200}),
        json!({"statusCode": 200, "unheardOf": true}),
    ] {
        let rejection = rejected_by(json!({"return": result})).await;
        assert_eq!(rejection.status, 502, "{result}");
    }
}

/// A `$connect` function that exceeds the integration timeout rejects the handshake with 504 \[U\].
#[tokio::test]
async fn a_function_that_exceeds_the_integration_timeout_rejects_with_504() {
    // The timeout of this route is 10 seconds.
    assert_eq!(rejected_by(json!({"sleep_ms": 12_000})).await.status, 504);
}

/// A client that gives up while the `$connect` function runs gets a `$disconnect` after it \[U\].
#[tokio::test]
async fn a_handshake_that_is_given_up_gets_its_disconnect() {
    let target = target::open().await;
    let (mut observer, gate) = (Observer::open(target).await, Observer::open(target).await);
    let instructions = json!({
        "connect": {"report": observer.id, "await_gone": gate.id},
        "disconnect": {"report": observer.id},
    });
    let mut client = Raw::open(&target.ws).await.expect("the gateway listens");
    let head = handshake(&target.ws);
    let head = head.trim_end();
    let request = format!("{head}\r\nUser-Agent: {instructions}\r\n\r\n");
    client.send(request).await;
    let connect = observer.next().await;
    drop(client);
    gate.close().await;

    let disconnect = observer.next().await;
    assert_eq!(disconnect["requestContext"]["eventType"], "DISCONNECT");
    assert_eq!(
        disconnect["requestContext"]["connectionId"],
        connect["requestContext"]["connectionId"]
    );
}

/// The body of a rejected handshake is `{"message", "connectionId", "requestId"}`, and the
/// function's own body is discarded \[U\].
#[tokio::test]
async fn a_rejection_names_the_connection_and_the_request() {
    let rejection =
        rejected_by(json!({"return": {"statusCode": 400, "body": "{\"mine\":1}"}})).await;
    let body = rejection.json();
    let mut keys: Vec<_> = body.as_object().expect("an object").keys().collect();
    keys.sort_unstable();
    assert_eq!(keys, ["connectionId", "message", "requestId"], "{body}");
}

/// An API without a `$connect` route accepts every handshake.
#[tokio::test]
async fn without_a_connect_route_every_handshake_succeeds() {
    let mut socket = connect(target::bare().await).await;
    assert!(socket.id().await.ends_with('='));
}

/// An unknown stage, or a path below the stage, rejects the handshake with 403 \[U\].
#[tokio::test]
async fn an_unknown_stage_rejects_with_403() {
    let target = target::open().await;
    let (host, stage) = target.ws.rsplit_once('/').expect("a stage");
    for path in ["", "nowhere", "nowhere/at/all", &format!("{stage}/deeper")] {
        let rejection = Handshake::at(&format!("{host}/{path}")).rejection().await;
        assert_eq!(rejection.status, 403, "{path}");
    }
}

/// A request without `Upgrade` is rejected with 426 \[U\].
#[tokio::test]
async fn a_request_without_an_upgrade_is_rejected_with_426() {
    let target = target::open().await;
    let request = hyper::Request::get(&target.ws).body(Default::default());
    let response = crate::web::send(request.expect("a URL")).await;
    assert_eq!(response.status, 426);
}

/// A URL above 4,096 bytes is rejected with 414. AWS documents the limit but not the status \[U\].
#[tokio::test]
async fn a_url_above_4_096_bytes_is_rejected_with_414() {
    let target = target::open().await;
    let token = |bytes: usize| format!("token={}", "t".repeat(bytes));
    Handshake::new(target, &token(3_900)).open().await;
    let rejection = Handshake::new(target, &token(4_100)).rejection().await;
    assert_eq!(rejection.status, 414);
}

/// A handshake whose head is above 10,240 bytes is rejected with 431. AWS documents the limit for
/// HTTP APIs only \[U\].
#[tokio::test]
async fn a_head_above_10_240_bytes_is_rejected_with_431() {
    let target = target::open().await;
    for name in ["Authorization", "Sec-WebSocket-Protocol"] {
        let token = |bytes: usize| format!("bearer.{}", "t".repeat(bytes));
        let with = |bytes: usize| Handshake::new(target, "").header(name, &token(bytes));
        with(9_500).open().await;
        assert_eq!(with(10_300).rejection().await.status, 431, "{name}");
    }
}

/// The handshake response has `Sec-WebSocket-Protocol` only if the `$connect` function returns this
/// header.
#[tokio::test]
async fn a_subprotocol_is_selected_only_if_the_function_returns_it() {
    let target = target::open().await;
    let offer = || Handshake::new(target, "").header("Sec-WebSocket-Protocol", "chat.v2, chat.v1");
    let instructions = json!({"connect": {"return": {
        "statusCode": 200,
        "headers": {"Sec-WebSocket-Protocol": "chat.v1"},
    }}});
    let chosen = offer().instruct(&instructions).open().await;
    assert_eq!(chosen.headers["sec-websocket-protocol"], "chat.v1");

    let unselected = offer().open().await;
    assert!(!unselected.headers.contains_key("sec-websocket-protocol"));
}

/// `permessage-deflate` is not negotiated \[U\].
#[tokio::test]
async fn no_extension_is_negotiated() {
    let target = target::open().await;
    let offer = Handshake::new(target, "").header("Sec-WebSocket-Extensions", "permessage-deflate");
    let socket = offer.open().await;
    assert!(!socket.headers.contains_key("sec-websocket-extensions"));
}

/// The ids of connections, requests and messages have 16 characters of URL-safe base64 and end in
/// `=`.
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

/// A rejected connection was never open, so it gets no DISCONNECT event.
#[tokio::test]
async fn a_rejected_connection_gets_no_disconnect_event() {
    let target = target::open().await;
    let mut observer = Observer::open(target).await;
    let instructions = |status: u16| {
        json!({
            "connect": {"return": {"statusCode": status}},
            "disconnect": {"report": observer.id},
        })
    };
    let rejected = Handshake::new(target, "").instruct(&instructions(403));
    let accepted = Handshake::new(target, "").instruct(&instructions(200));
    assert_eq!(rejected.rejection().await.status, 403);

    let mut socket = accepted.open().await;
    let id = socket.id().await;
    socket.close(None).await;
    let event = observer.next().await;
    assert_eq!(event["requestContext"]["connectionId"], id.as_str());
    observer.expect_nothing().await;
}

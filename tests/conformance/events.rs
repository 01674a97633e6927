//! The events that functions receive.

use chrono::DateTime;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::socket::{Handshake, Observer, Socket, connect};
use crate::target::{self, Target};

/// The keys of `requestContext` in every event of a connection whose handshake had a `User-Agent`.
const COMMON: [&str; 13] = [
    "routeKey",
    "eventType",
    "extendedRequestId",
    "requestTime",
    "messageDirection",
    "stage",
    "connectedAt",
    "requestTimeEpoch",
    "identity",
    "requestId",
    "domainName",
    "connectionId",
    "apiId",
];

/// Checks that an object has these keys and no others.
pub fn assert_keys(object: &Value, keys: &[&str]) {
    let mut found: Vec<_> = object.as_object().expect("an object").keys().collect();
    let mut expected = keys.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// Checks that an event's context has the common keys, those of `more`, and no others.
fn assert_context(event: &Value, more: &[&str]) {
    assert_keys(&event["requestContext"], &[&COMMON[..], more].concat());
}

/// Opens a socket with `query` and further `headers`. Returns it and its CONNECT event.
async fn connected(target: &Target, query: &str, headers: &[(&str, &str)]) -> (Socket, Value) {
    let mut observer = Observer::open(target).await;
    let instructions = json!({"connect": {"report": observer.id}});
    let mut handshake = Handshake::new(target, query).instruct(&instructions);
    for (name, value) in headers {
        handshake = handshake.header(name, value);
    }
    let socket = handshake.open().await;
    (socket, observer.next().await)
}

/// Opens a socket, closes it by `close`, and returns its DISCONNECT event.
async fn disconnected(close: impl AsyncFnOnce(Socket)) -> Value {
    let target = target::open().await;
    let mut observer = Observer::open(target).await;
    let instructions = json!({"disconnect": {"report": observer.id}});
    close(
        Handshake::new(target, "")
            .instruct(&instructions)
            .open()
            .await,
    )
    .await;
    observer.next().await
}

/// Returns the close code and the reason in a DISCONNECT event.
fn code_and_reason(event: &Value) -> (&Value, &Value) {
    let context = &event["requestContext"];
    (
        &context["disconnectStatusCode"],
        &context["disconnectReason"],
    )
}

/// A CONNECT event has exactly these keys, and the query keys only if the URL has a query.
#[tokio::test]
async fn a_connect_event_has_these_keys_and_no_others() {
    let target = target::open().await;
    let usual = [
        "headers",
        "multiValueHeaders",
        "requestContext",
        "isBase64Encoded",
    ];
    let (_socket, event) = connected(target, "", &[]).await;
    assert_keys(&event, &usual);
    assert_context(&event, &[]);
    assert_eq!(event["isBase64Encoded"], false);

    let (_socket, event) = connected(target, "room=42", &[]).await;
    let query = ["queryStringParameters", "multiValueQueryStringParameters"];
    assert_keys(&event, &[&usual[..], &query].concat());
    assert_eq!(event["queryStringParameters"], json!({"room": "42"}));
    assert_eq!(
        event["multiValueQueryStringParameters"],
        json!({"room": ["42"]})
    );
}

/// A MESSAGE event has exactly these keys.
#[tokio::test]
async fn a_message_event_has_these_keys_and_no_others() {
    let target = target::open().await;
    let mut socket = Handshake::new(target, "room=42")
        .instruct(&json!({}))
        .open()
        .await;
    let event = socket.event().await;
    assert_keys(&event, &["requestContext", "body", "isBase64Encoded"]);
    assert_context(&event, &["messageId"]);
    assert_eq!(event["isBase64Encoded"], false);
}

/// A MESSAGE event has neither headers nor query parameters of the handshake.
#[tokio::test]
async fn a_message_event_has_no_headers_and_no_query() {
    let target = target::open().await;
    let (mut socket, connect) = connected(target, "room=42", &[("X-Room-Key", "k")]).await;
    let message = socket.event().await;
    for key in [
        "headers",
        "multiValueHeaders",
        "queryStringParameters",
        "multiValueQueryStringParameters",
    ] {
        assert!(connect[key].is_object(), "{key}");
        assert_eq!(message.get(key), None);
    }
}

/// A DISCONNECT event has exactly these keys, and four fixed headers.
#[tokio::test]
async fn a_disconnect_event_has_these_keys_and_four_fixed_headers() {
    let event = disconnected(async |socket| socket.close(Some(1000)).await).await;
    let keys = [
        "headers",
        "multiValueHeaders",
        "requestContext",
        "isBase64Encoded",
    ];
    assert_keys(&event, &keys);
    assert_context(&event, &["disconnectStatusCode", "disconnectReason"]);
    let headers = ["Host", "x-api-key", "X-Forwarded-For", "x-restapi"];
    assert_keys(&event["headers"], &headers);
    assert_keys(&event["multiValueHeaders"], &headers);
    assert_eq!(
        event["headers"]["Host"],
        event["requestContext"]["domainName"]
    );
    for empty in &headers[1..] {
        assert_eq!(event["headers"][*empty], "");
        assert_eq!(event["multiValueHeaders"][*empty], json!([""]));
    }
}

/// `requestContext` has the event type, the route, the stage, the times and the client's address.
#[tokio::test]
async fn the_context_has_the_route_the_stage_the_times_and_the_source() {
    let target = target::open().await;
    let (mut socket, event) = connected(target, "", &[]).await;
    for (event, event_type, route) in [
        (event, "CONNECT", "$connect"),
        (socket.event().await, "MESSAGE", "reply"),
    ] {
        let context = &event["requestContext"];
        assert_eq!(context["eventType"], event_type);
        assert_eq!(context["routeKey"], route);
        assert_eq!(context["messageDirection"], "IN");
        assert_eq!(context["stage"], target.stage());
        assert_keys(&context["identity"], &["sourceIp", "userAgent"]);
        let time = context["requestTime"].as_str().expect("a string");
        let time = DateTime::parse_from_str(time, "%d/%b/%Y:%H:%M:%S %z").expect("CLF");
        let epoch = context["requestTimeEpoch"].as_i64().expect("milliseconds");
        assert_eq!(time.timestamp(), epoch / 1_000);
        assert!(
            context["connectedAt"]
                .as_i64()
                .is_some_and(|at| at <= epoch)
        );
    }
}

/// `identity.userAgent` is present only if the handshake had the header `User-Agent`.
#[tokio::test]
async fn the_user_agent_is_absent_if_the_handshake_had_none() {
    let mut socket = connect(target::open().await).await;
    let event = socket.event().await;
    assert_keys(&event["requestContext"]["identity"], &["sourceIp"]);
}

/// Header names keep the case in which the client wrote them.
#[tokio::test]
async fn header_names_keep_their_case() {
    let (_socket, event) = connected(target::open().await, "", &[("X-Room-Key", "k")]).await;
    assert_eq!(event["headers"]["X-Room-Key"], "k");
    assert_eq!(event["multiValueHeaders"]["X-Room-Key"], json!(["k"]));
    assert!(event["headers"]["Host"].is_string());
}

/// API Gateway adds the forwarding headers to a CONNECT event and removes `Connection`, `Upgrade`
/// and `Content-Length`.
#[tokio::test]
async fn a_connect_event_has_forwarding_headers_but_no_upgrade_headers() {
    let (_socket, event) = connected(target::open().await, "", &[]).await;
    let headers = &event["headers"];
    for name in [
        "X-Amzn-Trace-Id",
        "X-Forwarded-For",
        "X-Forwarded-Port",
        "X-Forwarded-Proto",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
    ] {
        // The client writes `Sec-Websocket-Key`.
        let same = |key: &&String| key.eq_ignore_ascii_case(name);
        let found = headers.as_object().expect("an object").keys().find(same);
        assert!(found.is_some(), "{name}: {headers}");
    }
    for name in ["Connection", "Upgrade", "Content-Length", "content-length"] {
        assert_eq!(headers[name], Value::Null, "{headers}");
    }
    let source = &event["requestContext"]["identity"]["sourceIp"];
    assert_eq!(&headers["X-Forwarded-For"], source);
}

/// For a repeated header or parameter, the single-value map has the last value \[U\] and the
/// multi-value map has all.
#[tokio::test]
async fn repeated_values_are_all_in_the_multi_value_maps() {
    let target = target::open().await;
    let twice = [("X-Twice", "a"), ("X-Twice", "b")];
    let (_socket, event) = connected(target, "x=1&y=%2B+%C3%A9&x=2", &twice).await;
    assert_eq!(event["headers"]["X-Twice"], "b");
    assert_eq!(event["multiValueHeaders"]["X-Twice"], json!(["a", "b"]));
    assert_eq!(
        event["queryStringParameters"],
        json!({"x": "2", "y": "+ é"})
    );
    let all = json!({"x": ["1", "2"], "y": ["+ é"]});
    assert_eq!(event["multiValueQueryStringParameters"], all);
}

/// `stageVariables` is present only if the stage has variables \[U\].
#[tokio::test]
async fn stage_variables_are_in_events_only_if_the_stage_has_any() {
    let mut with = connect(target::guarded().await).await;
    assert_eq!(
        with.event().await["stageVariables"],
        json!({"colour": "blue"})
    );
    let mut without = connect(target::open().await).await;
    assert_eq!(without.event().await["stageVariables"], Value::Null);
}

/// `connectedAt`, and the ids of the connection, the API and the stage, are the same in all events
/// of a connection.
#[tokio::test]
async fn connected_at_is_the_same_in_all_events_of_a_connection() {
    let target = target::open().await;
    let mut observer = Observer::open(target).await;
    let report = json!({"report": observer.id});
    let instructions = json!({"connect": report, "disconnect": report});
    let mut socket = Handshake::new(target, "")
        .instruct(&instructions)
        .open()
        .await;
    let messages = [socket.event().await, socket.event().await];
    socket.close(None).await;
    let connect = observer.next().await;
    let disconnect = observer.next().await;
    assert_eq!(disconnect["requestContext"]["eventType"], "DISCONNECT");
    for event in messages.iter().chain([&disconnect]) {
        for key in [
            "connectedAt",
            "connectionId",
            "apiId",
            "stage",
            "domainName",
            "identity",
        ] {
            assert_eq!(
                event["requestContext"][key], connect["requestContext"][key],
                "{key}"
            );
        }
    }
}

/// `requestId` equals `extendedRequestId` and differs from `messageId`. Each event has its own.
#[tokio::test]
async fn a_request_id_equals_the_extended_one_and_differs_from_the_message_id() {
    let (mut socket, connect) = connected(target::open().await, "", &[]).await;
    let events = [connect, socket.event().await, socket.event().await];
    let mut ids = Vec::new();
    for event in &events {
        let context = &event["requestContext"];
        assert_eq!(context["requestId"], context["extendedRequestId"]);
        ids.extend([&context["requestId"], &context["messageId"]].map(Value::as_str));
    }
    let mut ids: Vec<_> = ids.into_iter().flatten().collect();
    assert_eq!(ids.len(), 5);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5, "no id is used twice");
}

/// The body of a MESSAGE event is the raw text of the frame.
#[tokio::test]
async fn a_frame_arrives_as_it_was_sent() {
    let mut socket = connect(target::open().await).await;
    for text in [
        "{ \"action\" :\"reply\",\n \"x\": \"\\u00e9 é 🦀\" }",
        "\u{0}",
        " plain ",
    ] {
        socket.send_text(text).await;
        assert_eq!(socket.next().await["body"], text);
    }
}

/// A client that closes with 1000 causes a DISCONNECT event with 1000 \[U\].
#[tokio::test]
async fn a_client_that_closes_normally_is_disconnected_with_1000() {
    let event = disconnected(async |socket| socket.close(Some(1000)).await).await;
    assert_eq!(
        code_and_reason(&event),
        (&json!(1000), &json!("Connection Closed Normally"))
    );
}

/// A client that closes with 1001, as a browser does with its tab, causes a DISCONNECT event with
/// 1001 \[U\].
#[tokio::test]
async fn a_client_that_goes_away_is_disconnected_with_1001() {
    let event = disconnected(async |socket| socket.close(Some(1001)).await).await;
    assert_eq!(
        code_and_reason(&event),
        (&json!(1001), &json!("Going away"))
    );
}

/// A client that closes without a code causes a DISCONNECT event with 1005.
#[tokio::test]
async fn a_client_that_closes_without_a_code_is_disconnected_with_1005() {
    let event = disconnected(async |socket| socket.close(None).await).await;
    let reason = json!("Client-side close frame status not set");
    assert_eq!(code_and_reason(&event), (&json!(1005), &reason));
}

/// A client whose TCP connection ends without a close frame causes a DISCONNECT event with 1006.
#[tokio::test]
async fn a_client_whose_tcp_connection_ends_is_disconnected_with_1006() {
    let event = disconnected(async |socket| drop(socket)).await;
    assert_eq!(code_and_reason(&event).0, 1006);
}

/// A custom close code and its reason are in the DISCONNECT event \[U\].
#[tokio::test]
async fn a_custom_close_code_and_its_reason_are_passed_on() {
    let event = disconnected(async |mut socket| {
        let frame = CloseFrame {
            code: 4001.into(),
            reason: "moved".into(),
        };
        socket.send_raw(Message::Close(Some(frame))).await;
        socket.closed().await;
    })
    .await;
    assert_eq!(code_and_reason(&event), (&json!(4001), &json!("moved")));
}

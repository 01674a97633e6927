//! What functions get.

use chrono::DateTime;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::socket::{Handshake, Observer, Socket, connect};
use crate::target::{self, Target};

/// The keys that `requestContext` has in every event of a socket whose handshake had a `User-Agent`.
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

/// Checks the keys of an event's context: those of all events and `more`.
fn assert_context(event: &Value, more: &[&str]) {
    assert_keys(&event["requestContext"], &[&COMMON[..], more].concat());
}

/// Opens a socket with `query` and extra `headers`; gives it and its CONNECT event.
async fn connected(target: &Target, query: &str, headers: &[(&str, &str)]) -> (Socket, Value) {
    let mut observer = Observer::open(target).await;
    let told = json!({"connect": {"report": observer.id}});
    let mut handshake = Handshake::new(target, query).tell(&told);
    for (name, value) in headers {
        handshake = handshake.header(name, value);
    }
    let socket = handshake.open().await;
    (socket, observer.next().await)
}

/// The DISCONNECT event of a socket that ends by `end`.
async fn disconnected(end: impl AsyncFnOnce(Socket)) -> Value {
    let target = target::open().await;
    let mut observer = Observer::open(target).await;
    let told = json!({"disconnect": {"report": observer.id}});
    end(Handshake::new(target, "").tell(&told).open().await).await;
    observer.next().await
}

/// What a DISCONNECT event says of the end.
fn end_of(event: &Value) -> (&Value, &Value) {
    let context = &event["requestContext"];
    (
        &context["disconnectStatusCode"],
        &context["disconnectReason"],
    )
}

/// Events: the exact key set of CONNECT.
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

/// Events: the exact key set of MESSAGE.
#[tokio::test]
async fn a_message_event_has_these_keys_and_no_others() {
    let target = target::open().await;
    let mut socket = Handshake::new(target, "room=42")
        .tell(&json!({}))
        .open()
        .await;
    let event = socket.event().await;
    assert_keys(&event, &["requestContext", "body", "isBase64Encoded"]);
    assert_context(&event, &["messageId"]);
    assert_eq!(event["isBase64Encoded"], false);
}

/// Events: no headers on MESSAGE, nor the query, of whatever handshake.
#[tokio::test]
async fn a_message_event_has_nothing_of_the_handshake() {
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

/// Events: the exact key set of DISCONNECT, whose headers are four fixed ones.
#[tokio::test]
async fn a_disconnect_event_has_these_keys_and_four_headers() {
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

/// What the common fields hold.
#[tokio::test]
async fn the_context_says_who_when_and_where() {
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

/// `userAgent` only if the handshake had the header.
#[tokio::test]
async fn a_client_without_a_user_agent_has_none() {
    let mut socket = connect(target::open().await).await;
    let event = socket.event().await;
    assert_keys(&event["requestContext"]["identity"], &["sourceIp"]);
}

/// Events: header case kept.
#[tokio::test]
async fn header_names_keep_their_case() {
    let (_socket, event) = connected(target::open().await, "", &[("X-Room-Key", "k")]).await;
    assert_eq!(event["headers"]["X-Room-Key"], "k");
    assert_eq!(event["multiValueHeaders"]["X-Room-Key"], json!(["k"]));
    assert!(event["headers"]["Host"].is_string());
}

/// The gateway adds where the request came from, and takes away what was for itself.
#[tokio::test]
async fn a_connect_event_has_the_forwarding_headers_and_not_those_of_the_upgrade() {
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

/// Of a repeated header or parameter the single-value map has the last \[U\], the other all.
#[tokio::test]
async fn repeated_values_are_all_there() {
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

/// `stageVariables` if configured \[U\].
#[tokio::test]
async fn stage_variables_are_in_events_only_if_there_are_any() {
    let mut with = connect(target::guarded().await).await;
    assert_eq!(
        with.event().await["stageVariables"],
        json!({"colour": "blue"})
    );
    let mut without = connect(target::open().await).await;
    assert_eq!(without.event().await["stageVariables"], Value::Null);
}

/// Events: connectedAt constant; so are the ids of the socket, the API and the stage.
#[tokio::test]
async fn connected_at_stays_the_same_for_the_life_of_a_socket() {
    let target = target::open().await;
    let mut observer = Observer::open(target).await;
    let report = json!({"report": observer.id});
    let told = json!({"connect": report, "disconnect": report});
    let mut socket = Handshake::new(target, "").tell(&told).open().await;
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

/// Events: requestId == extendedRequestId ≠ messageId; each event has its own.
#[tokio::test]
async fn a_request_id_is_extended_too_and_is_not_the_message_id() {
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

/// The body of a MESSAGE event is the raw text.
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

/// Events: DISCONNECT code 1000, of a client \[U\].
#[tokio::test]
async fn a_client_that_closes_normally_is_disconnected_with_1000() {
    let event = disconnected(async |socket| socket.close(Some(1000)).await).await;
    assert_eq!(
        end_of(&event),
        (&json!(1000), &json!("Connection Closed Normally"))
    );
}

/// Events: DISCONNECT code 1001, of a client whose tab is closed \[U\].
#[tokio::test]
async fn a_client_that_goes_away_is_disconnected_with_1001() {
    let event = disconnected(async |socket| socket.close(Some(1001)).await).await;
    assert_eq!(end_of(&event), (&json!(1001), &json!("Going away")));
}

/// Events: DISCONNECT code 1005.
#[tokio::test]
async fn a_client_that_closes_without_a_code_is_disconnected_with_1005() {
    let event = disconnected(async |socket| socket.close(None).await).await;
    let reason = json!("Client-side close frame status not set");
    assert_eq!(end_of(&event), (&json!(1005), &reason));
}

/// Events: DISCONNECT code 1006, of a client whose connection breaks.
#[tokio::test]
async fn a_client_that_vanishes_is_disconnected_with_1006() {
    let event = disconnected(async |socket| drop(socket)).await;
    assert_eq!(end_of(&event).0, 1006);
}

/// A custom code and its reason are passed through \[U\].
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
    assert_eq!(end_of(&event), (&json!(4001), &json!("moved")));
}

//! Tokens, good and bad, and the log.

use std::path::Path;

use serde_json::json;
use tests::LocalGateway;
use tests::raw::{Raw, UPGRADE, client_frame};

use super::answers;

/// What the function is told of each request: its part as an authorizer, and as `$connect`.
fn told() -> Vec<(String, [u16; 2])> {
    let throw = |message: &str| json!({"throw": {"type": "Error", "message": message}});
    let deny = json!({"return": {
        "principalId": "p",
        "policyDocument": {"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}},
        "isAuthorized": false,
    }});
    [
        (json!({}), [101, 200]),
        (json!({"authorize": throw("Unauthorized")}), [401, 401]),
        (json!({"authorize": deny}), [403, 403]),
        (json!({"authorize": throw("no keys")}), [500, 500]),
        (json!({"authorize": {"exit": 1}}), [500, 500]),
        (json!({"authorize": {"return": "nonsense"}}), [500, 500]),
        (
            json!({"connect": throw("x"), "request": throw("x")}),
            [502, 500],
        ),
        (
            json!({"connect": {"exit": 1}, "request": {"exit": 1}}),
            [502, 500],
        ),
        (
            json!({"connect": {"return": 7}, "request": {"return": {"statusCode": 7}}}),
            [502, 500],
        ),
    ]
    .map(|(told, statuses)| (told.to_string(), statuses))
    .into()
}

/// A token of the shape of a JWT whose parts say what they are. Its header names an algorithm that
/// there is not, which a parser may quote.
const TOKEN: &str = "eyJhbGciOiJ0aGUtaGVhZGVyIn0.eyJzdWIiOiJ0aGUtY2xhaW1zIn0.dGhlLXNpZ25hdHVyZQ";

/// What must not be in a log: the parts of the token, also decoded.
const PARTS: [&str; 6] = [
    "eyJhbGci",
    "eyJzdWIi",
    "dGhlLXNp",
    "the-header",
    "the-claims",
    "the-signature",
];

/// Each of these holds a token.
fn entrances() -> [(String, String); 3] {
    [
        (
            "token=any".to_owned(),
            format!("Authorization: Bearer {TOKEN}\r\n"),
        ),
        (
            "token=any".to_owned(),
            format!("Authorization: any\r\nSec-WebSocket-Protocol: chat.v1, bearer.{TOKEN}\r\n"),
        ),
        (
            format!("token={TOKEN}"),
            "Authorization: any\r\n".to_owned(),
        ),
    ]
}

#[tokio::test]
async fn a_token_is_in_no_line_of_the_log() {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/guarded.yaml");
    let gateway = LocalGateway::start(&template, &["--log", "trace"]).await;
    let gateway = gateway.expect("it starts");
    let (ws, http) = (gateway.ws.as_deref(), gateway.http.as_deref());
    let (ws, http) = (ws.expect("an address"), http.expect("an address"));
    let over_http = "Connection: close\r\n";
    for (query, entrance) in entrances() {
        for (told, [socket, request]) in told() {
            // With a frame that ends the socket.
            let head = format!("GET /beta?{query} HTTP/1.1\r\nHost: x\r\nUser-Agent: {told}\r\n");
            let bytes = [
                format!("{head}{UPGRADE}{entrance}Connection: close\r\n\r\n").as_bytes(),
                &client_frame(0x88, b""),
            ]
            .concat();
            assert_eq!(answers(ws, bytes).await.first(), Some(&socket), "{told}");
            let head = format!("GET /v1/asked?{query} HTTP/1.1\r\nHost: x\r\nx-probe: {told}\r\n");
            let bytes = format!("{head}{over_http}{entrance}\r\n");
            assert_eq!(answers(http, bytes).await, [request], "{told}");
        }
        // Refused by the gateway itself: not authorized, no handshake, no such stage or route, too
        // large, malformed.
        let large = format!("X: {}\r\n", "x".repeat(10_240));
        for (url, path, headers, status) in [
            (http, "/v1/token", "", 401),
            (http, "/nowhere", "", 404),
            (http, "/v1/asked", &*large, 431),
            (http, "/v1/asked", "x\r\n", 400),
            (ws, "/beta", "", 426),
            (ws, "/nowhere", UPGRADE, 403),
            (ws, "/beta", &*format!("{UPGRADE}{large}"), 431),
            (ws, "/beta", "x\r\n", 400),
        ] {
            let head = format!("GET {path}?{query} HTTP/1.1\r\nHost: x\r\n{over_http}");
            let told = answers(url, format!("{head}{entrance}{headers}\r\n")).await;
            assert_eq!(told, [status], "{path} {headers:.20}");
        }
        // Broken off in the middle of the head.
        let mut raw = Raw::open(ws).await.expect("accepted");
        raw.send(format!("GET /beta?{query} HTTP/1.1\r\n{entrance}"))
            .await;
    }
    let (status, log) = gateway.stop().await.expect("it ends");
    assert!(status.success(), "{status}");
    for part in PARTS {
        assert!(!log.contains(part), "{part}: {log}");
    }
    // All that was refused has left its lines, and the level is the least.
    for line in [
        "DEBUG",
        "a token is refused",
        "the authorizer GuardFunction failed",
        "$connect",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
}

//! Tokens and the log.

use std::path::Path;

use serde_json::json;
use tests::LocalGateway;
use tests::raw::{Raw, UPGRADE, client_frame};

use super::send_bytes;

/// Instructions for the function, as the authorizer and behind the routes. Each has the expected
/// status of a handshake and that of an HTTP request.
fn cases() -> Vec<(String, [u16; 2])> {
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
    .map(|(instructions, statuses)| (instructions.to_string(), statuses))
    .into()
}

/// A token in the shape of a JWT. Its parts contain their own names, and its header names an
/// unknown algorithm, which a parser may quote.
const TOKEN: &str = "eyJhbGciOiJ0aGUtaGVhZGVyIn0.eyJzdWIiOiJ0aGUtY2xhaW1zIn0.dGhlLXNpZ25hdHVyZQ";

/// The parts of the token, encoded and decoded. None of them may be in a log.
const PARTS: [&str; 6] = [
    "eyJhbGci",
    "eyJzdWIi",
    "dGhlLXNp",
    "the-header",
    "the-claims",
    "the-signature",
];

/// Returns the places of a token in a request, each as a query and headers.
fn token_places() -> [(String, String); 3] {
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

const OVER_HTTP: &str = "Connection: close\r\n";

#[tokio::test]
async fn no_line_of_the_log_contains_a_token() {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/guarded.yaml");
    let gateway = LocalGateway::start(&template, &["--log", "trace"]).await;
    let gateway = gateway.expect("it starts");
    let (ws, http) = (gateway.ws.as_deref(), gateway.http.as_deref());
    let (ws, http) = (ws.expect("an address"), http.expect("an address"));
    for (query, token_header) in token_places() {
        serve_requests(ws, http, &query, &token_header).await;
        reject_requests(ws, http, &query, &token_header).await;
        // A request that ends in the middle of its head.
        let mut raw = Raw::open(ws).await.expect("accepted");
        raw.send(format!("GET /beta?{query} HTTP/1.1\r\n{token_header}"))
            .await;
    }
    let (status, log) = gateway.stop().await.expect("stopped");
    assert!(status.success(), "{status}");
    for part in PARTS {
        assert!(!log.contains(part), "{part}: {log}");
    }
    // The rejections are in the log, and its level is the most detailed.
    for line in [
        "DEBUG",
        "a token is refused",
        "the authorizer GuardFunction failed",
        "$connect",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
}

/// Sends the requests that reach a function.
async fn serve_requests(ws: &str, http: &str, query: &str, token_header: &str) {
    for (instructions, [socket, request]) in cases() {
        // With a frame that closes the connection.
        let head =
            format!("GET /beta?{query} HTTP/1.1\r\nHost: x\r\nUser-Agent: {instructions}\r\n");
        let bytes = [
            format!("{head}{UPGRADE}{token_header}Connection: close\r\n\r\n").as_bytes(),
            &client_frame(0x88, b""),
        ]
        .concat();
        let statuses = send_bytes(ws, bytes).await;
        assert_eq!(statuses.first(), Some(&socket), "{instructions}");
        let head =
            format!("GET /v1/asked?{query} HTTP/1.1\r\nHost: x\r\nx-probe: {instructions}\r\n");
        let bytes = format!("{head}{OVER_HTTP}{token_header}\r\n");
        assert_eq!(send_bytes(http, bytes).await, [request], "{instructions}");
    }
}

/// Sends requests that the gateway itself rejects: not authorized, no handshake, unknown stage or
/// route, too large, malformed.
async fn reject_requests(ws: &str, http: &str, query: &str, token_header: &str) {
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
        let head = format!("GET {path}?{query} HTTP/1.1\r\nHost: x\r\n{OVER_HTTP}");
        let statuses = send_bytes(url, format!("{head}{token_header}{headers}\r\n")).await;
        assert_eq!(statuses, [status], "{path} {headers:.20}");
    }
}

//! CORS of the HTTP API.

use serde_json::{Value, json};
use tests::client::Answer;

use crate::target::{self, Target};
use crate::web;

/// The origin that `open.yaml` allows.
const ORIGIN: &str = "https://app.example";

/// A preflight request, and the answer to it.
async fn preflight(
    target: &Target,
    path: &str,
    origin: &str,
    method: &str,
    header: &str,
) -> Answer {
    let request = web::to(target, "OPTIONS", path, &Value::Null)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", method)
        .header("Access-Control-Request-Headers", header);
    web::finish(request).await
}

/// The names of the CORS headers of an answer.
fn cors(answer: &Answer) -> Vec<&str> {
    let names = answer.headers.keys().map(|name| name.as_str());
    names
        .filter(|name| name.starts_with("access-control-"))
        .collect()
}

/// HTTP API: CORS: the gateway answers preflight itself, also where a route would take `OPTIONS`.
#[tokio::test]
async fn a_preflight_is_answered_without_the_function() {
    let target = target::open().await;
    for path in ["/echo", "/rooms/42/files"] {
        let answer = preflight(target, path, ORIGIN, "POST", "content-type").await;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert!(answer.body.is_empty());
        for (name, value) in [
            ("access-control-allow-headers", "content-type,x-probe"),
            ("access-control-allow-methods", "get,post"),
            ("access-control-allow-origin", ORIGIN),
            ("access-control-max-age", "600"),
        ] {
            let found = answer.header(name).to_lowercase().replace(' ', "");
            assert_eq!(found, value, "{path}: {name}");
        }
    }
}

/// HTTP API: CORS: an origin that is not allowed learns nothing.
#[tokio::test]
async fn a_preflight_from_elsewhere_gets_no_permission() {
    let target = target::open().await;
    let answer = preflight(
        target,
        "/echo",
        "https://evil.example",
        "POST",
        "content-type",
    )
    .await;
    assert!(answer.status.is_success(), "{answer:?}");
    assert!(cors(&answer).is_empty(), "{answer:?}");
}

/// HTTP API: CORS: a preflight carries no token and needs none.
#[tokio::test]
async fn a_preflight_for_a_guarded_route_needs_no_token() {
    let target = target::guarded().await;
    let answer = preflight(target, "/token", ORIGIN, "GET", "authorization").await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
}

/// HTTP API: CORS: the gateway's headers replace the function's.
#[tokio::test]
async fn the_functions_cors_headers_are_replaced() {
    let target = target::open().await;
    let told = json!({"request": {"return": {
        "statusCode": 200,
        "headers": {"access-control-allow-origin": "https://evil.example", "x-total": "2"},
        "body": "",
    }}});
    let from = |origin: Option<&'static str>| {
        let request = web::to(target, "GET", "/echo", &told);
        web::finish(match origin {
            Some(origin) => request.header("Origin", origin),
            None => request,
        })
    };
    let answer = from(Some(ORIGIN)).await;
    let origins: Vec<_> = answer
        .headers
        .get_all("access-control-allow-origin")
        .iter()
        .collect();
    assert_eq!(origins, [ORIGIN]);
    assert_eq!(answer.header("access-control-expose-headers"), "x-total");
    assert_eq!(answer.header("x-total"), "2");
    for origin in [Some("https://evil.example"), None] {
        let answer = from(origin).await;
        assert!(cors(&answer).is_empty(), "{origin:?}: {answer:?}");
    }
}

//! CORS of the HTTP API.

use serde_json::{Value, json};
use tests::client::HttpResponse;

use crate::target::{self, Target};
use crate::web;

/// The origin that `open.yaml` allows.
const ORIGIN: &str = "https://app.example";

/// Sends a preflight request and returns the response.
async fn preflight(
    target: &Target,
    path: &str,
    origin: &str,
    method: &str,
    header: &str,
) -> HttpResponse {
    let request = web::request(target, "OPTIONS", path, &Value::Null)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", method)
        .header("Access-Control-Request-Headers", header);
    web::finish(request).await
}

/// Returns the names of the CORS headers of a response.
fn cors_headers(response: &HttpResponse) -> Vec<&str> {
    let names = response.headers.keys().map(|name| name.as_str());
    names
        .filter(|name| name.starts_with("access-control-"))
        .collect()
}

/// API Gateway responds to a preflight itself, even if a route takes `OPTIONS`.
#[tokio::test]
async fn a_preflight_does_not_invoke_the_function() {
    let target = target::open().await;
    for path in ["/echo", "/rooms/42/files"] {
        let response = preflight(target, path, ORIGIN, "POST", "content-type").await;
        assert_eq!(response.status, 204, "{response:?}");
        assert!(response.body.is_empty());
        for (name, value) in [
            ("access-control-allow-headers", "content-type,x-probe"),
            ("access-control-allow-methods", "get,post"),
            ("access-control-allow-origin", ORIGIN),
            ("access-control-max-age", "600"),
        ] {
            let found = response.header(name).to_lowercase().replace(' ', "");
            assert_eq!(found, value, "{path}: {name}");
        }
    }
}

/// A preflight from an origin that is not allowed gets no CORS headers.
#[tokio::test]
async fn a_preflight_from_another_origin_gets_no_cors_headers() {
    let target = target::open().await;
    let response = preflight(
        target,
        "/echo",
        "https://evil.example",
        "POST",
        "content-type",
    )
    .await;
    assert!(response.status.is_success(), "{response:?}");
    assert!(cors_headers(&response).is_empty(), "{response:?}");
}

/// A preflight for a route with an authorizer needs no token.
#[tokio::test]
async fn a_preflight_for_a_guarded_route_needs_no_token() {
    let target = target::guarded().await;
    let response = preflight(target, "/token", ORIGIN, "GET", "authorization").await;
    assert_eq!(response.status, 204, "{response:?}");
    assert_eq!(response.header("access-control-allow-origin"), "*");
}

/// The gateway's CORS headers replace those of the function.
#[tokio::test]
async fn the_functions_cors_headers_are_replaced() {
    let target = target::open().await;
    let instructions = json!({"request": {"return": {
        "statusCode": 200,
        "headers": {"access-control-allow-origin": "https://evil.example", "x-total": "2"},
        "body": "",
    }}});
    let from = |origin: Option<&'static str>| {
        let request = web::request(target, "GET", "/echo", &instructions);
        web::finish(match origin {
            Some(origin) => request.header("Origin", origin),
            None => request,
        })
    };
    let response = from(Some(ORIGIN)).await;
    let origins: Vec<_> = response
        .headers
        .get_all("access-control-allow-origin")
        .iter()
        .collect();
    assert_eq!(origins, [ORIGIN]);
    assert_eq!(response.header("access-control-expose-headers"), "x-total");
    assert_eq!(response.header("x-total"), "2");
    for origin in [Some("https://evil.example"), None] {
        let response = from(origin).await;
        assert!(
            cors_headers(&response).is_empty(),
            "{origin:?}: {response:?}"
        );
    }
}

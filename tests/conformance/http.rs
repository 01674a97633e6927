//! The HTTP API, payload format 2.0.

use chrono::DateTime;
use http_body_util::Full;
use serde_json::{Value, json};
use tests::client::Answer;

use crate::events::assert_keys;
use crate::target;
use crate::web;

/// The answer of `GET /echo` when the probe returns `result`.
async fn returning(result: Value) -> Answer {
    let told = json!({"request": {"return": result}});
    web::get(target::open().await, "/echo", &told).await
}

/// The event of `POST /echo` with a body of this type.
async fn posted(content_type: Option<&str>, body: &'static [u8]) -> Value {
    let target = target::open().await;
    let mut request = web::to(target, "POST", "/echo", &Value::Null);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    let answer = web::send(request.body(Full::from(body)).expect("a request")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// A GET request to `guarded.yaml` with these headers and instructions for the probe.
pub async fn guarded(path: &str, headers: &[(&str, &str)], told: &Value) -> Answer {
    let mut request = web::to(target::guarded().await, "GET", path, told);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    web::finish(request).await
}

/// Checks an answer of the gateway's own.
pub fn assert_refusal(answer: &Answer, status: u16, message: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.json(), json!({"message": message}));
    assert!(
        answer
            .header("content-type")
            .starts_with("application/json")
    );
}

/// HTTP API: payload 2.0 absent keys.
#[tokio::test]
async fn what_is_empty_is_absent_from_the_event() {
    let event = web::get(target::open().await, "/echo", &Value::Null)
        .await
        .json();
    assert_keys(
        &event,
        &[
            "version",
            "routeKey",
            "rawPath",
            "rawQueryString",
            "headers",
            "requestContext",
            "isBase64Encoded",
        ],
    );
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["rawQueryString"], "");
    assert_eq!(event["isBase64Encoded"], false);
}

/// What `requestContext` holds.
#[tokio::test]
async fn the_context_of_a_request_has_these_keys_and_no_others() {
    let target = target::open().await;
    let request = web::to(target, "GET", "/rooms/42", &Value::Null).header("User-Agent", "me/1");
    let event = web::finish(request).await.json();
    let context = &event["requestContext"];
    assert_keys(
        context,
        &[
            "accountId",
            "apiId",
            "domainName",
            "domainPrefix",
            "http",
            "requestId",
            "routeKey",
            "stage",
            "time",
            "timeEpoch",
        ],
    );
    assert_eq!(context["routeKey"], "GET /rooms/{id}");
    assert_eq!(event["routeKey"], context["routeKey"]);
    assert_keys(
        &context["http"],
        &["method", "path", "protocol", "sourceIp", "userAgent"],
    );
    assert_eq!(context["http"]["method"], "GET");
    assert_eq!(context["http"]["path"], "/rooms/42");
    assert_eq!(context["http"]["protocol"], "HTTP/1.1");
    assert_eq!(context["http"]["userAgent"], "me/1");
    let time = context["time"].as_str().expect("a string");
    let time = DateTime::parse_from_str(time, "%d/%b/%Y:%H:%M:%S %z").expect("CLF");
    let epoch = context["timeEpoch"].as_i64().expect("milliseconds");
    assert_eq!(time.timestamp(), epoch / 1_000);
}

/// HTTP API: cookies; they are no header.
#[tokio::test]
async fn cookies_are_a_list() {
    let request = web::to(target::open().await, "GET", "/echo", &Value::Null);
    let request = request.header("Cookie", "s=1; theme=dark");
    let event = web::finish(request).await.json();
    assert_eq!(event["cookies"], json!(["s=1", "theme=dark"]));
    assert_eq!(event["headers"]["cookie"], Value::Null);
}

/// Header names lower-case; duplicates joined by comma.
#[tokio::test]
async fn headers_are_lower_case_and_repeated_ones_are_joined() {
    let request = web::to(target::open().await, "GET", "/echo", &Value::Null);
    let request = request.header("X-Twice", "a").header("X-Twice", "b");
    let headers = web::finish(request).await.json()["headers"].clone();
    assert_eq!(headers["x-twice"], "a,b");
    for name in headers.as_object().expect("an object").keys() {
        assert_eq!(name, &name.to_lowercase());
    }
    for name in [
        "host",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-amzn-trace-id",
    ] {
        assert!(headers[name].is_string(), "{name}: {headers}");
    }
}

/// Query duplicates joined by comma; the raw string as it was.
#[tokio::test]
async fn repeated_parameters_are_joined() {
    let target = target::open().await;
    let event = web::get(target, "/echo?a=1&b=%2B%20%C3%A9&a=2&c", &Value::Null)
        .await
        .json();
    let expected = json!({"a": "1,2", "b": "+ é", "c": ""});
    assert_eq!(event["queryStringParameters"], expected);
    assert_eq!(event["rawQueryString"], "a=1&b=%2B%20%C3%A9&a=2&c");
}

/// HTTP API: base64 rule: which bodies are text.
#[tokio::test]
async fn a_body_of_text_is_text() {
    for content_type in [
        "text/plain",
        "text/html; charset=utf-8",
        "application/json",
        "application/json; charset=utf-8",
        "application/xml",
        "application/javascript",
    ] {
        let event = posted(Some(content_type), "{\"é\":1}".as_bytes()).await;
        assert_eq!(event["body"], "{\"é\":1}", "{content_type}");
        assert_eq!(event["isBase64Encoded"], false, "{content_type}");
    }
}

/// HTTP API: base64 rule: which bodies are not.
#[tokio::test]
async fn any_other_body_is_base64() {
    for content_type in [
        Some("application/octet-stream"),
        Some("application/x-www-form-urlencoded"),
        Some("image/png"),
        None,
    ] {
        let event = posted(content_type, b"a=1&b=\xFF").await;
        assert_eq!(event["body"], "YT0xJmI9/w==", "{content_type:?}");
        assert_eq!(event["isBase64Encoded"], true, "{content_type:?}");
    }
}

/// HTTP API: base64 rule: the other way.
#[tokio::test]
async fn an_answer_in_base64_is_decoded() {
    let answer = returning(json!({
        "statusCode": 200,
        "headers": {"content-type": "image/png"},
        "body": "YT0xJmI9/w==",
        "isBase64Encoded": true,
    }));
    let answer = answer.await;
    assert_eq!(answer.body.as_ref(), b"a=1&b=\xFF");
    assert_eq!(answer.header("content-type"), "image/png");
}

/// HTTP API: response inference.
#[tokio::test]
async fn a_result_without_a_status_is_the_body() {
    for result in [
        json!({"rooms": [1, 2]}),
        json!([1, 2]),
        json!({"body": "b"}),
    ] {
        let answer = returning(result.clone()).await;
        assert_eq!(answer.status, 200, "{result}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.json(), result);
    }
}

/// `statusCode, headers, cookies[], body`.
#[tokio::test]
async fn a_result_with_a_status_is_the_whole_answer() {
    let answer = returning(json!({
        "statusCode": 201,
        "headers": {"Content-Type": "text/x-room", "X-Total": "2"},
        "cookies": ["s=1; Secure", "theme=dark"],
        "body": "made",
    }))
    .await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("content-type"), "text/x-room");
    assert_eq!(answer.header("x-total"), "2");
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["s=1; Secure", "theme=dark"]);
    assert_eq!(answer.body.as_ref(), b"made");

    let empty = returning(json!({"statusCode": 204})).await;
    assert_eq!((empty.status.as_u16(), empty.body.len()), (204, 0));
}

/// Route precedence: full match > greedy > `$default`.
#[tokio::test]
async fn the_most_specific_route_wins() {
    let target = target::open().await;
    for (path, route, parameters) in [
        ("/rooms/mine", "GET /rooms/mine", Value::Null),
        ("/rooms/42", "GET /rooms/{id}", json!({"id": "42"})),
        (
            "/rooms/42/files",
            "ANY /rooms/{proxy+}",
            json!({"proxy": "42/files"}),
        ),
    ] {
        let event = web::get(target, path, &Value::Null).await.json();
        assert_eq!(event["routeKey"], route, "{path}");
        assert_eq!(event["pathParameters"], parameters, "{path}");
        assert_eq!(event["rawPath"], path);
    }
    let delete = web::finish(web::to(target, "DELETE", "/rooms/42", &Value::Null))
        .await
        .json();
    assert_eq!(delete["routeKey"], "ANY /rooms/{proxy+}");

    let event = guarded("/nowhere/at/all", &[], &Value::Null).await.json();
    assert_eq!(event["routeKey"], "$default");
}

/// HTTP API: 404 body.
#[tokio::test]
async fn a_request_for_no_route_is_not_found() {
    let target = target::open().await;
    for (method, path) in [
        ("GET", "/nowhere"),
        ("GET", "/"),
        ("DELETE", "/echo"),
        ("GET", "/echo/x"),
    ] {
        let answer = web::finish(web::to(target, method, path, &Value::Null)).await;
        assert_refusal(&answer, 404, "Not Found");
    }
}

/// A head has at most 10,240 bytes; the status for larger ones is not documented \[U\].
#[tokio::test]
async fn a_request_with_a_head_above_10_240_bytes_is_refused_with_431() {
    let target = target::open().await;
    for (bytes, fits) in [(9_500, true), (10_300, false)] {
        let token = "t".repeat(bytes);
        let headed = web::to(target, "GET", "/echo", &Value::Null).header("authorization", &token);
        let asked = web::to(target, "GET", &format!("/echo?t={token}"), &Value::Null);
        for request in [headed, asked] {
            let answer = web::finish(request).await;
            match fits {
                true => assert_eq!(answer.status, 200, "{answer:?}"),
                false => assert_refusal(&answer, 431, "Request Header Fields Too Large"),
            }
        }
    }
}

/// HTTP API: 500 body.
#[tokio::test]
async fn a_function_that_fails_or_answers_nonsense_makes_500() {
    let target = target::open().await;
    for request in [
        json!({"throw": {"type": "Error", "message": "secret"}}),
        json!({"panic": "secret"}),
        json!({"exit": 1}),
        json!({"return": {"statusCode": "many"}}),
    ] {
        let answer = web::get(target, "/echo", &json!({"request": request})).await;
        assert_refusal(&answer, 500, "Internal Server Error");
    }
}

/// HTTP API: 503 body \[U\], in the SAM and the raw shape.
#[tokio::test]
async fn a_function_that_misses_the_integration_timeout_makes_503() {
    let told = json!({"request": {"sleep_ms": 2_000}});
    for target in [target::open().await, target::guarded().await] {
        let answer = web::get(target, "/slow", &told).await;
        assert_refusal(&answer, 503, "Service Unavailable");
    }
}

/// HTTP API: stage prefix.
#[tokio::test]
async fn a_named_stage_is_part_of_the_path() {
    let event = guarded("/open", &[], &Value::Null).await.json();
    assert_eq!(event["rawPath"], "/v1/open");
    assert_eq!(event["requestContext"]["http"]["path"], "/v1/open");
    assert_eq!(event["requestContext"]["stage"], "v1");
    assert_eq!(event["routeKey"], "GET /open");

    let event = web::get(target::open().await, "/echo", &Value::Null)
        .await
        .json();
    assert_eq!(event["rawPath"], "/echo");
    assert_eq!(event["requestContext"]["stage"], "$default");
}

//! Requests and responses of the HTTP API, payload format 2.0.

use chrono::DateTime;
use http_body_util::Full;
use serde_json::{Value, json};
use tests::client::HttpResponse;

use crate::events::assert_keys;
use crate::target;
use crate::web;

/// Returns the response to `GET /echo` if the probe returns `result`.
async fn response_of(result: Value) -> HttpResponse {
    let instructions = json!({"request": {"return": result}});
    web::get(target::open().await, "/echo", &instructions).await
}

/// Returns the event of `POST /echo` with a body of this type.
async fn event_of(content_type: Option<&str>, body: &'static [u8]) -> Value {
    let target = target::open().await;
    let mut request = web::request(target, "POST", "/echo", &Value::Null);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    let response = web::send(request.body(Full::from(body)).expect("a request")).await;
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

/// Sends a GET request to `guarded.yaml` with these headers and instructions for the probe.
pub async fn get_guarded(
    path: &str,
    headers: &[(&str, &str)],
    instructions: &Value,
) -> HttpResponse {
    let mut request = web::request(target::guarded().await, "GET", path, instructions);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    web::finish(request).await
}

/// Checks that a response is an error of the gateway.
pub fn assert_gateway_error(response: &HttpResponse, status: u16, message: &str) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.json(), json!({"message": message}));
    assert!(
        response
            .header("content-type")
            .starts_with("application/json")
    );
}

/// A field of an event (payload format 2.0) that would be empty is absent.
#[tokio::test]
async fn empty_fields_are_absent_from_the_event() {
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

/// `requestContext` has exactly these keys: the ids, the route, the stage, the times and the HTTP
/// request.
#[tokio::test]
async fn the_request_context_has_these_keys_and_no_others() {
    let target = target::open().await;
    let request =
        web::request(target, "GET", "/rooms/42", &Value::Null).header("User-Agent", "me/1");
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

/// Cookies are in the list `cookies` and not in the headers.
#[tokio::test]
async fn cookies_are_a_list() {
    let request = web::request(target::open().await, "GET", "/echo", &Value::Null);
    let request = request.header("Cookie", "s=1; theme=dark");
    let event = web::finish(request).await.json();
    assert_eq!(event["cookies"], json!(["s=1", "theme=dark"]));
    assert_eq!(event["headers"]["cookie"], Value::Null);
}

/// Header names are lower case, and the values of a repeated header are joined by commas.
#[tokio::test]
async fn header_names_are_lower_case_and_repeated_headers_are_joined() {
    let request = web::request(target::open().await, "GET", "/echo", &Value::Null);
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

/// The values of a repeated query parameter are joined by commas. `rawQueryString` is the query as
/// it was sent.
#[tokio::test]
async fn repeated_query_parameters_are_joined() {
    let target = target::open().await;
    let event = web::get(target, "/echo?a=1&b=%2B%20%C3%A9&a=2&c", &Value::Null)
        .await
        .json();
    let expected = json!({"a": "1,2", "b": "+ é", "c": ""});
    assert_eq!(event["queryStringParameters"], expected);
    assert_eq!(event["rawQueryString"], "a=1&b=%2B%20%C3%A9&a=2&c");
}

/// A request body of a text, JSON, XML or JavaScript type arrives as text.
#[tokio::test]
async fn a_text_body_arrives_as_text() {
    for content_type in [
        "text/plain",
        "text/html; charset=utf-8",
        "application/json",
        "application/json; charset=utf-8",
        "application/xml",
        "application/javascript",
    ] {
        let event = event_of(Some(content_type), "{\"é\":1}".as_bytes()).await;
        assert_eq!(event["body"], "{\"é\":1}", "{content_type}");
        assert_eq!(event["isBase64Encoded"], false, "{content_type}");
    }
}

/// A request body of any other type, or without a type, arrives as base64.
#[tokio::test]
async fn any_other_body_arrives_as_base64() {
    for content_type in [
        Some("application/octet-stream"),
        Some("application/x-www-form-urlencoded"),
        Some("image/png"),
        None,
    ] {
        let event = event_of(content_type, b"a=1&b=\xFF").await;
        assert_eq!(event["body"], "YT0xJmI9/w==", "{content_type:?}");
        assert_eq!(event["isBase64Encoded"], true, "{content_type:?}");
    }
}

/// A response body with `isBase64Encoded` is decoded.
#[tokio::test]
async fn a_base64_response_body_is_decoded() {
    let response = response_of(json!({
        "statusCode": 200,
        "headers": {"content-type": "image/png"},
        "body": "YT0xJmI9/w==",
        "isBase64Encoded": true,
    }));
    let response = response.await;
    assert_eq!(response.body.as_ref(), b"a=1&b=\xFF");
    assert_eq!(response.header("content-type"), "image/png");
}

/// A result without `statusCode` becomes a 200 response with the result as its JSON body.
#[tokio::test]
async fn a_result_without_a_status_is_the_body() {
    for result in [
        json!({"rooms": [1, 2]}),
        json!([1, 2]),
        json!({"body": "b"}),
    ] {
        let response = response_of(result.clone()).await;
        assert_eq!(response.status, 200, "{result}");
        assert_eq!(response.header("content-type"), "application/json");
        assert_eq!(response.json(), result);
    }
}

/// A result with `statusCode` sets the status, headers, cookies and body of the response.
#[tokio::test]
async fn a_result_with_a_status_is_the_whole_response() {
    let response = response_of(json!({
        "statusCode": 201,
        "headers": {"Content-Type": "text/x-room", "X-Total": "2"},
        "cookies": ["s=1; Secure", "theme=dark"],
        "body": "made",
    }))
    .await;
    assert_eq!(response.status, 201);
    assert_eq!(response.header("content-type"), "text/x-room");
    assert_eq!(response.header("x-total"), "2");
    let cookies: Vec<_> = response.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["s=1; Secure", "theme=dark"]);
    assert_eq!(response.body.as_ref(), b"made");

    let empty = response_of(json!({"statusCode": 204})).await;
    assert_eq!((empty.status.as_u16(), empty.body.len()), (204, 0));
}

/// A full match wins over a greedy path variable, and that over `$default`.
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
    let delete = web::finish(web::request(target, "DELETE", "/rooms/42", &Value::Null))
        .await
        .json();
    assert_eq!(delete["routeKey"], "ANY /rooms/{proxy+}");

    let event = get_guarded("/nowhere/at/all", &[], &Value::Null)
        .await
        .json();
    assert_eq!(event["routeKey"], "$default");
}

/// A request for no route gets 404 `{"message":"Not Found"}`.
#[tokio::test]
async fn a_request_for_no_route_is_not_found() {
    let target = target::open().await;
    for (method, path) in [
        ("GET", "/nowhere"),
        ("GET", "/"),
        ("DELETE", "/echo"),
        ("GET", "/echo/x"),
    ] {
        let response = web::finish(web::request(target, method, path, &Value::Null)).await;
        assert_gateway_error(&response, 404, "Not Found");
    }
}

/// A request whose head is above 10,240 bytes gets 431. AWS documents the limit but not the status
/// \[U\].
#[tokio::test]
async fn a_request_head_above_10_240_bytes_is_rejected_with_431() {
    let target = target::open().await;
    for (bytes, fits) in [(9_500, true), (10_300, false)] {
        let token = "t".repeat(bytes);
        let by_header =
            web::request(target, "GET", "/echo", &Value::Null).header("authorization", &token);
        let by_query = web::request(target, "GET", &format!("/echo?t={token}"), &Value::Null);
        for request in [by_header, by_query] {
            let response = web::finish(request).await;
            if fits {
                assert_eq!(response.status, 200, "{response:?}");
            } else {
                assert_gateway_error(&response, 431, "Request Header Fields Too Large");
            }
        }
    }
}

/// A function that fails, or returns a malformed response, causes 500 `{"message":"Internal Server
/// Error"}`.
#[tokio::test]
async fn a_function_that_fails_or_returns_no_response_causes_500() {
    let target = target::open().await;
    for request in [
        json!({"throw": {"type": "Error", "message": "secret"}}),
        json!({"panic": "secret"}),
        json!({"exit": 1}),
        json!({"return": {"statusCode": "many"}}),
    ] {
        let response = web::get(target, "/echo", &json!({"request": request})).await;
        assert_gateway_error(&response, 500, "Internal Server Error");
    }
}

/// A function that exceeds the integration timeout causes 503 `{"message":"Service Unavailable"}`
/// \[U\].
#[tokio::test]
async fn a_function_that_exceeds_the_integration_timeout_causes_503() {
    let instructions = json!({"request": {"sleep_ms": 2_000}});
    for target in [target::open().await, target::guarded().await] {
        let response = web::get(target, "/slow", &instructions).await;
        assert_gateway_error(&response, 503, "Service Unavailable");
    }
}

/// `rawPath` begins with the stage, unless that is `$default`.
#[tokio::test]
async fn a_named_stage_is_part_of_the_path() {
    let event = get_guarded("/open", &[], &Value::Null).await.json();
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

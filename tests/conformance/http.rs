//! The HTTP API, payload format 2.0.

use chrono::{DateTime, Utc};
use http_body_util::Full;
use serde_json::{Value, json};
use tests::client::Answer;
use tests::issuer::{Key, unsigned};

use crate::events::assert_keys;
use crate::issuer;
use crate::socket::Observer;
use crate::target::{self, Target};
use crate::{authorizer, web};

/// The origin that `open.yaml` allows.
const ORIGIN: &str = "https://app.example";

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
async fn guarded(path: &str, headers: &[(&str, &str)], told: &Value) -> Answer {
    let mut request = web::to(target::guarded().await, "GET", path, told);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    web::finish(request).await
}

/// Checks an answer of the gateway's own.
fn assert_refusal(answer: &Answer, status: u16, message: &str) {
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

/// A Lambda authorizer with simple responses.
#[tokio::test]
async fn a_simple_answer_of_the_authorizer_lets_in_or_forbids() {
    let token = [("authorization", "t")];
    let answering = |result: Value| json!({"authorize": {"return": result}});
    let context = json!({"tenant": "acme", "level": 7, "list": ["a"]});
    let told = answering(json!({"isAuthorized": true, "context": context}));
    let answer = guarded("/simple", &token, &told).await;
    assert_eq!(
        answer.json()["requestContext"]["authorizer"]["lambda"],
        context
    );

    let told = answering(json!({"isAuthorized": false}));
    assert_refusal(&guarded("/simple", &token, &told).await, 403, "Forbidden");
}

/// A Lambda authorizer with a policy.
#[tokio::test]
async fn a_policy_of_the_authorizer_lets_in_or_forbids() {
    let token = [("authorization", "t")];
    let answering = |effect: &str| {
        let result = authorizer::policy(effect, &json!({"tenant": "acme"}));
        json!({"authorize": {"return": result}})
    };
    let answer = guarded("/policy?room=1", &token, &answering("Allow")).await;
    let event = answer.json();
    assert_eq!(
        event["requestContext"]["authorizer"]["lambda"]["tenant"],
        "acme"
    );

    let answer = guarded("/policy?room=1", &token, &answering("Deny")).await;
    assert_refusal(&answer, 403, "Forbidden");
}

/// What an authorizer has answered is remembered for its token, and holds for what it allows.
#[tokio::test]
async fn a_remembered_policy_allows_what_it_names_and_no_more() {
    let token = format!("{:016x}", fastrand::u64(..));
    let token = [("authorization", token.as_str())];
    let mut result = authorizer::policy("Allow", &json!({}));
    result["policyDocument"]["Statement"][0]["Resource"] = json!("*/GET/remembered/mine");
    let told = json!({"authorize": {"return": result}});
    let answer = guarded("/remembered/mine", &token, &told).await;
    assert_eq!(answer.status, 200, "{answer:?}");

    // If it were asked again, it would fail.
    let told = json!({"authorize": {"throw": {"type": "Asked", "message": "again"}}});
    let answer = guarded("/remembered/mine", &token, &told).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = guarded("/remembered/yours", &token, &told).await;
    assert_refusal(&answer, 403, "Forbidden");
    let other = [("authorization", "of somebody else")];
    let answer = guarded("/remembered/mine", &other, &told).await;
    assert_refusal(&answer, 500, "Internal Server Error");
}

/// Without its identity sources, all of them, a request is unauthorized and the authorizer is
/// not asked.
#[tokio::test]
async fn a_request_without_its_identity_sources_is_unauthorized() {
    let mut observer = Observer::open(target::guarded().await).await;
    let told = json!({"authorize": {"report": observer.id}});
    let token = [("authorization", "t")];
    for (path, headers) in [
        ("/simple", &[][..]),
        ("/policy?room=1", &[]),
        ("/policy", &token),
    ] {
        assert_refusal(&guarded(path, headers, &told).await, 401, "Unauthorized");
    }
    observer.expect_nothing().await;
}

/// An authorizer without identity sources is asked about every request, and nothing is remembered;
/// its event says null of them \[U\].
#[tokio::test]
async fn an_authorizer_without_identity_sources_is_asked_about_every_request() {
    let mut observer = Observer::open(target::guarded().await).await;
    let told = json!({"authorize": {"report": observer.id}});
    let headers = [("X-Case", "one"), ("x-case", "two")];
    for query in ["", "?token=t-1&a=1&a=2"] {
        let answer = guarded(&format!("/asked{query}"), &headers, &told).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let event = observer.next().await;
        assert_eq!(event["routeKey"], "GET /asked");
        assert_eq!(event.get("identitySource"), Some(&Value::Null), "{event}");
        assert_eq!(event["headers"]["x-case"], "one,two");
        let expected = match query {
            "" => None,
            _ => Some(json!({"token": "t-1", "a": "1,2"})),
        };
        assert_eq!(event.get("queryStringParameters"), expected.as_ref());
    }
    for (authorize, status, text) in [
        (json!({"return": {"isAuthorized": false}}), 403, "Forbidden"),
        (
            json!({"throw": {"type": "Error", "message": "Unauthorized"}}),
            401,
            "Unauthorized",
        ),
        (
            json!({"throw": {"type": "Error", "message": "no keys"}}),
            500,
            "Internal Server Error",
        ),
    ] {
        let told = json!({"authorize": authorize});
        assert_refusal(&guarded("/asked", &headers, &told).await, status, text);
    }
}

/// An authorizer that fails or answers in the other form makes 500.
#[tokio::test]
async fn an_authorizer_that_fails_makes_500() {
    let token = [("authorization", "t")];
    let policy = authorizer::policy("Allow", &json!({}));
    for (path, authorize) in [
        (
            "/simple",
            json!({"throw": {"type": "Error", "message": "secret"}}),
        ),
        ("/simple", json!({"return": "yes"})),
        ("/policy?room=1", json!({"return": {"isAuthorized": true}})),
        ("/simple", json!({"return": policy})),
    ] {
        let told = json!({"authorize": authorize});
        let answer = guarded(path, &token, &told).await;
        assert_refusal(&answer, 500, "Internal Server Error");
    }
}

/// The authorizer's event of payload format 2.0.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html>
#[tokio::test]
async fn the_authorizer_of_a_request_sees_who_asks_for_what() {
    let mut observer = Observer::open(target::guarded().await).await;
    let told = json!({"authorize": {"report": observer.id}});
    let token = [("authorization", "t")];
    guarded("/simple?x=1", &token, &told).await;
    let event = observer.next().await;
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["type"], "REQUEST");
    assert_eq!(event["identitySource"], json!(["t"]));
    assert_eq!(event["routeKey"], "GET /simple");
    assert_eq!(event["rawPath"], "/v1/simple");
    assert_eq!(event["queryStringParameters"], json!({"x": "1"}));
    assert_eq!(event["headers"]["authorization"], "t");
    assert_eq!(event["requestContext"]["http"]["method"], "GET");
    let arn = event["routeArn"].as_str().expect("a string");
    assert!(
        arn.starts_with("arn:aws:execute-api:") && arn.ends_with("/v1/GET/simple"),
        "{arn}"
    );
}

/// The answer of a route to a token.
async fn bearing(path: &str, token: &str) -> Answer {
    let header = format!("Bearer {token}");
    guarded(path, &[("authorization", &header)], &Value::Null).await
}

/// JWT claims arrive as strings, arrays as `"[a b]"`.
#[tokio::test]
async fn the_claims_of_a_token_are_strings() {
    let issuer = issuer::of_run();
    let mut claims = issuer.claims("somebody");
    claims["level"] = json!(7);
    claims["admin"] = json!(true);
    claims["roles"] = json!(["a", "b"]);
    let answer = bearing("/token", &issuer.key.sign(&claims)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let event = answer.json();
    let jwt = &event["requestContext"]["authorizer"]["jwt"];
    assert_keys(jwt, &["claims", "scopes"]);
    let expected = json!({
        "iss": issuer.url,
        "aud": issuer.audience,
        "sub": "somebody",
        "iat": claims["iat"].to_string(),
        "exp": claims["exp"].to_string(),
        "level": "7",
        "admin": "true",
        "roles": "[a b]",
    });
    assert_eq!(jwt["claims"], expected);
}

/// A JWT authorizer takes no token but a good one.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html>
#[tokio::test]
async fn a_bad_token_is_unauthorized() {
    let issuer = issuer::of_run();
    let now = Utc::now().timestamp();
    let with = |key: &str, value: Value| {
        let mut claims = issuer.claims("somebody");
        claims[key] = value;
        issuer.key.sign(&claims)
    };
    let good = issuer.key.sign(&issuer.claims("somebody"));
    assert_eq!(bearing("/token", &good).await.status, 200);
    for (what, token) in [
        ("expired", with("exp", json!(now - 3_600))),
        ("not yet valid", with("nbf", json!(now + 3_600))),
        ("another audience", with("aud", json!("others"))),
        ("another issuer", with("iss", json!("https://evil.example"))),
        (
            "another key",
            Key::other_rsa(&issuer.key.id).sign(&issuer.claims("somebody")),
        ),
        ("changed", format!("{good}x")),
        ("no token", "nonsense".to_owned()),
        ("empty", String::new()),
    ] {
        let answer = bearing("/token", &token).await;
        assert_eq!(answer.status, 401, "{what}");
        assert_refusal(&answer, 401, "Unauthorized");
    }
    let missing = guarded("/token", &[], &Value::Null).await;
    assert_refusal(&missing, 401, "Unauthorized");
}

/// A token that is not signed by the key of an issuer at all is no token.
#[tokio::test]
async fn a_token_of_another_algorithm_is_unauthorized() {
    let issuer = issuer::of_run();
    let claims = issuer.claims("somebody");
    for token in [
        unsigned(&claims),
        Key::secret(&issuer.key.id, b"guess").sign(&claims),
        Key::secret(&issuer.key.id, b"").sign(&claims),
    ] {
        assert_refusal(&bearing("/token", &token).await, 401, "Unauthorized");
    }
}

/// One audience of several is enough.
#[tokio::test]
async fn a_token_may_be_for_several_audiences() {
    let issuer = issuer::of_run();
    let mut claims = issuer.claims("somebody");
    claims["aud"] = json!(["others", issuer.audience]);
    let answer = bearing("/token", &issuer.key.sign(&claims)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let event = answer.json();
    let found = &event["requestContext"]["authorizer"]["jwt"]["claims"]["aud"];
    assert_eq!(found, &json!(format!("[others {}]", issuer.audience)));
}

/// A route with scopes takes a token that has one of them.
#[tokio::test]
async fn a_token_without_the_scope_of_the_route_is_forbidden() {
    let issuer = issuer::of_run();
    let with = |scope: &str| {
        let mut claims = issuer.claims("somebody");
        claims["scope"] = scope.into();
        issuer.key.sign(&claims)
    };
    let answer = bearing("/scoped", &with("rooms.write rooms.read")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = bearing("/scoped", &with("rooms.write")).await;
    assert_refusal(&answer, 403, "Forbidden");
}

//! Lambda and JWT authorizers of the HTTP API.

use chrono::Utc;
use serde_json::{Value, json};
use tests::client::HttpResponse;
use tests::issuer::{Key, unsigned};

use crate::events::assert_keys;
use crate::http::{assert_gateway_error, get_guarded};
use crate::socket::Observer;
use crate::{authorizer, issuer, target};

/// A Lambda authorizer with simple responses allows a request, and adds its context to the event,
/// or forbids it with 403.
#[tokio::test]
async fn a_simple_response_of_the_authorizer_allows_or_forbids() {
    let token = [("authorization", "t")];
    let instruct = |result: Value| json!({"authorize": {"return": result}});
    let context = json!({"tenant": "acme", "level": 7, "list": ["a"]});
    let instructions = instruct(json!({"isAuthorized": true, "context": context}));
    let response = get_guarded("/simple", &token, &instructions).await;
    assert_eq!(
        response.json()["requestContext"]["authorizer"]["lambda"],
        context
    );

    let instructions = instruct(json!({"isAuthorized": false}));
    assert_gateway_error(
        &get_guarded("/simple", &token, &instructions).await,
        403,
        "Forbidden",
    );
}

/// A Lambda authorizer with policies allows a request, and adds its context to the event, or
/// forbids it with 403.
#[tokio::test]
async fn a_policy_of_the_authorizer_allows_or_forbids() {
    let token = [("authorization", "t")];
    let instruct = |effect: &str| {
        let result = authorizer::policy(effect, &json!({"tenant": "acme"}));
        json!({"authorize": {"return": result}})
    };
    let response = get_guarded("/policy?room=1", &token, &instruct("Allow")).await;
    let event = response.json();
    assert_eq!(
        event["requestContext"]["authorizer"]["lambda"]["tenant"],
        "acme"
    );

    let response = get_guarded("/policy?room=1", &token, &instruct("Deny")).await;
    assert_gateway_error(&response, 403, "Forbidden");
}

/// The policy of an authorizer is cached by the token, and allows only the resources that it names.
#[tokio::test]
async fn a_cached_policy_allows_only_the_resources_that_it_names() {
    let token = format!("{:016x}", fastrand::u64(..));
    let token = [("authorization", token.as_str())];
    let mut result = authorizer::policy("Allow", &json!({}));
    result["policyDocument"]["Statement"][0]["Resource"] = json!("*/GET/remembered/mine");
    let instructions = json!({"authorize": {"return": result}});
    let response = get_guarded("/remembered/mine", &token, &instructions).await;
    assert_eq!(response.status, 200, "{response:?}");

    // A further invocation would fail.
    let instructions = json!({"authorize": {"throw": {"type": "Asked", "message": "again"}}});
    let response = get_guarded("/remembered/mine", &token, &instructions).await;
    assert_eq!(response.status, 200, "{response:?}");
    let response = get_guarded("/remembered/yours", &token, &instructions).await;
    assert_gateway_error(&response, 403, "Forbidden");
    let other = [("authorization", "another")];
    let response = get_guarded("/remembered/mine", &other, &instructions).await;
    assert_gateway_error(&response, 500, "Internal Server Error");
}

/// A request that lacks one of the identity sources gets 401, and the authorizer is not invoked.
#[tokio::test]
async fn a_request_without_all_identity_sources_is_unauthorized() {
    let mut observer = Observer::open(target::guarded().await).await;
    let instructions = json!({"authorize": {"report": observer.id}});
    let token = [("authorization", "t")];
    for (path, headers) in [
        ("/simple", &[][..]),
        ("/policy?room=1", &[]),
        ("/policy", &token),
    ] {
        assert_gateway_error(
            &get_guarded(path, headers, &instructions).await,
            401,
            "Unauthorized",
        );
    }
    observer.expect_nothing().await;
}

/// An authorizer without identity sources is invoked for every request, without a cache, and
/// `identitySource` in its event is null \[U\].
#[tokio::test]
async fn an_authorizer_without_identity_sources_is_invoked_for_every_request() {
    let mut observer = Observer::open(target::guarded().await).await;
    let instructions = json!({"authorize": {"report": observer.id}});
    let headers = [("X-Case", "one"), ("x-case", "two")];
    for query in ["", "?token=t-1&a=1&a=2"] {
        let response = get_guarded(&format!("/asked{query}"), &headers, &instructions).await;
        assert_eq!(response.status, 200, "{response:?}");
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
        let instructions = json!({"authorize": authorize});
        assert_gateway_error(
            &get_guarded("/asked", &headers, &instructions).await,
            status,
            text,
        );
    }
}

/// An authorizer that fails, or returns the other form of response, causes 500.
#[tokio::test]
async fn an_authorizer_that_fails_causes_500() {
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
        let instructions = json!({"authorize": authorize});
        let response = get_guarded(path, &token, &instructions).await;
        assert_gateway_error(&response, 500, "Internal Server Error");
    }
}

/// The authorizer's event (payload format 2.0) has the identity source, the route's ARN and the
/// request.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html>
#[tokio::test]
async fn the_authorizers_event_has_the_request_and_the_route() {
    let mut observer = Observer::open(target::guarded().await).await;
    let instructions = json!({"authorize": {"report": observer.id}});
    let token = [("authorization", "t")];
    get_guarded("/simple?x=1", &token, &instructions).await;
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

/// Sends a GET request with a token and returns the response.
async fn get_with_token(path: &str, token: &str) -> HttpResponse {
    let header = format!("Bearer {token}");
    get_guarded(path, &[("authorization", &header)], &Value::Null).await
}

/// JWT claims arrive as strings, and arrays as `"[a b]"`.
#[tokio::test]
async fn the_claims_of_a_token_are_strings() {
    let issuer = issuer::of_run();
    let mut claims = issuer.claims("somebody");
    claims["level"] = json!(7);
    claims["admin"] = json!(true);
    claims["roles"] = json!(["a", "b"]);
    let response = get_with_token("/token", &issuer.key.sign(&claims)).await;
    assert_eq!(response.status, 200, "{response:?}");
    let event = response.json();
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

/// A JWT that is expired, not yet valid, changed, or of another issuer, audience or key gets 401.
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
    assert_eq!(get_with_token("/token", &good).await.status, 200);
    for (case, token) in [
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
        let response = get_with_token("/token", &token).await;
        assert_eq!(response.status, 401, "{case}");
        assert_gateway_error(&response, 401, "Unauthorized");
    }
    let missing = get_guarded("/token", &[], &Value::Null).await;
    assert_gateway_error(&missing, 401, "Unauthorized");
}

/// A JWT that is unsigned, or signed with a shared secret, gets 401.
#[tokio::test]
async fn a_token_of_another_algorithm_is_unauthorized() {
    let issuer = issuer::of_run();
    let claims = issuer.claims("somebody");
    for token in [
        unsigned(&claims),
        Key::secret(&issuer.key.id, b"guess").sign(&claims),
        Key::secret(&issuer.key.id, b"").sign(&claims),
    ] {
        assert_gateway_error(&get_with_token("/token", &token).await, 401, "Unauthorized");
    }
}

/// A JWT with several audiences is accepted if one of them matches.
#[tokio::test]
async fn a_token_may_be_for_several_audiences() {
    let issuer = issuer::of_run();
    let mut claims = issuer.claims("somebody");
    claims["aud"] = json!(["others", issuer.audience]);
    let response = get_with_token("/token", &issuer.key.sign(&claims)).await;
    assert_eq!(response.status, 200, "{response:?}");
    let event = response.json();
    let found = &event["requestContext"]["authorizer"]["jwt"]["claims"]["aud"];
    assert_eq!(found, &json!(format!("[others {}]", issuer.audience)));
}

/// A route with scopes accepts a JWT that has one of them; another JWT gets 403.
#[tokio::test]
async fn a_token_without_the_scope_of_the_route_is_forbidden() {
    let issuer = issuer::of_run();
    let with = |scope: &str| {
        let mut claims = issuer.claims("somebody");
        claims["scope"] = scope.into();
        issuer.key.sign(&claims)
    };
    let response = get_with_token("/scoped", &with("rooms.write rooms.read")).await;
    assert_eq!(response.status, 200, "{response:?}");
    let response = get_with_token("/scoped", &with("rooms.write")).await;
    assert_gateway_error(&response, 403, "Forbidden");
}

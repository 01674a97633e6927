//! Lambda and JWT authorizers of the HTTP API.

use chrono::Utc;
use serde_json::{Value, json};
use tests::client::Answer;
use tests::issuer::{Key, unsigned};

use crate::events::assert_keys;
use crate::http::{assert_refusal, guarded};
use crate::socket::Observer;
use crate::{authorizer, issuer, target};

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

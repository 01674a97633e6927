//! The Lambda authorizer of `$connect`.

use serde_json::{Value, json};

use crate::socket::{Handshake, Observer};
use crate::target;

/// An authorizer's result with this effect and context.
pub fn policy(effect: &str, context: &Value) -> Value {
    json!({
        "principalId": "user-7",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": effect, "Resource": "*"}],
        },
        "context": context,
    })
}

/// The status of a refusal by what the authorizer does.
async fn refused(authorize: Value) -> u16 {
    let target = target::guarded().await;
    let told = json!({"authorize": authorize});
    let handshake = Handshake::new(target, "token=any").tell(&told);
    handshake.refused().await.status.as_u16()
}

/// Handshake: authorizer 401.
#[tokio::test]
async fn an_authorizer_that_throws_unauthorized_refuses_with_401() {
    let throw = json!({"throw": {"type": "Error", "message": "Unauthorized"}});
    assert_eq!(refused(throw).await, 401);
}

/// Handshake: authorizer 403. The function of `$connect` does not see the event.
#[tokio::test]
async fn an_authorizer_that_denies_refuses_with_403() {
    let target = target::guarded().await;
    let mut observer = Observer::open(target).await;
    let told = json!({
        "authorize": {"return": policy("Deny", &json!({}))},
        "connect": {"report": observer.id},
    });
    let handshake = Handshake::new(target, "token=any").tell(&told);
    assert_eq!(handshake.refused().await.status, 403);
    observer.expect_nothing().await;
}

/// What is not allowed is denied: a policy for another resource lets nobody in.
#[tokio::test]
async fn a_policy_for_something_else_refuses_with_403() {
    let mut result = policy("Allow", &json!({}));
    result["policyDocument"]["Statement"][0]["Resource"] =
        "arn:aws:execute-api:us-east-1:123456789012:other/stage/$connect".into();
    assert_eq!(refused(json!({"return": result})).await, 403);
}

/// Handshake: authorizer 500.
#[tokio::test]
async fn an_authorizer_that_fails_or_answers_nonsense_refuses_with_500() {
    for authorize in [
        json!({"throw": {"type": "Error", "message": "the database is away"}}),
        json!({"exit": 1}),
        json!({"return": null}),
        json!({"return": {"isAuthorized": true}}),
        json!({"return": {"principalId": "user-7"}}),
    ] {
        assert_eq!(refused(authorize.clone()).await, 500, "{authorize}");
    }
}

/// Context values must be scalars; what comes of others is not documented \[U\].
#[tokio::test]
async fn a_context_value_that_is_no_scalar_refuses_with_500() {
    for value in [json!({"deep": 1}), json!(["a"])] {
        let result = policy("Allow", &json!({"tenant": value}));
        assert_eq!(refused(json!({"return": result})).await, 500, "{value}");
    }
}

/// Handshake: missing identity source 401 without invocation.
#[tokio::test]
async fn a_missing_identity_source_refuses_with_401_and_asks_nobody() {
    let target = target::guarded().await;
    let mut observer = Observer::open(target).await;
    let told = json!({"authorize": {"report": observer.id}});
    let without = Handshake::new(target, "other=1").tell(&told);
    assert_eq!(without.refused().await.status, 401);
    observer.expect_nothing().await;

    Handshake::new(target, "token=any").tell(&told).open().await;
    assert_eq!(observer.next().await["type"], "REQUEST");
}

/// Events: authorizer flattened on all three, with `principalId` and `integrationLatency`; context
/// values are strings \[U\].
#[tokio::test]
async fn the_authorizers_result_is_flat_in_all_three_events() {
    let target = target::guarded().await;
    let mut observer = Observer::open(target).await;
    let context = json!({"tenant": "acme", "level": 7, "admin": true});
    let told = json!({
        "authorize": {"return": policy("Allow", &context)},
        "connect": {"report": observer.id},
        "disconnect": {"report": observer.id},
    });
    let mut socket = Handshake::new(target, "token=any").tell(&told).open().await;
    let message = socket.event().await;
    socket.close(None).await;
    for event in [observer.next().await, message, observer.next().await] {
        let context = &event["requestContext"];
        let mut authorizer = context["authorizer"].clone();
        let latency = authorizer["integrationLatency"].take();
        assert!(latency.is_u64(), "{context}");
        let expected = json!({
            "principalId": "user-7",
            "integrationLatency": null,
            "tenant": "acme",
            "level": "7",
            "admin": "true",
        });
        assert_eq!(authorizer, expected, "{}", context["eventType"]);
    }
}

/// The keys of the authorizer's event exactly, and what tells it from others.
#[tokio::test]
async fn the_authorizers_event_has_these_keys_and_no_others() {
    let target = target::guarded().await;
    let mut observer = Observer::open(target).await;
    let told = json!({"authorize": {"report": observer.id}});
    Handshake::new(target, "token=t-1").tell(&told).open().await;
    let event = observer.next().await;
    crate::events::assert_keys(
        &event,
        &[
            "type",
            "methodArn",
            "headers",
            "multiValueHeaders",
            "queryStringParameters",
            "multiValueQueryStringParameters",
            "stageVariables",
            "requestContext",
        ],
    );
    assert_eq!(event["type"], "REQUEST");
    let arn = event["methodArn"].as_str().expect("a string");
    let stage_and_route = format!("/{}/$connect", target.stage());
    assert!(
        arn.starts_with("arn:aws:execute-api:") && arn.ends_with(&stage_and_route),
        "{arn}"
    );
    assert_eq!(event["queryStringParameters"], json!({"token": "t-1"}));
    assert_eq!(
        event["multiValueQueryStringParameters"],
        json!({"token": ["t-1"]})
    );
    assert_eq!(event["stageVariables"], json!({"colour": "blue"}));
    // Unlike the event of `$connect`, it has the headers of the upgrade.
    assert_eq!(event["headers"]["Upgrade"], "websocket");
    let context = &event["requestContext"];
    assert_eq!(context["eventType"], "CONNECT");
    assert_eq!(context["routeKey"], "$connect");
    assert!(context["connectionId"].is_string());
}

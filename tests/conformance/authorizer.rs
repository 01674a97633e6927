//! The Lambda authorizer of `$connect`.

use serde_json::{Value, json};

use crate::socket::{Handshake, Observer};
use crate::target;

/// Returns an authorizer's result with this effect and context.
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

/// Returns the status of a handshake that is rejected by an authorizer with these instructions.
async fn status_of(authorize: Value) -> u16 {
    let target = target::guarded().await;
    let instructions = json!({"authorize": authorize});
    let handshake = Handshake::new(target, "token=any").instruct(&instructions);
    handshake.rejection().await.status.as_u16()
}

/// An authorizer that fails with the message `Unauthorized` rejects the handshake with 401.
#[tokio::test]
async fn an_authorizer_that_fails_with_unauthorized_rejects_with_401() {
    let throw = json!({"throw": {"type": "Error", "message": "Unauthorized"}});
    assert_eq!(status_of(throw).await, 401);
}

/// A `Deny` policy rejects the handshake with 403, and `$connect` is not invoked.
#[tokio::test]
async fn a_deny_policy_rejects_with_403() {
    let target = target::guarded().await;
    let mut observer = Observer::open(target).await;
    let instructions = json!({
        "authorize": {"return": policy("Deny", &json!({}))},
        "connect": {"report": observer.id},
    });
    let handshake = Handshake::new(target, "token=any").instruct(&instructions);
    assert_eq!(handshake.rejection().await.status, 403);
    observer.expect_nothing().await;
}

/// A policy that does not allow this resource rejects the handshake with 403.
#[tokio::test]
async fn a_policy_for_another_resource_rejects_with_403() {
    let mut result = policy("Allow", &json!({}));
    result["policyDocument"]["Statement"][0]["Resource"] =
        "arn:aws:execute-api:us-east-1:123456789012:other/stage/$connect".into();
    assert_eq!(status_of(json!({"return": result})).await, 403);
}

/// An authorizer that fails otherwise, or returns no policy, rejects the handshake with 500.
#[tokio::test]
async fn an_authorizer_that_fails_or_returns_no_policy_rejects_with_500() {
    for authorize in [
        json!({"throw": {"type": "Error", "message": "the database is away"}}),
        json!({"exit": 1}),
        json!({"return": null}),
        json!({"return": {"isAuthorized": true}}),
        json!({"return": {"principalId": "user-7"}}),
    ] {
        assert_eq!(status_of(authorize.clone()).await, 500, "{authorize}");
    }
}

/// A context value that is an object or an array rejects the handshake with 500 \[U\]. AWS
/// documents only that context values must be scalars.
#[tokio::test]
async fn a_context_value_that_is_not_a_scalar_rejects_with_500() {
    for value in [json!({"deep": 1}), json!(["a"])] {
        let result = policy("Allow", &json!({"tenant": value}));
        assert_eq!(status_of(json!({"return": result})).await, 500, "{value}");
    }
}

/// A handshake without the identity source is rejected with 401, and the authorizer is not invoked.
#[tokio::test]
async fn a_missing_identity_source_rejects_with_401_without_an_invocation() {
    let target = target::guarded().await;
    let mut observer = Observer::open(target).await;
    let instructions = json!({"authorize": {"report": observer.id}});
    let without = Handshake::new(target, "other=1").instruct(&instructions);
    assert_eq!(without.rejection().await.status, 401);
    observer.expect_nothing().await;

    Handshake::new(target, "token=any")
        .instruct(&instructions)
        .open()
        .await;
    assert_eq!(observer.next().await["type"], "REQUEST");
}

/// `requestContext.authorizer` of CONNECT, MESSAGE and DISCONNECT has the context values as strings
/// \[U\], beside `principalId` and `integrationLatency`.
#[tokio::test]
async fn the_authorizers_context_is_flat_in_all_three_events() {
    let target = target::guarded().await;
    let mut observer = Observer::open(target).await;
    let context = json!({"tenant": "acme", "level": 7, "admin": true});
    let instructions = json!({
        "authorize": {"return": policy("Allow", &context)},
        "connect": {"report": observer.id},
        "disconnect": {"report": observer.id},
    });
    let mut socket = Handshake::new(target, "token=any")
        .instruct(&instructions)
        .open()
        .await;
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

/// The authorizer's event has exactly these keys. Unlike CONNECT, it has the headers of the
/// upgrade.
#[tokio::test]
async fn the_authorizers_event_has_these_keys_and_no_others() {
    let target = target::guarded().await;
    let mut observer = Observer::open(target).await;
    let instructions = json!({"authorize": {"report": observer.id}});
    Handshake::new(target, "token=t-1")
        .instruct(&instructions)
        .open()
        .await;
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

//! Valid and invalid tokens, with an issuer that publishes its keys by HTTP.
//!
//! - `keys`: keys that change, are unknown, or cannot be read
//! - `providers`: tokens of well-known issuers
//! - `secret`: tokens that a shared secret signs

mod keys;
mod providers;
mod secret;

use std::time::Duration;

use authorizer::error::{Error, Rejection};
use authorizer::keys::{Keys, Source, Timing};
use authorizer::token::{LEEWAY, Rules, Verifier};
use chat::Identity;
use chat_lambda::http_client;
use chrono::Utc;
use serde_json::{Value, json};
use tests::issuer::{Issuer, Key, RSA_PUBLIC_PEM, unsigned};
use tests::until;

const USER: &str = "prof@example.com";

/// Fetches keys at every chance.
const HASTY: Timing = Timing {
    fresh: Duration::from_secs(600),
    stale: Duration::from_secs(3_600),
    unknown: Duration::ZERO,
    failed: Duration::ZERO,
};

fn verifier(issuer: &Issuer, timing: Timing) -> Verifier {
    verifier_by(issuer, timing, "sub")
}

fn verifier_by(issuer: &Issuer, timing: Timing, user_claim: &str) -> Verifier {
    let source = Source::Published {
        url: issuer.keys_url().parse().expect("a URL"),
        client: Box::new(http_client::new()),
    };
    Verifier::new(Keys::new(source, timing), rules(issuer, user_claim))
}

fn rules(issuer: &Issuer, user_claim: &str) -> Rules {
    Rules {
        issuer: issuer.url.clone(),
        audience: vec!["somebody-else".to_owned(), issuer.audience.clone()],
        user_claim: user_claim.to_owned(),
    }
}

async fn user(verifier: &Verifier, token: &str) -> String {
    let identity = verifier.verify(token).await.expect("a valid token");
    identity.user_id.as_str().to_owned()
}

async fn rejection(verifier: &Verifier, token: &str) -> Rejection {
    match verifier.verify(token).await {
        Err(Error::Rejected(rejection)) => rejection,
        other => panic!("not rejected: {other:?}"),
    }
}

/// Returns valid claims with `changes`; null removes a claim.
fn with(issuer: &Issuer, changes: Value) -> Value {
    let mut claims = issuer.claims(USER);
    for (name, value) in changes.as_object().expect("a map") {
        match value {
            Value::Null => claims.as_object_mut().expect("a map").remove(name),
            value => claims
                .as_object_mut()
                .expect("a map")
                .insert(name.clone(), value.clone()),
        };
    }
    claims
}

#[tokio::test]
async fn a_valid_token_of_each_algorithm_names_its_user_and_its_end() {
    for key in [Key::rsa("k"), Key::ec("k"), Key::ed("k")] {
        let issuer = Issuer::start(key);
        let verifier = verifier(&issuer, Timing::default());
        let claims = issuer.claims(USER);
        let identity = verifier.verify(&issuer.key.sign(&claims)).await;
        let Identity {
            user_id,
            expires_at,
        } = identity.expect("a valid token");
        assert_eq!(user_id.as_str(), USER);
        let end = expires_at.expect("it ends").timestamp();
        assert_eq!(
            end,
            claims["exp"].as_i64().expect("a number") + LEEWAY.as_secs() as i64
        );
        assert_eq!(issuer.fetches(), 1);
    }
}

#[tokio::test]
async fn an_invalid_token_is_rejected_with_the_reason() {
    let issuer = Issuer::start(Key::rsa("k"));
    let verifier = verifier(&issuer, Timing::default());
    let now = Utc::now().timestamp();
    let slack = 60;
    for (changes, expected) in [
        (json!({"exp": now - slack}), Rejection::Expired),
        (json!({"exp": null}), Rejection::Malformed),
        (json!({"exp": "never"}), Rejection::Malformed),
        (json!({"exp": -1}), Rejection::Malformed),
        (json!({"exp": 8_210_266_876_799_i64}), Rejection::Malformed),
        (json!({"exp": u64::MAX}), Rejection::Malformed),
        (json!({"nbf": now + slack}), Rejection::NotYetValid),
        (json!({"nbf": "now"}), Rejection::Malformed),
        (json!({"iss": "https://evil.example"}), Rejection::Issuer),
        (
            json!({"iss": format!("{}/", issuer.url)}),
            Rejection::Issuer,
        ),
        (
            json!({"iss": ["https://evil.example", issuer.url]}),
            Rejection::Issuer,
        ),
        (json!({"iss": null}), Rejection::Malformed),
        (json!({"iss": 7}), Rejection::Malformed),
        (json!({"aud": "others"}), Rejection::Audience),
        (json!({"aud": ["others", "more"]}), Rejection::Audience),
        (json!({"aud": []}), Rejection::Audience),
        (json!({"aud": null}), Rejection::Audience),
        (json!({"aud": {"$gt": ""}}), Rejection::Audience),
        // Not even beside a valid `client_id`.
        (
            json!({"aud": "others", "client_id": "meetme-chat"}),
            Rejection::Audience,
        ),
        (json!({"sub": null}), Rejection::NoUser),
        (json!({"sub": ""}), Rejection::NoUser),
        (json!({"sub": 7}), Rejection::NoUser),
        (json!({"sub": {"$gt": ""}}), Rejection::Malformed),
        (json!({"sub": "a\nb"}), Rejection::NoUser),
        (json!({"sub": "x".repeat(255)}), Rejection::NoUser),
    ] {
        let token = issuer.key.sign(&with(&issuer, changes.clone()));
        assert_eq!(rejection(&verifier, &token).await, expected, "{changes}");
    }
    // Clocks differ.
    for changes in [json!({"exp": now - 10}), json!({"nbf": now + 10})] {
        let token = issuer.key.sign(&with(&issuer, changes));
        assert_eq!(user(&verifier, &token).await, USER);
    }
}

#[tokio::test]
async fn a_signature_must_be_of_the_key_by_the_algorithm_of_the_key() {
    let issuer = Issuer::start(Key::rsa("k"));
    let verifier = verifier(&issuer, Timing::default());
    let good = issuer.token(USER);
    let forged = forged_by_key(&issuer).into_iter();
    for (what, token, expected) in forged.chain(malformed(&issuer, &good)) {
        assert_eq!(rejection(&verifier, &token).await, expected, "{what}");
    }
    assert_eq!(user(&verifier, &good).await, USER);
    assert_eq!(
        issuer.fetches(),
        2,
        "wrong signatures do not reach the issuer"
    );
}

/// Returns tokens whose key or algorithm is not that of the issuer.
fn forged_by_key(issuer: &Issuer) -> Vec<(&'static str, String, Rejection)> {
    let claims = issuer.claims(USER);
    let mut critical = issuer.key.header();
    critical.crit = Some(vec!["exp".to_owned()]);
    let mut other_hash = issuer.key.header();
    other_hash.alg = jsonwebtoken::Algorithm::RS512;
    let public_key = Key::secret("k", RSA_PUBLIC_PEM.as_bytes());
    let by = |key: Key| key.sign(&claims);
    let as_header = |header| issuer.key.sign_as(header, &claims);
    vec![
        (
            "another key of that name",
            by(Key::other_rsa("k")),
            Rejection::Signature,
        ),
        ("alg none", unsigned(&claims), Rejection::Malformed),
        (
            "the public key as a secret",
            by(public_key),
            Rejection::Algorithm,
        ),
        ("a secret", by(Key::secret("k", b"")), Rejection::Algorithm),
        (
            "ES256 under its name",
            by(Key::ec("k")),
            Rejection::Algorithm,
        ),
        ("RS512", as_header(other_hash), Rejection::Algorithm),
        (
            "an unknown extension",
            as_header(critical),
            Rejection::Malformed,
        ),
    ]
}

/// Returns tokens that are made of parts of a good one, or of none.
fn malformed(issuer: &Issuer, good: &str) -> Vec<(&'static str, String, Rejection)> {
    let (signed, signature) = good.rsplit_once('.').expect("a signature");
    let header = signed.split('.').next().expect("a header");
    let forged = with(issuer, json!({"sub": "student@example.com"}));
    let forged = Key::other_rsa("k").sign(&forged);
    let payload = forged.split('.').nth(1).expect("a payload");
    let swapped = format!("{header}.{payload}.{signature}");
    vec![
        ("another payload", swapped, Rejection::Signature),
        ("no signature", format!("{signed}."), Rejection::Signature),
        ("two parts", signed.to_owned(), Rejection::Malformed),
        ("four parts", format!("{good}.x"), Rejection::Malformed),
        ("no JWT", "nonsense".to_owned(), Rejection::Malformed),
        ("nothing", String::new(), Rejection::Malformed),
        ("dots", "..".to_owned(), Rejection::Malformed),
    ]
}

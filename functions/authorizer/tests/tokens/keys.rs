//! Keys that change, are unknown, or cannot be read.

use std::net::TcpListener;

use super::secret::verifier_by_secret;
use super::*;

#[tokio::test]
async fn an_unknown_key_is_fetched_once_and_then_rejected() {
    let issuer = Issuer::start(Key::rsa("k"));
    let verifier = verifier(&issuer, Timing::default());
    assert_eq!(user(&verifier, &issuer.token(USER)).await, USER);
    assert_eq!(issuer.fetches(), 1);
    for attempt in 0..20 {
        let stranger = Key::other_rsa(&format!("made-up-{attempt}"));
        let token = stranger.sign(&issuer.claims(USER));
        assert_eq!(rejection(&verifier, &token).await, Rejection::UnknownKey);
    }
    assert_eq!(
        issuer.fetches(),
        2,
        "a flood of key ids does not reach the issuer"
    );
    assert_eq!(user(&verifier, &issuer.token(USER)).await, USER);
}

#[tokio::test]
async fn keys_change_without_a_restart() {
    let issuer = Issuer::start(Key::rsa("old"));
    let timing = Timing {
        fresh: Duration::from_millis(200),
        ..Timing::default()
    };
    let verifier = verifier(&issuer, timing);
    assert_eq!(user(&verifier, &issuer.token(USER)).await, USER);

    let new = Key::ec("new");
    issuer.publish(&[&issuer.key, &new]);
    let token = new.sign(&issuer.claims(USER));
    assert_eq!(user(&verifier, &token).await, USER, "at once");
    assert_eq!(user(&verifier, &issuer.token(USER)).await, USER);

    // A key that is no longer published verifies nothing, soon.
    issuer.publish(&[&new]);
    let old = issuer.token(USER);
    until(async || verifier.verify(&old).await.is_err()).await;
    assert_eq!(rejection(&verifier, &old).await, Rejection::UnknownKey);
    assert_eq!(user(&verifier, &token).await, USER);
}

#[tokio::test]
async fn without_keys_verification_fails_until_they_can_be_read() {
    let issuer = Issuer::start(Key::rsa("k"));
    issuer.set_down(true);
    let verifier = verifier(&issuer, HASTY);
    verifier.fetch_keys().await;
    let failed = verifier.verify(&issuer.token(USER)).await;
    assert!(matches!(failed, Err(Error::Failed(_))), "{failed:?}");
    issuer.set_down(false);
    for nonsense in [json!([]), json!([{"kty": "RSA"}]), json!(["x"])] {
        issuer.publish_raw(nonsense.as_array().expect("a list").clone());
        let refused = rejection(&verifier, &issuer.token(USER)).await;
        assert_eq!(refused, Rejection::UnknownKey, "{nonsense}");
    }
    issuer.publish(&[&issuer.key]);
    assert_eq!(user(&verifier, &issuer.token(USER)).await, USER);
}

/// The issuer accepts a connection and never responds.
#[tokio::test]
async fn a_hanging_issuer_fails_before_the_gateways_time_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let issuer = Issuer::at(&url, "meetme-chat", Key::ec("k"));
    for verifier in [
        verifier(&issuer, Timing::default()),
        verifier_by_secret(&issuer, url.clone()),
    ] {
        let token = issuer.token(USER);
        let verified = tokio::time::timeout(Duration::from_secs(5), verifier.verify(&token));
        let failed = verified.await.expect("it gives up");
        assert!(matches!(failed, Err(Error::Failed(_))), "{failed:?}");
    }
}

/// A withdrawn key verifies nothing, also if the issuer publishes no other key.
#[tokio::test]
async fn a_token_of_a_withdrawn_key_is_rejected() {
    let issuer = Issuer::start(Key::rsa("k"));
    let timing = Timing {
        fresh: Duration::ZERO,
        ..HASTY
    };
    let verifier = verifier(&issuer, timing);
    assert_eq!(user(&verifier, &issuer.token(USER)).await, USER);
    issuer.publish(&[]);
    let refused = rejection(&verifier, &issuer.token(USER)).await;
    assert_eq!(refused, Rejection::UnknownKey);
}

#[tokio::test]
async fn a_key_may_change_under_its_name() {
    let issuer = Issuer::start(Key::ec("k"));
    let verifier = verifier(&issuer, Timing::default());
    assert_eq!(user(&verifier, &issuer.token(USER)).await, USER);
    let new = Key::other_ec("k");
    issuer.publish(&[&new]);
    let token = new.sign(&issuer.claims(USER));
    assert_eq!(user(&verifier, &token).await, USER);
    assert_eq!(
        rejection(&verifier, &issuer.token(USER)).await,
        Rejection::Signature
    );
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn keys_of_two_types_may_share_a_name() {
    let (rsa, ec) = (Key::rsa("k"), Key::ec("k"));
    let issuer = Issuer::start(rsa.clone());
    issuer.publish(&[&rsa, &ec]);
    let verifier = verifier(&issuer, Timing::default());
    for key in [rsa, ec] {
        let token = key.sign(&issuer.claims(USER));
        assert_eq!(user(&verifier, &token).await, USER);
    }
}

#[tokio::test]
async fn known_keys_outlast_an_outage_of_the_issuer_for_a_while() {
    let issuer = Issuer::start(Key::rsa("k"));
    let timing = Timing {
        fresh: Duration::ZERO,
        stale: Duration::from_millis(500),
        ..HASTY
    };
    let verifier = verifier(&issuer, timing);
    assert_eq!(user(&verifier, &issuer.token(USER)).await, USER);
    issuer.set_down(true);
    assert_eq!(user(&verifier, &issuer.token(USER)).await, USER);
    let unknown = Key::ec("new").sign(&issuer.claims(USER));
    let failed = verifier.verify(&unknown).await;
    assert!(
        matches!(failed, Err(Error::Failed(_))),
        "it may be a new one: {failed:?}"
    );

    let token = issuer.token(USER);
    until(async || verifier.verify(&token).await.is_err()).await;
    let failed = verifier.verify(&token).await;
    assert!(matches!(failed, Err(Error::Failed(_))), "{failed:?}");
    issuer.set_down(false);
    assert_eq!(user(&verifier, &token).await, USER);
}

#[tokio::test]
async fn many_requests_read_the_keys_once() {
    let issuer = Issuer::start(Key::rsa("k"));
    let verifier = verifier(&issuer, HASTY);
    let token = issuer.token(USER);
    let all = (0..32).map(|_| verifier.verify(&token));
    for identity in futures_util::future::join_all(all).await {
        assert_eq!(identity.expect("a valid token").user_id.as_str(), USER);
    }
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn keys_for_other_uses_verify_nothing() {
    let issuer = Issuer::start(Key::rsa("k"));
    let published = issuer.key.public();
    let changed = |name: &str, value: Value| {
        let mut key = published.clone();
        key[name] = value;
        key
    };
    let good = Key::ec("good");
    for (what, key) in [
        ("for encryption", changed("use", json!("enc"))),
        ("by another algorithm", changed("alg", json!("RSA-OAEP"))),
        ("by PS256", changed("alg", json!("PS256"))),
        ("too short", changed("n", json!("wVBpeXh0cnVl"))),
        (
            "too short, with zeros before it",
            changed("n", json!(format!("{}wVBpeXh0cnVl", "A".repeat(400)))),
        ),
        (
            "a short Ed25519 key",
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "AA"}),
        ),
        (
            "a published secret",
            json!({"kty": "oct", "kid": "k", "k": "c2VjcmV0"}),
        ),
        (
            "of another curve",
            json!({"kty": "EC", "crv": "P-384", "kid": "k", "x": "AA", "y": "AA"}),
        ),
        (
            "of a type to come",
            json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "k", "pub": "AA"}),
        ),
    ] {
        issuer.publish_raw(vec![key, good.public()]);
        let verifier = verifier(&issuer, Timing::default());
        let token = issuer.token(USER);
        assert_eq!(
            rejection(&verifier, &token).await,
            Rejection::UnknownKey,
            "{what}"
        );
        let token = good.sign(&issuer.claims(USER));
        assert_eq!(user(&verifier, &token).await, USER, "{what}");
    }
}

#[tokio::test]
async fn a_token_may_omit_the_name_of_the_only_key() {
    let issuer = Issuer::start(Key::ec("k"));
    let mut header = issuer.key.header();
    header.kid = None;
    let nameless = issuer.key.sign_as(header, &issuer.claims(USER));
    let verifier_of_one = verifier(&issuer, Timing::default());
    assert_eq!(user(&verifier_of_one, &nameless).await, USER);
    issuer.publish(&[&issuer.key, &Key::rsa("l")]);
    let verifier_of_two = verifier(&issuer, Timing::default());
    assert_eq!(
        rejection(&verifier_of_two, &nameless).await,
        Rejection::UnknownKey
    );
}

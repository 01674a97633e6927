//! Valid and invalid tokens, with an issuer that publishes its keys by HTTP.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use authorizer::error::{Error, Rejection};
use authorizer::keys::{Keys, Source, Timing};
use authorizer::token::{LEEWAY, Rules, Verifier};
use chat::Identity;
use chat_lambda::aws::AwsConfig;
use chat_lambda::http_client;
use chat_lambda::secrets_manager::SecretReference;
use chrono::Utc;
use parking_lot::Mutex;
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
    let claims = issuer.claims(USER);
    let good = issuer.token(USER);
    let (signed, signature) = good.rsplit_once('.').expect("a signature");
    let header = signed.split('.').next().expect("a header");
    let forged = with(&issuer, json!({"sub": "student@example.com"}));
    let forged = Key::other_rsa("k").sign(&forged);
    let forged_payload = forged.split('.').nth(1).expect("a payload");

    let mut critical = issuer.key.header();
    critical.crit = Some(vec!["exp".to_owned()]);
    let mut other_hash = issuer.key.header();
    other_hash.alg = jsonwebtoken::Algorithm::RS512;

    for (what, token, expected) in [
        (
            "another key of that name",
            Key::other_rsa("k").sign(&claims),
            Rejection::Signature,
        ),
        (
            "another payload",
            format!("{header}.{forged_payload}.{signature}"),
            Rejection::Signature,
        ),
        ("no signature", format!("{signed}."), Rejection::Signature),
        ("alg none", unsigned(&claims), Rejection::Malformed),
        (
            "the public key as a secret",
            Key::secret("k", RSA_PUBLIC_PEM.as_bytes()).sign(&claims),
            Rejection::Algorithm,
        ),
        (
            "a secret",
            Key::secret("k", b"").sign(&claims),
            Rejection::Algorithm,
        ),
        (
            "ES256 under its name",
            Key::ec("k").sign(&claims),
            Rejection::Algorithm,
        ),
        (
            "RS512",
            issuer.key.sign_as(other_hash, &claims),
            Rejection::Algorithm,
        ),
        (
            "an unknown extension",
            issuer.key.sign_as(critical, &claims),
            Rejection::Malformed,
        ),
        ("two parts", signed.to_owned(), Rejection::Malformed),
        ("four parts", format!("{good}.x"), Rejection::Malformed),
        ("no JWT", "nonsense".to_owned(), Rejection::Malformed),
        ("nothing", String::new(), Rejection::Malformed),
        ("dots", "..".to_owned(), Rejection::Malformed),
    ] {
        assert_eq!(rejection(&verifier, &token).await, expected, "{what}");
    }
    assert_eq!(user(&verifier, &good).await, USER);
    assert_eq!(
        issuer.fetches(),
        2,
        "wrong signatures do not reach the issuer"
    );
}

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

/// Tokens as [Cognito] makes them: the ID token is for the app client, the access token names it in
/// another claim and has no audience.
///
/// [Cognito]: https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-with-identity-providers.html
#[tokio::test]
async fn tokens_of_cognito_are_accepted() {
    let issuer = Issuer::start(Key::rsa("1234example="));
    let sub = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
    let id_token = with(
        &issuer,
        json!({
            "sub": sub, "token_use": "id", "email": USER, "email_verified": true,
            "cognito:username": sub, "cognito:groups": ["professors"],
            "auth_time": 1_500_009_400, "event_id": "cccccccc-6f8d-11e7-a4fb-06d9f7e1ad0e",
        }),
    );
    let access_token = with(
        &issuer,
        json!({
            "sub": sub, "token_use": "access", "aud": null, "client_id": issuer.audience,
            "scope": "openid email", "username": sub, "version": 2,
        }),
    );
    let by_sub = verifier_by(&issuer, Timing::default(), "sub");
    assert_eq!(user(&by_sub, &issuer.key.sign(&id_token)).await, sub);
    assert_eq!(user(&by_sub, &issuer.key.sign(&access_token)).await, sub);
    let by_email = verifier_by(&issuer, Timing::default(), "email");
    assert_eq!(user(&by_email, &issuer.key.sign(&id_token)).await, USER);
    let access_token = issuer.key.sign(&access_token);
    assert_eq!(rejection(&by_email, &access_token).await, Rejection::NoUser);
    let of_another_client = with(&issuer, json!({"aud": null, "client_id": "another"}));
    let of_another_client = issuer.key.sign(&of_another_client);
    assert_eq!(
        rejection(&by_sub, &of_another_client).await,
        Rejection::Audience
    );
}

/// Tokens as [Auth0] makes them: several audiences, and claims of one's own under a URL.
///
/// [Auth0]: https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles
#[tokio::test]
async fn tokens_of_auth0_are_accepted() {
    const EMAIL: &str = "https://meetme.example.com/email";
    let issuer = Issuer::start(Key::rsa(
        "NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4QzQ2MDAyQjVDNjk1RTM2Qg",
    ));
    let token = issuer.key.sign(&with(
        &issuer,
        json!({
            "sub": "auth0|5f7c8ec7c33c6c004bbafe82", "scope": "openid profile email",
            "aud": [issuer.audience, "https://meetme.eu.auth0.com/userinfo"],
            "azp": "my_client_id", EMAIL: USER, format!("{EMAIL}_verified"): true,
        }),
    ));
    let by_sub = verifier_by(&issuer, Timing::default(), "sub");
    assert_eq!(
        user(&by_sub, &token).await,
        "auth0|5f7c8ec7c33c6c004bbafe82"
    );
    let by_email = verifier_by(&issuer, Timing::default(), EMAIL);
    assert_eq!(user(&by_email, &token).await, USER);
    for unverified in [
        json!({EMAIL: USER}),
        json!({EMAIL: USER, "email_verified": true}),
    ] {
        let token = issuer.key.sign(&with(&issuer, unverified));
        assert_eq!(rejection(&by_email, &token).await, Rejection::NoUser);
    }
}

/// Tokens as [Keycloak] makes them, among keys of which one is for encryption.
///
/// [Keycloak]: https://www.keycloak.org/docs/latest/server_admin/#_audience
#[tokio::test]
async fn tokens_of_keycloak_are_accepted() {
    let issuer = Issuer::start(Key::rsa("FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE"));
    let mut encrypting = Key::other_rsa("enc").public();
    encrypting["use"] = json!("enc");
    encrypting["alg"] = json!("RSA-OAEP");
    issuer.publish_raw(vec![encrypting, issuer.key.public()]);
    let claims = json!({
        "jti": "9f38f9b1", "typ": "Bearer", "azp": "meetme-web", "aud": ["meetme-chat", "account"],
        "realm_access": {"roles": ["offline_access"]}, "scope": "email profile",
        "email_verified": true, "preferred_username": "prof", "email": USER,
    });
    let token = issuer.key.sign(&with(&issuer, claims.clone()));
    let by_email = verifier_by(&issuer, Timing::default(), "email");
    assert_eq!(user(&by_email, &token).await, USER);
    for verified in [json!(false), json!("false"), json!(1), json!(null)] {
        let mut claims = with(&issuer, claims.clone());
        claims["email_verified"] = verified;
        let token = issuer.key.sign(&claims);
        assert_eq!(rejection(&by_email, &token).await, Rejection::NoUser);
    }
    // Without a mapper a token is for the account console alone.
    let token = issuer.key.sign(&with(&issuer, json!({"aud": "account"})));
    assert_eq!(rejection(&by_email, &token).await, Rejection::Audience);
}

/// Starts an AWS Secrets Manager with one secret, which may change; returns its URL.
fn secrets_manager(secret: &Arc<Mutex<&'static str>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let secret = Arc::clone(secret);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 8_192];
            let _ = stream.read(&mut request);
            let secret = *secret.lock();
            let body = json!({"SecretString": secret, "Name": "key"}).to_string();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\n\
                 content-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    url
}

fn verifier_by_secret(issuer: &Issuer, endpoint: String) -> Verifier {
    let aws = AwsConfig {
        region: "eu-west-1".to_owned(),
        access_key_id: "local".to_owned(),
        secret_access_key: "local".to_owned().into(),
        session_token: None,
    };
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf";
    let secret = SecretReference::new("JWT_SECRET_ARN", arn.to_owned(), Some(endpoint), aws);
    let source = Source::Secret(Box::new(secret.expect("an ARN")));
    Verifier::new(Keys::new(source, HASTY), rules(issuer, "sub"))
}

fn issuer_by_secret(secret: &str) -> Issuer {
    let key = Key::secret("any", secret.as_bytes());
    Issuer::at("https://issuer.example", "meetme-chat", key)
}

#[tokio::test]
async fn a_secret_verifies_hs256_and_nothing_else() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let issuer = issuer_by_secret(SECRET);
    let stored = Arc::new(Mutex::new(SECRET));
    let verifier = verifier_by_secret(&issuer, secrets_manager(&stored));
    assert_eq!(user(&verifier, &issuer.token(USER)).await, USER);
    let claims = issuer.claims(USER);
    for (token, expected) in [
        (
            Key::secret("any", b"guess").sign(&claims),
            Rejection::Signature,
        ),
        (Key::rsa("any").sign(&claims), Rejection::Algorithm),
        (unsigned(&claims), Rejection::Malformed),
    ] {
        assert_eq!(rejection(&verifier, &token).await, expected);
    }

    const ANOTHER: &str = "another secret of at least 32 bytes";
    *stored.lock() = ANOTHER;
    let token = Key::secret("any", ANOTHER.as_bytes()).sign(&claims);
    assert_eq!(user(&verifier, &token).await, USER, "at once");
    assert_eq!(
        rejection(&verifier, &issuer.token(USER)).await,
        Rejection::Signature
    );
}

#[tokio::test]
async fn a_short_secret_verifies_no_token() {
    let issuer = issuer_by_secret("short");
    let stored = Arc::new(Mutex::new("short"));
    let verifier = verifier_by_secret(&issuer, secrets_manager(&stored));
    let failed = verifier.verify(&issuer.token(USER)).await;
    assert!(matches!(failed, Err(Error::Failed(_))), "{failed:?}");
}

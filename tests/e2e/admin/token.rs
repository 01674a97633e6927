//! `chat-admin token`: why a token would be refused.

use chrono::Utc;
use serde_json::{Value, json};
use tests::admin::{self, Printed};
use tests::issuer::{Issuer, Key, unsigned};

/// Runs the program with the authorizer's settings for an issuer.
async fn ask(issuer: &Issuer, claim: &str, token: &str) -> Printed {
    let mut command = admin::with("", "");
    command
        .env("JWT_ISSUER", &issuer.url)
        .env("JWT_AUDIENCE", &issuer.audience)
        .env("JWT_KEYS_URL", issuer.keys_url())
        .env("JWT_USER_CLAIM", claim);
    admin::run(&mut command, &["token", token]).await
}

#[tokio::test]
async fn it_says_in_words_why_a_token_is_refused_and_never_prints_it() {
    let key = Key::ec("k");
    let issuer = Issuer::start(key);
    let key = Key::ec("k");
    let with = |changes: Value| {
        let mut claims = issuer.claims("a");
        for (claim, value) in changes.as_object().expect("an object") {
            claims[claim] = value.clone();
        }
        key.sign(&claims)
    };
    let (good, now) = (issuer.token("a"), Utc::now().timestamp());
    let printed = ask(&issuer, "sub", &good).await;
    assert_eq!(printed.status, 0, "{printed:?}");
    assert!(
        printed.stdout.contains("it is that of a, until 20"),
        "{printed:?}"
    );
    for (claim, token, reason) in [
        ("sub", "nonsense".to_owned(), "malformed"),
        ("sub", String::new(), "malformed"),
        (
            "sub",
            format!("Bearer {}", issuer.token("a")),
            "begins with \"Bearer \"",
        ),
        ("sub", with(json!({"exp": null})), "no claim `exp`"),
        ("sub", unsigned(&issuer.claims("a")), "malformed"),
        (
            "sub",
            with(json!({"iss": "https://other.example"})),
            "`iss` is \"https://other.example\"",
        ),
        (
            "sub",
            with(json!({"aud": ["others"]})),
            "`aud` is [\"others\"]",
        ),
        (
            "sub",
            with(json!({"exp": now - 3_600})),
            "expired: it did at 20",
        ),
        (
            "sub",
            with(json!({"nbf": now + 3_600})),
            "not valid yet: it is from 20",
        ),
        (
            "name",
            with(json!({})),
            "its claim `name` (JWT_USER_CLAIM) is null",
        ),
        (
            "email",
            with(json!({"email": "a@b.c"})),
            "`email_verified` is null",
        ),
        ("sub", with(json!({"sub": "\n"})), "no valid user id"),
        (
            "sub",
            Key::ec("other").sign(&issuer.claims("a")),
            "`kid` is \"other\"",
        ),
        (
            "sub",
            Key::other_ec("k").sign(&issuer.claims("a")),
            "signature of the token is wrong",
        ),
        (
            "sub",
            Key::rsa("k").sign(&issuer.claims("a")),
            "`alg` is \"RS256\"",
        ),
    ] {
        let printed = ask(&issuer, claim, &token).await;
        assert_eq!(printed.status, 1, "{reason}: {printed:?}");
        assert!(printed.stdout.contains(reason), "{reason}: {printed:?}");
        let signature = token.rsplit('.').next().filter(|part| part.len() > 20);
        for part in [Some(token.as_str()), signature].into_iter().flatten() {
            let is_printed = printed.stdout.contains(part) || printed.stderr.contains(part);
            assert!(part.is_empty() || !is_printed, "{printed:?}");
        }
    }
    issuer.set_down(true);
    let printed = ask(&issuer, "sub", &good).await;
    assert!(
        printed.status == 2 && printed.stderr.contains(&issuer.keys_url()),
        "{printed:?}"
    );
    let printed = admin::run(&mut admin::with("", ""), &["token", &good]).await;
    assert!(
        printed.status == 2 && printed.stderr.contains("JWT_"),
        "{printed:?}"
    );
}

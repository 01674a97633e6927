//! Tokens that a shared secret signs, which is in AWS Secrets Manager.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use chat_lambda::aws::AwsConfig;
use chat_lambda::secrets_manager::SecretReference;
use parking_lot::Mutex;

use super::*;

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

pub(super) fn verifier_by_secret(issuer: &Issuer, endpoint: String) -> Verifier {
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

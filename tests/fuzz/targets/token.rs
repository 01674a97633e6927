//! A token, from a client. At any place in the authorizer's event, it is accepted only if it is
//! signed by a key of the issuer and its claims are valid.

#![no_main]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::LazyLock;

use authorizer::keys::{Keys, Source, Timing};
use authorizer::request::Request;
use authorizer::token::{Rules, Verifier};
use chat::Identity;
use chat_lambda::http_client;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use tokio::runtime::{Builder, Runtime};

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "meetme-chat";
const USER: &str = "prof@example.com";

struct Setup {
    runtime: Runtime,
    verifier: Verifier,
    signer: (Header, EncodingKey),
    /// Tokens that are valid until the year 2100. They are in the corpus, so that they are mutated.
    valid: Vec<String>,
}

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let keys = [
        key("rsa", Algorithm::RS256),
        key("ec", Algorithm::ES256),
        key("ed", Algorithm::EdDSA),
    ];
    let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": USER, "exp": 4_102_444_800_u64});
    let valid = keys.iter().map(|(header, key)| sign(header, key, &claims));
    let source = Source::Published {
        url: publish(&keys).parse().expect("a URL"),
        client: Box::new(http_client::new()),
    };
    let rules = Rules {
        issuer: ISSUER.to_owned(),
        audience: vec![AUDIENCE.to_owned()],
        user_claim: "sub".to_owned(),
    };
    let runtime = Builder::new_current_thread().enable_all().build();
    let setup = Setup {
        runtime: runtime.expect("a runtime"),
        verifier: Verifier::new(Keys::new(source, Timing::default()), rules),
        valid: valid.collect(),
        signer: keys.into_iter().last().expect("three keys"),
    };
    for token in &setup.valid {
        let identity = verify(&setup, token).expect("a valid token is accepted");
        assert_eq!(identity.user_id.as_str(), USER);
    }
    setup
});

/// Returns one of the keys of the tests.
fn key(id: &str, algorithm: Algorithm) -> (Header, EncodingKey) {
    let key = match algorithm {
        Algorithm::RS256 => {
            EncodingKey::from_rsa_pem(include_bytes!("../../harness/keys/rsa-1.pem"))
        }
        Algorithm::ES256 => EncodingKey::from_ec_pem(include_bytes!("../../harness/keys/ec-1.pem")),
        _ => EncodingKey::from_ed_pem(include_bytes!("../../harness/keys/ed-1.pem")),
    };
    let mut header = Header::new(algorithm);
    header.kid = Some(id.to_owned());
    (header, key.expect("a key in PEM"))
}

fn sign(header: &Header, key: &EncodingKey, claims: &Value) -> String {
    encode(header, claims, key).expect("claims can be signed")
}

/// Serves the public keys as a JWKS and returns its URL.
fn publish(keys: &[(Header, EncodingKey)]) -> String {
    let public = |(header, key): &(Header, EncodingKey)| {
        let jwk = Jwk::from_encoding_key(key, header.alg).expect("the key has a public half");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        jwk["kid"] = header.kid.as_deref().into();
        jwk
    };
    let keys: Vec<Value> = keys.iter().map(public).collect();
    let body = json!({"keys": keys}).to_string();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let length = body.len();
            // The client may have closed the connection.
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    url
}

fn verify(setup: &Setup, token: &str) -> Option<Identity> {
    setup.runtime.block_on(setup.verifier.verify(token)).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    check_token(text);
    if let Ok(request) = serde_json::from_str::<Request>(text) {
        for in_query in [false, true] {
            if let Ok(token) = request.token(in_query) {
                check_token(token);
            }
        }
    }
    if let Ok(claims) = serde_json::from_str::<Map<String, Value>>(text) {
        check_claims(claims);
    }
});

/// Checks a token that the issuer may not have signed: only the valid tokens of the setup are
/// accepted.
fn check_token(token: &str) {
    let Some(identity) = verify(&SETUP, token) else {
        return;
    };
    assert_eq!(identity.user_id.as_str(), USER);
    let signed = |token: &str| token.rsplit_once('.').map(|(signed, _)| signed.to_owned());
    let mut valid = SETUP.valid.iter();
    assert!(valid.any(|valid| signed(valid) == signed(token)), "{token}");
}

/// Checks a token with any claims that the issuer has signed.
fn check_claims(claims: Map<String, Value>) {
    let (header, key) = &SETUP.signer;
    let claims = Value::Object(claims);
    let Some(identity) = verify(&SETUP, &sign(header, key, &claims)) else {
        return;
    };
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["sub"], identity.user_id.as_str());
    assert!(claims["exp"].is_number() && identity.expires_at.is_some());
    let matches = |value: &Value| value == AUDIENCE;
    let audience = claims.get("aud").unwrap_or(&claims["client_id"]);
    let list = audience.as_array();
    assert!(matches(audience) || list.is_some_and(|list| list.iter().any(matches)));
}

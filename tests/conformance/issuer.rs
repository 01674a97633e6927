//! An issuer of tokens: publishes its key, signs claims.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;

use chrono::Utc;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::target;

/// The key of the local issuer; it protects nothing but this suite.
const KEY: &str = include_str!("keys/issuer.pem");

/// A key that the issuer does not publish.
const STRANGERS_KEY: &str = include_str!("keys/stranger.pem");

/// An issuer of JSON Web Tokens. API Gateway takes only RSA keys.
#[derive(Debug)]
pub struct Issuer {
    /// The claim `iss`, below which its configuration is.
    pub url: String,
    /// The claim `aud` that the API asks for.
    pub audience: String,
    key_id: String,
    key: String,
}

impl Issuer {
    /// The issuer whose tokens the guarded stage takes.
    pub fn of_run() -> &'static Self {
        static ISSUER: OnceLock<Issuer> = OnceLock::new();
        ISSUER.get_or_init(|| match target::deployed() {
            Some(file) => Self::read(&file["issuer"]),
            None => Self::serve(),
        })
    }

    /// Claims that are good for an hour.
    pub fn claims(&self) -> Value {
        let now = Utc::now().timestamp();
        json!({"iss": self.url, "aud": self.audience, "sub": "somebody", "iat": now, "exp": now + 3_600})
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.key, claims)
    }

    /// A token with these claims and the right key id, but of another key.
    pub fn forge(&self, claims: &Value) -> String {
        self.sign_with(STRANGERS_KEY, claims)
    }

    /// A token with these claims, the algorithm `none` and no signature.
    pub fn leave_unsigned(&self, claims: &Value) -> String {
        let signed = self.sign(claims);
        let payload = signed.split('.').nth(1).expect("a token has three parts");
        // {"alg":"none","typ":"JWT"}
        format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.")
    }

    /// A token with these claims and the right key id, signed by a shared secret.
    pub fn sign_by_secret(&self, claims: &Value, secret: &[u8]) -> String {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(self.key_id.clone());
        let key = EncodingKey::from_secret(secret);
        encode(&header, claims, &key).expect("claims can be signed")
    }

    fn sign_with(&self, key: &str, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.key_id.clone());
        encode(&header, claims, &parse(key)).expect("claims can be signed")
    }

    fn read(given: &Value) -> Self {
        let text = |key: &str| given[key].as_str().unwrap_or_default().to_owned();
        let key = std::fs::read_to_string(text("key_file")).expect("key_file names a PEM file");
        Self {
            url: text("url"),
            audience: text("audience"),
            key_id: text("key_id"),
            key,
        }
    }

    /// Starts an issuer that lives as long as this process.
    fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let issuer = Self {
            url: format!("http://{address}"),
            audience: "conformance".to_owned(),
            key_id: "first".to_owned(),
            key: KEY.to_owned(),
        };
        let configuration = json!({
            "issuer": issuer.url,
            "jwks_uri": format!("{}/keys", issuer.url),
            "id_token_signing_alg_values_supported": ["RS256"],
        });
        let keys = json!({"keys": [issuer.public_key()]});
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A caller that leaves early is no concern of the others.
                let _ = answer(stream, &configuration, &keys);
            }
        });
        issuer
    }

    fn public_key(&self) -> Value {
        let key = Jwk::from_encoding_key(&parse(&self.key), Algorithm::RS256);
        let mut key = serde_json::to_value(key.expect("an RSA key")).expect("a JWK is JSON");
        key["kid"] = self.key_id.as_str().into();
        key["use"] = "sig".into();
        key
    }
}

fn parse(key: &str) -> EncodingKey {
    EncodingKey::from_rsa_pem(key.as_bytes()).expect("an RSA key in PEM")
}

/// Answers one GET request and closes.
fn answer(mut stream: TcpStream, configuration: &Value, keys: &Value) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let (status, body) = match first.split(' ').nth(1) {
        Some("/.well-known/openid-configuration") => ("200 OK", configuration.to_string()),
        Some("/keys") => ("200 OK", keys.to_string()),
        _ => ("404 Not Found", String::new()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

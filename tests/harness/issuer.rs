//! An issuer of tokens: publishes keys, signs claims, and can be set down.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chrono::Utc;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// The public half of [`Key::rsa`]: an attacker may use it as a shared secret.
pub const RSA_PUBLIC_PEM: &str = include_str!("keys/rsa-1-public.pem");

/// A key to sign with. The keys here protect nothing but tests.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its name, `kid`.
    pub id: String,
    algorithm: Algorithm,
    encoding: EncodingKey,
}

impl Key {
    /// Reads an RSA key in PEM.
    pub fn of_rsa(id: &str, pem: &str) -> Self {
        let encoding = EncodingKey::from_rsa_pem(pem.as_bytes()).expect("an RSA key in PEM");
        Self::new(id, Algorithm::RS256, encoding)
    }

    /// Returns an RSA key.
    pub fn rsa(id: &str) -> Self {
        Self::of_rsa(id, include_str!("keys/rsa-1.pem"))
    }

    /// Returns another RSA key.
    pub fn other_rsa(id: &str) -> Self {
        Self::of_rsa(id, include_str!("keys/rsa-2.pem"))
    }

    /// Returns an ECDSA key.
    pub fn ec(id: &str) -> Self {
        let encoding = EncodingKey::from_ec_pem(include_bytes!("keys/ec-1.pem"));
        Self::new(id, Algorithm::ES256, encoding.expect("an EC key in PEM"))
    }

    /// Returns another ECDSA key.
    pub fn other_ec(id: &str) -> Self {
        let encoding = EncodingKey::from_ec_pem(include_bytes!("keys/ec-2.pem"));
        Self::new(id, Algorithm::ES256, encoding.expect("an EC key in PEM"))
    }

    /// Returns an Ed25519 key.
    pub fn ed(id: &str) -> Self {
        let encoding = EncodingKey::from_ed_pem(include_bytes!("keys/ed-1.pem"));
        Self::new(
            id,
            Algorithm::EdDSA,
            encoding.expect("an Ed25519 key in PEM"),
        )
    }

    /// Returns a shared secret as a key.
    pub fn secret(id: &str, secret: &[u8]) -> Self {
        Self::new(id, Algorithm::HS256, EncodingKey::from_secret(secret))
    }

    fn new(id: &str, algorithm: Algorithm, encoding: EncodingKey) -> Self {
        Self {
            id: id.to_owned(),
            algorithm,
            encoding,
        }
    }

    /// Signs a token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(self.header(), claims)
    }

    /// Returns the header of its tokens.
    pub fn header(&self) -> Header {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.clone());
        header
    }

    /// Signs a token with this header and these claims.
    pub fn sign_as(&self, header: Header, claims: &Value) -> String {
        encode(&header, claims, &self.encoding).expect("claims can be signed")
    }

    /// Returns its public half as a JWK.
    pub fn public(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.encoding, self.algorithm);
        let mut jwk = serde_json::to_value(jwk.expect("it has a public half")).expect("JSON");
        jwk["kid"] = self.id.as_str().into();
        jwk["use"] = "sig".into();
        jwk
    }
}

/// Returns a token with these claims, the algorithm `none` and no signature.
pub fn unsigned(claims: &Value) -> String {
    let signed = Key::secret("any", b"any").sign(claims);
    let payload = signed.split('.').nth(1).expect("a token has three parts");
    // {"alg":"none","typ":"JWT"}
    format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.")
}

/// An issuer that lives as long as this process.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// The claim `iss`; the configuration is below this URL.
    pub url: String,
    /// The claim `aud` of its tokens.
    pub audience: String,
    /// The key that it signs with.
    pub key: Key,
    server: Arc<Server>,
}

/// The HTTP side of an issuer.
#[derive(Debug, Default)]
struct Server {
    keys: Mutex<Vec<Value>>,
    is_down: AtomicBool,
    fetches: AtomicUsize,
}

impl Issuer {
    /// Starts an issuer that publishes `key` and signs with it.
    pub fn start(key: Key) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let issuer = Self::at(&url, "meetme-chat", key);
        issuer.publish(&[&issuer.key]);
        let Self { url, server, .. } = issuer.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A caller that leaves early is no concern of the others.
                let _ = server.respond(stream, &url);
            }
        });
        issuer
    }

    /// Returns an issuer whose server is somewhere else, or nowhere.
    pub fn at(url: &str, audience: &str, key: Key) -> Self {
        Self {
            url: url.to_owned(),
            audience: audience.to_owned(),
            key,
            server: Arc::default(),
        }
    }

    /// Returns the URL of its keys.
    pub fn keys_url(&self) -> String {
        format!("{}/keys", self.url)
    }

    /// Returns the parameters of the chat's template for tokens of this issuer alone.
    pub fn parameters(&self) -> [String; 4] {
        [
            "Auth=jwt".to_owned(),
            format!("JwtIssuer={}", self.url),
            format!("JwtAudience={}", self.audience),
            format!("JwtKeysUrl={}", self.keys_url()),
        ]
    }

    /// Returns claims about a user that are valid for an hour.
    pub fn claims(&self, user_id: &str) -> Value {
        let now = Utc::now().timestamp();
        json!({
            "iss": self.url,
            "aud": self.audience,
            "sub": user_id,
            "iat": now,
            "exp": now + 3_600,
        })
    }

    /// Returns a valid token of a user.
    pub fn token(&self, user_id: &str) -> String {
        self.key.sign(&self.claims(user_id))
    }

    /// Publishes these keys and no others.
    pub fn publish(&self, keys: &[&Key]) {
        let keys = keys.iter().map(|key| key.public()).collect();
        self.publish_raw(keys);
    }

    /// Publishes any JSON in place of keys.
    pub fn publish_raw(&self, keys: Vec<Value>) {
        *self.server.keys.lock() = keys;
    }

    /// Switches the issuer down: it responds with 503 from now on. Or up again.
    pub fn set_down(&self, is_down: bool) {
        self.server.is_down.store(is_down, Ordering::SeqCst);
    }

    /// Returns how often its keys were requested.
    pub fn fetches(&self) -> usize {
        self.server.fetches.load(Ordering::SeqCst)
    }
}

impl Server {
    /// Responds to one GET request and closes.
    fn respond(&self, mut stream: TcpStream, url: &str) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        while lines
            .next()
            .transpose()?
            .is_some_and(|line| !line.is_empty())
        {}
        let (status, body) = self.body(first.split(' ').nth(1).unwrap_or_default(), url);
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn body(&self, path: &str, url: &str) -> (&'static str, String) {
        match path {
            "/keys" => {
                self.fetches.fetch_add(1, Ordering::SeqCst);
                if self.is_down.load(Ordering::SeqCst) {
                    return ("503 Service Unavailable", String::new());
                }
                let keys = self.keys.lock();
                ("200 OK", json!({"keys": *keys}).to_string())
            }
            "/.well-known/openid-configuration" => {
                let configuration = json!({
                    "issuer": url,
                    "jwks_uri": format!("{url}/keys"),
                    "id_token_signing_alg_values_supported": ["RS256"],
                });
                ("200 OK", configuration.to_string())
            }
            _ => ("404 Not Found", String::new()),
        }
    }
}

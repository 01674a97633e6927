//! The keys that sign tokens: those that an issuer publishes as a JWKS ([RFC 7517]), or one secret.
//!
//! They are remembered. A token of an unknown key makes them be read again, and so does a signature
//! that is wrong, so an issuer may change its keys at any time; how often that happens is limited, so a
//! flood of made-up tokens cannot become a flood at the issuer. Without keys nobody gets in.
//!
//! Ages are those of the clock on the wall: a process of Lambda is frozen between requests, and other
//! clocks may stand still meanwhile.
//!
//! [RFC 7517]: https://www.rfc-editor.org/rfc/rfc7517#section-5

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use chat::{Error, Result};
use chat_lambda::http_client::Client;
use chat_lambda::secrets_manager::SecretReference;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Uri};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// How long an issuer may take to give its keys: API Gateway waits ten seconds for an authorizer.
const FETCH_TIME: Duration = Duration::from_secs(3);

/// The largest set of keys that is read, in bytes.
const MAX_SET_BYTES: usize = 256 * 1024;

/// The shortest secret, in bytes: that of the hash ([RFC 7518]).
///
/// [RFC 7518]: https://www.rfc-editor.org/rfc/rfc7518#section-3.2
const MIN_SECRET_BYTES: usize = 32;

/// The characters of an Ed25519 key in base64url: 32 bytes. The library takes that for granted.
const ED25519_CHARACTERS: usize = 43;

/// The shortest RSA modulus, in characters of base64url: 2,048 bits ([RFC 7518]).
///
/// [RFC 7518]: https://www.rfc-editor.org/rfc/rfc7518#section-3.3
const MIN_MODULUS_CHARACTERS: usize = 342;

const READING: &str = "reading of the keys of tokens";

/// Where keys come from.
pub enum Source {
    /// A JWKS.
    Published {
        /// Its address.
        url: Uri,
        /// Who fetches it.
        client: Box<Client>,
    },
    /// The text of a secret, for HS256.
    Secret(Box<SecretReference>),
}

/// How long keys are believed, and how often they are read.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Keys older than this are read again before use.
    pub fresh: Duration,
    /// If that fails, they are used until they are older than this.
    pub stale: Duration,
    /// The pause between two readings on account of tokens that the known keys do not verify.
    pub unknown: Duration,
    /// The pause after a reading that failed.
    pub failed: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(10 * 60),
            stale: Duration::from_secs(60 * 60),
            unknown: Duration::from_secs(10),
            failed: Duration::from_secs(1),
        }
    }
}

/// A key and what it is good for.
#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    /// The one algorithm whose signatures it verifies.
    pub algorithm: Algorithm,
    /// The key itself.
    pub decoding: DecodingKey,
}

/// All keys of a moment.
struct Ring {
    keys: Vec<Key>,
    read_at: SystemTime,
}

/// When keys were last read before their time, and when in vain.
#[derive(Default)]
struct Attempts {
    unknown: Option<SystemTime>,
    failed: Option<SystemTime>,
}

/// The keys of one issuer.
pub struct Keys {
    source: Source,
    timing: Timing,
    ring: Mutex<Option<Arc<Ring>>>,
    /// Held while keys are read, so that many requests read them once.
    attempts: tokio::sync::Mutex<Attempts>,
}

impl Keys {
    /// Keys that have not been read yet.
    pub fn new(source: Source, timing: Timing) -> Self {
        Self {
            source,
            timing,
            ring: Mutex::default(),
            attempts: tokio::sync::Mutex::default(),
        }
    }

    /// The key that a token names, by which it says to be signed. A token may leave the name out if
    /// there is but one key.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: it is not among the keys that are known, and newer ones cannot be read
    /// now.
    pub async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Option<Key>> {
        if let Some(key) = self.remembered(self.timing.fresh, id, algorithm) {
            return Ok(Some(key));
        }
        let mut attempts = self.attempts.lock().await;
        // Another request may have read them meanwhile.
        if let Some(key) = self.remembered(self.timing.fresh, id, algorithm) {
            return Ok(Some(key));
        }
        self.try_to_read(&mut attempts).await;
        match self.remembered(self.timing.stale, id, algorithm) {
            Some(key) => Ok(Some(key)),
            None if attempts.failed.is_none() => Ok(None),
            None => Err(Error::unavailable(READING)(
                "they could not be read just now",
            )),
        }
    }

    /// The same for a token whose signature is wrong: its key may have changed under its name.
    pub async fn find_anew(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Key> {
        let mut attempts = self.attempts.lock().await;
        self.try_to_read(&mut attempts).await;
        self.remembered(self.timing.stale, id, algorithm)
    }

    async fn try_to_read(&self, attempts: &mut Attempts) {
        if !self.may_read(attempts) {
            return;
        }
        attempts.failed = self.read().await.err().map(|error| {
            let cause = error.chain();
            tracing::error!(cause, monotonic_counter.Failures = 1, "keys not read");
            SystemTime::now()
        });
    }

    fn remembered(&self, age: Duration, id: Option<&str>, algorithm: Algorithm) -> Option<Key> {
        self.ring_within(age)?.find(id, algorithm).cloned()
    }

    fn ring_within(&self, age: Duration) -> Option<Arc<Ring>> {
        let ring = self.ring.lock().expect("no holder panics").clone();
        ring.filter(|ring| is_within(ring.read_at, age))
    }

    fn may_read(&self, attempts: &mut Attempts) -> bool {
        let is_recent = |time: Option<SystemTime>, pause| {
            let time = time.filter(|time| is_within(*time, pause));
            time.is_some()
        };
        if is_recent(attempts.failed, self.timing.failed) {
            return false;
        }
        if self.ring_within(self.timing.fresh).is_none() {
            return true;
        }
        // The keys are fresh, and do not verify the token.
        if is_recent(attempts.unknown, self.timing.unknown) {
            return false;
        }
        attempts.unknown = Some(SystemTime::now());
        true
    }

    async fn read(&self) -> Result<()> {
        let keys = tokio::time::timeout(FETCH_TIME, self.source.fetch()).await;
        let keys = keys.map_err(Error::unavailable(READING))??;
        if keys.is_empty() {
            // What an issuer has withdrawn counts no longer, even if nothing is left.
            tracing::error!(
                monotonic_counter.Failures = 1,
                "the issuer has no key for RS256, ES256 or EdDSA"
            );
        }
        let ring = Ring {
            keys,
            read_at: SystemTime::now(),
        };
        *self.ring.lock().expect("no holder panics") = Some(Arc::new(ring));
        Ok(())
    }
}

/// Whether a time is not longer ago than `age`. A clock that was set back makes nothing younger.
fn is_within(time: SystemTime, age: Duration) -> bool {
    let elapsed = time.elapsed();
    elapsed.is_ok_and(|elapsed| elapsed < age)
}

impl Source {
    async fn fetch(&self) -> Result<Vec<Key>> {
        match self {
            Self::Published { url, client } => published(&fetch(client, url).await?),
            Self::Secret(secret) => {
                let secret = Box::pin(secret.fetch()).await?;
                Ok(vec![shared(secret.expose())?])
            }
        }
    }
}

impl Ring {
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let is_meant = |key: &&Key| match (key.id.as_deref(), id) {
            // A secret has no name, whatever the token calls it.
            (None, _) | (Some(_), None) => self.keys.len() == 1,
            (Some(name), Some(id)) => name == id,
        };
        let meant = || self.keys.iter().filter(is_meant);
        // Keys of different types may share a name.
        let fitting = meant().find(|key| key.algorithm == algorithm);
        fitting.or_else(|| meant().next())
    }
}

async fn fetch(client: &Client, url: &Uri) -> Result<Vec<u8>> {
    let request = Request::get(url.clone())
        .header("accept", "application/json")
        .body(Full::default())
        .map_err(Error::unavailable(READING))?;
    let response = client.request(request).await;
    let response = response.map_err(Error::unavailable(READING))?;
    if !response.status().is_success() {
        return Err(Error::unavailable(READING)(response.status().to_string()));
    }
    let body = Limited::new(response.into_body(), MAX_SET_BYTES).collect();
    let body = body.await.map_err(Error::unavailable(READING))?;
    Ok(body.to_bytes().into())
}

/// The keys of a JWKS. Those that sign in other ways than ours, or nothing, are left out.
fn published(set: &[u8]) -> Result<Vec<Key>> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(set).map_err(Error::unavailable(READING))?;
    Ok(set.keys.into_iter().filter_map(key).collect())
}

fn key(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let common = &jwk.common;
    if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    // The type of a key says how it signs; what the header of a token says must agree, and is never
    // asked alone.
    let (algorithm, name) = match &jwk.algorithm {
        // `A` is six zero bits.
        AlgorithmParameters::RSA(rsa)
            if rsa.n.trim_start_matches('A').len() >= MIN_MODULUS_CHARACTERS =>
        {
            (Algorithm::RS256, KeyAlgorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(okp)
            if okp.curve == EllipticCurve::Ed25519 && okp.x.len() == ED25519_CHARACTERS =>
        {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    if common.key_algorithm.is_some_and(|signs| signs != name) {
        return None;
    }
    Some(Key {
        id: common.key_id.clone(),
        algorithm,
        decoding: DecodingKey::from_jwk(&jwk).ok()?,
    })
}

/// The key that a secret is.
fn shared(secret: &str) -> Result<Key> {
    let secret = secret.trim();
    if secret.len() < MIN_SECRET_BYTES {
        return Err(Error::unavailable(READING)(format!(
            "the secret is shorter than {MIN_SECRET_BYTES} bytes"
        )));
    }
    Ok(Key {
        id: None,
        algorithm: Algorithm::HS256,
        decoding: DecodingKey::from_secret(secret.as_bytes()),
    })
}

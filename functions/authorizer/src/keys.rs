//! The keys that sign tokens: those that an issuer publishes as a JWKS ([RFC 7517]), or one secret.
//!
//! They are cached. A token with an unknown key, or with a wrong signature, makes the cache fetch them
//! again, so an issuer may change its keys at any time. The rate of these fetches is limited, so a flood
//! of made-up tokens cannot become a flood at the issuer. Without keys no token is valid.
//!
//! Ages use the wall clock: Lambda freezes the process between requests, and a monotonic clock may stop
//! meanwhile.
//!
//! [RFC 7517]: https://www.rfc-editor.org/rfc/rfc7517#section-5

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chat::{Error, Result};
use chat_lambda::http_client::Client;
use chat_lambda::secrets_manager::SecretReference;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Uri};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

/// The timeout of a fetch: API Gateway waits ten seconds for an authorizer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

/// Size limit of a JWKS, in bytes.
const MAX_SET_BYTES: usize = 256 * 1024;

/// The shortest secret, in bytes: that of the hash ([RFC 7518]).
///
/// [RFC 7518]: https://www.rfc-editor.org/rfc/rfc7518#section-3.2
const MIN_SECRET_BYTES: usize = 32;

/// The characters of an Ed25519 key in base64url: 32 bytes. The library does not check it.
const ED25519_CHARACTERS: usize = 43;

/// The shortest RSA modulus, in characters of base64url: 2,048 bits ([RFC 7518]).
///
/// [RFC 7518]: https://www.rfc-editor.org/rfc/rfc7518#section-3.3
const MIN_MODULUS_CHARACTERS: usize = 342;

const FETCH: &str = "fetch of the keys of tokens";

/// The source of keys.
pub enum Source {
    /// A JWKS.
    Published {
        /// Its address.
        url: Uri,
        /// The client that fetches it.
        client: Box<Client>,
    },
    /// The text of a secret, for HS256.
    Secret(Box<SecretReference>),
}

/// The ages up to which keys are used, and the pauses between fetches.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Keys older than this are fetched again before use.
    pub fresh: Duration,
    /// If the fetch fails, keys are used until they are older than this.
    pub stale: Duration,
    /// The pause between two fetches because of tokens that the cached keys do not verify.
    pub unknown: Duration,
    /// The pause after a fetch that failed.
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

/// A key with its algorithm.
#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    /// The one algorithm of its signatures.
    pub algorithm: Algorithm,
    /// The key itself.
    pub decoding: DecodingKey,
}

/// All keys of an issuer, as of one fetch.
struct KeySet {
    keys: Vec<Key>,
    fetched_at: SystemTime,
}

/// Time of the last early refetch (unknown key) and of the last failed fetch.
#[derive(Default)]
struct Attempts {
    unknown: Option<SystemTime>,
    failed: Option<SystemTime>,
}

/// The keys of one issuer.
pub struct Keys {
    source: Source,
    timing: Timing,
    cached: Mutex<Option<Arc<KeySet>>>,
    /// Held during a fetch, so that many requests share it.
    attempts: tokio::sync::Mutex<Attempts>,
}

impl Keys {
    /// Returns keys that have not been fetched yet.
    pub fn new(source: Source, timing: Timing) -> Self {
        Self {
            source,
            timing,
            cached: Mutex::default(),
            attempts: tokio::sync::Mutex::default(),
        }
    }

    /// Returns the key that a token names. A token may leave the name out if there is only one key.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: it is not cached, and newer keys cannot be fetched now.
    pub async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Option<Key>> {
        if let Some(key) = self.find_cached(self.timing.fresh, id, algorithm) {
            return Ok(Some(key));
        }
        let mut attempts = self.attempts.lock().await;
        // Another request may have fetched it meanwhile.
        if let Some(key) = self.find_cached(self.timing.fresh, id, algorithm) {
            return Ok(Some(key));
        }
        self.try_to_fetch(&mut attempts).await;
        match self.find_cached(self.timing.stale, id, algorithm) {
            Some(key) => Ok(Some(key)),
            None if attempts.failed.is_none() => Ok(None),
            None => Err(Error::unavailable(FETCH)(
                "the last attempt has just failed",
            )),
        }
    }

    /// Returns the same after another fetch, for a token whose signature is wrong: its key may have
    /// changed under its name.
    pub async fn find_refetched(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Key> {
        let mut attempts = self.attempts.lock().await;
        self.try_to_fetch(&mut attempts).await;
        self.find_cached(self.timing.stale, id, algorithm)
    }

    async fn try_to_fetch(&self, attempts: &mut Attempts) {
        if !self.may_fetch(attempts) {
            return;
        }
        attempts.failed = self.fetch().await.err().map(|error| {
            let cause = error.chain();
            tracing::error!(cause, monotonic_counter.Failures = 1, "keys not read");
            SystemTime::now()
        });
    }

    fn find_cached(&self, age: Duration, id: Option<&str>, algorithm: Algorithm) -> Option<Key> {
        self.cached_within(age)?.find(id, algorithm).cloned()
    }

    fn cached_within(&self, age: Duration) -> Option<Arc<KeySet>> {
        let cached = self.cached.lock().clone();
        cached.filter(|keys| is_within(keys.fetched_at, age))
    }

    fn may_fetch(&self, attempts: &mut Attempts) -> bool {
        let is_recent = |time: Option<SystemTime>, pause| {
            let time = time.filter(|time| is_within(*time, pause));
            time.is_some()
        };
        if is_recent(attempts.failed, self.timing.failed) {
            return false;
        }
        if self.cached_within(self.timing.fresh).is_none() {
            return true;
        }
        // The keys are fresh, and do not verify the token.
        if is_recent(attempts.unknown, self.timing.unknown) {
            return false;
        }
        attempts.unknown = Some(SystemTime::now());
        true
    }

    async fn fetch(&self) -> Result<()> {
        let keys = tokio::time::timeout(FETCH_TIMEOUT, self.source.fetch()).await;
        let keys = keys.map_err(Error::unavailable(FETCH))??;
        if keys.is_empty() {
            // A key that an issuer has withdrawn is not used any more, even if none is left.
            tracing::error!(
                monotonic_counter.Failures = 1,
                "the issuer has no key for RS256, ES256 or EdDSA"
            );
        }
        let keys = KeySet {
            keys,
            fetched_at: SystemTime::now(),
        };
        *self.cached.lock() = Some(Arc::new(keys));
        Ok(())
    }
}

/// Returns whether a time is not longer ago than `age`. A time in the future is not: the clock was set
/// back.
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

impl KeySet {
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let is_meant = |key: &&Key| match (key.id.as_deref(), id) {
            // A secret has no name, whatever name is in the token.
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
        .map_err(Error::unavailable(FETCH))?;
    let response = client.request(request).await;
    let response = response.map_err(Error::unavailable(FETCH))?;
    if !response.status().is_success() {
        return Err(Error::unavailable(FETCH)(response.status().to_string()));
    }
    let body = Limited::new(response.into_body(), MAX_SET_BYTES).collect();
    let body = body.await.map_err(Error::unavailable(FETCH))?;
    Ok(body.to_bytes().into())
}

/// Returns the keys of a JWKS. Leaves out keys of other algorithms, and those that do not sign.
fn published(set: &[u8]) -> Result<Vec<Key>> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(set).map_err(Error::unavailable(FETCH))?;
    Ok(set.keys.into_iter().filter_map(key).collect())
}

fn key(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let common = &jwk.common;
    if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    // The type of the key decides the algorithm. That in the header of a token must be the same, and
    // never decides alone.
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

/// Returns the key that a secret is.
fn shared(secret: &str) -> Result<Key> {
    let secret = secret.trim();
    if secret.len() < MIN_SECRET_BYTES {
        return Err(Error::unavailable(FETCH)(format!(
            "the secret is shorter than {MIN_SECRET_BYTES} bytes"
        )));
    }
    Ok(Key {
        id: None,
        algorithm: Algorithm::HS256,
        decoding: DecodingKey::from_secret(secret.as_bytes()),
    })
}

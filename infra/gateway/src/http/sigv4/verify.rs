//! Verification of signatures: the request is signed again with the secret that the caller should
//! have, and the two signatures are compared.
//!
//! A signature covers the hash of the body. [`Verifier::check_head`] rejects all that can be rejected
//! before the body is read; [`Claim::check_body`] does the rest.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use chrono::NaiveDateTime;
use hyper::HeaderMap;
use hyper::http::request::Parts;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::AccessKey;
use crate::http::headers::query_pairs;
use crate::model::REGION;

/// Limit of the difference between the time of a signature and ours.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// The header with the hash of the body. Some SDKs send it, others do so for S3 only.
const HASH: &str = "x-amz-content-sha256";

/// Its value if the signature covers no body.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Headers that a signature has to cover.
const REQUIRED_HEADERS: [&str; 2] = ["host", "x-amz-date"];

/// Characters of a query that are percent-encoded in a signed request.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Characters of a path that are percent-encoded once more.
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// The rejection of a request: the kind of error, and a sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Value of `x-amzn-errortype`.
    pub kind: &'static str,
    /// For the caller.
    pub message: String,
}

fn reject<T>(kind: &'static str, message: impl Into<String>) -> Result<T, Rejection> {
    Err(Rejection {
        kind,
        message: message.into(),
    })
}

fn incomplete(missing: &str) -> Rejection {
    Rejection {
        kind: "IncompleteSignatureException",
        message: format!("Authorization header requires {missing}"),
    }
}

/// Verifies requests to a service.
pub struct Verifier {
    service: &'static str,
    keys: Vec<AccessKey>,
    /// By the id of an access key: the day of its last signature, and its signing key of that day.
    signing_keys: Mutex<HashMap<String, (String, SigningKey)>>,
}

type SigningKey = Vec<u8>;

impl Verifier {
    /// Returns a verifier of requests to `service` by the owners of `keys`.
    pub fn new(service: &'static str, keys: Vec<AccessKey>) -> Self {
        Self {
            service,
            keys,
            signing_keys: Mutex::default(),
        }
    }

    /// Checks the head of a request: its access key and its time, and also its signature if it has the
    /// hash of the body.
    ///
    /// # Errors
    ///
    /// [`Rejection`].
    pub fn check_head<'a>(&'a self, parts: &'a Parts) -> Result<Claim<'a>, Rejection> {
        let claim = self.claim(parts)?;
        if let Some(hash) = claim.hash {
            claim.check_signature(hash)?;
        }
        Ok(claim)
    }

    /// Reads the signature that a request claims to have.
    fn claim<'a>(&'a self, parts: &'a Parts) -> Result<Claim<'a>, Rejection> {
        let authorization = parts.headers.get("authorization");
        let Some(authorization) = authorization.and_then(|value| value.to_str().ok()) else {
            let message = "Missing Authentication Token";
            return reject("MissingAuthenticationTokenException", message);
        };
        let malformed =
            || incomplete("AWS4-HMAC-SHA256 with 'Credential', 'SignedHeaders' and 'Signature'");
        let fields = Fields::parse(authorization).ok_or_else(malformed)?;
        let key = self.keys.iter().find(|key| key.id == fields.key_id);
        let key = key.ok_or_else(|| Rejection {
            kind: "UnrecognizedClientException",
            message: "The security token included in the request is invalid".to_owned(),
        })?;
        let missing = || incomplete("existence of a valid 'X-Amz-Date' header");
        let (date, day, time) = date_of(parts).ok_or_else(missing)?;
        let scope = format!("{REGION}/{}/aws4_request", self.service);
        if fields.scope != scope {
            let message = format!("Credential should be scoped to {scope}");
            return reject("InvalidSignatureException", message);
        }
        let hash = parts.headers.get(HASH);
        Ok(Claim {
            verifier: self,
            parts,
            key,
            fields,
            date,
            day,
            time,
            hash: hash.and_then(|hash| hash.to_str().ok()),
        })
    }

    /// Returns the signature of a text by `key`. Its signing key is the same for a whole day.
    fn sign(&self, key: &AccessKey, day: &str, time: SystemTime, text: &str) -> String {
        let mut signing_keys = self.signing_keys.lock();
        let cached = signing_keys.get(&key.id).filter(|(of, _)| of == day);
        if let Some((_, signing_key)) = cached {
            return calculate_signature(signing_key, text.as_bytes());
        }
        let signing_key = generate_signing_key(&key.secret, time, REGION, self.service);
        let signature = calculate_signature(&signing_key, text.as_bytes());
        let signing_key = signing_key.as_ref().to_owned();
        signing_keys.insert(key.id.clone(), (day.to_owned(), signing_key));
        signature
    }
}

/// The signature that a request claims to have.
pub struct Claim<'a> {
    verifier: &'a Verifier,
    parts: &'a Parts,
    key: &'a AccessKey,
    fields: Fields<'a>,
    /// As in the header: `20260209T181143Z`.
    date: &'a str,
    /// Its part of the date.
    day: &'a str,
    time: SystemTime,
    /// The value of [`HASH`].
    hash: Option<&'a str>,
}

impl Claim<'_> {
    /// Returns the id of the access key.
    pub fn key_id(&self) -> &str {
        &self.key.id
    }

    /// Checks the body, and the signature if the head has no hash of the body.
    ///
    /// # Errors
    ///
    /// [`Rejection`].
    pub fn check_body(&self, body: &[u8]) -> Result<(), Rejection> {
        match self.hash {
            Some(UNSIGNED) => Ok(()),
            Some(expected) if expected == hash(body) => Ok(()),
            Some(_) => {
                let message = format!("{HASH} is not the hash of the body");
                reject("InvalidSignatureException", message)
            }
            None => self.check_signature(&hash(body)),
        }
    }

    /// Checks the signature of the request with a body of this hash, and its age.
    fn check_signature(&self, body_hash: &str) -> Result<(), Rejection> {
        let skew = SystemTime::now()
            .duration_since(self.time)
            .unwrap_or_else(|error| error.duration());
        if skew > CLOCK_SKEW {
            return reject("InvalidSignatureException", "Signature expired");
        }
        let signed_headers = &self.fields.signed_headers;
        let expected = canonical_request(self.parts, body_hash, signed_headers).map(|request| {
            let (date, day, scope) = (self.date, self.day, self.fields.scope);
            let hash = hash(request.as_bytes());
            let text = format!("AWS4-HMAC-SHA256\n{date}\n{day}/{scope}\n{hash}");
            self.verifier.sign(self.key, day, self.time, &text)
        });
        if expected.is_some_and(|expected| expected == self.fields.signature) {
            return Ok(());
        }
        reject(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided",
        )
    }
}

/// The fields of an `Authorization` header.
struct Fields<'a> {
    key_id: &'a str,
    /// Region, service and the constant end.
    scope: &'a str,
    /// In order.
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Fields<'a> {
    fn parse(authorization: &'a str) -> Option<Self> {
        let fields = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for field in fields.split(',') {
            match field.trim().split_once('=') {
                Some(("Credential", value)) => credential = Some(value),
                Some(("SignedHeaders", value)) => signed_headers = Some(value),
                Some(("Signature", value)) => signature = Some(value),
                _ => {}
            }
        }
        let mut credential = credential?.splitn(3, '/');
        let (key_id, _date, scope) = (credential.next()?, credential.next()?, credential.next()?);
        let mut signed_headers: Vec<_> = signed_headers?.split(';').collect();
        signed_headers.sort_unstable();
        Some(Self {
            key_id,
            scope,
            signed_headers,
            signature: signature?,
        })
    }
}

/// Returns the header `X-Amz-Date`, its day, and its time.
fn date_of(parts: &Parts) -> Option<(&str, &str, SystemTime)> {
    let date = parts.headers.get("x-amz-date")?.to_str().ok()?;
    Some((date, date.get(..8)?, parse_date(date)?))
}

/// Returns the time of `20260209T181143Z`.
fn parse_date(text: &str) -> Option<SystemTime> {
    let date = NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ").ok()?;
    Some(date.and_utc().into())
}

/// Returns the canonical form of a request; `None` if a header is missing, or is not ASCII.
///
/// Paths are not normalized: clients sign the path of a connection as they send it.
fn canonical_request(parts: &Parts, body_hash: &str, signed_headers: &[&str]) -> Option<String> {
    if !REQUIRED_HEADERS
        .iter()
        .all(|name| signed_headers.contains(name))
    {
        return None;
    }
    let mut text = String::with_capacity(512);
    text.push_str(parts.method.as_str());
    text.push('\n');
    text.extend(utf8_percent_encode(parts.uri.path(), PATH));
    text.push('\n');
    text.push_str(&canonical_query(parts.uri.query().unwrap_or_default()));
    text.push('\n');
    for name in signed_headers {
        push_header(&mut text, &parts.headers, name)?;
    }
    text.push('\n');
    text.push_str(&signed_headers.join(";"));
    text.push('\n');
    text.push_str(body_hash);
    Some(text)
}

/// Adds a header: its values joined by commas, with single spaces.
fn push_header(text: &mut String, headers: &HeaderMap, name: &str) -> Option<()> {
    let values = headers.get_all(name);
    text.push_str(name);
    text.push(':');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let words = value.to_str().ok()?.split(' ');
        for (index, word) in words.filter(|word| !word.is_empty()).enumerate() {
            if index > 0 {
                text.push(' ');
            }
            text.push_str(word);
        }
    }
    text.push('\n');
    headers.contains_key(name).then_some(())
}

fn canonical_query(query: &str) -> String {
    let encode = |text: &str| utf8_percent_encode(text, QUERY).to_string();
    let pairs = query_pairs(query);
    let mut pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests;

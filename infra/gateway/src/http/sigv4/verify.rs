//! Verification of signatures: the request is signed again with the secret that the caller should
//! have, and the two signatures are compared.

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

    /// Reads the signature that a request claims to have, and finds its access key. The body is not
    /// needed for that.
    ///
    /// # Errors
    ///
    /// [`Rejection`].
    pub fn claim<'a>(&'a self, parts: &'a Parts) -> Result<Claim<'a>, Rejection> {
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
        Ok(Claim {
            verifier: self,
            key,
            fields,
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
    key: &'a AccessKey,
    fields: Fields<'a>,
}

impl Claim<'_> {
    /// Checks that the request has the signature that it claims.
    ///
    /// # Errors
    ///
    /// [`Rejection`].
    pub fn verify(&self, parts: &Parts, body: &[u8]) -> Result<(), Rejection> {
        let date = parts.headers.get("x-amz-date");
        let date = date.and_then(|value| value.to_str().ok());
        let dated = date.and_then(|date| Some((date, date.get(..8)?, parse_date(date)?)));
        let missing = || incomplete("existence of a valid 'X-Amz-Date' header");
        let (date, day, time) = dated.ok_or_else(missing)?;
        let skew = SystemTime::now()
            .duration_since(time)
            .unwrap_or_else(|error| error.duration());
        if skew > CLOCK_SKEW {
            return reject("InvalidSignatureException", "Signature expired");
        }
        let scope = format!("{REGION}/{}/aws4_request", self.verifier.service);
        if self.fields.scope != scope {
            let message = format!("Credential should be scoped to {scope}");
            return reject("InvalidSignatureException", message);
        }
        let expected = canonical_request(parts, body, &self.fields.signed_headers).map(|request| {
            let hash = hash(request.as_bytes());
            let text = format!("AWS4-HMAC-SHA256\n{date}\n{day}/{scope}\n{hash}");
            self.verifier.sign(self.key, day, time, &text)
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

/// Returns the time of `20260209T181143Z`.
fn parse_date(text: &str) -> Option<SystemTime> {
    let date = NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ").ok()?;
    Some(date.and_utc().into())
}

/// Returns the canonical form of a request; `None` if a header is missing, or is not ASCII.
///
/// Paths are not normalized: clients sign the path of a connection as they send it.
fn canonical_request(parts: &Parts, body: &[u8], signed_headers: &[&str]) -> Option<String> {
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
    match parts.headers.get("x-amz-content-sha256") {
        Some(unsigned) if unsigned == "UNSIGNED-PAYLOAD" => text.push_str("UNSIGNED-PAYLOAD"),
        _ => text.push_str(&hash(body)),
    }
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
mod tests {
    use aws_sigv4::http_request::{SignableBody, SignableRequest};
    use hyper::Request;
    use proptest::prelude::*;

    use super::*;
    use crate::http::sigv4::instructions;

    const POST: (&str, &str) = ("POST", "/prod/@connections/PJqB0fHsqRcCHlw%3D");

    /// Returns a request signed as the SDK does it.
    fn signed(
        key: &AccessKey,
        time: SystemTime,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Parts {
        let headers = [&[("host", "127.0.0.1:3001")][..], headers].concat();
        let uri = format!("http://127.0.0.1:3001{path}");
        let body = SignableBody::Bytes(body);
        let signable = SignableRequest::new(method, uri, headers.iter().copied(), body);
        let signable = signable.expect("valid");
        let instructions = instructions(signable, "execute-api", key, time).expect("signed");
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for header in instructions.into_parts().0 {
            request = request.header(header.name(), header.value());
        }
        request.body(()).expect("valid").into_parts().0
    }

    fn key(text: &str) -> AccessKey {
        text.parse().expect("ID:SECRET")
    }

    fn verifier(service: &'static str) -> Verifier {
        Verifier::new(
            service,
            vec![key("other:key"), key("AKIDEXAMPLE:a/secret+with:signs")],
        )
    }

    /// Returns the kind of the rejection.
    fn check(verifier: &Verifier, parts: &Parts, body: &[u8]) -> &'static str {
        let verified = verifier
            .claim(parts)
            .and_then(|claim| claim.verify(parts, body));
        verified.err().map_or("good", |rejection| rejection.kind)
    }

    #[test]
    fn a_signature_is_valid_for_exactly_its_request_key_and_time() {
        let (ours, now) = (key("AKIDEXAMPLE:a/secret+with:signs"), SystemTime::now());
        let sign = |key: &AccessKey, time| signed(key, time, POST, &[], b"hi");
        let verifier = verifier("execute-api");
        let check = |parts: &Parts, body: &[u8]| check(&verifier, parts, body);
        // The signing key of the day is derived once.
        for _ in 0..2 {
            assert_eq!(check(&sign(&ours, now), b"hi"), "good");
        }
        let invalid = "InvalidSignatureException";
        assert_eq!(check(&sign(&ours, now), b"ho"), invalid);
        let long_ago = now - Duration::from_secs(16 * 60);
        assert_eq!(check(&sign(&ours, long_ago), b"hi"), invalid);
        assert_eq!(check(&sign(&key("AKIDEXAMPLE:wrong"), now), b"hi"), invalid);
        let unknown = sign(&key("nobody:secret"), now);
        assert_eq!(check(&unknown, b"hi"), "UnrecognizedClientException");
        let mut unsigned = sign(&ours, now);
        unsigned.headers.remove("authorization");
        assert_eq!(
            check(&unsigned, b"hi"),
            "MissingAuthenticationTokenException"
        );
        let mut moved = sign(&ours, now);
        moved.uri = "/prod/@connections/other".parse().expect("valid");
        assert_eq!(check(&moved, b"hi"), invalid);
        let mut changed = sign(&ours, now);
        changed.method = hyper::Method::DELETE;
        assert_eq!(check(&changed, b"hi"), invalid);
        let elsewhere = super::tests::verifier("lambda");
        assert_eq!(
            super::tests::check(&elsewhere, &sign(&ours, now), b"hi"),
            invalid
        );
    }

    #[test]
    fn a_signing_key_is_that_of_its_day() {
        let keys = [key("AKIDEXAMPLE:a/secret+with:signs"), key("other:key")];
        let verifier = verifier("execute-api");
        for (key, day) in [
            (&keys[0], "20260209"),
            (&keys[0], "20260210"),
            (&keys[0], "20260210"),
            (&keys[1], "20260210"),
        ] {
            let time = parse_date(&format!("{day}T120000Z")).expect("valid");
            let derived = generate_signing_key(&key.secret, time, REGION, "execute-api");
            let signature = verifier.sign(key, day, time, "text");
            assert_eq!(signature, calculate_signature(derived, b"text"), "{day}");
        }
    }

    proptest! {
        /// Whatever the SDK signs is verified: paths and queries with any characters, and headers
        /// with any spaces.
        #[test]
        fn the_signature_of_any_request_is_verified(
            method in prop::sample::select(vec!["GET", "POST", "DELETE"]),
            segments in prop::collection::vec("[A-Za-z0-9_~@=$,-]{1,9}(%(3D|40|2F|20|25))?", 1..4),
            query in prop::collection::vec(("[a-zA-Z0-9%_.~ +-]{1,6}", "[a-zA-Z0-9 =/~-]{0,6}"), 0..4),
            header in "[!-~]( {0,3}[!-~]){0,6}",
            body in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let query = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(query)
                .finish();
            let separator = if query.is_empty() { "" } else { "?" };
            let path = format!("/{}{separator}{query}", segments.join("/"));
            let ours = key("AKIDEXAMPLE:a/secret+with:signs");
            let headers = [("x-amz-meta", header.as_str())];
            let parts = signed(&ours, SystemTime::now(), (method, &path), &headers, &body);
            prop_assert_eq!(check(&verifier("execute-api"), &parts, &body), "good", "{}", path);
        }
    }
}

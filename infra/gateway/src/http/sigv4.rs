//! Signatures of requests (AWS Signature Version 4): the request is signed again with the secret
//! that the caller should have, and the two signatures are compared.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::collections::HashMap;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use aws_credential_types::Credentials;
use aws_sigv4::SigningOutput;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningInstructions, SigningSettings,
};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use chrono::NaiveDateTime;
use http_body_util::Full;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request};

use crate::model::REGION;

/// Limit of the difference between the time of a signature and ours.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// An access key with its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// The public part.
    pub id: String,
    /// The secret part.
    pub secret: String,
}

impl FromStr for AccessKey {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.split_once(':') {
            Some((id, secret)) if !id.is_empty() && !secret.is_empty() => Ok(Self {
                id: id.to_owned(),
                secret: secret.to_owned(),
            }),
            _ => bail!("an access key is ID:SECRET"),
        }
    }
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "AccessKey({})", self.id)
    }
}

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

/// Signs a request of ours.
///
/// # Errors
///
/// Its URL has no host.
pub fn sign(
    mut request: Request<Full<Bytes>>,
    body: &[u8],
    service: &str,
    key: &AccessKey,
) -> anyhow::Result<Request<Full<Bytes>>> {
    let settings = SigningSettings::default();
    let (method, uri) = (request.method().as_str(), request.uri().to_string());
    let body = SignableBody::Bytes(body);
    let signable = SignableRequest::new(method, uri, std::iter::empty(), body)?;
    let signed = sign_with(signable, service, key, SystemTime::now(), settings)?;
    let (instructions, _) = signed.into_parts();
    instructions.apply_to_request_http1x(&mut request);
    Ok(request)
}

/// The signature that a request claims to have: the content of its `Authorization` header.
pub struct Claim<'a> {
    key: &'a AccessKey,
    /// Region, service and the constant end.
    scope: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    /// Reads the claim of a request, and finds its access key among `keys`. The body is not needed
    /// for that.
    ///
    /// # Errors
    ///
    /// [`Rejection`].
    pub fn read(parts: &'a Parts, keys: &'a [AccessKey]) -> Result<Self, Rejection> {
        let authorization = parts.headers.get("authorization");
        let Some(authorization) = authorization.and_then(|value| value.to_str().ok()) else {
            let message = "Missing Authentication Token";
            return reject("MissingAuthenticationTokenException", message);
        };
        let malformed =
            || incomplete("AWS4-HMAC-SHA256 with 'Credential', 'SignedHeaders' and 'Signature'");
        let fields = Fields::parse(authorization).ok_or_else(malformed)?;
        let key = keys.iter().find(|key| key.id == fields.key_id);
        let key = key.ok_or_else(|| Rejection {
            kind: "UnrecognizedClientException",
            message: "The security token included in the request is invalid".to_owned(),
        })?;
        Ok(Self {
            key,
            scope: fields.scope,
            signed_headers: fields.signed_headers,
            signature: fields.signature,
        })
    }

    /// Checks that the request to `service` has the signature that it claims.
    ///
    /// # Errors
    ///
    /// [`Rejection`].
    pub fn verify(&self, parts: &Parts, body: &[u8], service: &str) -> Result<(), Rejection> {
        let date = parts.headers.get("x-amz-date");
        let date = date.and_then(|value| parse_date(value.to_str().ok()?));
        let date = date.ok_or_else(|| incomplete("existence of a valid 'X-Amz-Date' header"))?;
        let skew = SystemTime::now()
            .duration_since(date)
            .unwrap_or_else(|error| error.duration());
        if skew > CLOCK_SKEW {
            return reject("InvalidSignatureException", "Signature expired");
        }
        let scope = format!("{REGION}/{service}/aws4_request");
        if self.scope != scope {
            let message = format!("Credential should be scoped to {scope}");
            return reject("InvalidSignatureException", message);
        }
        match signature(parts, body, service, self, date) {
            Ok(expected) if expected == self.signature => Ok(()),
            _ => reject(
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided",
            ),
        }
    }
}

/// The fields of an `Authorization` header.
struct Fields<'a> {
    key_id: &'a str,
    scope: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Fields<'a> {
    fn parse(authorization: &'a str) -> Option<Self> {
        let fields = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let fields: HashMap<_, _> = fields
            .split(',')
            .filter_map(|field| field.trim().split_once('='))
            .collect();
        let mut credential = fields.get("Credential")?.splitn(3, '/');
        let (key_id, _date, scope) = (credential.next()?, credential.next()?, credential.next()?);
        Some(Self {
            key_id,
            scope,
            signed_headers: fields.get("SignedHeaders")?.split(';').collect(),
            signature: fields.get("Signature")?,
        })
    }
}

fn parse_date(text: &str) -> Option<SystemTime> {
    let date = NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ").ok()?;
    Some(date.and_utc().into())
}

/// Returns the signature that the request has to have.
fn signature(
    parts: &Parts,
    body: &[u8],
    service: &str,
    claim: &Claim,
    date: SystemTime,
) -> anyhow::Result<String> {
    let mut settings = SigningSettings::default();
    // The client names the headers that it has signed.
    settings.excluded_headers = None;
    let host = parts.headers.get("host").context("there is no host")?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri = format!("http://{}{path}", host.to_str()?);
    let signed = signed_headers(&parts.headers, &claim.signed_headers);
    let body = match parts.headers.get("x-amz-content-sha256") {
        Some(hash) if hash == "UNSIGNED-PAYLOAD" => SignableBody::UnsignedPayload,
        _ => SignableBody::Bytes(body),
    };
    let request = SignableRequest::new(parts.method.as_str(), uri, signed.into_iter(), body)?;
    let signed = sign_with(request, service, claim.key, date, settings)?;
    Ok(signed.signature().to_owned())
}

/// Signs with `key`, as of `time`.
fn sign_with(
    request: SignableRequest,
    service: &str,
    key: &AccessKey,
    time: SystemTime,
    settings: SigningSettings,
) -> anyhow::Result<SigningOutput<SigningInstructions>> {
    let identity = Credentials::new(&key.id, &key.secret, None, None, "local").into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name(service)
        .time(time)
        .settings(settings)
        .build()?
        .into();
    Ok(aws_sigv4::http_request::sign(request, &parameters)?)
}

/// Returns the headers that the client has signed, but for the date, which signing adds.
fn signed_headers<'a>(headers: &'a HeaderMap, names: &[&str]) -> Vec<(&'a str, &'a str)> {
    let is_signed = |name: &str| name != "x-amz-date" && names.contains(&name);
    headers
        .iter()
        .filter(|(name, _)| is_signed(name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(
        parts: &Parts,
        body: &[u8],
        service: &str,
        keys: &[AccessKey],
    ) -> Result<(), Rejection> {
        Claim::read(parts, keys)?.verify(parts, body, service)
    }

    /// Returns a request signed as the SDK does it, with the header that the test changes.
    fn signed(key: &AccessKey, time: SystemTime) -> Parts {
        let uri = "http://127.0.0.1:3001/prod/@connections/PJqB0fHsqRcCHlw%3D";
        let headers = [("host", "127.0.0.1:3001")].into_iter();
        let signable = SignableRequest::new("POST", uri, headers, SignableBody::Bytes(b"hi"));
        let signable = signable.expect("valid");
        let settings = SigningSettings::default();
        let instructions = sign_with(signable, "execute-api", key, time, settings).expect("signed");
        let mut request =
            Request::post("/prod/@connections/PJqB0fHsqRcCHlw%3D").header("host", "127.0.0.1:3001");
        let (instructions, _) = instructions.into_parts();
        for header in instructions.into_parts().0 {
            request = request.header(header.name(), header.value());
        }
        request.body(()).expect("valid").into_parts().0
    }

    fn key(text: &str) -> AccessKey {
        text.parse().expect("ID:SECRET")
    }

    fn kind(result: Result<(), Rejection>) -> &'static str {
        result.err().map_or("good", |rejection| rejection.kind)
    }

    #[test]
    fn a_signature_is_valid_for_exactly_its_request_key_and_time() {
        let ours = key("AKIDEXAMPLE:a/secret+with:signs");
        let keys = [key("other:key"), ours.clone()];
        let now = SystemTime::now();
        let check = |parts: &Parts, body: &[u8]| kind(verify(parts, body, "execute-api", &keys));
        assert_eq!(check(&signed(&ours, now), b"hi"), "good");
        assert_eq!(
            check(&signed(&ours, now), b"ho"),
            "InvalidSignatureException"
        );
        let long_ago = now - Duration::from_secs(16 * 60);
        assert_eq!(
            check(&signed(&ours, long_ago), b"hi"),
            "InvalidSignatureException"
        );
        let wrong = key("AKIDEXAMPLE:wrong");
        assert_eq!(
            check(&signed(&wrong, now), b"hi"),
            "InvalidSignatureException"
        );
        let unknown = key("nobody:secret");
        assert_eq!(
            check(&signed(&unknown, now), b"hi"),
            "UnrecognizedClientException"
        );
        let mut unsigned = signed(&ours, now);
        unsigned.headers.remove("authorization");
        assert_eq!(
            check(&unsigned, b"hi"),
            "MissingAuthenticationTokenException"
        );
        let other_service = verify(&signed(&ours, now), b"hi", "lambda", &keys);
        assert_eq!(kind(other_service), "InvalidSignatureException");
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", key("id:secret")), "AccessKey(id)");
    }
}

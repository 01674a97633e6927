//! Signatures of requests (AWS Signature Version 4).
//!
//! - [`verify`]: checks the signatures of requests to us
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

pub mod verify;

use std::str::FromStr;
use std::time::SystemTime;

use anyhow::bail;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningInstructions, SigningSettings,
};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use crate::model::REGION;

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
    let (method, uri) = (request.method().as_str(), request.uri().to_string());
    let body = SignableBody::Bytes(body);
    let signable = SignableRequest::new(method, uri, std::iter::empty(), body)?;
    let instructions = instructions(signable, service, key, SystemTime::now())?;
    instructions.apply_to_request_http1x(&mut request);
    Ok(request)
}

/// Returns the headers that sign a request with `key`, as of `time`.
fn instructions(
    request: SignableRequest,
    service: &str,
    key: &AccessKey,
    time: SystemTime,
) -> anyhow::Result<SigningInstructions> {
    let identity = Credentials::new(&key.id, &key.secret, None, None, "local").into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name(service)
        .time(time)
        .settings(SigningSettings::default())
        .build()?
        .into();
    let signed = aws_sigv4::http_request::sign(request, &parameters)?;
    Ok(signed.into_parts().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let key: AccessKey = "id:secret".parse().expect("ID:SECRET");
        assert_eq!(format!("{key:?}"), "AccessKey(id)");
    }
}

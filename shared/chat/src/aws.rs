//! What clients of AWS services share: credentials, region, and the HTTP clients.

use std::sync::OnceLock;

use aws_credential_types::Credentials;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::Result;
use crate::config::{Secret, optional, required};

/// The identity of a function, as Lambda gives it.
#[derive(Debug, Clone)]
pub struct AwsConfig {
    /// `AWS_REGION`: set by Lambda; part of signatures.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`: set by Lambda from the execution role.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`: set by Lambda from the execution role.
    pub secret_access_key: Secret,
    /// `AWS_SESSION_TOKEN`: set by Lambda from the execution role; empty for a long-lived key.
    pub session_token: Option<Secret>,
}

impl AwsConfig {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config): a variable is missing or malformed.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            region: required("AWS_REGION")?,
            access_key_id: required("AWS_ACCESS_KEY_ID")?,
            secret_access_key: required("AWS_SECRET_ACCESS_KEY")?.into(),
            session_token: optional("AWS_SESSION_TOKEN")?.map(Secret::from),
        })
    }

    /// The credentials, for a client of the SDK.
    pub(crate) fn credentials(&self) -> Credentials {
        let session_token = self.session_token.as_ref();
        Credentials::new(
            &self.access_key_id,
            self.secret_access_key.expose(),
            session_token.map(|token| token.expose().to_owned()),
            None,
            "environment",
        )
    }
}

/// The HTTP client for an endpoint, one for all clients of a process.
pub(crate) fn http_client(endpoint: &str) -> SharedHttpClient {
    static HTTP: OnceLock<SharedHttpClient> = OnceLock::new();
    match endpoint.starts_with("https://") {
        true => https_client(),
        false => HTTP.get_or_init(|| Builder::new().build_http()).clone(),
    }
}

/// The HTTP client for AWS's own addresses. The root certificates take some milliseconds to load, so
/// this happens once and only if they are needed.
pub(crate) fn https_client() -> SharedHttpClient {
    static HTTPS: OnceLock<SharedHttpClient> = OnceLock::new();
    let build = || {
        Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .build_https()
    };
    HTTPS.get_or_init(build).clone()
}

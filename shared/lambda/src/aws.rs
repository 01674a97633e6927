//! Credentials, region and HTTP client for the AWS SDK.

use std::sync::OnceLock;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use chat::Result;
use chat::secret::Secret;

use crate::env::{optional, required};

/// The identity of a function, as Lambda gives it.
#[derive(Debug, Clone)]
pub struct AwsConfig {
    /// `AWS_REGION`: set by Lambda; part of signatures.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`: set by Lambda from the execution role.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`: set by Lambda from the execution role.
    pub secret_access_key: Secret,
    /// `AWS_SESSION_TOKEN`: set by Lambda from the execution role. `None` if not set or empty.
    pub session_token: Option<Secret>,
}

impl AwsConfig {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](chat::Error::Config): a variable is missing or malformed.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            region: required("AWS_REGION")?,
            access_key_id: required("AWS_ACCESS_KEY_ID")?,
            secret_access_key: required("AWS_SECRET_ACCESS_KEY")?.into(),
            session_token: optional("AWS_SESSION_TOKEN")?.map(Secret::from),
        })
    }

    /// Returns the settings of an SDK client, for the service at `endpoint` or else at AWS's own
    /// address.
    pub fn sdk_config(&self, endpoint: Option<&str>) -> SdkConfig {
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(self.credentials()))
            .http_client(http_client(endpoint))
            // Bodies are small, and the timeout of an attempt covers them.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url(endpoint.map(str::to_owned));
        config.build()
    }

    fn credentials(&self) -> Credentials {
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

/// Returns the address of a service from its own `variable`, else from `AWS_ENDPOINT_URL`, [as everywhere]; `None` for
/// AWS's own address.
///
/// # Errors
///
/// [`Error::Config`](chat::Error::Config): it is not UTF-8.
///
/// [as everywhere]: https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
pub fn endpoint_url(variable: &'static str) -> Result<Option<String>> {
    match optional(variable)? {
        Some(endpoint) => Ok(Some(endpoint)),
        None => optional("AWS_ENDPOINT_URL"),
    }
}

/// Returns the region in the [ARN] of a resource of `service`, `arn:{partition}:{service}:{region}:…`; `None` if the text is
/// none, or names no region.
///
/// [ARN]: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
pub fn region<'a>(arn: &'a str, service: &str) -> Option<&'a str> {
    match arn.splitn(6, ':').collect::<Vec<_>>()[..] {
        ["arn", _, of, region, _, _] if of == service && !region.is_empty() => Some(region),
        _ => None,
    }
}

/// Returns the HTTP client for an endpoint, shared by all SDK clients of a process.
///
/// The root certificates take some milliseconds to load, so this happens once, and not for an
/// endpoint without TLS.
fn http_client(endpoint: Option<&str>) -> SharedHttpClient {
    static HTTP: OnceLock<SharedHttpClient> = OnceLock::new();
    static HTTPS: OnceLock<SharedHttpClient> = OnceLock::new();
    let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    if is_plain {
        return HTTP.get_or_init(|| Builder::new().build_http()).clone();
    }
    let build = || {
        Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .build_https()
    };
    HTTPS.get_or_init(build).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_that_of_a_resource_of_the_service() {
        let topic = "arn:aws:sns:eu-west-1:123456789012:offline";
        assert_eq!(region(topic, "sns"), Some("eu-west-1"));
        let secret = "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:chat-AbCdEf";
        assert_eq!(region(secret, "secretsmanager"), Some("cn-north-1"));
        for other in [
            "",
            "arn",
            "offline",
            "arn:aws:sns::1:offline",
            "arn:aws:sns:eu-west-1",
            "arn:aws:sqs:eu-west-1:1:offline",
            "a:b:sns:c:d:e",
        ] {
            assert_eq!(region(other, "sns"), None, "{other}");
        }
    }
}

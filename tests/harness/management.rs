//! The `@connections` API through the AWS SDK.

use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::config::retry::RetryConfig;
use aws_sdk_apigatewaymanagement::config::{BehaviorVersion, Config, Credentials, Region};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};

/// Returns a client that never retries, so that tests see every response.
///
/// `endpoint` is the base URL, with the stage unless behind a custom domain.
pub fn client(endpoint: &str, region: &str, credentials: Credentials) -> Client {
    let builder = aws_smithy_http_client::Builder::new();
    let http = if endpoint.starts_with("https://") {
        let ring = tls::Provider::Rustls(CryptoMode::Ring);
        builder.tls_provider(ring).build_https()
    } else {
        builder.build_http()
    };
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .credentials_provider(credentials)
        .endpoint_url(endpoint)
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// Returns credentials that do not expire within a test run.
pub fn credentials(id: &str, secret: &str, session_token: Option<String>) -> Credentials {
    Credentials::new(id, secret, session_token, None, "given")
}

//! HTTP client for endpoints outside AWS: the issuer's JWKS, CloudFormation's response URL.

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// The client. It follows no redirects and has no timeouts of its own.
pub type Client = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Returns a client for `http` and `https`. It keeps no connection: its requests are rare, and Lambda
/// freezes the process between them, so a kept connection may be dead without the process having seen
/// its end.
pub fn new() -> Client {
    let provider = rustls::crypto::ring::default_provider();
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(provider)
        .expect("the provider has the default versions of TLS")
        .https_or_http()
        .enable_http1()
        .build();
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.pool_max_idle_per_host(0).build(connector)
}

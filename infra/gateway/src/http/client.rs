//! An HTTP client with a pool of connections, for other Invoke APIs and for the keys of issuers.

use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Size limit of a response, in bytes. It is above that of Lambda.
const MAX_RESPONSE_BYTES: usize = 8 * 1024 * 1024;

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

static CLIENT: LazyLock<HttpClient> = LazyLock::new(|| {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    // Header and body are two writes; the second must not wait for an acknowledgement.
    connector.set_nodelay(true);
    let provider = rustls::crypto::ring::default_provider();
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(provider)
        .expect("the provider has the default versions of TLS")
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    Client::builder(TokioExecutor::new()).build(connector)
});

/// Sends a request and reads the response.
///
/// # Errors
///
/// There is no response, or one of more than 8 MB.
pub async fn send(request: Request<Full<Bytes>>) -> Result<Response<Bytes>> {
    let response = CLIENT
        .request(request)
        .await
        .context("it does not respond")?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, MAX_RESPONSE_BYTES).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("the response breaks off: {error}"))?;
    Ok(Response::from_parts(parts, body.to_bytes()))
}

/// Reads a page.
///
/// # Errors
///
/// It cannot be read, or its status is not 2xx.
pub async fn get(url: &str) -> Result<Bytes> {
    let request = Request::get(url).body(Full::default())?;
    let response = send(request).await.with_context(|| url.to_owned())?;
    ensure!(
        response.status().is_success(),
        "{url} responds with {}",
        response.status()
    );
    Ok(response.into_body())
}

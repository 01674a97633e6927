//! The history over HTTP.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{StatusCode, Uri};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tests::client::encode;

/// The messages of two users.
///
/// # Errors
///
/// The answer is not 200 with a JSON array.
pub async fn get(url: &str, user1: &str, user2: &str) -> Result<Vec<Value>> {
    let (user1, user2) = (encode(user1), encode(user2));
    let uri: Uri = format!("{url}?user1={user1}&user2={user2}").parse()?;
    let connector = HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_http1()
        .build();
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let response = client.get(uri).await.context("no answer")?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body);
    ensure!(status == StatusCode::OK, "{status}: {text}");
    serde_json::from_str(&text).with_context(|| text.into_owned())
}

//! The history over HTTP.

use anyhow::{Context, Result, ensure};
use hyper::{Request, StatusCode};
use serde_json::Value;
use tests::client::encode;

/// The messages of two users.
///
/// # Errors
///
/// The answer is not 200 with a JSON array.
pub async fn get(url: &str, user1: &str, user2: &str) -> Result<Vec<Value>> {
    let (user1, user2) = (encode(user1), encode(user2));
    let request = Request::get(format!("{url}?user1={user1}&user2={user2}"));
    let response = local::client::send(request.body(Default::default())?).await?;
    let (status, text) = (response.status(), String::from_utf8_lossy(response.body()));
    ensure!(status == StatusCode::OK, "{status}: {text}");
    serde_json::from_str(&text).with_context(|| text.into_owned())
}

//! The history over HTTP.

use anyhow::{Context, Result, ensure};
use hyper::header::AUTHORIZATION;
use hyper::{Request, StatusCode};
use serde_json::Value;
use tests::client::encode;

/// The messages of two users after the number `after`, for who has a token, if any.
///
/// # Errors
///
/// The answer is not 200 with a JSON array.
pub async fn get(
    url: &str,
    [user1, user2]: [&str; 2],
    after: i64,
    token: Option<&str>,
) -> Result<Vec<Value>> {
    let (status, text) = ask(url, [user1, user2], after, token).await?;
    ensure!(status == StatusCode::OK, "{status}: {text}");
    serde_json::from_str(&text).context(text)
}

/// The status of the same request.
///
/// # Errors
///
/// There is no answer.
pub async fn status(url: &str, users: [&str; 2], token: Option<&str>) -> Result<StatusCode> {
    let (status, _) = ask(url, users, 0, token).await?;
    Ok(status)
}

async fn ask(
    url: &str,
    users: [&str; 2],
    after: i64,
    token: Option<&str>,
) -> Result<(StatusCode, String)> {
    let [user1, user2] = users.map(encode);
    let query = format!("user1={user1}&user2={user2}&after={after}");
    let mut request = Request::get(format!("{url}?{query}"));
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = local_gateway::http::client::send(request.body(Default::default())?).await?;
    let text = String::from_utf8_lossy(response.body()).into_owned();
    Ok((response.status(), text))
}

//! The web page as it is served; `tests/page` uses it in a browser.

use hyper::{Method, StatusCode};
use tests::client::send;
use tests::{Chat, page};

#[tokio::test]
async fn the_page_and_its_files_come_from_one_origin_and_allow_that_of_the_websocket() {
    let chat = Chat::start().await;
    let files = page::load(&format!("{}/", chat.http)).await;
    let files = files.expect("all files are served");
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["", page::CONFIG, "page/main.js", "page/style.css"]);
    for (name, file) in &files {
        let kind = match name.rsplit_once('.') {
            None => "text/html; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some(_) => "application/json",
        };
        assert_eq!(file.header("content-type"), kind, "{name}");
        assert_eq!(file.header("cache-control"), "no-cache", "{name}");
        assert_eq!(file.header("x-content-type-options"), "nosniff", "{name}");
        let policy = file.header("content-security-policy");
        let allowed = format!("connect-src 'self' {};", chat.ws);
        assert!(policy.contains("default-src 'none';"), "{name}: {policy}");
        assert!(policy.contains(&allowed), "{name}: {policy}");
    }
    let config = files[page::CONFIG].json();
    let expected = serde_json::json!({
        "socketUrl": format!("{}/prod?user_id={{user}}", chat.ws),
        "auth": "open",
        "userClaim": "sub",
    });
    assert_eq!(config, expected);
    chat.stop().await;
}

#[tokio::test]
async fn a_caller_gets_the_encoding_that_it_accepts_and_no_file_that_it_has() {
    let chat = Chat::start().await;
    let url = format!("{}/", chat.http);
    let get = async |headers: &[(&str, &str)]| send(Method::GET, &url, headers).await;

    let plain = get(&[]).await;
    assert_eq!(plain.header("content-encoding"), "");
    assert!(plain.body.starts_with(b"<!doctype html>"), "{plain:?}");
    assert_eq!(plain.header("vary"), "accept-encoding");
    for coding in ["br, gzip", "gzip;q=0.5", "gzip , deflate"] {
        let compressed = get(&[("accept-encoding", coding)]).await;
        assert_eq!(compressed.header("content-encoding"), "gzip", "{coding}");
        assert!(compressed.body.len() < plain.body.len(), "{coding}");
        assert_eq!(compressed.header("etag"), plain.header("etag"));
    }
    for coding in ["br", "gzip;q=0", "gzip; q=0.0", "x-gzip"] {
        let uncompressed = get(&[("accept-encoding", coding)]).await;
        assert_eq!(uncompressed.body, plain.body, "{coding}");
    }

    let tag = plain.header("etag");
    for known in [tag, "*", &format!("\"other\", {tag}")] {
        let nothing = get(&[("if-none-match", known)]).await;
        assert_eq!(nothing.status, StatusCode::NOT_MODIFIED, "{known}");
        assert!(nothing.body.is_empty(), "{known}");
        assert_eq!(nothing.header("etag"), tag);
    }
    let changed = get(&[("if-none-match", "W/\"other\"")]).await;
    assert_eq!(changed.body, plain.body);
    chat.stop().await;
}

#[tokio::test]
async fn nothing_but_the_listed_files_is_served() {
    let chat = Chat::start().await;
    for path in [
        "page/",
        "page/none.js",
        "page/../Cargo.toml",
        "page/%2e%2e/%2e%2e/Cargo.toml",
        "page/..%2f..%2fCargo.toml",
        "page/client/index.js",
        "page/%ff",
        "page/main.js%00",
    ] {
        let response = send(Method::GET, &format!("{}/{path}", chat.http), &[]).await;
        assert_eq!(response.status, StatusCode::NOT_FOUND, "{path}");
        assert!(response.body.len() < 100, "{path}: {response:?}");
    }
    let posted = send(Method::POST, &format!("{}/", chat.http), &[]).await;
    assert_eq!(posted.status, StatusCode::NOT_FOUND);
    chat.stop().await;
}

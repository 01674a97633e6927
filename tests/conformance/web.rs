//! HTTP client for local and deployed stages.

use std::sync::OnceLock;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tests::TIMEOUT;
use tests::client::HttpResponse;

use crate::target::Target;

/// Returns a request to the HTTP API of a target, with `instructions` for the probe.
pub fn request(
    target: &Target,
    method: &str,
    path: &str,
    instructions: &Value,
) -> hyper::http::request::Builder {
    let request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", target.http));
    match instructions {
        Value::Null => request,
        instructions => request.header("x-probe", instructions.to_string()),
    }
}

/// Sends a GET request to the HTTP API of a target, with `instructions` for the probe.
pub async fn get(target: &Target, path: &str, instructions: &Value) -> HttpResponse {
    finish(request(target, "GET", path, instructions)).await
}

/// Sends a request without a body.
pub async fn finish(request: hyper::http::request::Builder) -> HttpResponse {
    send(request.body(Full::default()).expect("a URL and headers")).await
}

/// Sends a request on a new connection and reads the whole response.
pub async fn send(request: Request<Full<Bytes>>) -> HttpResponse {
    read(exchange(request).await).await
}

/// Reads the body of a response.
pub async fn read(response: Response<Incoming>) -> HttpResponse {
    let (parts, body) = response.into_parts();
    HttpResponse {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.expect("the body arrives").to_bytes(),
    }
}

/// Sends a request on a new connection, with header names in `Title-Case`. A `ws` URL is requested
/// as `http`, and `wss` as `https`.
pub async fn exchange(mut request: Request<Full<Bytes>>) -> Response<Incoming> {
    let uri = request.uri().to_string();
    *request.uri_mut() = http_uri(&uri);
    let client = Client::builder(TokioExecutor::new())
        .http1_title_case_headers(true)
        .build(connector().clone());
    let response = tokio::time::timeout(TIMEOUT, client.request(request)).await;
    response
        .unwrap_or_else(|_| panic!("{uri}: no response in time"))
        .unwrap_or_else(|error| panic!("{uri}: {error:?}"))
}

fn http_uri(uri: &str) -> Uri {
    let uri = match uri.strip_prefix("ws") {
        Some(rest) => format!("http{rest}"),
        None => uri.to_owned(),
    };
    uri.parse().expect("a URL")
}

fn connector() -> &'static HttpsConnector<HttpConnector> {
    static CONNECTOR: OnceLock<HttpsConnector<HttpConnector>> = OnceLock::new();
    CONNECTOR.get_or_init(|| {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(http)
    })
}

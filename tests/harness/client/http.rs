//! An HTTP client.

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use super::Error;
use crate::TIMEOUT;

/// Time limit of a response. API Gateway ends a request after half of it.
const RESPONSE_TIMEOUT: Duration = TIMEOUT.saturating_mul(3);

/// An HTTP response.
#[derive(Debug)]
pub struct HttpResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl HttpResponse {
    /// Returns the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// Returns the body as a JSON array of messages; the status must be 200.
    pub fn messages(&self) -> Vec<Value> {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self.json().as_array().expect("an array").clone()
    }

    /// Returns a header as text; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// Returns the query of the link with a relation (`next`), if there is one.
    pub fn link(&self, relation: &str) -> Option<String> {
        let links = self.header("link").split(", ");
        let target = links.filter_map(|link| link.split_once(">; rel="));
        let mut found = target.filter(|(_, rel)| rel.trim_matches('"') == relation);
        let (target, _) = found.next()?;
        Some(target.trim_start_matches('<').to_owned())
    }
}

/// Opens connections; all clients share its TLS settings.
static CONNECTOR: LazyLock<HttpsConnector<HttpConnector>> = LazyLock::new(|| {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
        .expect("the provider has the default versions of TLS")
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector)
});

/// An HTTP client that keeps its connections.
pub struct Http(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Default for Http {
    fn default() -> Self {
        Self(Client::builder(TokioExecutor::new()).build(CONNECTOR.clone()))
    }
}

impl Http {
    /// Sends a request.
    ///
    /// # Panics
    ///
    /// There is no response.
    pub async fn request(&self, method: Method, url: &str, body: Vec<u8>) -> HttpResponse {
        let response = self.try_request(method, url, body).await;
        response.expect("a response")
    }

    /// Sends a request to a server that may not respond.
    ///
    /// # Errors
    ///
    /// There is no response, not in time, or it breaks off.
    pub async fn try_request(
        &self,
        method: Method,
        url: &str,
        body: Vec<u8>,
    ) -> Result<HttpResponse> {
        let request = Request::builder().method(method).uri(url);
        self.send(request.body(Full::new(Bytes::from(body)))?).await
    }

    /// Sends a GET request, with a token if there is one; returns the body.
    ///
    /// # Errors
    ///
    /// - [`Error::Rejected`]: the status is not 200.
    /// - [`Error::Unknown`]: there is no response, or not in time.
    pub async fn get(
        &self,
        url: &str,
        token: Option<&str>,
        time_limit: Duration,
    ) -> Result<Bytes, Error> {
        let mut request = Request::get(url);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::default()).map_err(Error::unknown)?;
        let response = timeout(time_limit, self.send(request)).await;
        let response = response.map_err(|_| Error::no_response())?;
        let response = response.map_err(Error::unknown)?;
        match response.status {
            StatusCode::OK => Ok(response.body),
            status => Err(Error::Rejected(status)),
        }
    }

    /// Sends a GET request as [`Http::get`] does; returns the value that its body is.
    ///
    /// # Errors
    ///
    /// As [`Http::get`], and [`Error::Malformed`]: the body has another form.
    pub async fn get_json<T: DeserializeOwned>(
        &self,
        url: &str,
        token: Option<&str>,
        time_limit: Duration,
    ) -> Result<T, Error> {
        let body = self.get(url, token, time_limit).await?;
        let text = |_| Error::Malformed(String::from_utf8_lossy(&body).into_owned());
        serde_json::from_slice(&body).map_err(text)
    }

    /// Sends any request.
    ///
    /// # Errors
    ///
    /// There is no response, not in time, or it breaks off; the error names the request.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<HttpResponse> {
        let name = format!("{} {}", request.method(), request.uri());
        let response = async {
            let (parts, body) = self.0.request(request).await?.into_parts();
            anyhow::Ok(HttpResponse {
                status: parts.status,
                headers: parts.headers,
                body: body.collect().await?.to_bytes(),
            })
        };
        let response = timeout(RESPONSE_TIMEOUT, response).await;
        let response = response.with_context(|| format!("no response to {name} in time"));
        response?.with_context(|| format!("no response to {name}"))
    }
}

/// Sends a GET request on a connection of its own.
pub async fn get(url: &str) -> HttpResponse {
    request(Method::GET, url, Vec::new()).await
}

/// Sends a GET request with a token on a connection of its own.
pub async fn get_as(token: &str, url: &str) -> HttpResponse {
    let bearer = format!("Bearer {token}");
    send(Method::GET, url, &[("authorization", &bearer)]).await
}

/// Sends a request without a body, with these headers, on a connection of its own.
pub async fn send(method: Method, url: &str, headers: &[(&str, &str)]) -> HttpResponse {
    let request = Request::builder().method(method).uri(url);
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    let request = request.body(Full::default()).expect("a URL and headers");
    Http::default().send(request).await.expect("a response")
}

/// Sends a request on a connection of its own.
pub async fn request(method: Method, url: &str, body: Vec<u8>) -> HttpResponse {
    Http::default().request(method, url, body).await
}

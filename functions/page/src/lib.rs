//! `GET /` and `GET /page/{file+}`: the web page and what it loads.
//!
//! - [`config`]: the settings of the page, and its content security policy
//! - [`files`]: the files, which are embedded in the binary
//! - `site`, `bundle`: make them of the sources, at build time

#[cfg(debug_assertions)]
mod bundle;
pub mod config;
pub mod files;
#[cfg(debug_assertions)]
mod site;

use std::convert::Infallible;

use lambda_http::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY};
use lambda_http::http::{HeaderMap, HeaderName, StatusCode, response};
use lambda_http::{Body, Request, RequestExt, Response};

pub use config::Config;
use files::File;

/// The file behind `GET /`.
const INDEX: &str = "index.html";

/// The path of the settings below `/page/`.
const CONFIG: &str = "config.json";

/// The dependencies of the handler.
pub struct Deps {
    /// `config.json`.
    pub config: File,
    /// The header `content-security-policy`.
    pub policy: String,
}

impl Deps {
    /// Returns the dependencies for the given settings.
    pub fn new(config: &Config) -> Self {
        Self {
            config: File::new(CONFIG, &config.json()),
            policy: config.policy(),
        }
    }
}

/// Responds with one file: 200 with its text, 304 if the caller has it already, or 404.
pub async fn handle(request: Request, deps: &'static Deps) -> Result<Response<Body>, Infallible> {
    let parameters = request.path_parameters_ref();
    let name = parameters.and_then(|parameters| parameters.first("file"));
    Ok(respond(name.unwrap_or(INDEX), request.headers(), deps))
}

fn respond(name: &str, headers: &HeaderMap, deps: &Deps) -> Response<Body> {
    if name == CONFIG {
        return deliver(&deps.config, headers, &deps.policy);
    }
    match files::find(name) {
        Some(file) => deliver(&file, headers, &deps.policy),
        None => {
            tracing::info!("there is no such file");
            let response = with_headers(StatusCode::NOT_FOUND, &deps.policy)
                .header("content-type", "text/plain; charset=utf-8");
            finish(response, "There is no such file.\n".into())
        }
    }
}

/// Returns the file in a form that the caller accepts, or 304 if the caller has it.
fn deliver(file: &File, headers: &HeaderMap, policy: &str) -> Response<Body> {
    let is_known = lists(headers, IF_NONE_MATCH, |tag| tag == file.etag || tag == "*");
    let status = if is_known {
        StatusCode::NOT_MODIFIED
    } else {
        StatusCode::OK
    };
    let response = with_headers(status, policy)
        .header("content-type", file.content_type)
        // A cache asks each time, and mostly gets a 304: files of two releases are never mixed.
        .header("cache-control", "no-cache")
        .header(ETAG, &file.etag)
        .header(VARY, ACCEPT_ENCODING.as_str());
    if is_known {
        return finish(response, Body::Empty);
    }
    let takes_gzip = lists(headers, ACCEPT_ENCODING, |coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next() == Some("gzip") && !parts.any(is_never)
    });
    match file.gzip.filter(|_| takes_gzip) {
        Some(bytes) => finish(
            response.header(CONTENT_ENCODING, "gzip"),
            Body::Binary(bytes.to_vec()),
        ),
        None => finish(response, Body::Text(file.text.clone())),
    }
}

/// Returns whether a header that is a list with commas has an item for which `fits` holds.
fn lists(headers: &HeaderMap, name: HeaderName, fits: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(name).into_iter();
    let mut items = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    items.any(|item| fits(item.trim()))
}

/// Returns whether a parameter of a coding means that it is not accepted: `q=0`.
fn is_never(parameter: &str) -> bool {
    let quality = parameter.strip_prefix("q=");
    quality.is_some_and(|quality| quality.parse() == Ok(0.0))
}

/// Returns a response with the headers that all of them have.
fn with_headers(status: StatusCode, policy: &str) -> response::Builder {
    Response::builder()
        .status(status)
        .header("content-security-policy", policy)
        .header("cross-origin-opener-policy", "same-origin")
        .header("referrer-policy", "no-referrer")
        .header("x-content-type-options", "nosniff")
}

fn finish(response: response::Builder, body: Body) -> Response<Body> {
    response
        .body(body)
        .expect("all headers are valid: they are checked when the settings are read")
}

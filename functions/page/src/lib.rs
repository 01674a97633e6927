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

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chat_lambda::http_event::{HttpEvent, HttpResponse};
use lambda_runtime::LambdaEvent;

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
pub async fn handle(
    event: LambdaEvent<HttpEvent>,
    deps: &'static Deps,
) -> Result<HttpResponse, Infallible> {
    Ok(respond(&event.payload, deps))
}

/// Returns the response to a request.
pub fn respond(event: &HttpEvent, deps: &Deps) -> HttpResponse {
    let name = event.path_parameter("file").unwrap_or(INDEX);
    if name == CONFIG {
        return deliver(&deps.config, event, &deps.policy);
    }
    match files::find(name) {
        Some(file) => deliver(&file, event, &deps.policy),
        None => {
            tracing::info!("there is no such file");
            with_headers(404, &deps.policy)
                .header("content-type", "text/plain; charset=utf-8")
                .text("There is no such file.\n".to_owned())
        }
    }
}

/// Returns the file in a form that the caller accepts, or 304 if the caller has it.
fn deliver(file: &File, event: &HttpEvent, policy: &str) -> HttpResponse {
    let is_known = lists(event, "if-none-match", |tag| tag == file.etag || tag == "*");
    let response = with_headers(if is_known { 304 } else { 200 }, policy)
        .header("content-type", file.content_type)
        // A cache asks each time, and mostly gets a 304: files of two releases are never mixed.
        .header("cache-control", "no-cache")
        .header("etag", &file.etag)
        .header("vary", "accept-encoding");
    if is_known {
        return response;
    }
    let takes_gzip = lists(event, "accept-encoding", |coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next() == Some("gzip") && !parts.any(is_never)
    });
    match file.gzip.filter(|_| takes_gzip) {
        Some(bytes) => HttpResponse {
            body: STANDARD.encode(bytes),
            is_base64_encoded: true,
            ..response.header("content-encoding", "gzip")
        },
        None => response.text(file.text.clone()),
    }
}

/// Returns whether a header that is a list with commas has an item for which `fits` holds.
fn lists(event: &HttpEvent, name: &str, fits: impl Fn(&str) -> bool) -> bool {
    let mut items = event.header(name).unwrap_or_default().split(',');
    items.any(|item| fits(item.trim()))
}

/// Returns whether a parameter of a coding means that it is not accepted: `q=0`.
fn is_never(parameter: &str) -> bool {
    let quality = parameter.strip_prefix("q=");
    quality.is_some_and(|quality| quality.parse() == Ok(0.0))
}

/// Returns a response with the headers that all of them have.
fn with_headers(status: u16, policy: &str) -> HttpResponse {
    HttpResponse::new(status)
        .header("content-security-policy", policy)
        .header("cross-origin-opener-policy", "same-origin")
        .header("referrer-policy", "no-referrer")
        .header("x-content-type-options", "nosniff")
}

//! Cross-origin rules of the HTTP API. The gateway responds to preflights itself, and its headers
//! replace those of the function.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use crate::model::Cors;

/// Whether a request is a preflight.
pub fn is_preflight(parts: &Parts) -> bool {
    let has = |name| parts.headers.contains_key(name);
    parts.method == Method::OPTIONS && has(ORIGIN) && has(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Returns the response to a preflight. No function is invoked.
pub fn preflight(rules: &Cors, parts: &Parts) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    if put_origin(rules, parts, headers) {
        put_list(headers, ACCESS_CONTROL_ALLOW_METHODS, &rules.methods);
        put_list(headers, ACCESS_CONTROL_ALLOW_HEADERS, &rules.headers);
        if let Some(seconds) = rules.max_age {
            headers.insert(ACCESS_CONTROL_MAX_AGE, seconds.into());
        }
    }
    response
}

/// Replaces the headers of a function by those of the rules.
pub fn apply(rules: &Cors, parts: &Parts, headers: &mut HeaderMap) {
    for name in [
        ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_EXPOSE_HEADERS,
        ACCESS_CONTROL_MAX_AGE,
    ] {
        headers.remove(name);
    }
    if put_origin(rules, parts, headers) {
        put_list(headers, ACCESS_CONTROL_EXPOSE_HEADERS, &rules.expose);
    }
}

/// Adds the headers that allow the origin of a request, if the rules allow it.
fn put_origin(rules: &Cors, parts: &Parts, headers: &mut HeaderMap) -> bool {
    let Some(origin) = parts.headers.get(ORIGIN) else {
        return false;
    };
    let is_allowed = origin
        .to_str()
        .is_ok_and(|origin| is_allowed(rules, origin));
    if is_allowed {
        let any = rules.origins.iter().any(|rule| rule == "*") && !rules.credentials;
        let allowed = if any {
            HeaderValue::from_static("*")
        } else {
            origin.clone()
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if !any {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        if rules.credentials {
            let yes = HeaderValue::from_static("true");
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }
    is_allowed
}

fn is_allowed(rules: &Cors, origin: &str) -> bool {
    rules
        .origins
        .iter()
        .any(|rule| match rule.strip_suffix('*') {
            Some(start) => origin.starts_with(start),
            None => rule.eq_ignore_ascii_case(origin),
        })
}

fn put_list(headers: &mut HeaderMap, name: HeaderName, list: &[String]) {
    if let Ok(value) = HeaderValue::from_str(&list.join(","))
        && !list.is_empty()
    {
        headers.insert(name, value);
    }
}

//! Handles requests: events in payload format 1.0 or 2.0, and the rules for a function's response.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::cors;
use crate::apigw::authorize;
use crate::apigw::authorize::response::{AuthorizerResponse, Rejection};
use crate::apigw::authorize::sources::identity;
use crate::apigw::event::http::HttpRequest;
use crate::apigw::routing::{HttpMatch, match_http};
use crate::apigw::state::Gateway;
use crate::http::body::Body;
use crate::http::headers::{header_pairs, query_pairs};
use crate::http::server::{ClientAddr, MAX_HEAD_BYTES, head_bytes, json_response, response};
use crate::lambda::{Invocation, InvokeError};
use crate::logs::millis;
use crate::model::{Authorizer, HttpApi, LambdaAuthorizer, Payload};

/// Size limit of a request body: Lambda's limit, which is below that of API Gateway.
const MAX_BODY_BYTES: usize = 6 * 1024 * 1024;

/// The status when a function exceeds the integration timeout. [U], widely reported
const TIMED_OUT: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// Headers that belong to the connection between client and gateway; a function cannot set them.
const OF_THE_CONNECTION: [HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];

/// Handles one request.
pub async fn handle(
    gateway: Arc<Gateway>,
    request: Request<Incoming>,
    client: ClientAddr,
) -> Response<Full<Bytes>> {
    let start = Instant::now();
    let what = format!("{} {}", request.method(), request.uri().path());
    let response = match &gateway.template.http {
        Some(api) => call(&gateway, api, request, client).await,
        None => message(StatusCode::NOT_FOUND),
    };
    let status = response.status().as_u16();
    tracing::info!(status, duration_ms = millis(start), "{what}");
    response
}

async fn call(
    gateway: &Gateway,
    api: &HttpApi,
    request: Request<Incoming>,
    client: ClientAddr,
) -> Response<Full<Bytes>> {
    if head_bytes(&request) > MAX_HEAD_BYTES {
        return message(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let (parts, body) = request.into_parts();
    if let Some(rules) = &api.cors
        && cors::is_preflight(&parts)
    {
        return cors::preflight(rules, &parts);
    }
    let mut response = match routed(gateway, api, &parts, body, client).await {
        Ok(response) => response,
        Err(status) => message(status),
    };
    if let Some(rules) = &api.cors {
        cors::apply(rules, &parts, response.headers_mut());
    }
    response
}

async fn routed(
    gateway: &Gateway,
    api: &HttpApi,
    parts: &Parts,
    body: Incoming,
    client: ClientAddr,
) -> Result<Response<Full<Bytes>>, StatusCode> {
    let found = admit(gateway, api, parts)?;
    let request = HttpRequest {
        api,
        parts,
        found: &found,
        peer: client.peer,
        port: client.port,
        scheme: client.scheme(),
    };
    let authorizer = match &found.route.authorizer {
        Some(authorizer) => {
            let authorized = authorize(gateway, authorizer, &request).await;
            Some(authorized.map_err(Rejection::status)?)
        }
        None => None,
    };
    let body = gateway.bodies.read(body, MAX_BODY_BYTES).await?;
    if let Some(Authorizer::Iam) = found.route.authorizer {
        authorize::iam::check_body(&gateway.settings.management_verifier, parts, &body.bytes)
            .map_err(Rejection::status)?;
    }
    invoke(gateway, &request, body, authorizer).await
}

/// Returns the route of a request, if its throttle admits the request.
fn admit<'a>(
    gateway: &Gateway,
    api: &'a HttpApi,
    parts: &Parts,
) -> Result<HttpMatch<'a>, StatusCode> {
    if gateway.closing.is_cancelled() {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let path = path_in_stage(api, parts.uri.path()).ok_or(StatusCode::NOT_FOUND)?;
    let found = match_http(&api.routes, parts.method.as_str(), path);
    let found = found.ok_or(StatusCode::NOT_FOUND)?;
    let key = &found.route.key;
    let throttle = api.stage.throttle(key);
    if gateway.http_buckets.admit(key, throttle, Instant::now()) {
        Ok(found)
    } else {
        Err(StatusCode::TOO_MANY_REQUESTS)
    }
}

/// Invokes the function of a route, and returns its response. `authorizer` is the authorizer's part
/// of the event.
async fn invoke(
    gateway: &Gateway,
    request: &HttpRequest<'_>,
    body: Body,
    authorizer: Option<Value>,
) -> Result<Response<Full<Bytes>>, StatusCode> {
    let route = request.found.route;
    // From here on the shutdown of the gateway waits for the response.
    let _pending = gateway.tasks.token();
    let event = match route.payload {
        Payload::V1 => request.event_v1(&body.bytes, authorizer.as_ref()),
        Payload::V2 => request.event(&body.bytes, authorizer.as_ref()),
    };
    let invocation = Invocation {
        function: &route.function,
        cause: &route.key,
        connection_id: None,
        caller: Some(request.caller(authorizer.as_ref())),
        payload: event.to_string().into(),
        timeout: route.timeout,
        dropped: None,
    };
    match gateway.functions.invoke(invocation).await {
        Ok(payload) => from_function(&payload, route.payload).map_err(|error| {
            tracing::warn!("the function's response is malformed: {error:#}");
            StatusCode::INTERNAL_SERVER_ERROR
        }),
        Err(InvokeError::TimedOut) => Err(TIMED_OUT),
        Err(InvokeError::TooLarge) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(error) => {
            tracing::warn!("{} failed: {error}", route.function);
            Err(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Returns the path without the name of the stage; `$default` has none. `None` for another stage.
fn path_in_stage<'a>(api: &HttpApi, path: &'a str) -> Option<&'a str> {
    let stage = &api.stage.name;
    if stage == "$default" {
        return Some(path);
    }
    let rest = path.strip_prefix('/')?.strip_prefix(stage.as_str())?;
    match rest {
        "" => Some("/"),
        _ => rest.starts_with('/').then_some(rest),
    }
}

/// Invokes the authorizer; returns its part of the event.
async fn authorize(
    gateway: &Gateway,
    authorizer: &Authorizer,
    request: &HttpRequest<'_>,
) -> Result<Value, Rejection> {
    let route = request.found.route;
    let headers = header_pairs(&request.parts.headers);
    let query = query_pairs(request.parts.uri.query().unwrap_or_default());
    let identity = |sources: &[_]| {
        identity(sources, &headers, &query, &route.key).ok_or(Rejection::Unauthorized)
    };
    match authorizer {
        Authorizer::Jwt(jwt) => {
            let identity = identity(std::slice::from_ref(&jwt.identity))?;
            let token = identity.first().map_or("", String::as_str);
            gateway.keys.check(jwt, token, &route.scopes).await
        }
        Authorizer::Lambda(lambda) => {
            let response =
                authorizer_response(gateway, lambda, request, &identity(&lambda.identity)?).await?;
            response.check(&request.arn())?;
            Ok(json!({"lambda": response.context()}))
        }
        Authorizer::Iam => {
            authorize::iam::check_head(&gateway.settings.management_verifier, request.parts)
        }
        Authorizer::Deny(why) => Err(authorize::denied(&route.key, why)),
    }
}

/// Returns the response of an authorizer: the cached one, or that of its function.
async fn authorizer_response(
    gateway: &Gateway,
    authorizer: &LambdaAuthorizer,
    request: &HttpRequest<'_>,
    identity: &[String],
) -> Result<AuthorizerResponse, Rejection> {
    if let Some(response) = gateway.authorizer_cache.get(authorizer, identity) {
        return Ok(response);
    }
    let event = match authorizer.payload {
        Payload::V1 => request.authorizer_event_v1(identity),
        Payload::V2 => request.authorizer_event(identity),
    };
    let caller = request.caller(None);
    let response =
        authorize::invoke_authorizer(&gateway.functions, authorizer, None, caller, &event).await?;
    gateway
        .authorizer_cache
        .put(authorizer, identity, &response);
    Ok(response)
}

/// Returns a response of the gateway itself.
fn message(status: StatusCode) -> Response<Full<Bytes>> {
    let text = status.canonical_reason().unwrap_or_default();
    json_response(status, &json!({"message": text}))
}

/// Reads a function's response. In format 2.0, a payload without `statusCode` is the body of a 200.
fn from_function(payload: &Bytes, format: Payload) -> Result<Response<Full<Bytes>>> {
    let result: Value = serde_json::from_slice(payload)?;
    let status = match result.get("statusCode") {
        Some(status) => status,
        None if format == Payload::V2 => return Ok(response(StatusCode::OK, payload.clone())),
        None => bail!("it has no statusCode, which format 1.0 needs"),
    };
    let status = match status {
        Value::String(status) => status.parse()?,
        status => status.as_u64().context("statusCode is not a number")?,
    };
    let body = match &result["body"] {
        Value::Null => "",
        body => body.as_str().context("the body is not a string")?,
    };
    let body = match result["isBase64Encoded"].as_bool() {
        Some(true) => STANDARD.decode(body)?,
        _ => body.as_bytes().to_vec(),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(u16::try_from(status)?)?;
    let headers = response.headers_mut();
    if format == Payload::V1 {
        put_all_headers(headers, &result["multiValueHeaders"])?;
    }
    put_headers(headers, &result["headers"])?;
    for cookie in result["cookies"].as_array().into_iter().flatten() {
        let cookie = cookie.as_str().context("a cookie is not a string")?;
        headers.append(SET_COOKIE, HeaderValue::from_str(cookie)?);
    }
    Ok(response)
}

/// Adds headers with several values.
fn put_all_headers(headers: &mut HeaderMap, values: &Value) -> Result<()> {
    for (name, values) in values.as_object().into_iter().flatten() {
        let name: HeaderName = name.parse()?;
        for value in values.as_array().into_iter().flatten() {
            let value = value.as_str().context("a header is not a string")?;
            if !OF_THE_CONNECTION.contains(&name) {
                headers.append(name.clone(), HeaderValue::from_str(value)?);
            }
        }
    }
    Ok(())
}

fn put_headers(headers: &mut HeaderMap, values: &Value) -> Result<()> {
    for (name, value) in values.as_object().into_iter().flatten() {
        let name: HeaderName = name.parse()?;
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            _ => continue,
        };
        if !OF_THE_CONNECTION.contains(&name) {
            headers.append(name, HeaderValue::from_str(&value)?);
        }
    }
    if !headers.contains_key(CONTENT_TYPE) {
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain;charset=UTF-8"),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response_of(payload: Value) -> Response<Full<Bytes>> {
        from_function(&payload.to_string().into(), Payload::V2).expect("well-formed")
    }

    #[test]
    fn a_payload_without_a_status_is_the_body() {
        let response = response_of(json!({"hello": "world"}));
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/json");
    }

    #[test]
    fn a_function_cannot_set_headers_of_the_connection() {
        let response = response_of(json!({
            "statusCode": 201,
            "headers": {"Content-Length": "999", "transfer-encoding": "chunked", "x-ours": "1"},
            "cookies": ["a=1", "b=2"],
            "body": "aGk=",
            "isBase64Encoded": true,
        }));
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers().len(), 4, "{:?}", response.headers());
        assert_eq!(response.headers().get_all(SET_COOKIE).iter().count(), 2);
    }

    #[test]
    fn a_malformed_response_is_an_error() {
        for payload in ["", "[", r#"{"statusCode":"x"}"#, r#"{"statusCode":99999}"#] {
            assert!(
                from_function(&Bytes::from_static(payload.as_bytes()), Payload::V2).is_err(),
                "{payload}"
            );
        }
    }
}

//! The events that functions get.
//!
//! WebSocket: <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-integration-requests.html>;
//! HTTP, payload format 2.0: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use chrono::{DateTime, Utc};
use hyper::header::{COOKIE, HOST, HeaderMap, USER_AGENT};
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::connections::Socket;
use crate::routing::HttpMatch;
use crate::template::WebSocketApi;

/// Names and values of a query string, decoded, in order.
pub type QueryPairs = Vec<(String, String)>;

/// An id of the shape of API Gateway's request and connection ids: 16 characters of URL-safe base64
/// ending in `=`.
pub fn new_id() -> String {
    let mut bytes = [0; 11];
    fastrand::fill(&mut bytes);
    URL_SAFE.encode(bytes)
}

/// Decodes a query string; `+` is a space.
pub fn query_pairs(query: &str) -> QueryPairs {
    let decode = |part: &str| {
        let spaces = part.replace('+', " ");
        percent_decode_str(&spaces).decode_utf8_lossy().into_owned()
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

/// The event of `$connect`.
pub fn connect(
    api: &WebSocketApi,
    socket: &Socket,
    headers: &HeaderMap,
    query: &QueryPairs,
) -> Value {
    let mut event = json!({
        "requestContext": context(api, socket, "$connect", "CONNECT"),
        "isBase64Encoded": false,
    });
    let hop_by_hop = ["connection", "upgrade", "content-length"];
    let headers = headers
        .iter()
        .filter(|(name, _)| !hop_by_hop.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), header_text(value.as_bytes())));
    put_maps(&mut event, "headers", "multiValueHeaders", headers);
    if !query.is_empty() {
        put_maps(
            &mut event,
            "queryStringParameters",
            "multiValueQueryStringParameters",
            query.iter().cloned(),
        );
    }
    event
}

/// The event of a frame.
pub fn message(api: &WebSocketApi, socket: &Socket, route_key: &str, body: &str) -> Value {
    let mut context = context(api, socket, route_key, "MESSAGE");
    context["messageId"] = new_id().into();
    json!({"requestContext": context, "body": body, "isBase64Encoded": false})
}

/// The event of `$disconnect`.
pub fn disconnect(api: &WebSocketApi, socket: &Socket, code: u16, reason: &str) -> Value {
    let mut context = context(api, socket, "$disconnect", "DISCONNECT");
    context["disconnectStatusCode"] = code.into();
    context["disconnectReason"] = reason.into();
    let mut event = json!({"requestContext": context, "isBase64Encoded": false});
    let headers = [
        ("Host", socket.domain_name.as_str()),
        ("x-api-key", ""),
        ("X-Forwarded-For", ""),
        ("x-restapi", ""),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    put_maps(
        &mut event,
        "headers",
        "multiValueHeaders",
        headers.into_iter(),
    );
    event
}

fn context(api: &WebSocketApi, socket: &Socket, route_key: &str, event_type: &str) -> Value {
    let now = Utc::now();
    let request_id = new_id();
    let mut identity = json!({"sourceIp": socket.source_ip});
    if let Some(user_agent) = &socket.user_agent {
        identity["userAgent"] = user_agent.as_str().into();
    }
    json!({
        "routeKey": route_key,
        "eventType": event_type,
        "extendedRequestId": request_id,
        "requestTime": clf(now),
        "messageDirection": "IN",
        "stage": api.stage,
        "connectedAt": socket.connected_at.timestamp_millis(),
        "requestTimeEpoch": now.timestamp_millis(),
        "identity": identity,
        "requestId": request_id,
        "domainName": socket.domain_name,
        "connectionId": socket.connection_id,
        "apiId": api.api_id,
    })
}

/// Adds a map with the last value of each name and one with all of them.
fn put_maps(
    event: &mut Value,
    single: &str,
    multi: &str,
    pairs: impl Iterator<Item = (String, String)>,
) {
    let mut last = Map::new();
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in pairs {
        last.insert(name.clone(), value.as_str().into());
        all.entry(name).or_default().push(value);
    }
    event[single] = last.into();
    event[multi] = json!(all);
}

/// The event of an HTTP request. Maps that would be empty are absent.
pub fn http(parts: &Parts, source_ip: &str, body: &[u8], found: &HttpMatch) -> Value {
    let now = Utc::now();
    let header = |name| {
        parts
            .headers
            .get(name)
            .map(|value| header_text(value.as_bytes()))
    };
    let host = header(HOST).unwrap_or_default();
    let route_key = match found.route.path.as_str() {
        "$default" => "$default".to_owned(),
        path => format!("{} {path}", found.route.method),
    };
    let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy();
    let mut event = json!({
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "headers": joined_headers(&parts.headers),
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": host,
            "domainPrefix": host.split('.').next(),
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": format!("{:?}", parts.version),
                "sourceIp": source_ip,
                "userAgent": header(USER_AGENT).unwrap_or_default(),
            },
            "requestId": new_id(),
            "routeKey": route_key,
            "stage": "$default",
            "time": clf(now),
            "timeEpoch": now.timestamp_millis(),
        },
        "isBase64Encoded": false,
    });
    let cookies = parts.headers.get_all(COOKIE).iter();
    let cookies: Vec<String> = cookies
        .flat_map(|value| {
            let cookies = header_text(value.as_bytes());
            cookies.split("; ").map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    let mut query: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in query_pairs(parts.uri.query().unwrap_or_default()) {
        join(&mut query, name, value);
    }
    if !query.is_empty() {
        event["queryStringParameters"] = json!(query);
    }
    if !found.parameters.is_empty() {
        event["pathParameters"] = json!(found.parameters);
    }
    put_body(&mut event, &parts.headers, body);
    event
}

fn joined_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut joined = BTreeMap::new();
    for (name, value) in headers {
        if name != COOKIE {
            join(&mut joined, name.to_string(), header_text(value.as_bytes()));
        }
    }
    joined
}

/// Payload format 2.0 joins values of one name with a comma.
fn join(map: &mut BTreeMap<String, String>, name: String, value: String) {
    map.entry(name)
        .and_modify(|values| {
            values.push(',');
            values.push_str(&value);
        })
        .or_insert(value);
}

/// Text goes as it is, everything else in base64.
fn put_body(event: &mut Value, headers: &HeaderMap, body: &[u8]) {
    if body.is_empty() {
        return;
    }
    let content_type = headers.get(hyper::header::CONTENT_TYPE);
    let content_type = content_type.map(|value| header_text(value.as_bytes()));
    let is_text = content_type.is_some_and(|value| {
        let text = [
            "text/",
            "application/json",
            "application/xml",
            "application/javascript",
        ];
        text.iter().any(|prefix| value.starts_with(prefix))
    });
    match std::str::from_utf8(body) {
        Ok(text) if is_text => event["body"] = text.into(),
        _ => {
            event["body"] = STANDARD.encode(body).into();
            event["isBase64Encoded"] = true.into();
        }
    }
}

fn header_text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// Common log format: `09/Feb/2026:18:11:43 +0000`.
fn clf(time: DateTime<Utc>) -> String {
    time.format("%d/%b/%Y:%H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_looks_like_one_of_api_gateway() {
        for _ in 0..1_000 {
            let id = new_id();
            assert_eq!(id.len(), 16, "{id}");
            assert!(id.ends_with('='), "{id}");
            assert!(!id.contains(['+', '/']), "{id}");
        }
    }
}

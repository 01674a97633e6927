//! Events of the HTTP API: payload format 2.0, and those of its authorizers. Maps that would be
//! empty are absent.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>,
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html>

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use hyper::header::{COOKIE, HOST, HeaderMap, USER_AGENT};
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::clf;
use crate::apigw::routing::HttpMatch;
use crate::http::headers::{header_text, query_pairs};
use crate::ids::{new_id, trace_id};
use crate::lambda::shares::Caller;
use crate::model::{ACCOUNT_ID, HttpApi, REGION};

/// Whether an authorizer without identity sources gets null in place of an empty list. [U]
const NO_IDENTITY_IS_NULL: bool = true;

/// A request that has found its route.
pub struct HttpRequest<'a> {
    /// The API.
    pub api: &'a HttpApi,
    /// Method, URL and headers.
    pub parts: &'a Parts,
    /// The route.
    pub found: &'a HttpMatch<'a>,
    /// The client.
    pub peer: SocketAddr,
    /// The port that it came to.
    pub port: u16,
    /// `http`, or `https` over TLS.
    pub scheme: &'static str,
}

impl HttpRequest<'_> {
    /// Returns the caller: the user, by the authorizer's part of the event, else the address.
    pub fn caller(&self, authorizer: Option<&Value>) -> Caller {
        match authorizer {
            Some(authorizer) => Caller::User(authorizer.to_string()),
            None => Caller::Address(self.peer.ip().to_string()),
        }
    }

    /// Returns the event of the route's function. `authorizer` is the authorizer's part of it.
    pub fn event(&self, body: &[u8], authorizer: Option<&Value>) -> Value {
        let mut event = self.common();
        event["isBase64Encoded"] = false.into();
        if let Some(authorizer) = authorizer {
            event["requestContext"]["authorizer"] = authorizer.clone();
        }
        put_body(&mut event, &self.parts.headers, body);
        event
    }

    /// Returns the event of an authorizer, format 2.0.
    pub fn authorizer_event(&self, identity: &[String]) -> Value {
        let mut event = self.common();
        event["type"] = "REQUEST".into();
        event["routeArn"] = self.arn().into();
        event["identitySource"] = match identity {
            [] if NO_IDENTITY_IS_NULL => Value::Null,
            identity => json!(identity),
        };
        event
    }

    /// Returns the event of an authorizer, format 1.0, which is that of REST APIs.
    pub fn authorizer_event_v1(&self, identity: &[String]) -> Value {
        let route = &self.found.route;
        let event = self.common();
        let context = &event["requestContext"];
        let first = identity.first().map_or("", String::as_str);
        json!({
            "version": "1.0",
            "type": "REQUEST",
            "methodArn": self.arn(),
            "identitySource": identity.join(","),
            "authorizationToken": first,
            "resource": route.path,
            "path": event["rawPath"],
            "httpMethod": self.parts.method.as_str(),
            "headers": event["headers"],
            "queryStringParameters": event.get("queryStringParameters").unwrap_or(&json!({})),
            "pathParameters": self.found.parameters,
            "stageVariables": self.api.stage.variables,
            "requestContext": {
                "path": event["rawPath"],
                "accountId": ACCOUNT_ID,
                "resourceId": route.key,
                "stage": context["stage"],
                "requestId": context["requestId"],
                "identity": {
                    "userAgent": context["http"]["userAgent"],
                    "sourceIp": context["http"]["sourceIp"],
                },
                "resourcePath": route.path,
                "httpMethod": self.parts.method.as_str(),
                "apiId": self.api.api_id,
            },
        })
    }

    /// Returns the ARN that an authorizer has to allow.
    pub fn arn(&self) -> String {
        let (id, stage) = (&self.api.api_id, &self.api.stage.name);
        let (method, path) = (&self.parts.method, self.parts.uri.path());
        let path = path.strip_prefix(&format!("/{stage}")).unwrap_or(path);
        format!("arn:aws:execute-api:{REGION}:{ACCOUNT_ID}:{id}/{stage}/{method}{path}")
    }

    /// Returns the common part of the events of functions and authorizers.
    fn common(&self) -> Value {
        let (parts, found) = (self.parts, self.found);
        let uri = &parts.uri;
        let mut event = json!({
            "version": "2.0",
            "routeKey": found.route.key,
            "rawPath": percent_decode_str(uri.path()).decode_utf8_lossy(),
            "rawQueryString": uri.query().unwrap_or_default(),
            "headers": self.headers(),
            "requestContext": self.context(),
        });
        let cookies = cookies(&parts.headers);
        if !cookies.is_empty() {
            event["cookies"] = json!(cookies);
        }
        let mut query: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in query_pairs(uri.query().unwrap_or_default()) {
            join(&mut query, name, &value);
        }
        if !query.is_empty() {
            event["queryStringParameters"] = json!(query);
        }
        if !found.parameters.is_empty() {
            event["pathParameters"] = json!(found.parameters);
        }
        if !self.api.stage.variables.is_empty() {
            event["stageVariables"] = json!(self.api.stage.variables);
        }
        event
    }

    fn context(&self) -> Value {
        let (parts, now) = (self.parts, Utc::now());
        let header = |name| {
            let value = parts.headers.get(name);
            value
                .map(|value| header_text(value.as_bytes()))
                .unwrap_or_default()
        };
        let host = header(HOST);
        json!({
            "accountId": ACCOUNT_ID,
            "apiId": self.api.api_id,
            "domainName": host,
            "domainPrefix": host.split('.').next(),
            "http": {
                "method": parts.method.as_str(),
                "path": percent_decode_str(parts.uri.path()).decode_utf8_lossy(),
                "protocol": format!("{:?}", parts.version),
                "sourceIp": self.peer.ip().to_string(),
                "userAgent": header(USER_AGENT),
            },
            "requestId": new_id(),
            "routeKey": self.found.route.key,
            "stage": self.api.stage.name,
            "time": clf(now),
            "timeEpoch": now.timestamp_millis(),
        })
    }

    /// Returns the headers with lower-case names, joined values, and those that API Gateway adds.
    fn headers(&self) -> BTreeMap<String, String> {
        let mut joined = BTreeMap::new();
        for (name, value) in &self.parts.headers {
            if name != COOKIE {
                join(
                    &mut joined,
                    name.to_string(),
                    &header_text(value.as_bytes()),
                );
            }
        }
        joined.insert("x-amzn-trace-id".to_owned(), trace_id());
        let senders = joined.remove("x-forwarded-for");
        let senders = senders.into_iter().chain([self.peer.ip().to_string()]);
        let senders: Vec<String> = senders.collect();
        joined.insert("x-forwarded-for".to_owned(), senders.join(", "));
        joined.insert("x-forwarded-port".to_owned(), self.port.to_string());
        joined.insert("x-forwarded-proto".to_owned(), self.scheme.to_owned());
        joined
    }
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(COOKIE).iter();
    let values = values.map(|value| header_text(value.as_bytes()));
    values
        .flat_map(|cookies| cookies.split("; ").map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Adds a value; joins values of one name with a comma, as payload format 2.0 does.
fn join(map: &mut BTreeMap<String, String>, name: String, value: &str) {
    map.entry(name)
        .and_modify(|values| {
            values.push(',');
            values.push_str(value);
        })
        .or_insert_with(|| value.to_owned());
}

/// Adds the body: text as it is, everything else in base64.
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

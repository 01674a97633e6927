//! Events of the WebSocket API.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-integration-requests.html>

use chrono::Utc;
use serde_json::{Value, json};

use super::{clf, put_maps};
use crate::apigw::registry::Client;
use crate::http::headers::Pairs;
use crate::ids::{new_id, trace_id};
use crate::model::{ACCOUNT_ID, REGION, WebSocketApi};

/// The request of a handshake.
pub struct Handshake {
    /// Headers as the client has written them.
    pub headers: Pairs,
    /// The query string.
    pub query: Pairs,
    /// The port that it came to.
    pub port: u16,
}

impl Handshake {
    /// Returns the headers with those that API Gateway adds.
    fn headers(&self, client: &Client) -> Pairs {
        let mut headers = self.headers.clone();
        let is_forwarded = |name: &str| name.eq_ignore_ascii_case("x-forwarded-for");
        let mut senders: Vec<&str> = self
            .headers
            .iter()
            .filter(|(name, _)| is_forwarded(name))
            .map(|(_, value)| value.as_str())
            .collect();
        senders.push(&client.source_ip);
        for (name, value) in [
            ("X-Amzn-Trace-Id", trace_id()),
            ("X-Forwarded-For", senders.join(", ")),
            ("X-Forwarded-Port", self.port.to_string()),
            ("X-Forwarded-Proto", "http".to_owned()),
        ] {
            headers.retain(|(existing, _)| !existing.eq_ignore_ascii_case(name));
            headers.push((name.to_owned(), value));
        }
        headers
    }
}

/// Returns the event of `$connect`.
pub fn connect(api: &WebSocketApi, client: &Client, handshake: &Handshake) -> Value {
    let mut event = event(api, context(api, client, "$connect", "CONNECT"));
    let mut headers = handshake.headers(client);
    let hop_by_hop = ["connection", "upgrade", "content-length"];
    headers.retain(|(name, _)| !hop_by_hop.contains(&name.to_ascii_lowercase().as_str()));
    put_maps(&mut event, "headers", "multiValueHeaders", &headers);
    if !handshake.query.is_empty() {
        put_query(&mut event, &handshake.query);
    }
    event
}

/// Returns the event of the authorizer of `$connect`.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html>
pub fn authorizer(api: &WebSocketApi, client: &Client, handshake: &Handshake) -> Value {
    let mut event = json!({
        "type": "REQUEST",
        "methodArn": connect_arn(api),
        "stageVariables": api.stage.variables,
        "requestContext": context(api, client, "$connect", "CONNECT"),
    });
    let mut headers = handshake.headers(client);
    headers.push(("content-length".to_owned(), "0".to_owned()));
    put_maps(&mut event, "headers", "multiValueHeaders", &headers);
    put_query(&mut event, &handshake.query);
    event
}

/// Returns the ARN that an authorizer has to allow.
pub fn connect_arn(api: &WebSocketApi) -> String {
    let (id, stage) = (&api.api_id, &api.stage.name);
    format!("arn:aws:execute-api:{REGION}:{ACCOUNT_ID}:{id}/{stage}/$connect")
}

/// Returns the event of a frame.
pub fn message(api: &WebSocketApi, client: &Client, route_key: &str, body: &str) -> Value {
    let mut context = context(api, client, route_key, "MESSAGE");
    context["messageId"] = new_id().into();
    let mut event = event(api, context);
    event["body"] = body.into();
    event
}

/// Returns the event of `$disconnect`.
pub fn disconnect(api: &WebSocketApi, client: &Client, code: u16, reason: &str) -> Value {
    let mut context = context(api, client, "$disconnect", "DISCONNECT");
    context["disconnectStatusCode"] = code.into();
    context["disconnectReason"] = reason.into();
    let mut event = event(api, context);
    let headers = [
        ("Host", client.domain_name.as_str()),
        ("x-api-key", ""),
        ("X-Forwarded-For", ""),
        ("x-restapi", ""),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    put_maps(
        &mut event,
        "headers",
        "multiValueHeaders",
        &headers.to_vec(),
    );
    event
}

fn event(api: &WebSocketApi, context: Value) -> Value {
    let mut event = json!({"requestContext": context, "isBase64Encoded": false});
    if !api.stage.variables.is_empty() {
        event["stageVariables"] = json!(api.stage.variables);
    }
    event
}

fn put_query(event: &mut Value, query: &Pairs) {
    let (single, multi) = ("queryStringParameters", "multiValueQueryStringParameters");
    put_maps(event, single, multi, query);
}

fn context(api: &WebSocketApi, client: &Client, route_key: &str, event_type: &str) -> Value {
    let now = Utc::now();
    let request_id = new_id();
    let mut identity = json!({"sourceIp": client.source_ip});
    if let Some(user_agent) = &client.user_agent {
        identity["userAgent"] = user_agent.as_str().into();
    }
    let mut context = json!({
        "routeKey": route_key,
        "eventType": event_type,
        "extendedRequestId": request_id,
        "requestTime": clf(now),
        "messageDirection": "IN",
        "stage": api.stage.name,
        "connectedAt": client.connected_at.timestamp_millis(),
        "requestTimeEpoch": now.timestamp_millis(),
        "identity": identity,
        "requestId": request_id,
        "domainName": client.domain_name,
        "connectionId": client.connection_id,
        "apiId": api.api_id,
    });
    if let Some(authorizer) = &client.authorizer {
        context["authorizer"] = authorizer.clone();
    }
    context
}

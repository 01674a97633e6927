//! Events of the WebSocket API.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-integration-requests.html>

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::Utc;
use serde::Serialize;
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
    /// `http`, or `https` over TLS.
    pub scheme: &'static str,
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
            ("X-Forwarded-Proto", self.scheme.to_owned()),
        ] {
            headers.retain(|(existing, _)| !existing.eq_ignore_ascii_case(name));
            headers.push((name.to_owned(), value));
        }
        headers
    }
}

/// Returns the event of `$connect`.
pub fn connect(api: &WebSocketApi, client: &Client, handshake: &Handshake) -> Value {
    let context = Context::new(api, client, "$connect", "CONNECT");
    let mut event = json!(Event::new(api, context));
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
        "requestContext": Context::new(api, client, "$connect", "CONNECT"),
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

/// Returns the event of a frame, as JSON text.
pub fn message(api: &WebSocketApi, client: &Client, route_key: &str, body: &str) -> Bytes {
    let mut context = Context::new(api, client, route_key, "MESSAGE");
    context.message_id = Some(new_id());
    let mut event = Event::new(api, context);
    event.body = Some(body);
    let event = serde_json::to_vec(&event).expect("its keys are texts");
    event.into()
}

/// Returns the event of `$disconnect`.
pub fn disconnect(api: &WebSocketApi, client: &Client, code: u16, reason: &str) -> Value {
    let mut context = Context::new(api, client, "$disconnect", "DISCONNECT");
    context.disconnect_status_code = Some(code);
    context.disconnect_reason = Some(reason);
    let mut event = json!(Event::new(api, context));
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

fn put_query(event: &mut Value, query: &Pairs) {
    let (single, multi) = ("queryStringParameters", "multiValueQueryStringParameters");
    put_maps(event, single, multi, query);
}

/// The common part of events.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    request_context: Context<'a>,
    is_base64_encoded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage_variables: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
}

impl<'a> Event<'a> {
    fn new(api: &'a WebSocketApi, request_context: Context<'a>) -> Self {
        let variables = &api.stage.variables;
        Self {
            request_context,
            is_base64_encoded: false,
            stage_variables: (!variables.is_empty()).then_some(variables),
            body: None,
        }
    }
}

/// The part `requestContext` of events.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Context<'a> {
    route_key: &'a str,
    event_type: &'a str,
    extended_request_id: String,
    request_id: String,
    request_time: String,
    request_time_epoch: i64,
    message_direction: &'a str,
    stage: &'a str,
    connected_at: i64,
    identity: Identity<'a>,
    domain_name: &'a str,
    connection_id: &'a str,
    api_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnect_status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnect_reason: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    source_ip: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
}

impl<'a> Context<'a> {
    fn new(
        api: &'a WebSocketApi,
        client: &'a Client,
        route_key: &'a str,
        event_type: &'a str,
    ) -> Self {
        let now = Utc::now();
        let request_id = new_id();
        Self {
            route_key,
            event_type,
            extended_request_id: request_id.clone(),
            request_id,
            request_time: clf(now),
            request_time_epoch: now.timestamp_millis(),
            message_direction: "IN",
            stage: &api.stage.name,
            connected_at: client.connected_at.timestamp_millis(),
            identity: Identity {
                source_ip: &client.source_ip,
                user_agent: client.user_agent.as_deref(),
            },
            domain_name: &client.domain_name,
            connection_id: &client.connection_id,
            api_id: &api.api_id,
            authorizer: client.authorizer.as_ref(),
            message_id: None,
            disconnect_status_code: None,
            disconnect_reason: None,
        }
    }
}

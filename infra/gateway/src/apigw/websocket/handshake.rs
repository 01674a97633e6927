//! Handshakes of the WebSocket API. A handshake is pending until the authorizer and `$connect` have
//! responded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::Utc;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::connection;
use crate::apigw::authorize;
use crate::apigw::authorize::response::Rejection;
use crate::apigw::authorize::sources::identity;
use crate::apigw::event::websocket::{self as event, Handshake};
use crate::apigw::registry::Client;
use crate::apigw::response::ProxyResponse;
use crate::apigw::state::Gateway;
use crate::http::headers::{Pairs, header_text, query_pairs};
use crate::http::recorder::Head;
use crate::http::server::{ClientAddr, MAX_HEAD_BYTES, head_bytes, json_response};
use crate::ids::new_id;
use crate::lambda::shares::Caller;
use crate::lambda::{Invocation, InvokeError};
use crate::logs::millis;
use crate::model::{Authorizer, LambdaAuthorizer, Route, WebSocketApi};

/// The status of a handshake to a stage that there is not. [U]
const WRONG_STAGE: StatusCode = StatusCode::FORBIDDEN;

/// The status of a request that is no handshake. [U]
const NO_UPGRADE: StatusCode = StatusCode::UPGRADE_REQUIRED;

/// The status when `$connect` misses its integration timeout. [U]
const CONNECT_TIMED_OUT: StatusCode = StatusCode::GATEWAY_TIMEOUT;

/// The status when the function of `$connect` cannot be invoked. [U]
const NOT_INVOCABLE: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

/// The status of a handshake with too long a URL. [U]
const TOO_LONG: StatusCode = StatusCode::URI_TOO_LONG;

/// The status of a handshake with too large a head. [U]
const TOO_LARGE: StatusCode = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;

/// Size limit of a URL, in bytes.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>
const MAX_URL_BYTES: usize = 4_096;

/// Returns the response to a request to a stage that does not exist.
pub fn no_such_stage() -> Response<Full<Bytes>> {
    rejection(WRONG_STAGE, None)
}

/// Handles a request that is to be a handshake.
pub async fn handle(
    gateway: &Arc<Gateway>,
    api: Arc<WebSocketApi>,
    request: Request<Incoming>,
    client: ClientAddr,
) -> Response<Full<Bytes>> {
    let query = match handshake_query(gateway, &api, &request) {
        Ok(query) => query,
        Err(status) => return rejection(status, None),
    };
    let Some(accept) = accept_key(&request) else {
        let mut rejection = rejection(NO_UPGRADE, None);
        let headers = rejection.headers_mut();
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        return rejection;
    };
    if gateway.closing.is_cancelled() {
        return rejection(StatusCode::SERVICE_UNAVAILABLE, None);
    }
    // A task of its own: a client that gives up while $connect runs gets its $disconnect all the same.
    let tasks = gateway.tasks.clone();
    let decided = handshake(Arc::clone(gateway), api, request, client, query, accept);
    tasks.spawn(decided).await.unwrap_or_else(|error| {
        tracing::error!("a handshake ended: {error}");
        rejection(StatusCode::INTERNAL_SERVER_ERROR, None)
    })
}

/// Returns the query of a handshake.
///
/// # Errors
///
/// The path is neither that of the stage nor rewritten.
fn handshake_query(
    gateway: &Gateway,
    api: &WebSocketApi,
    request: &Request<Incoming>,
) -> Result<Pairs, StatusCode> {
    let query = request.uri().query().unwrap_or_default();
    let path = request.uri().path();
    let rewritten = gateway.settings.path_rewrite;
    if let Some(query) = rewritten.and_then(|rewrite| rewrite(path, query)) {
        return query;
    }
    if path.trim_matches('/') == api.stage.name {
        return Ok(query_pairs(query));
    }
    Err(WRONG_STAGE)
}

/// Returns the value of `Sec-WebSocket-Accept`; `None` if this is no WebSocket handshake.
fn accept_key(request: &Request<Incoming>) -> Option<String> {
    let lists = |name: HeaderName, word: &str| {
        let values = request.headers().get_all(name).into_iter();
        let mut items = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        items.any(|item| item.trim().eq_ignore_ascii_case(word))
    };
    let key = request.headers().get(SEC_WEBSOCKET_KEY)?.as_bytes();
    let is_handshake = request.method() == Method::GET
        && lists(UPGRADE, "websocket")
        && lists(CONNECTION, "upgrade")
        && lists(SEC_WEBSOCKET_VERSION, "13")
        && STANDARD.decode(key).is_ok_and(|key| key.len() == 16);
    is_handshake.then(|| derive_accept_key(key))
}

async fn handshake(
    gateway: Arc<Gateway>,
    api: Arc<WebSocketApi>,
    mut request: Request<Incoming>,
    addr: ClientAddr,
    query: Pairs,
    accept: String,
) -> Response<Full<Bytes>> {
    let start = Instant::now();
    let mut client = client_of(&request, addr);
    let handshake = Handshake {
        headers: written_headers(&request),
        query,
        port: addr.port,
        scheme: addr.scheme(),
    };
    let checked = check_size(&request, &client.domain_name)
        .and_then(|()| check_signature(&gateway, &api, &request));
    let decided = match checked {
        Ok(()) => decide(&gateway, &api, &mut client, &handshake).await,
        Err(status) => Err(status),
    };
    let status = decided.as_ref().err().copied();
    tracing::info!(
        connection_id = %client.connection_id,
        status = status.unwrap_or(StatusCode::SWITCHING_PROTOCOLS).as_u16(),
        duration_ms = millis(start),
        "handshake"
    );
    let subprotocol = match decided {
        Ok(response) => subprotocol(&request, &response),
        Err(status) => return rejection(status, Some(&client.connection_id)),
    };
    // A client that has read the 101 can be posted to.
    let (connection, outbox) = gateway.connections.insert(client);
    let upgrade = hyper::upgrade::on(&mut request);
    let served = connection::serve(Arc::clone(&gateway), api, connection, outbox, upgrade);
    gateway.tasks.spawn(served);
    switching_protocols(&accept, subprotocol)
}

/// Returns the client of a handshake, with a new connection id.
fn client_of(request: &Request<Incoming>, addr: ClientAddr) -> Client {
    let header = |name| {
        let value = request.headers().get(name)?;
        Some(header_text(value.as_bytes()))
    };
    Client {
        connection_id: new_id(),
        connected_at: Utc::now(),
        source_ip: addr.peer.ip().to_string(),
        user_agent: header(USER_AGENT),
        domain_name: header(HOST).unwrap_or_default(),
        authorizer: None,
    }
}

/// Returns the headers as the client has written them, and ends the recording.
fn written_headers(request: &Request<Incoming>) -> Pairs {
    let head = request.extensions().get::<Head>();
    let head = head.cloned().unwrap_or_default();
    let headers = head.headers(request.headers());
    head.stop();
    headers
}

/// Rejects a handshake that is too large.
fn check_size(request: &Request<Incoming>, host: &str) -> Result<(), StatusCode> {
    let url_bytes = "wss://".len() + host.len() + request.uri().to_string().len();
    if url_bytes > MAX_URL_BYTES {
        return Err(TOO_LONG);
    }
    if head_bytes(request) > MAX_HEAD_BYTES {
        Err(TOO_LARGE)
    } else {
        Ok(())
    }
}

/// Checks the signature of a handshake if `$connect` has `AWS_IAM`.
fn check_signature(
    gateway: &Gateway,
    api: &WebSocketApi,
    request: &Request<Incoming>,
) -> Result<(), StatusCode> {
    if api.authorizer != Some(Authorizer::Iam) {
        return Ok(());
    }
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.headers_mut() = request.headers().clone();
    let (head, ()) = head.into_parts();
    authorize::iam::check_body(&gateway.settings.management_verifier, &head, b"")
        .map_err(Rejection::status)
}

/// Applies throttle, authorizer and `$connect`, in this order. Returns the response of `$connect`.
async fn decide(
    gateway: &Gateway,
    api: &WebSocketApi,
    client: &mut Client,
    handshake: &Handshake,
) -> Result<Option<ProxyResponse>, StatusCode> {
    let throttle = api.stage.throttle("$connect");
    if !gateway
        .websocket_buckets
        .admit("$connect", throttle, Instant::now())
    {
        return Err(StatusCode::TOO_MANY_REQUESTS);
    }
    match &api.authorizer {
        Some(Authorizer::Lambda(authorizer)) => {
            let allowed = authorize(gateway, api, authorizer, client, handshake).await;
            client.authorizer = Some(allowed.map_err(Rejection::status)?);
        }
        Some(Authorizer::Deny(why)) => {
            return Err(authorize::denied("$connect", why).status());
        }
        // The reader of the template denies it.
        Some(Authorizer::Jwt(_)) => return Err(StatusCode::FORBIDDEN),
        // The signature is checked.
        Some(Authorizer::Iam) | None => {}
    }
    match api.routes.get("$connect") {
        Some(route) => connect(gateway, api, route, client, handshake)
            .await
            .map(Some),
        None => Ok(None),
    }
}

/// Invokes the function of `$connect`.
async fn connect(
    gateway: &Gateway,
    api: &WebSocketApi,
    route: &Route,
    client: &Client,
    handshake: &Handshake,
) -> Result<ProxyResponse, StatusCode> {
    let event = event::connect(api, client, handshake);
    let invocation = Invocation {
        function: &route.function,
        cause: "$connect",
        connection_id: Some(&client.connection_id),
        caller: Some(client.caller()),
        payload: event.to_string().into(),
        timeout: route.timeout,
        dropped: None,
    };
    match gateway.functions.invoke(invocation).await {
        Ok(payload) => connect_response(&payload),
        Err(InvokeError::TimedOut) => Err(CONNECT_TIMED_OUT),
        Err(InvokeError::NotInvocable(why)) => {
            tracing::error!("$connect: {why}");
            Err(NOT_INVOCABLE)
        }
        Err(error) => {
            tracing::warn!("$connect failed: {error}");
            Err(StatusCode::BAD_GATEWAY)
        }
    }
}

/// Invokes the authorizer. Returns its part of the events of the connection.
async fn authorize(
    gateway: &Gateway,
    api: &WebSocketApi,
    authorizer: &LambdaAuthorizer,
    client: &Client,
    handshake: &Handshake,
) -> Result<Value, Rejection> {
    let (headers, query) = (&handshake.headers, &handshake.query);
    let identity = identity(&authorizer.identity, headers, query, "$connect");
    if identity.is_none() {
        return Err(Rejection::Unauthorized);
    }
    let start = Instant::now();
    let event = event::authorizer(api, client, handshake);
    let arn = event::connect_arn(api);
    let id = Some(client.connection_id.as_str());
    let caller = Caller::Address(client.source_ip.clone());
    let response =
        authorize::invoke_authorizer(&gateway.functions, authorizer, id, caller, &event).await?;
    response.check(&arn)?;
    response.flattened(start.elapsed().max(Duration::from_millis(1)))
}

/// Reads the response of `$connect`, whose status is that of the handshake.
fn connect_response(payload: &[u8]) -> Result<ProxyResponse, StatusCode> {
    let Some(response) = ProxyResponse::parse(payload) else {
        tracing::warn!("the response of $connect is no proxy response");
        return Err(StatusCode::BAD_GATEWAY);
    };
    match StatusCode::from_u16(response.status) {
        Ok(status) if status.is_success() => Ok(response),
        Ok(status) if !status.is_informational() => Err(status),
        _ => Err(StatusCode::BAD_GATEWAY),
    }
}

/// Returns the subprotocol that `$connect` has chosen, for a client that has asked for one.
fn subprotocol(
    request: &Request<Incoming>,
    response: &Option<ProxyResponse>,
) -> Option<HeaderValue> {
    let chosen = response.as_ref()?.header(SEC_WEBSOCKET_PROTOCOL.as_str())?;
    if !request.headers().contains_key(SEC_WEBSOCKET_PROTOCOL) {
        tracing::warn!("$connect chose a subprotocol for a client that asked for none");
        return None;
    }
    chosen.parse().ok()
}

fn switching_protocols(accept: &str, subprotocol: Option<HeaderValue>) -> Response<Full<Bytes>> {
    let mut response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, HeaderValue::from_static("Upgrade"))
        .header(UPGRADE, HeaderValue::from_static("websocket"))
        .header(SEC_WEBSOCKET_ACCEPT, accept)
        .body(Full::default())
        .expect("base64 is a valid header value");
    if let Some(subprotocol) = subprotocol {
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    response
}

/// Returns the response to a rejected handshake. [U]: its body.
fn rejection(status: StatusCode, connection_id: Option<&str>) -> Response<Full<Bytes>> {
    let message = match status {
        StatusCode::BAD_GATEWAY | StatusCode::INTERNAL_SERVER_ERROR => "Internal server error",
        StatusCode::GATEWAY_TIMEOUT => "Endpoint request timed out",
        status => status.canonical_reason().unwrap_or_default(),
    };
    let mut body = json!({"message": message, "requestId": new_id()});
    if let Some(connection_id) = connection_id {
        body["connectionId"] = connection_id.into();
    }
    json_response(status, &body)
}

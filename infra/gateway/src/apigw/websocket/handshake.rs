//! Handshakes of the WebSocket API. A handshake is pending until the authorizer and `$connect` have
//! responded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
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
use crate::apigw::registry::Connection;
use crate::apigw::response::ProxyResponse;
use crate::apigw::state::Gateway;
use crate::http::headers::{Pairs, header_text, query_pairs};
use crate::http::recorder::Head;
use crate::http::server::{ClientAddr, MAX_HEAD_BYTES, head_bytes, json_response};
use crate::ids::new_id;
use crate::lambda::{Invocation, InvokeError};
use crate::logs::millis;
use crate::model::{LambdaAuthorizer, WebSocketApi};

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
    handshake(gateway, api, request, client, query, accept).await
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
    gateway: &Arc<Gateway>,
    api: Arc<WebSocketApi>,
    mut request: Request<Incoming>,
    client: ClientAddr,
    query: Pairs,
    accept: String,
) -> Response<Full<Bytes>> {
    let start = Instant::now();
    // $connect may be writing the row of this connection: the shutdown waits for its $disconnect.
    let _pending = gateway.tasks.token();
    let header = |name| {
        let value = request.headers().get(name)?;
        Some(header_text(value.as_bytes()))
    };
    let (connection, outbox) = Connection::new(
        new_id(),
        client.peer.ip().to_string(),
        header(USER_AGENT),
        header(HOST).unwrap_or_default(),
    );
    let head = request
        .extensions()
        .get::<Head>()
        .cloned()
        .unwrap_or_default();
    let handshake = Handshake {
        headers: head.headers(request.headers()),
        query,
        port: client.port,
    };
    head.stop();
    let decided = match check_size(&request, &connection.domain_name) {
        Ok(()) => decide(gateway, &api, &connection, &handshake).await,
        Err(status) => Err(status),
    };
    let status = match &decided {
        Ok(_) => StatusCode::SWITCHING_PROTOCOLS,
        Err(status) => *status,
    };
    tracing::info!(
        connection_id = %connection.connection_id,
        status = status.as_u16(),
        duration_ms = millis(start),
        "handshake"
    );
    let subprotocol = match decided {
        Ok(response) => subprotocol(&request, &response),
        Err(status) => return rejection(status, Some(&connection.connection_id)),
    };
    // A client that has read the 101 can be posted to.
    gateway.connections.insert(Arc::clone(&connection));
    let upgrade = hyper::upgrade::on(&mut request);
    let served = connection::serve(Arc::clone(gateway), api, connection, outbox, upgrade);
    gateway.tasks.spawn(served);
    switching_protocols(&accept, subprotocol)
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

/// Applies throttle, authorizer and `$connect`, in this order. Returns the response of `$connect`.
async fn decide(
    gateway: &Gateway,
    api: &WebSocketApi,
    connection: &Connection,
    handshake: &Handshake,
) -> Result<Option<ProxyResponse>, StatusCode> {
    let throttle = api.stage.throttle("$connect");
    if !gateway
        .websocket_buckets
        .admit("$connect", throttle, Instant::now())
    {
        return Err(StatusCode::TOO_MANY_REQUESTS);
    }
    if let Some(authorizer) = &api.authorizer {
        let asked = authorize(gateway, api, authorizer, connection, handshake).await;
        let context = asked.map_err(|denied| denied.status())?;
        let is_first = connection.authorizer.set(context).is_ok();
        debug_assert!(is_first, "a connection is authorized once");
    }
    let Some(route) = api.routes.get("$connect") else {
        return Ok(None);
    };
    let invocation = Invocation {
        function: &route.function,
        cause: "$connect",
        connection_id: Some(&connection.connection_id),
        payload: event::connect(api, connection, handshake)
            .to_string()
            .into(),
        timeout: route.timeout,
    };
    match gateway.functions.invoke(invocation).await {
        Ok(payload) => connect_answer(&payload).map(Some),
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

async fn authorize(
    gateway: &Gateway,
    api: &WebSocketApi,
    authorizer: &LambdaAuthorizer,
    connection: &Connection,
    handshake: &Handshake,
) -> Result<Value, Rejection> {
    let (headers, query) = (&handshake.headers, &handshake.query);
    let identity = identity(&authorizer.identity, headers, query, "$connect");
    if identity.is_none() {
        return Err(Rejection::Unauthorized);
    }
    let start = Instant::now();
    let event = event::authorizer(api, connection, handshake);
    let arn = event::connect_arn(api);
    let id = Some(connection.connection_id.as_str());
    let response = authorize::invoke_authorizer(&gateway.functions, authorizer, id, &event).await?;
    response.check(&arn)?;
    response.flattened(start.elapsed().max(Duration::from_millis(1)))
}

/// Reads the response of `$connect`, whose status is that of the handshake.
fn connect_answer(payload: &[u8]) -> Result<ProxyResponse, StatusCode> {
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

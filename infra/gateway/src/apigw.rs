//! API Gateway: a WebSocket API and an HTTP API in front of the functions.
//!
//! - [`state`]: the state that all handlers share
//! - [`registry`]: the open connections of the WebSocket API
//! - [`websocket`]: handshakes, connections, `@connections`
//! - [`http_api`]: requests of the HTTP API
//! - [`authorize`]: the authorizers of handshakes and requests
//! - [`event`]: the events that functions get
//! - [`response`]: the responses of functions of a WebSocket API
//! - [`routing`]: the routes of frames and of requests
//! - [`throttle`]: rate limits of routes

pub mod authorize;
pub mod event;
pub mod http_api;
pub mod registry;
pub mod response;
pub mod routing;
pub mod state;
pub mod throttle;
pub mod websocket;

//! The WebSocket API and the HTTP API, with their stages and routes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::authorizer::{Authorizer, Payload};
use super::selection::Selection;

/// The WebSocket API.
#[derive(Debug, Clone)]
pub struct WebSocketApi {
    /// Its id, part of events.
    pub api_id: String,
    /// The stage, part of its URL.
    pub stage: Stage,
    /// The expression that selects the route of a frame.
    pub selection: Selection,
    /// The routes by key.
    pub routes: BTreeMap<String, Route>,
    /// The authorizer of handshakes.
    pub authorizer: Option<Authorizer>,
}

/// A stage of an API.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Its variables.
    pub variables: BTreeMap<String, String>,
    /// Limits of routes by their keys.
    pub throttles: BTreeMap<String, Throttle>,
    /// The limit of each route that has none of its own.
    pub default_throttle: Option<Throttle>,
}

impl Stage {
    /// Returns the limit of a route.
    pub fn throttle(&self, route_key: &str) -> Option<Throttle> {
        self.throttles
            .get(route_key)
            .copied()
            .or(self.default_throttle)
    }
}

/// A route of the WebSocket API.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// The function that serves it, by logical id.
    pub function: String,
    /// Whether the function's response goes back to the client: the route has a
    /// `RouteResponseSelectionExpression` and a RouteResponse resource.
    pub two_way: bool,
    /// Integration timeout: how long the gateway waits for the function.
    pub timeout: Duration,
    /// The reason why its frames are forbidden: it has a guard, which AWS takes on `$connect` only.
    pub denied: Option<String>,
}

/// A token bucket: so many requests a second, so many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttle {
    /// Requests a second.
    pub rate: f64,
    /// Requests at once.
    pub burst: f64,
}

/// The HTTP API.
#[derive(Debug, Clone)]
pub struct HttpApi {
    /// Its id, part of events.
    pub api_id: String,
    /// The stage, part of its URL unless it is `$default`.
    pub stage: Stage,
    /// Its routes.
    pub routes: Vec<HttpRoute>,
    /// Its cross-origin rules.
    pub cors: Option<Cors>,
}

/// A route of the HTTP API.
#[derive(Debug, Clone)]
pub struct HttpRoute {
    /// `GET /rooms/{id}` or `$default`.
    pub key: String,
    /// Method in upper case, or `ANY`.
    pub method: String,
    /// Path with `{name}` and `{name+}` parts, or `$default`.
    pub path: String,
    /// The function that serves it, by logical id.
    pub function: String,
    /// Integration timeout: how long the gateway waits for the function.
    pub timeout: Duration,
    /// The form of its events, and of the function's responses.
    pub payload: Payload,
    /// The authorizer of requests.
    pub authorizer: Option<Authorizer>,
    /// Scopes of which a token must have one.
    pub scopes: Vec<String>,
}

/// Cross-origin rules of an HTTP API; an empty list sets no header.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    /// Origins, `*`, `https://*` or `http://*`.
    pub origins: Vec<String>,
    /// Methods.
    pub methods: Vec<String>,
    /// Request headers.
    pub headers: Vec<String>,
    /// Response headers that a page may read.
    pub expose: Vec<String>,
    /// How long a browser may cache the response to a preflight, in seconds.
    pub max_age: Option<u64>,
    /// Whether cookies may be sent.
    pub credentials: bool,
}

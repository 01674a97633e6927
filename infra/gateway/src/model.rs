//! A template as data: functions, APIs, custom resources.
//!
//! - [`selection`]: expressions that select the route of a frame

pub mod selection;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use selection::Selection;

/// The region in the environment of functions and in ARNs.
pub const REGION: &str = "us-east-1";

/// The account id in ARNs and events.
pub const ACCOUNT_ID: &str = "123456789012";

/// The ARN of the stack: `AWS::StackId`, and in the events of custom resources.
pub const STACK_ID: &str = "arn:aws:cloudformation:us-east-1:123456789012:stack/local/\
                        00000000-0000-0000-0000-000000000000";

/// The part of a template that one machine can serve.
#[derive(Debug, Clone)]
pub struct Template {
    /// The functions, by logical id.
    pub functions: BTreeMap<String, Function>,
    /// The WebSocket API.
    pub websocket: Option<Arc<WebSocketApi>>,
    /// The HTTP API.
    pub http: Option<HttpApi>,
    /// The custom resources of its functions, in creation order.
    pub custom_resources: Vec<CustomResource>,
    /// The parts that are not served, with their lines, as text for the developer.
    pub not_served: Vec<String>,
}

/// A Lambda function.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its logical id.
    pub logical_id: String,
    /// `FunctionName`, else its logical id: `AWS_LAMBDA_FUNCTION_NAME`.
    pub function_name: String,
    /// The folder of its package.
    pub folder: PathBuf,
    /// The name of its binary.
    pub binary: String,
    /// Environment variables of the template, evaluated.
    pub environment: BTreeMap<String, String>,
    /// Timeout of one invocation.
    pub timeout: Duration,
    /// Its memory in megabytes: passed to the function, not enforced.
    pub memory_mb: u64,
}

impl Template {
    /// Replaces the addresses that the APIs have on AWS by those on this machine, in the
    /// environment of all functions: `https://{api}.execute-api.{region}.amazonaws.com` becomes
    /// `http://{address}`.
    pub fn set_addresses(&mut self, websocket: &str, http: &str) {
        let websocket = self.websocket.as_ref().map(|api| (&api.api_id, websocket));
        let http = self.http.as_ref().map(|api| (&api.api_id, http));
        let addresses: Vec<_> = [websocket, http].into_iter().flatten().collect();
        for function in self.functions.values_mut() {
            for value in function.environment.values_mut() {
                for (api_id, address) in &addresses {
                    let host = format!("{api_id}.execute-api.{REGION}.amazonaws.com");
                    for (on_aws, here) in [("https://", "http://"), ("wss://", "ws://")] {
                        let on_aws = format!("{on_aws}{host}");
                        *value = value.replace(&on_aws, &format!("{here}{address}"));
                    }
                }
            }
        }
    }

    /// Returns the function that `name` names: by logical id, `FunctionName`, name of the binary,
    /// or ARN.
    pub fn function(&self, name: &str) -> Option<&Function> {
        let name = function_name(name).unwrap_or(name);
        self.functions.get(name).or_else(|| {
            let mut functions = self.functions.values();
            functions.find(|function| {
                [&function.function_name, &function.binary].contains(&&name.to_owned())
            })
        })
    }
}

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
    pub authorizer: Option<LambdaAuthorizer>,
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

impl Stage {
    /// Returns the limit of a route.
    pub fn throttle(&self, route_key: &str) -> Option<Throttle> {
        self.throttles
            .get(route_key)
            .copied()
            .or(self.default_throttle)
    }
}

/// An authorizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorizer {
    /// A function.
    Lambda(LambdaAuthorizer),
    /// The signature and the claims of a token.
    Jwt(JwtAuthorizer),
}

/// An authorizer that is a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LambdaAuthorizer {
    /// Its logical id, part of the key of cached responses.
    pub id: String,
    /// The function.
    pub function: String,
    /// The identity sources. A request without one of them is rejected before the authorizer is
    /// invoked.
    pub identity: Vec<IdentitySource>,
    /// The form of its event.
    pub payload: Payload,
    /// Whether its response is `{"isAuthorized": …}` in place of a policy.
    pub simple: bool,
    /// How long a response is cached for the same identity.
    pub cache_ttl: Duration,
}

/// The form of the event of an authorizer of an HTTP API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// `1.0`, as of REST APIs.
    V1,
    /// `2.0`.
    V2,
}

/// A token's issuer and audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtAuthorizer {
    /// URL of the issuer, where its keys are found.
    pub issuer: String,
    /// The audiences of which a token must have one.
    pub audience: Vec<String>,
    /// The source of the token.
    pub identity: IdentitySource,
}

/// The part of a request that an authorizer reads as an identity source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    /// A header.
    Header(String),
    /// A parameter of the query string.
    Query(String),
    /// The key of the route, `$context.routeKey`.
    RouteKey,
    /// A stage variable or another value of the request's context: always there, and the same for
    /// all requests to this gateway.
    Always,
}

/// A resource that a function creates on a Create event.
#[derive(Debug, Clone)]
pub struct CustomResource {
    /// Its logical id.
    pub id: String,
    /// Its type: `Custom::Migration`.
    pub kind: String,
    /// The function behind its `ServiceToken`, by logical id.
    pub function: String,
    /// Timeout of the function's response: `ServiceTimeout`, an hour by default.
    pub timeout: Duration,
    /// Its properties as the function gets them: every value is a text.
    pub properties: Value,
}

/// Returns the name of the function in an ARN, or in the URI of an integration with one.
pub fn function_name(arn: &str) -> Option<&str> {
    let (_, rest) = arn.split_once(":function:")?;
    rest.split([':', '/']).next()
}

/// Returns the ARN of a function.
pub fn function_arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}")
}

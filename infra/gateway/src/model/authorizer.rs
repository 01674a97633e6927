//! Authorizers of handshakes and requests.

use std::time::Duration;

/// An authorizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorizer {
    /// A function.
    Lambda(LambdaAuthorizer),
    /// The signature and the claims of a token.
    Jwt(JwtAuthorizer),
    /// The signature of the request by one of the gateway's access keys (`AWS_IAM`). Policies are not
    /// read: each of the keys may call each route.
    Iam,
    /// One that cannot be applied on this machine, with the reason: nobody is let in.
    Deny(String),
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

/// The form of an event of an HTTP API, for a route or an authorizer.
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

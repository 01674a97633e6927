//! Who decides about a handshake or a request.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::api::texts;
use super::intrinsic::{function_name, text};
use super::number;
use super::resource::Resource;

/// An authorizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorizer {
    /// A function decides.
    Lambda(LambdaAuthorizer),
    /// The signature and the claims of a token decide.
    Jwt(JwtAuthorizer),
}

/// A function that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LambdaAuthorizer {
    /// Its logical id, part of what is remembered.
    pub id: String,
    /// The function.
    pub function: String,
    /// What a request must have, or it is refused unasked.
    pub identity: Vec<IdentitySource>,
    /// The form of its event.
    pub payload: Payload,
    /// Whether it answers `{"isAuthorized": …}` in place of a policy.
    pub simple: bool,
    /// How long an answer is remembered for the same identity.
    pub remembered: Duration,
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
    /// Where the token is.
    pub identity: IdentitySource,
}

/// A part of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    /// A header.
    Header(String),
    /// A parameter of the query string.
    Query(String),
    /// The key of the route, `$context.routeKey`.
    RouteKey,
    /// A stage variable or another value of the request's context: always there, and the same for
    /// all that asks here.
    Always,
}

impl Authorizer {
    /// Reads an `AWS::ApiGatewayV2::Authorizer`.
    ///
    /// # Errors
    ///
    /// Something is missing or malformed.
    pub fn read(resource: &Resource) -> Result<Self> {
        let properties = &resource.properties;
        let identity = texts(&properties["IdentitySource"]);
        let mut identity = identity.iter().map(|source| IdentitySource::parse(source));
        if resource.text("AuthorizerType") == Some("JWT") {
            let jwt = &properties["JwtConfiguration"];
            return Ok(Self::Jwt(JwtAuthorizer {
                issuer: jwt["Issuer"]
                    .as_str()
                    .context("JwtConfiguration.Issuer is missing")?
                    .to_owned(),
                audience: texts(&jwt["Audience"]),
                identity: identity
                    .next()
                    .unwrap_or_else(|| Ok(IdentitySource::Header("Authorization".to_owned())))?,
            }));
        }
        let uri = resource
            .text("AuthorizerUri")
            .context("AuthorizerUri is missing")?;
        let remembered = number(&properties["AuthorizerResultTtlInSeconds"])?.unwrap_or(0);
        Ok(Self::Lambda(LambdaAuthorizer {
            id: resource.id.clone(),
            function: function_name(uri)
                .context("AuthorizerUri names no function")?
                .to_owned(),
            identity: identity.collect::<Result<_>>()?,
            payload: match resource.text("AuthorizerPayloadFormatVersion") {
                Some("1.0") => Payload::V1,
                _ => Payload::V2,
            },
            simple: text(&properties["EnableSimpleResponses"])? == "true",
            remembered: Duration::from_secs(remembered),
        }))
    }
}

impl IdentitySource {
    /// WebSocket APIs say `route.request.header.X`, HTTP APIs `$request.header.X`.
    fn parse(source: &str) -> Result<Self> {
        let path = source.trim_start_matches('$').trim_start_matches("route.");
        if let Some(name) = path.strip_prefix("request.header.") {
            return Ok(Self::Header(name.to_owned()));
        }
        if let Some(name) = path.strip_prefix("request.querystring.") {
            return Ok(Self::Query(name.to_owned()));
        }
        if path == "context.routeKey" {
            return Ok(Self::RouteKey);
        }
        match path.starts_with("context.") || path.starts_with("stageVariables.") {
            true => Ok(Self::Always),
            false => bail!("IdentitySource {source} is not understood"),
        }
    }
}

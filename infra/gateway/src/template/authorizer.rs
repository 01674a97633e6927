//! Authorizers of a template.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::resource::Resource;
use super::values::{number, text, texts};
use crate::model::{
    Authorizer, IdentitySource, JwtAuthorizer, LambdaAuthorizer, Payload, function_name,
};

/// Reads an `AWS::ApiGatewayV2::Authorizer`.
///
/// # Errors
///
/// Something is missing or malformed.
pub fn read(resource: &Resource) -> Result<Authorizer> {
    let properties = &resource.properties;
    let identity = texts(&properties["IdentitySource"]);
    let mut identity = identity.iter().map(|source| identity_source(source));
    if resource.text("AuthorizerType") == Some("JWT") {
        let jwt = &properties["JwtConfiguration"];
        return Ok(Authorizer::Jwt(JwtAuthorizer {
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
    let cache_ttl = number(&properties["AuthorizerResultTtlInSeconds"])?.unwrap_or(0);
    Ok(Authorizer::Lambda(LambdaAuthorizer {
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
        cache_ttl: Duration::from_secs(cache_ttl),
    }))
}

/// Reads an identity source: `route.request.header.X` of WebSocket APIs, `$request.header.X` of
/// HTTP APIs.
fn identity_source(source: &str) -> Result<IdentitySource> {
    let path = source.trim_start_matches('$').trim_start_matches("route.");
    if let Some(name) = path.strip_prefix("request.header.") {
        return Ok(IdentitySource::Header(name.to_owned()));
    }
    if let Some(name) = path.strip_prefix("request.querystring.") {
        return Ok(IdentitySource::Query(name.to_owned()));
    }
    if path == "context.routeKey" {
        return Ok(IdentitySource::RouteKey);
    }
    if path.starts_with("context.") || path.starts_with("stageVariables.") {
        Ok(IdentitySource::Always)
    } else {
        bail!("IdentitySource {source} is not understood")
    }
}

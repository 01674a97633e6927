//! Authorizers of a template.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::function;
use super::resource::Resource;
use super::values::{all_texts, number, text};
use crate::model::{
    Authorizer, Function, IdentitySource, JwtAuthorizer, LambdaAuthorizer, Payload, function_name,
};

/// Reads an `AWS::ApiGatewayV2::Authorizer`.
///
/// # Errors
///
/// Something is missing or malformed.
pub fn read(resource: &Resource, functions: &BTreeMap<String, Function>) -> Result<Authorizer> {
    let identity = all_texts(&resource.properties["IdentitySource"]).context("IdentitySource")?;
    let identity: Vec<_> = identity
        .iter()
        .map(|source| identity_source(source))
        .collect::<Result<_>>()?;
    match resource.text("AuthorizerType") {
        Some("JWT") => jwt(resource, identity).map(Authorizer::Jwt),
        Some("REQUEST") => lambda(resource, identity, functions).map(Authorizer::Lambda),
        _ => bail!("AuthorizerType is neither JWT nor REQUEST"),
    }
}

fn jwt(resource: &Resource, identity: Vec<IdentitySource>) -> Result<JwtAuthorizer> {
    let jwt = &resource.properties["JwtConfiguration"];
    let issuer = jwt["Issuer"].as_str();
    let default = || IdentitySource::Header("Authorization".to_owned());
    Ok(JwtAuthorizer {
        issuer: issuer
            .context("JwtConfiguration.Issuer is missing")?
            .to_owned(),
        audience: all_texts(&jwt["Audience"]).context("JwtConfiguration.Audience")?,
        identity: identity.into_iter().next().unwrap_or_else(default),
    })
}

fn lambda(
    resource: &Resource,
    identity: Vec<IdentitySource>,
    functions: &BTreeMap<String, Function>,
) -> Result<LambdaAuthorizer> {
    let properties = &resource.properties;
    let uri = resource.text("AuthorizerUri");
    let uri = uri.context("AuthorizerUri is missing or not known")?;
    let name = function_name(uri).context("AuthorizerUri names no function")?;
    let function = function::find(uri, functions);
    let cache_ttl = number(&properties["AuthorizerResultTtlInSeconds"])?.unwrap_or(0);
    Ok(LambdaAuthorizer {
        id: resource.id.clone(),
        function: function
            .map_or(name, |function| &function.logical_id)
            .to_owned(),
        identity,
        payload: match resource.text("AuthorizerPayloadFormatVersion") {
            Some("1.0") => Payload::V1,
            _ => Payload::V2,
        },
        simple: text(&properties["EnableSimpleResponses"])? == "true",
        cache_ttl: Duration::from_secs(cache_ttl),
    })
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

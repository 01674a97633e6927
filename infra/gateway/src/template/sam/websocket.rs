//! `AWS::Serverless::WebSocketApi`.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::super::api::DENIED;
use super::super::properties::{SAM_WEBSOCKET_API, WEBSOCKET_AUTH};
use super::super::resource::Resource;
use super::super::values::is_unknown;
use super::{integration, part, refused_auth, stage};

/// Returns the resources that an API stands for.
///
/// # Errors
///
/// Something that SAM requires is missing.
pub(super) fn api(api: &Resource) -> Result<Vec<Resource>> {
    let properties = &api.properties;
    let mut settings = json!({
        "ProtocolType": "WEBSOCKET",
        "RouteSelectionExpression": properties["RouteSelectionExpression"],
        DENIED: refused_auth(properties, &SAM_WEBSOCKET_API, &WEBSOCKET_AUTH),
    });
    let routes = &properties["Routes"];
    if is_unknown(routes) {
        settings[DENIED] = "its Routes are not known here".into();
    }
    let mut parts = vec![
        part(api, &api.id, "AWS::ApiGatewayV2::Api", settings),
        stage(api, "default"),
    ];
    if is_unknown(routes) {
        return Ok(parts);
    }
    parts.extend(websocket_authorizer(api));
    let routes = routes.as_object();
    let routes = routes.context("Routes is missing")?;
    ensure!(
        properties["Auth"].is_null() || routes.contains_key("$connect"),
        "Auth needs a route $connect"
    );
    for (key, route) in routes {
        parts.extend(websocket_route(api, key, route)?);
    }
    Ok(parts)
}

fn websocket_authorizer(api: &Resource) -> Option<Resource> {
    let auth = &api.properties["Auth"];
    let settings = json!({
        "ApiId": api.id,
        "AuthorizerType": "REQUEST",
        "AuthorizerUri": auth["AuthArn"],
        "IdentitySource": auth["IdentitySource"],
    });
    let id = websocket_authorizer_id(api);
    (auth["AuthType"] == "CUSTOM")
        .then(|| part(api, &id, "AWS::ApiGatewayV2::Authorizer", settings))
}

fn websocket_authorizer_id(api: &Resource) -> String {
    format!("{}ConnectAuthorizer", api.id)
}

fn websocket_route(api: &Resource, key: &str, route: &Value) -> Result<[Resource; 2]> {
    let name = format!("{}{}", api.id, capitalized(key));
    ensure!(
        route.is_object(),
        "route {key} is not a map with a FunctionArn"
    );
    let (mut own, function) = match is_unknown(route) {
        true => (json!({}), route),
        false => (route.clone(), &route["FunctionArn"]),
    };
    own["ApiId"] = api.id.as_str().into();
    own["RouteKey"] = key.into();
    own["Target"] = format!("integrations/{name}Integration").into();
    let auth = &api.properties["Auth"];
    if key == "$connect" && !auth.is_null() {
        own["AuthorizationType"] = match &auth["AuthType"] {
            // It is missing or not known: without an authorizer, it lets nobody in.
            Value::Null => "CUSTOM".into(),
            kind => kind.clone(),
        };
        if auth["AuthType"] == "CUSTOM" {
            own["AuthorizerId"] = websocket_authorizer_id(api).into();
        }
    }
    ensure!(
        function.is_string() || is_unknown(function),
        "route {key} has no FunctionArn"
    );
    let timeout = &route["IntegrationTimeout"];
    Ok([
        part(
            api,
            &format!("{name}Route"),
            "AWS::ApiGatewayV2::Route",
            own,
        ),
        integration(api, &api.id, &name, function, timeout),
    ])
}

/// Returns the part that SAM makes of a route key in logical ids: `sendMessage` becomes
/// `Sendmessage`.
fn capitalized(key: &str) -> String {
    let key = key.trim_start_matches('$').to_lowercase();
    let mut letters = key.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    format!("{}{}", first.unwrap_or_default(), letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_the_logical_id_that_sam_gives_it() {
        assert_eq!(capitalized("sendMessage"), "Sendmessage");
        assert_eq!(capitalized("$connect"), "Connect");
    }
}

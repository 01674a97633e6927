//! `AWS::Serverless::HttpApi`, and the `HttpApi` events of functions.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::api::DENIED;
use super::super::openapi;
use super::super::properties::{
    HTTP_AUTH, HTTP_AUTHORIZER, HTTP_EVENT, HTTP_EVENT_AUTH, SAM_HTTP_API,
};
use super::super::resource::Resource;
use super::super::values::is_unknown;
use super::{api_of, integration, name_of, part, refused_auth, stage};
use crate::model::function_arn;

/// Returns the resources that an API stands for, with its routes. `body` is its definition.
pub(super) fn api(api: &Resource, body: &Value, events: &[(Resource, Value)]) -> Vec<Resource> {
    let auth = &api.properties["Auth"];
    let events = events.iter().filter(|(_, event)| api_of(event) == api.id);
    let events: Vec<_> = events.collect();
    let cors = merged(
        &openapi::cors(body),
        &cors(&api.properties["CorsConfiguration"]),
    );
    let mut settings = json!({"ProtocolType": "HTTP", "CorsConfiguration": cors});
    settings[DENIED] = refused_auth(&api.properties, &SAM_HTTP_API, &HTTP_AUTH).into();
    let mut stage = stage(api, "$default");
    for (_, event) in &events {
        let of_route = &mut stage.properties["RouteSettings"][http_route_key(event)];
        *of_route = merged(of_route, &event["RouteSettings"]);
    }
    let mut parts = vec![
        part(api, &api.id, "AWS::ApiGatewayV2::Api", settings),
        stage,
    ];
    let has_own = |key: &str| {
        let mut of_key = events
            .iter()
            .filter(|(_, event)| http_route_key(event) == key);
        of_key.any(|(_, event)| !event["Auth"].is_null())
    };
    let mut defined = openapi::parts(api, &with_auth(auth, body, has_own));
    let mut completed = BTreeSet::new();
    for (function, event) in &events {
        // The second event of a route is a second route, which the reader of APIs compares with the first.
        let is_first = completed.insert(http_route_key(event));
        if !is_first || !complete(&mut defined, auth, event, api) {
            parts.extend(http_route(api, auth, function, event));
        }
    }
    parts.extend(defined);
    parts
}

/// Adds the settings of an event to its route, if the definition has it; returns whether it does. A route keeps
/// the authorizer that it has there.
fn complete(defined: &mut [Resource], auth: &Value, event: &Value, api: &Resource) -> bool {
    let key = http_route_key(event);
    let mut parts = defined.iter_mut();
    let Some(route) = parts.find(|part| part.text("RouteKey") == Some(&key)) else {
        return false;
    };
    if route.properties["AuthorizationType"].is_null() {
        set(&mut route.properties, guard(api, auth, event));
    }
    let integration = openapi::integration_id(&route.id);
    let mut parts = defined.iter_mut();
    if let Some(integration) = parts.find(|part| part.id == integration) {
        for name in ["TimeoutInMillis", "PayloadFormatVersion"] {
            if !event[name].is_null() {
                integration.properties[name] = event[name].clone();
            }
        }
    }
    true
}

/// Returns a definition with the authorizers of `Auth`, the default of which guards all operations that have
/// none of their own, except `OPTIONS`. `has_own` tells of the key of a route whether its event has one.
fn with_auth(auth: &Value, body: &Value, has_own: impl Fn(&str) -> bool) -> Value {
    let mut defined = body.clone();
    let authorizers = auth["Authorizers"].as_object();
    for (name, settings) in authorizers.into_iter().flatten() {
        defined["components"]["securitySchemes"][name] = scheme(name, settings);
    }
    if auth["EnableIamAuthorizer"] == "true" {
        let signed = json!({"x-amazon-apigateway-authtype": "awsSigv4"});
        defined["components"]["securitySchemes"]["AWS_IAM"] = signed;
    }
    let requirement = match &auth["DefaultAuthorizer"] {
        // Not known: a requirement that names none lets nobody in.
        _ if is_unknown(auth) => json!({}),
        Value::Null => return defined,
        Value::String(name) => json!({name: auth["Authorizers"][name]["AuthorizationScopes"]}),
        _ => json!({}),
    };
    for operation in openapi::operations(body) {
        let own = operation.settings["security"].as_array();
        let is_open = own.is_none_or(Vec::is_empty) && !has_own(&operation.key());
        if operation.method != "OPTIONS" && is_open {
            let settings = &mut defined["paths"][operation.path][operation.name];
            settings["security"] = json!([requirement]);
        }
    }
    defined
}

fn set(properties: &mut Value, others: Vec<(&'static str, Value)>) {
    for (name, value) in others {
        properties[name] = value;
    }
}

/// Returns the entries of a map with those of another, which count; null without any.
fn merged(map: &Value, other: &Value) -> Value {
    let maps = [map, other].into_iter().filter_map(Value::as_object);
    let entries = maps.flatten();
    let entries: Map<_, _> = entries
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    match entries.is_empty() {
        true => Value::Null,
        false => Value::Object(entries),
    }
}

/// Expands `CorsConfiguration: true` and a single origin to a map.
fn cors(value: &Value) -> Value {
    match value.as_str() {
        Some("true") => json!({"AllowOrigins": ["*"]}),
        Some("false") => Value::Null,
        Some(origin) => json!({"AllowOrigins": [origin]}),
        None => value.clone(),
    }
}

/// Returns an authorizer as a security scheme of OpenAPI.
fn scheme(name: &str, settings: &Value) -> Value {
    let mut authorizer = match &settings["JwtConfiguration"] {
        Value::Null => json!({
            "type": "request",
            "authorizerUri": settings["FunctionArn"],
            "authorizerPayloadFormatVersion": settings["AuthorizerPayloadFormatVersion"],
            "enableSimpleResponses": settings["EnableSimpleResponses"],
            "authorizerResultTtlInSeconds": settings["Identity"]["ReauthorizeEvery"],
            "identitySource": identity(&settings["Identity"]),
        }),
        jwt => json!({
            "type": "jwt",
            "jwtConfiguration": {
                "issuer": either(jwt, "issuer", "Issuer"),
                "audience": either(jwt, "audience", "Audience"),
            },
            "identitySource": settings["IdentitySource"],
        }),
    };
    let path = format!("Auth.Authorizers.{name}");
    authorizer[DENIED] = HTTP_AUTHORIZER.malformed(&path, settings).into();
    json!({"x-amazon-apigateway-authorizer": authorizer})
}

fn either<'a>(map: &'a Value, one: &str, other: &str) -> &'a Value {
    match &map[one] {
        Value::Null => &map[other],
        value => value,
    }
}

/// Returns the identity sources, which SAM names by their kinds.
fn identity(settings: &Value) -> Value {
    let mut sources = Vec::new();
    for (kind, prefix) in [
        ("Headers", "$request.header."),
        ("QueryStrings", "$request.querystring."),
        ("StageVariables", "$stageVariables."),
        ("Context", "$context."),
    ] {
        let names = settings[kind].as_array().into_iter().flatten();
        let names = names.filter_map(Value::as_str);
        sources.extend(names.map(|name| format!("{prefix}{name}")));
    }
    json!(sources)
}

fn http_route(api: &Resource, auth: &Value, function: &Resource, event: &Value) -> [Resource; 2] {
    let event_name = event["EventName"].as_str().unwrap_or_default();
    let name = format!("{}{}{event_name}", api.id, function.id);
    let mut route = json!({
        "ApiId": api.id,
        "RouteKey": http_route_key(event),
        "Target": format!("integrations/{name}Integration"),
    });
    set(&mut route, guard(api, auth, event));
    let uri = function_arn(name_of(function)).into();
    let timeout = &event["TimeoutInMillis"];
    let mut to = integration(function, &api.id, &name, &uri, timeout);
    to.properties["PayloadFormatVersion"] = event["PayloadFormatVersion"].clone();
    [
        part(
            function,
            &format!("{name}Route"),
            "AWS::ApiGatewayV2::Route",
            route,
        ),
        to,
    ]
}

fn http_route_key(event: &Value) -> String {
    let path = event["Path"].as_str().unwrap_or("$default");
    openapi::route_key(event["Method"].as_str().unwrap_or("any"), path)
}

/// Returns the properties of a route that are about its authorizer: the event's own, else the API's default,
/// which does not guard `OPTIONS`. The scopes are those of the event, else those of the authorizer.
///
/// A setting that is not known leaves a type without an authorizer, which lets nobody in.
fn guard(api: &Resource, auth: &Value, event: &Value) -> Vec<(&'static str, Value)> {
    if let Some(why) = refused_auth(event, &HTTP_EVENT, &HTTP_EVENT_AUTH) {
        return vec![(DENIED, why.into())];
    }
    let own = &event["Auth"];
    let by_default = event["Method"]
        .as_str()
        .is_none_or(|method| !method.eq_ignore_ascii_case("options"));
    let authorizer = match &own["Authorizer"] {
        _ if is_unknown(own) => own,
        Value::Null if is_unknown(auth) => auth,
        Value::Null if own.is_null() && !by_default => &Value::Null,
        Value::Null => &auth["DefaultAuthorizer"],
        authorizer => authorizer,
    };
    let denied = vec![("AuthorizationType", "CUSTOM".into())];
    let name = match authorizer {
        Value::Null if own.as_object().is_none_or(Map::is_empty) => return Vec::new(),
        Value::String(name) if name == "NONE" => return Vec::new(),
        Value::String(name) => name,
        _ => return denied,
    };
    let settings = &auth["Authorizers"][name];
    if name == "AWS_IAM" && settings.is_null() {
        return vec![("AuthorizationType", "AWS_IAM".into())];
    }
    let is_jwt = !settings["JwtConfiguration"].is_null();
    let scopes = match &own["AuthorizationScopes"] {
        Value::Null => &settings["AuthorizationScopes"],
        Value::Array(scopes) if scopes.is_empty() => &settings["AuthorizationScopes"],
        scopes => scopes,
    };
    vec![
        (
            "AuthorizationType",
            if is_jwt { "JWT" } else { "CUSTOM" }.into(),
        ),
        ("AuthorizerId", openapi::authorizer_id(api, name).into()),
        ("AuthorizationScopes", scopes.clone()),
    ]
}

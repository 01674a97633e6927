//! `AWS::Serverless::HttpApi`, and the `HttpApi` events of functions.

use serde_json::{Map, Value, json};

use super::super::resource::Resource;
use super::super::values::is_unknown;
use super::{api_of, integration, name_of, part, stage};
use crate::model::function_arn;

/// Returns the resources that an API stands for, with its routes.
pub(super) fn api(api: &Resource, events: &[(Resource, Value)]) -> Vec<Resource> {
    let name = api.text("StageName").unwrap_or("$default");
    let mut parts = vec![
        part(
            api,
            &api.id,
            "AWS::ApiGatewayV2::Api",
            json!({
                "ProtocolType": "HTTP",
                "CorsConfiguration": cors(&api.properties["CorsConfiguration"]),
            }),
        ),
        stage(api, name),
    ];
    let auth = &api.properties["Auth"];
    let authorizers = auth["Authorizers"].as_object();
    for (name, settings) in authorizers.into_iter().flatten() {
        parts.push(http_authorizer(api, name, settings));
    }
    for (function, event) in events {
        if api_of(event) == api.id {
            parts.extend(http_route(api, auth, function, event));
        }
    }
    parts
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

fn http_authorizer(api: &Resource, name: &str, settings: &Value) -> Resource {
    let id = authorizer_id(api, name);
    let properties = match &settings["JwtConfiguration"] {
        Value::Null => json!({
            "ApiId": api.id,
            "AuthorizerType": "REQUEST",
            "AuthorizerUri": settings["FunctionArn"],
            "AuthorizerPayloadFormatVersion": settings["AuthorizerPayloadFormatVersion"],
            "EnableSimpleResponses": settings["EnableSimpleResponses"],
            "AuthorizerResultTtlInSeconds": settings["Identity"]["ReauthorizeEvery"],
            "IdentitySource": identity(&settings["Identity"]),
        }),
        jwt => json!({
            "ApiId": api.id,
            "AuthorizerType": "JWT",
            "JwtConfiguration": {
                "Issuer": either(jwt, "issuer", "Issuer"),
                "Audience": either(jwt, "audience", "Audience"),
            },
            "IdentitySource": settings["IdentitySource"],
        }),
    };
    part(api, &id, "AWS::ApiGatewayV2::Authorizer", properties)
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
    for (name, value) in guard(api, auth, event) {
        route[name] = value;
    }
    if event["PayloadFormatVersion"] == "1.0" {
        route["PayloadFormatVersion"] = "1.0".into();
    }
    let (uri, timeout) = (function_arn(name_of(function)), &event["TimeoutInMillis"]);
    [
        part(
            function,
            &format!("{name}Route"),
            "AWS::ApiGatewayV2::Route",
            route,
        ),
        integration(function, &api.id, &name, &uri, timeout),
    ]
}

fn http_route_key(event: &Value) -> String {
    match (event["Method"].as_str(), event["Path"].as_str()) {
        (_, None | Some("$default")) => "$default".to_owned(),
        (method, Some(path)) => format!("{} {path}", method.unwrap_or("ANY").to_uppercase()),
    }
}

/// Returns the properties of a route that are about its authorizer: the event's own, else the API's default,
/// which does not guard `OPTIONS`. The scopes are those of the event, else those of the authorizer.
///
/// A setting that is not known leaves a type without an authorizer, which lets nobody in.
fn guard(api: &Resource, auth: &Value, event: &Value) -> Vec<(&'static str, Value)> {
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
        ("AuthorizerId", authorizer_id(api, name).into()),
        ("AuthorizationScopes", scopes.clone()),
    ]
}

fn authorizer_id(api: &Resource, name: &str) -> String {
    format!("{}{name}Authorizer", api.id)
}

//! SAM's APIs and events, written out as the plain resources that they stand for, so that there is one
//! form to read.
//!
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-websocketapi.html>,
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-httpapi.html>,
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-sqs.html>,
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-schedule.html>,
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-schedulev2.html>

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::resource::{Resource, Resources};
use crate::model::function_arn;

/// The events of functions that are served.
const EVENTS: [&str; 4] = ["HttpApi", "SQS", "Schedule", "ScheduleV2"];

/// The API of events that name none.
const IMPLICIT_API: &str = "ServerlessHttpApi";

/// Replaces SAM's APIs, and adds the routes and event sources of functions' events. `globals` are those
/// of HTTP APIs.
///
/// # Errors
///
/// Something that SAM requires is missing.
pub fn expand(resources: &mut Resources, globals: &Value) -> Result<()> {
    for api in resources.take("AWS::Serverless::WebSocketApi") {
        let expanded = websocket_api(&api).with_context(|| api.place())?;
        resources.list.extend(expanded);
    }
    let mut apis = resources.take("AWS::Serverless::HttpApi");
    let events = events(resources);
    let (http, others): (Vec<_>, Vec<_>) = events
        .into_iter()
        .partition(|(_, event)| event["Type"] == "HttpApi");
    resources.list.extend(others.iter().map(source));
    let events = http;
    note_unknown_apis(resources, &apis, &events);
    apis.extend(implicit_api(&apis, &events));
    for api in &apis {
        for unserved in ["DefinitionBody", "DefinitionUri"] {
            if !api.properties[unserved].is_null() {
                resources.skip(api, &format!("its {unserved}"));
            }
        }
        resources.list.extend(http_api(api, globals, &events));
    }
    Ok(())
}

/// Notes the events that name an API which the template does not have.
fn note_unknown_apis(resources: &mut Resources, apis: &[Resource], events: &[(Resource, Value)]) {
    for (function, event) in events {
        let api = api_of(event);
        if api != IMPLICIT_API && apis.iter().all(|known| known.id != api) {
            let name = event["EventName"].as_str().unwrap_or_default();
            let why = format!("its event {name}: there is no HTTP API {api}");
            resources.skip(function, &why);
        }
    }
}

/// Returns the API of events that name none, unless the template has it or needs none.
fn implicit_api(apis: &[Resource], events: &[(Resource, Value)]) -> Option<Resource> {
    let mut functions = events
        .iter()
        .filter(|(_, event)| api_of(event) == IMPLICIT_API);
    let (first, _) = functions.next()?;
    let is_missing = apis.iter().all(|api| api.id != IMPLICIT_API);
    is_missing.then(|| part(first, IMPLICIT_API, "AWS::Serverless::HttpApi", Value::Null))
}

/// Returns a resource that stands where `of` does.
fn part(of: &Resource, id: &str, kind: &str, properties: Value) -> Resource {
    Resource {
        id: id.to_owned(),
        kind: kind.to_owned(),
        line: of.line,
        depends_on: Vec::new(),
        properties,
        metadata: Value::Null,
    }
}

fn websocket_api(api: &Resource) -> Result<Vec<Resource>> {
    let properties = &api.properties;
    let settings = json!({
        "ProtocolType": "WEBSOCKET",
        "RouteSelectionExpression": properties["RouteSelectionExpression"],
    });
    let name = properties["StageName"].as_str().unwrap_or("default");
    let mut parts = vec![
        part(api, &api.id, "AWS::ApiGatewayV2::Api", settings),
        stage(api, name, &Value::Null),
    ];
    parts.extend(websocket_authorizer(api));
    let routes = properties["Routes"].as_object();
    for (key, route) in routes.context("Routes is missing")? {
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
    format!("{}Authorizer", api.id)
}

fn websocket_route(api: &Resource, key: &str, route: &Value) -> Result<[Resource; 2]> {
    let name = format!("{}{}", api.id, capitalized(key));
    ensure!(
        route.is_object(),
        "route {key} is not a map with a FunctionArn"
    );
    let mut own = route.clone();
    own["ApiId"] = api.id.as_str().into();
    own["RouteKey"] = key.into();
    own["Target"] = format!("integrations/{name}Integration").into();
    let kind = &api.properties["Auth"]["AuthType"];
    if key == "$connect" && !kind.is_null() {
        own["AuthorizationType"] = kind.clone();
        own["AuthorizerId"] = websocket_authorizer_id(api).into();
    }
    let function = route["FunctionArn"].as_str();
    let function = function.with_context(|| format!("route {key} has no FunctionArn"))?;
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

fn stage(api: &Resource, name: &str, globals: &Value) -> Resource {
    let mut settings = json!({"ApiId": api.id, "StageName": name});
    for property in ["DefaultRouteSettings", "RouteSettings", "StageVariables"] {
        settings[property] = setting(api, globals, property);
    }
    part(
        api,
        &format!("{}Stage", api.id),
        "AWS::ApiGatewayV2::Stage",
        settings,
    )
}

fn integration(
    of: &Resource,
    api_id: &str,
    name: &str,
    function: &str,
    timeout: &Value,
) -> Resource {
    part(
        of,
        &format!("{name}Integration"),
        "AWS::ApiGatewayV2::Integration",
        json!({
            "ApiId": api_id,
            "IntegrationType": "AWS_PROXY",
            "IntegrationUri": function,
            "TimeoutInMillis": timeout,
        }),
    )
}

/// Returns the part that SAM makes of a route key in logical ids: `sendMessage` becomes
/// `Sendmessage`.
fn capitalized(key: &str) -> String {
    let key = key.trim_start_matches('$').to_lowercase();
    let mut letters = key.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    format!("{}{}", first.unwrap_or_default(), letters.as_str())
}

fn setting(api: &Resource, globals: &Value, name: &str) -> Value {
    match &api.properties[name] {
        Value::Null => globals[name].clone(),
        own => own.clone(),
    }
}

/// Returns the events of all functions that are served, each with its function. Others are noted.
fn events(resources: &mut Resources) -> Vec<(Resource, Value)> {
    let is_function = |resource: &&Resource| resource.kind == "AWS::Serverless::Function";
    let functions: Vec<_> = resources.list.iter().filter(is_function).cloned().collect();
    let mut found = Vec::new();
    for function in functions {
        let events = function.properties["Events"].as_object();
        for (name, event) in events.into_iter().flatten() {
            let kind = event["Type"].as_str().unwrap_or("without a type");
            let mut properties = match &event["Properties"] {
                Value::Null => json!({}),
                properties => properties.clone(),
            };
            if !EVENTS.contains(&kind) || !properties.is_object() {
                resources.skip(&function, &format!("its event {name} ({kind})"));
                continue;
            }
            properties["EventName"] = name.as_str().into();
            properties["Type"] = kind.into();
            found.push((function.clone(), properties));
        }
    }
    found
}

/// Returns the resource that an event of a function stands for: its event source or its schedule.
fn source((function, event): &(Resource, Value)) -> Resource {
    let id = format!(
        "{}{}",
        function.id,
        event["EventName"].as_str().unwrap_or_default()
    );
    let arn = function_arn(&function.id);
    let mut properties = event.clone();
    let kind = match event["Type"].as_str() {
        Some("SQS") => {
            properties["EventSourceArn"] = event["Queue"].clone();
            properties["FunctionName"] = arn.into();
            "AWS::Lambda::EventSourceMapping"
        }
        Some("Schedule") => {
            properties["ScheduleExpression"] = event["Schedule"].clone();
            properties["State"] = state(event);
            properties["Targets"] = json!([target(&arn, event)]);
            "AWS::Events::Rule"
        }
        _ => {
            properties["Target"] = target(&arn, event);
            "AWS::Scheduler::Schedule"
        }
    };
    part(function, &id, kind, properties)
}

/// Returns the target of a schedule.
fn target(arn: &str, event: &Value) -> Value {
    json!({"Arn": arn, "Input": event["Input"], "InputPath": event["InputPath"]})
}

/// Returns the state of a schedule, for which SAM has two properties.
fn state(event: &Value) -> Value {
    match &event["Enabled"] {
        Value::Bool(false) => "DISABLED".into(),
        _ => event["State"].clone(),
    }
}

fn api_of(event: &Value) -> &str {
    event["ApiId"].as_str().unwrap_or(IMPLICIT_API)
}

fn http_api(api: &Resource, globals: &Value, events: &[(Resource, Value)]) -> Vec<Resource> {
    let name = setting(api, globals, "StageName");
    let mut parts = vec![
        part(
            api,
            &api.id,
            "AWS::ApiGatewayV2::Api",
            json!({
                "ProtocolType": "HTTP",
                "CorsConfiguration": cors(&setting(api, globals, "CorsConfiguration")),
            }),
        ),
        stage(api, name.as_str().unwrap_or("$default"), globals),
    ];
    let auth = setting(api, globals, "Auth");
    let authorizers = auth["Authorizers"].as_object();
    for (name, settings) in authorizers.into_iter().flatten() {
        parts.push(http_authorizer(api, name, settings));
    }
    for (function, event) in events {
        if api_of(event) == api.id {
            parts.extend(http_route(api, &auth, function, event));
        }
    }
    parts
}

/// Expands `CorsConfiguration: true` and a single origin to a map.
fn cors(value: &Value) -> Value {
    match value {
        Value::Bool(true) => json!({"AllowOrigins": ["*"]}),
        Value::String(origin) => json!({"AllowOrigins": [origin]}),
        Value::Bool(false) => Value::Null,
        map => map.clone(),
    }
}

fn http_authorizer(api: &Resource, name: &str, settings: &Value) -> Resource {
    let id = format!("{}{name}Authorizer", api.id);
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
            "IdentitySource": [settings["IdentitySource"]],
            "Scopes": settings["AuthorizationScopes"],
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
        "AuthorizationScopes": event["Auth"]["AuthorizationScopes"],
    });
    if let Some(authorizer) = authorizer_of(event, auth) {
        route["AuthorizationType"] = authorization_type(authorizer, auth).into();
        route["AuthorizerId"] = format!("{}{authorizer}Authorizer", api.id).into();
    }
    if event["PayloadFormatVersion"] == "1.0" {
        route["PayloadFormatVersion"] = "1.0".into();
    }
    let (uri, timeout) = (function_arn(&function.id), &event["TimeoutInMillis"]);
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

/// Returns the name of an event's authorizer: its own, else the API's default.
fn authorizer_of<'a>(event: &'a Value, auth: &'a Value) -> Option<&'a str> {
    match event["Auth"]["Authorizer"].as_str() {
        Some("NONE") => None,
        Some(own) => Some(own),
        None => auth["DefaultAuthorizer"].as_str(),
    }
}

fn authorization_type(authorizer: &str, auth: &Value) -> &'static str {
    let is_jwt = !auth["Authorizers"][authorizer]["JwtConfiguration"].is_null();
    match authorizer {
        "AWS_IAM" => "AWS_IAM",
        _ if is_jwt => "JWT",
        _ => "CUSTOM",
    }
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

//! SAM's APIs and events, written out as the plain resources that they stand for, so that there is one
//! form to read.
//!
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-websocketapi.html>,
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-httpapi.html>,
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-sqs.html>,
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-schedule.html>,
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-schedulev2.html>

mod http;
mod websocket;

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::globals;
use super::intrinsic::Scope;
use super::properties::Kind;
use super::resource::{Resource, Resources};
use super::values::{as_texts, is_unknown};
use super::yaml::{Content, Node};
use crate::model::function_arn;

/// The events of functions that are served.
const EVENTS: [&str; 4] = ["HttpApi", "SQS", "Schedule", "ScheduleV2"];

/// The API of events that name none.
pub const IMPLICIT_API: &str = "ServerlessHttpApi";

/// Replaces SAM's APIs, and adds the routes and event sources of functions' events.
///
/// # Errors
///
/// Something that SAM requires is missing.
pub fn expand(resources: &mut Resources, scope: &Scope, folder: &Path) -> Result<()> {
    for api in resources.take("AWS::Serverless::WebSocketApi") {
        let expanded = websocket::api(&api).with_context(|| api.place())?;
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
    apis.extend(implicit_api(&apis, &events, scope)?);
    for api in &apis {
        let body = definition(api, folder).with_context(|| api.place())?;
        let body = body.unwrap_or_else(|| {
            resources.skip(api, "its DefinitionUri is not on this machine");
            json!({})
        });
        resources.list.extend(http::api(api, &body, &events));
    }
    Ok(())
}

/// Returns the definition of an API: its `DefinitionBody`, or the file of its `DefinitionUri`; `None` if that is
/// elsewhere.
fn definition(api: &Resource, folder: &Path) -> Result<Option<Value>> {
    let (body, uri) = (
        &api.properties["DefinitionBody"],
        &api.properties["DefinitionUri"],
    );
    if uri.is_null() {
        return Ok(Some(body.clone()));
    }
    let path = uri.as_str().map(|uri| folder.join(uri));
    let Some(path) = path.filter(|path| path.is_file()) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(&path).context("DefinitionUri")?;
    let definition = Node::parse(&text).with_context(|| path.display().to_string())?;
    Ok(Some(as_texts(definition.to_json())))
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

/// Returns the API of events that name none, unless the template has it or needs none. Its properties are
/// those of `Globals`.
fn implicit_api(
    apis: &[Resource],
    events: &[(Resource, Value)],
    scope: &Scope,
) -> Result<Option<Resource>> {
    let mut functions = events
        .iter()
        .filter(|(_, event)| api_of(event) == IMPLICIT_API);
    let Some((first, _)) = functions.next() else {
        return Ok(None);
    };
    if apis.iter().any(|api| api.id == IMPLICIT_API) {
        return Ok(None);
    }
    let nothing = Node {
        line: first.line,
        content: Content::Map(Vec::new()),
    };
    let globals = globals::section_of(scope.root(), "HttpApi", &nothing).unwrap_or(nothing);
    let properties = as_texts(scope.value(&globals)?);
    let kind = "AWS::Serverless::HttpApi";
    Ok(Some(part(first, IMPLICIT_API, kind, properties)))
}

/// Returns a resource that stands where `of` does.
fn part(of: &Resource, id: &str, kind: &str, properties: Value) -> Resource {
    Resource {
        id: id.to_owned(),
        kind: kind.to_owned(),
        file: of.file.clone(),
        line: of.line,
        is_unsure: of.is_unsure,
        depends_on: Vec::new(),
        properties,
        metadata: Value::Null,
    }
}

fn stage(api: &Resource, default_name: &str) -> Resource {
    let mut settings = json!({"ApiId": api.id, "StageName": default_name});
    if !api.properties["StageName"].is_null() {
        settings["StageName"] = api.properties["StageName"].clone();
    }
    for property in ["DefaultRouteSettings", "RouteSettings", "StageVariables"] {
        settings[property] = api.properties[property].clone();
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
    function: &Value,
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
                let hint = match kind {
                    "Api" => ": REST APIs are not served: use an event of type HttpApi",
                    _ => "",
                };
                resources.skip(&function, &format!("its event {name} ({kind}){hint}"));
                continue;
            }
            if kind == "HttpApi"
                && let Some(why) = unserved(&properties)
            {
                resources.skip(&function, &format!("its event {name}: {why}"));
                continue;
            }
            properties["EventName"] = name.as_str().into();
            properties["Type"] = kind.into();
            found.push((function.clone(), properties));
        }
    }
    found
}

/// Returns why an `HttpApi` event is not served, if its route or its API is not known: it must not be taken for one
/// without a path, which stands for all requests.
fn unserved(event: &Value) -> Option<String> {
    if is_unknown(event) {
        return Some("its Properties are not known here".to_owned());
    }
    let wrong = ["ApiId", "Path", "Method"]
        .into_iter()
        .find(|name| !event[name].is_null() && !event[name].is_string())?;
    Some(match is_unknown(&event[wrong]) {
        true => format!("its {wrong} is not known here"),
        false => format!("its {wrong} is no text"),
    })
}

/// Returns the name of a function, which its ARN has.
fn name_of(function: &Resource) -> &str {
    function.text("FunctionName").unwrap_or(&function.id)
}

/// Returns the resource that an event of a function stands for: its event source or its schedule.
fn source((function, event): &(Resource, Value)) -> Resource {
    let id = format!(
        "{}{}",
        function.id,
        event["EventName"].as_str().unwrap_or_default()
    );
    let arn = function_arn(name_of(function));
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
    if event["Enabled"] == "false" {
        return "DISABLED".into();
    }
    event["State"].clone()
}

/// Returns why the guard of an API or of an event cannot be applied: SAM refuses it, or means something else.
fn refused_auth(properties: &Value, own: &Kind, auth: &Kind) -> Option<String> {
    if is_unknown(properties) {
        return Some("its Properties are not known here".to_owned());
    }
    let why = own.unknown_guard(properties);
    why.or_else(|| auth.malformed("Auth", &properties["Auth"]))
}

fn api_of(event: &Value) -> &str {
    event["ApiId"].as_str().unwrap_or(IMPLICIT_API)
}

#[cfg(test)]
mod tests;

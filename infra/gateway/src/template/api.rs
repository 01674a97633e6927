//! The WebSocket API and the HTTP API of a template's `AWS::ApiGatewayV2` resources.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ApiGatewayV2.html>

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::resource::{Resource, Resources};
use super::values::{number, text, texts};
use super::{authorizer, stage};
use crate::model::{
    Authorizer, Cors, Function, HttpApi, HttpRoute, LambdaAuthorizer, Route, Stage, WebSocketApi,
    function_name,
};

/// Longest and default integration timeout of a WebSocket API.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>
const WEBSOCKET_TIMEOUT: Duration = Duration::from_secs(29);

/// Longest and default integration timeout of an HTTP API.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

/// The APIs of a template.
pub struct Apis {
    /// The WebSocket API.
    pub websocket: Option<WebSocketApi>,
    /// The HTTP API.
    pub http: Option<HttpApi>,
}

/// Reads the first API of each protocol, and notes what else there is.
///
/// # Errors
///
/// Something that is needed to serve is missing or malformed.
pub fn read(resources: &mut Resources, functions: &BTreeMap<String, Function>) -> Result<Apis> {
    let mut apis = Apis {
        websocket: None,
        http: None,
    };
    for api in resources.take("AWS::ApiGatewayV2::Api") {
        let is_websocket = api.properties["ProtocolType"] == "WEBSOCKET";
        let taken = if is_websocket {
            apis.websocket.is_some()
        } else {
            apis.http.is_some()
        };
        if taken {
            resources.skip(&api, "only one API of a protocol is served");
            take_parts(resources, &api.id);
            continue;
        }
        let mut parts = Parts::take(resources, &api, functions);
        parts.quick_create();
        if is_websocket {
            apis.websocket = parts.websocket().with_context(|| api.place())?
        } else {
            apis.http = parts.http().with_context(|| api.place())?
        }
    }
    Ok(apis)
}

/// Takes the resources that belong to an API.
fn take_parts(resources: &mut Resources, api_id: &str) -> Vec<Resource> {
    let belongs = |resource: &mut Resource| {
        resource.kind.starts_with("AWS::ApiGatewayV2::") && resource.text("ApiId") == Some(api_id)
    };
    resources.list.extract_if(.., belongs).collect()
}

/// An API with the resources that belong to it.
struct Parts<'a> {
    api: &'a Resource,
    parts: Vec<Resource>,
    functions: &'a BTreeMap<String, Function>,
    resources: &'a mut Resources,
}

impl<'a> Parts<'a> {
    fn take(
        resources: &'a mut Resources,
        api: &'a Resource,
        functions: &'a BTreeMap<String, Function>,
    ) -> Self {
        Self {
            api,
            parts: take_parts(resources, &api.id),
            functions,
            resources,
        }
    }

    /// Adds the resources that `Target` of the API stands for: a `$default` stage, and a route to a
    /// function.
    fn quick_create(&mut self) {
        let api = self.api;
        let Some(target) = api.text("Target") else {
            return;
        };
        let id = |part: &str| format!("{}Target{part}", api.id);
        let integration = id("Integration");
        let key = api.text("RouteKey").unwrap_or("$default");
        for (kind, properties) in [
            ("Stage", json!({"StageName": "$default"})),
            (
                "Route",
                json!({"RouteKey": key, "Target": format!("integrations/{integration}")}),
            ),
            (
                "Integration",
                json!({"IntegrationType": "AWS_PROXY", "IntegrationUri": target}),
            ),
        ] {
            self.parts.push(Resource {
                id: id(kind),
                kind: format!("AWS::ApiGatewayV2::{kind}"),
                line: api.line,
                depends_on: Vec::new(),
                properties,
                metadata: Value::Null,
            });
        }
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Resource> {
        let kind = format!("AWS::ApiGatewayV2::{kind}");
        self.parts.iter().filter(move |part| part.kind == kind)
    }

    fn find(&self, kind: &str, id: &str) -> Option<&Resource> {
        self.of_kind(kind).find(|part| part.id == id)
    }

    fn websocket(&mut self) -> Result<Option<WebSocketApi>> {
        let Some(stage) = self.stage()? else {
            return Ok(None);
        };
        let selection = self.api.text("RouteSelectionExpression");
        let selection = selection
            .context("RouteSelectionExpression is missing")?
            .parse()?;
        let mut routes = BTreeMap::new();
        let mut authorizer = None;
        for resource in self.take_routes() {
            let key = route_key(&resource)?;
            // The authorizer applies even if no function serves $connect.
            if key == "$connect" {
                authorizer = self.connect_authorizer(&resource)?;
            }
            let Some(integration) = self.integration(&resource, WEBSOCKET_TIMEOUT)? else {
                continue;
            };
            let route = Route {
                two_way: self.is_two_way(&resource),
                function: integration.function,
                timeout: integration.timeout,
            };
            routes.insert(key, route);
        }
        self.skip_rest(&["RouteResponse"]);
        Ok(Some(WebSocketApi {
            api_id: self.api.id.clone(),
            stage,
            selection,
            routes,
            authorizer,
        }))
    }

    fn connect_authorizer(&mut self, route: &Resource) -> Result<Option<LambdaAuthorizer>> {
        match self.authorizer(route)? {
            Some(Authorizer::Jwt(_)) => bail!("a WebSocket API takes no JWT authorizer"),
            Some(Authorizer::Lambda(authorizer)) => Ok(Some(authorizer)),
            None => Ok(None),
        }
    }

    fn http(&mut self) -> Result<Option<HttpApi>> {
        for unserved in ["Body", "BodyS3Location"] {
            if !self.api.properties[unserved].is_null() {
                self.resources.skip(self.api, &format!("its {unserved}"));
            }
        }
        let Some(stage) = self.stage()? else {
            return Ok(None);
        };
        let mut routes = Vec::new();
        for resource in self.take_routes() {
            routes.extend(self.http_route(&resource)?);
        }
        self.skip_rest(&[]);
        Ok(Some(HttpApi {
            api_id: self.api.id.clone(),
            stage,
            routes,
            cors: cors(&self.api.properties["CorsConfiguration"])?,
        }))
    }

    fn http_route(&mut self, resource: &Resource) -> Result<Option<HttpRoute>> {
        let Some(integration) = self.integration(resource, HTTP_TIMEOUT)? else {
            return Ok(None);
        };
        let key = route_key(resource)?;
        let (method, path) = match key.split_once(' ') {
            Some((method, path)) => (method, path),
            None if key == "$default" => ("ANY", "$default"),
            None => bail!(
                "{}: RouteKey must be `METHOD /path` or $default",
                resource.place()
            ),
        };
        Ok(Some(HttpRoute {
            method: method.to_uppercase(),
            path: path.to_owned(),
            function: integration.function,
            timeout: integration.timeout,
            authorizer: self.authorizer(resource)?,
            scopes: texts(&resource.properties["AuthorizationScopes"]),
            key,
        }))
    }

    /// Returns the first stage. An API without one is not deployed.
    fn stage(&mut self) -> Result<Option<Stage>> {
        let is_stage = |part: &mut Resource| part.kind == "AWS::ApiGatewayV2::Stage";
        let mut stages = self.parts.extract_if(.., is_stage);
        let first = stages.next();
        for other in stages {
            self.resources
                .skip(&other, "only one stage of an API is served");
        }
        let Some(stage) = first else {
            self.resources.skip(self.api, "it has no stage");
            return Ok(None);
        };
        stage::read(&stage).map(Some)
    }

    fn take_routes(&mut self) -> Vec<Resource> {
        let is_route = |part: &mut Resource| part.kind == "AWS::ApiGatewayV2::Route";
        self.parts.extract_if(.., is_route).collect()
    }

    /// Returns the function behind a route; `None`, with a note, if it is not one that runs here.
    fn integration(&mut self, route: &Resource, longest: Duration) -> Result<Option<Integration>> {
        self.skip_settings(route);
        let target = route.text("Target").context("Target is missing");
        let target = target.with_context(|| route.place())?;
        let id = target.trim_start_matches("integrations/");
        let Some(integration) = self.find("Integration", id).cloned() else {
            let why = format!("there is no integration {id}");
            self.resources.skip(route, &why);
            return Ok(None);
        };
        if integration.properties["IntegrationType"] != "AWS_PROXY" {
            let why = "only AWS_PROXY integrations are served";
            self.resources.skip(&integration, why);
            return Ok(None);
        }
        let uri = integration.text("IntegrationUri").unwrap_or_default();
        let function = function_name(uri).filter(|name| self.functions.contains_key(*name));
        let Some(function) = function else {
            let why = "it leads to no AWS::Serverless::Function of the template";
            self.resources.skip(route, why);
            return Ok(None);
        };
        let millis = number(&integration.properties["TimeoutInMillis"]);
        let millis = millis.with_context(|| integration.place())?;
        Ok(Some(Integration {
            function: function.to_owned(),
            timeout: millis.map_or(longest, Duration::from_millis).min(longest),
        }))
    }

    /// Notes the settings of a route that have no effect here.
    fn skip_settings(&mut self, route: &Resource) {
        for name in [
            "ApiKeyRequired",
            "ModelSelectionExpression",
            "RequestModels",
            "RequestParameters",
        ] {
            let setting = &route.properties[name];
            if !matches!(setting, Value::Null | Value::Bool(false)) {
                self.resources.skip(route, &format!("its {name}"));
            }
        }
        if route.properties["AuthorizationType"] == "AWS_IAM" {
            let why = "its AWS_IAM authorization: everybody is let in";
            self.resources.skip(route, why);
        }
        if route.properties["PayloadFormatVersion"] == "1.0" {
            let why = "payload format 1.0: the function gets 2.0";
            self.resources.skip(route, why);
        }
    }

    fn authorizer(&mut self, route: &Resource) -> Result<Option<Authorizer>> {
        match route.text("AuthorizationType") {
            None | Some("NONE" | "AWS_IAM") => return Ok(None),
            Some("CUSTOM" | "JWT") => {}
            // It must not be a way in.
            Some(other) => bail!("{}: there is no AuthorizationType {other}", route.place()),
        }
        let id = route
            .text("AuthorizerId")
            .context("AuthorizerId is missing");
        let id = id.with_context(|| route.place())?;
        let resource = self.find("Authorizer", id);
        let resource =
            resource.with_context(|| format!("{}: there is no authorizer {id}", route.place()))?;
        let authorizer = authorizer::read(resource).with_context(|| resource.place())?;
        if let Authorizer::Lambda(lambda) = &authorizer
            && !self.functions.contains_key(&lambda.function)
        {
            let (resource, function) = (resource.clone(), &lambda.function);
            let why = format!("its function {function} is not served: its routes respond with 500");
            self.resources.skip(&resource, &why);
        }
        Ok(Some(authorizer))
    }

    fn is_two_way(&mut self, route: &Resource) -> bool {
        let has_response = self.of_kind("RouteResponse").any(|response| {
            response.text("RouteId") == Some(&route.id)
                && response.text("RouteResponseKey") == Some("$default")
        });
        let expression = &route.properties["RouteResponseSelectionExpression"];
        let has_expression = expression == "$default";
        if has_response != has_expression {
            let why = "its response: that needs both RouteResponseSelectionExpression: $default and \
                       an AWS::ApiGatewayV2::RouteResponse";
            self.resources.skip(route, why);
        }
        has_response && has_expression
    }

    /// Reports the parts that are not served.
    fn skip_rest(&mut self, served: &[&str]) {
        let known = ["Integration", "Authorizer", "Deployment"];
        for part in std::mem::take(&mut self.parts) {
            let kind = part
                .kind
                .trim_start_matches("AWS::ApiGatewayV2::")
                .to_owned();
            if !known.contains(&kind.as_str()) && !served.contains(&kind.as_str()) {
                self.resources.skip(&part, "this kind is not served");
            }
        }
    }
}

struct Integration {
    function: String,
    timeout: Duration,
}

fn route_key(route: &Resource) -> Result<String> {
    let key = route.text("RouteKey").context("RouteKey is missing");
    Ok(key.with_context(|| route.place())?.to_owned())
}

fn cors(settings: &Value) -> Result<Option<Cors>> {
    if settings.is_null() {
        return Ok(None);
    }
    Ok(Some(Cors {
        origins: texts(&settings["AllowOrigins"]),
        methods: texts(&settings["AllowMethods"]),
        headers: texts(&settings["AllowHeaders"]),
        expose: texts(&settings["ExposeHeaders"]),
        max_age: number(&settings["MaxAge"]).context("MaxAge")?,
        credentials: text(&settings["AllowCredentials"])? == "true",
    }))
}

//! The WebSocket API and the HTTP API of a template's `AWS::ApiGatewayV2` resources.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ApiGatewayV2.html>

mod guard;
mod quick_create;
mod route;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::properties::API;
use super::resource::{Resource, Resources};
use super::values::{is_unknown, number, texts};
use super::{openapi, stage};
use crate::model::{Authorizer, Cors, Function, HttpApi, Route, Stage, WebSocketApi};
pub use guard::DENIED;
use route::Guarded;

/// The APIs of a template.
pub struct Apis {
    /// The WebSocket API.
    pub websocket: Option<WebSocketApi>,
    /// The HTTP API.
    pub http: Option<HttpApi>,
    /// The APIs that are not served: their addresses lead nowhere.
    pub others: Vec<Resource>,
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
        others: Vec::new(),
    };
    for api in in_order(resources.take("AWS::ApiGatewayV2::Api")) {
        let is_websocket = is_websocket(&api);
        let taken = if is_websocket {
            apis.websocket.is_some()
        } else {
            apis.http.is_some()
        };
        if taken {
            resources.skip(&api, "only one API of a protocol is served");
            take_parts(resources, &api.id);
            apis.others.push(api);
            continue;
        }
        let mut parts = Parts::take(resources, &api, functions);
        parts.quick_create();
        let is_served = if is_websocket {
            apis.websocket = parts.websocket().with_context(|| api.place())?;
            apis.websocket.is_some()
        } else {
            apis.http = parts.http().with_context(|| api.place())?;
            apis.http.is_some()
        };
        if !is_served {
            apis.others.push(api);
        }
    }
    Ok(apis)
}

fn is_websocket(api: &Resource) -> bool {
    api.properties["ProtocolType"] == "WEBSOCKET"
}

/// Returns the APIs with those first whose condition is known. One of which it is not known whether it is the API that
/// AWS has or another one of its protocol lets nobody in: the other one may be guarded.
fn in_order(mut apis: Vec<Resource>) -> Vec<Resource> {
    apis.sort_by_key(|api| api.is_unsure);
    for protocol in [true, false] {
        let mut same = apis.iter_mut().filter(|api| is_websocket(api) == protocol);
        if let (Some(first), Some(other)) = (same.next(), same.next())
            && first.is_unsure
        {
            let why = format!(
                "it is not known whether AWS has this API or {}",
                other.place()
            );
            match &mut first.properties {
                Value::Object(properties) => _ = properties.insert(DENIED.to_owned(), why.into()),
                malformed => *malformed = json!({DENIED: why}),
            }
        }
    }
    apis
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
    /// The reason why nobody is let in to any of its routes.
    denied: Option<String>,
}

impl<'a> Parts<'a> {
    fn take(
        resources: &'a mut Resources,
        api: &'a Resource,
        functions: &'a BTreeMap<String, Function>,
    ) -> Self {
        let denied = api.text(DENIED).map(str::to_owned);
        Self {
            api,
            parts: take_parts(resources, &api.id),
            functions,
            resources,
            denied: denied.or_else(|| API.unknown_guard(&api.properties)),
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
        for Guarded {
            resource,
            key,
            guard,
        } in self.take_routes()?
        {
            let route = self.websocket_route(&resource, &key)?;
            let denied = match &guard.0 {
                Some(Authorizer::Deny(why)) => Some(why.clone()),
                _ => None,
            };
            // The authorizer applies even if no function serves $connect.
            if key == "$connect" {
                authorizer = guard.0;
            }
            if let Some(route) = route {
                routes.insert(key, Route { denied, ..route });
            }
        }
        let authorizer = self.denied().or(authorizer);
        self.skip_rest(&["RouteResponse"]);
        Ok(Some(WebSocketApi {
            api_id: self.api.id.clone(),
            stage,
            selection,
            routes,
            authorizer,
        }))
    }

    fn http(&mut self) -> Result<Option<HttpApi>> {
        let body = &self.api.properties["Body"];
        self.parts.extend(openapi::parts(self.api, body));
        let Some(stage) = self.stage()? else {
            return Ok(None);
        };
        let defined_cors = openapi::cors(body);
        let mut routes = Vec::new();
        for route in self.take_routes()? {
            routes.push(self.http_route(route)?);
        }
        self.skip_rest(&[]);
        Ok(Some(HttpApi {
            api_id: self.api.id.clone(),
            stage,
            routes,
            cors: cors(match &self.api.properties["CorsConfiguration"] {
                Value::Null => &defined_cors,
                own => own,
            })?,
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
        let default_name = match is_websocket(self.api) {
            true => "default",
            false => "$default",
        };
        if is_unknown(&stage.properties["StageName"]) {
            let why = format!("its StageName is not known here: it is {default_name}");
            self.resources.skip(&stage, &why);
        }
        stage::read(&stage, default_name).map(Some)
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

/// Returns the cross-origin rules of an API. There are none if they are not known.
///
/// # Errors
///
/// A deployment would reject them.
fn cors(settings: &Value) -> Result<Option<Cors>> {
    if settings.is_null() || is_unknown(settings) {
        return Ok(None);
    }
    ensure!(
        settings.is_object(),
        "CorsConfiguration is a map with AllowOrigins, and not a single value"
    );
    let list = |name: &str| {
        let list = &settings[name];
        ensure!(
            list.is_null() || list.is_array() || is_unknown(list),
            "CorsConfiguration: {name} is a list, and not a single value: [...]"
        );
        Ok(texts(list))
    };
    let known = |name: &str| Some(&settings[name]).filter(|value| !is_unknown(value));
    let max_age = known("MaxAge").map(number).transpose();
    let max_age = max_age.context("CorsConfiguration: MaxAge")?.flatten();
    Ok(Some(Cors {
        origins: list("AllowOrigins")?,
        methods: list("AllowMethods")?,
        headers: list("AllowHeaders")?,
        expose: list("ExposeHeaders")?,
        max_age,
        credentials: known("AllowCredentials").is_some_and(|value| value == "true"),
    }))
}

#[cfg(test)]
mod tests;

//! The routes of APIs, and the functions behind them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::super::function;
use super::super::resource::Resource;
use super::super::values::{is_unknown, number, or_null};
use super::guard::Guard;
use super::{Parts, is_websocket};
use crate::model::{HttpRoute, Payload, Route};

/// Longest and default integration timeout of a WebSocket API.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>
const WEBSOCKET_TIMEOUT: Duration = Duration::from_secs(29);

/// Longest and default integration timeout of an HTTP API.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

/// The methods of a route; `ANY` stands for all.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>
const METHODS: [&str; 8] = [
    "ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT",
];

/// Stands for the function of a route that leads to none. The route fails: a request must not get to
/// another one that also fits, such as `$default`.
const NO_FUNCTION: &str = "(no function)";

/// The integration of a route.
struct Integration {
    function: String,
    timeout: Duration,
    payload: Payload,
}

/// A route with its guard.
pub(super) struct Guarded {
    pub resource: Resource,
    pub key: String,
    pub guard: Guard,
}

impl Parts<'_> {
    /// Takes the routes. Of those for the same requests, the first one is served; if they are not guarded alike, it lets
    /// nobody in.
    pub(super) fn take_routes(&mut self) -> Result<Vec<Guarded>> {
        let is_route = |part: &mut Resource| part.kind == "AWS::ApiGatewayV2::Route";
        let all: Vec<_> = self.parts.extract_if(.., is_route).collect();
        let mut routes: Vec<Guarded> = Vec::new();
        let mut firsts = BTreeMap::new();
        for resource in all {
            let Some(key) = key(&resource)? else {
                self.skip_without_key(&resource);
                continue;
            };
            let guard = self.guard_of(&resource, &key);
            let requests = match is_websocket(self.api) {
                true => key.clone(),
                false => requests(&key),
            };
            if let Some(index) = firsts.get(&requests) {
                let first: &mut Guarded = &mut routes[*index];
                if let Some(denied) = self.twin(&first.resource, &resource, first.guard == guard) {
                    first.guard.0 = Some(denied);
                }
                continue;
            }
            firsts.insert(requests, routes.len());
            routes.push(Guarded {
                resource,
                key,
                guard,
            });
        }
        Ok(routes)
    }

    /// Notes a route whose key is not known here. If it has a guard, it may be that of `$connect`, so that nobody is let
    /// in to a WebSocket API.
    fn skip_without_key(&mut self, route: &Resource) {
        self.resources.skip(route, "its RouteKey is not known here");
        if is_websocket(self.api) && self.guard_of(route, "$connect").0.is_some() {
            self.denied = Some(format!("{} may be $connect", route.place()));
        }
    }

    /// Returns a route of a WebSocket API; `None` for a `$connect` that needs no integration.
    pub(super) fn websocket_route(&mut self, route: &Resource, key: &str) -> Result<Option<Route>> {
        if key == "$connect" && self.accepts_all(route) {
            return Ok(None);
        }
        let integration = self.integration(route, WEBSOCKET_TIMEOUT)?;
        Ok(Some(Route {
            two_way: self.is_two_way(route),
            function: integration.function,
            timeout: integration.timeout,
            denied: None,
        }))
    }

    /// Whether a route has no integration, or one that accepts each request.
    fn accepts_all(&self, route: &Resource) -> bool {
        let Some(target) = route.text("Target") else {
            return true;
        };
        let integration = self.find("Integration", integration_id(target));
        integration.is_some_and(|part| part.text("IntegrationType") == Some("MOCK"))
    }

    /// Returns a route of an HTTP API.
    pub(super) fn http_route(&mut self, route: Guarded) -> Result<HttpRoute> {
        let Guarded {
            resource: route,
            key,
            guard: (authorizer, scopes),
        } = route;
        let integration = self.integration(&route, HTTP_TIMEOUT)?;
        let (method, path) = match key.split_once(' ') {
            Some((method, path)) => (method, path),
            None if key == "$default" => ("ANY", "$default"),
            None => bail!(
                "{}: RouteKey must be `METHOD /path` or $default",
                route.place()
            ),
        };
        let method = method.to_uppercase();
        ensure!(
            METHODS.contains(&method.as_str()),
            "{}: its method {method} is none of {}",
            route.place(),
            METHODS.join(", ")
        );
        Ok(HttpRoute {
            method,
            path: path.to_owned(),
            function: integration.function,
            timeout: integration.timeout,
            payload: integration.payload,
            authorizer,
            scopes,
            key,
        })
    }

    /// Returns the integration of a route. Of one that cannot be served, the function is
    /// [`NO_FUNCTION`], and the reason is noted.
    fn integration(&mut self, route: &Resource, longest: Duration) -> Result<Integration> {
        let found = self.find_integration(route, longest)?;
        Ok(found.unwrap_or_else(|why| {
            let why = format!("{why}: its requests fail");
            self.resources.skip(route, &why);
            Integration {
                function: NO_FUNCTION.to_owned(),
                timeout: longest,
                payload: Payload::V2,
            }
        }))
    }

    /// Returns the integration of a route, or why it is not served.
    fn find_integration(
        &self,
        route: &Resource,
        longest: Duration,
    ) -> Result<Result<Integration, String>> {
        let Some(target) = route.text("Target") else {
            return Ok(Err("it has no Target".to_owned()));
        };
        let id = integration_id(target);
        let Some(integration) = self.find("Integration", id) else {
            return Ok(Err(format!("there is no integration {id}")));
        };
        if integration.text("IntegrationType") != Some("AWS_PROXY") {
            let place = integration.place();
            return Ok(Err(format!("{place}: only AWS_PROXY is served")));
        }
        let uri = integration.text("IntegrationUri").unwrap_or_default();
        let Some(function) = function::find(uri, self.functions) else {
            return Ok(Err("it leads to no function that runs here".to_owned()));
        };
        let millis = number(or_null(&integration.properties["TimeoutInMillis"]));
        let millis = millis.with_context(|| integration.place())?;
        Ok(Ok(Integration {
            function: function.logical_id.clone(),
            timeout: millis.map_or(longest, Duration::from_millis).min(longest),
            payload: match integration.text("PayloadFormatVersion") {
                Some("1.0") => Payload::V1,
                Some("2.0") | None => Payload::V2,
                Some(other) => bail!(
                    "{}: PayloadFormatVersion is 1.0 or 2.0, and not {other}",
                    integration.place()
                ),
            },
        }))
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
}

/// Returns the requests that a route of an HTTP API takes: its key without the names of parameters.
fn requests(key: &str) -> String {
    let (method, path) = key.split_once(' ').unwrap_or(("ANY", key));
    let shape = |part: &str| match part.strip_prefix('{') {
        Some(name) if name.ends_with("+}") => "{+}".to_owned(),
        Some(name) if name.ends_with('}') => "{}".to_owned(),
        _ => part.to_owned(),
    };
    let path: Vec<String> = path.split('/').map(shape).collect();
    format!("{} {}", method.to_uppercase(), path.join("/"))
}

/// Returns the integration that `Target` of a route names.
fn integration_id(target: &str) -> &str {
    target.trim_start_matches("integrations/")
}

/// Returns the key of a route; `None` if it is not known here.
///
/// # Errors
///
/// It is missing.
fn key(route: &Resource) -> Result<Option<String>> {
    if is_unknown(&route.properties["RouteKey"]) {
        return Ok(None);
    }
    let key = route.text("RouteKey").context("RouteKey is missing");
    Ok(Some(key.with_context(|| route.place())?.to_owned()))
}

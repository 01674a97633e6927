//! Which route a frame or a request takes.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Result, bail};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::template::HttpRoute;

/// A route selection expression: the value at a path of the frame, `$request.body.action`.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-routes.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    path: Vec<String>,
}

impl FromStr for Selection {
    type Err = anyhow::Error;

    fn from_str(expression: &str) -> Result<Self> {
        let path = expression
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'))
            .map(|inner| format!("${inner}"))
            .unwrap_or_else(|| expression.to_owned());
        match path.strip_prefix("$request.body.") {
            Some(path) if !path.is_empty() => Ok(Self {
                path: path.split('.').map(str::to_owned).collect(),
            }),
            _ => bail!("RouteSelectionExpression must be $request.body.<path>"),
        }
    }
}

impl Selection {
    /// The route key that `frame` asks for; `None` where it is not JSON or has no such value.
    pub fn select(&self, frame: &str) -> Option<String> {
        let body: Value = serde_json::from_str(frame).ok()?;
        let value = self
            .path
            .iter()
            .try_fold(&body, |value, name| value.get(name))?;
        match value {
            Value::String(key) => Some(key.clone()),
            Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
            _ => None,
        }
    }
}

/// A route of the HTTP API that fits a request, with the values of its path parameters.
#[derive(Debug)]
pub struct HttpMatch<'a> {
    /// The route.
    pub route: &'a HttpRoute,
    /// Path parameters, decoded.
    pub parameters: BTreeMap<String, String>,
}

/// Finds the route for a request: the most specific path first, then the method before `ANY`.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>
pub fn match_http<'a>(routes: &'a [HttpRoute], method: &str, path: &str) -> Option<HttpMatch<'a>> {
    routes
        .iter()
        .filter(|route| route.method == method || route.method == "ANY")
        .filter_map(|route| {
            let (rank, parameters) = match_path(&route.path, path)?;
            let any = route.method == "ANY";
            Some(((rank, any), HttpMatch { route, parameters }))
        })
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, found)| found)
}

/// How loosely a pattern fits, with the parameters: 0 for a full match, then greedy, then
/// `$default`.
fn match_path(pattern: &str, path: &str) -> Option<(u8, BTreeMap<String, String>)> {
    if pattern == "$default" {
        return Some((2, BTreeMap::new()));
    }
    let mut parameters = BTreeMap::new();
    let mut parts = path.split('/');
    for expected in pattern.split('/') {
        let name = expected
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'));
        let part = parts.next()?;
        match name {
            Some(name) if name.ends_with('+') => {
                let rest: Vec<&str> = std::iter::once(part).chain(parts).collect();
                parameters.insert(
                    name.trim_end_matches('+').to_owned(),
                    decode(&rest.join("/")),
                );
                return Some((1, parameters));
            }
            Some(name) if !part.is_empty() => {
                parameters.insert(name.to_owned(), decode(part));
            }
            None if part == expected => {}
            _ => return None,
        }
    }
    parts.next().is_none().then_some((0, parameters))
}

fn decode(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(expression: &str, frame: &str) -> Option<String> {
        expression
            .parse::<Selection>()
            .expect("valid")
            .select(frame)
    }

    #[test]
    fn a_route_is_selected_by_the_value_at_the_path() {
        let action = "$request.body.action";
        assert_eq!(
            select(action, r#"{"action":"ping"}"#).as_deref(),
            Some("ping")
        );
        assert_eq!(select(action, r#"{"action":7}"#).as_deref(), Some("7"));
        for frame in ["{}", "[]", "7", "not JSON", r#"{"action":null}"#] {
            assert_eq!(select(action, frame), None, "{frame}");
        }
        let nested = select("${request.body.a.b}", r#"{"a":{"b":"x"}}"#);
        assert_eq!(nested.as_deref(), Some("x"));
        assert!("$request.header.x".parse::<Selection>().is_err());
    }

    #[test]
    fn the_most_specific_http_route_wins() {
        let route = |method: &str, path: &str| HttpRoute {
            method: method.to_owned(),
            path: path.to_owned(),
            function: format!("{method} {path}"),
        };
        let routes = [
            route("ANY", "$default"),
            route("GET", "/{proxy+}"),
            route("ANY", "/rooms/{id}"),
            route("GET", "/rooms/{id}"),
        ];
        for (method, path, expected) in [
            ("GET", "/rooms/42", "GET /rooms/{id}"),
            ("POST", "/rooms/42", "ANY /rooms/{id}"),
            ("GET", "/rooms/42/members", "GET /{proxy+}"),
            ("POST", "/elsewhere", "ANY $default"),
        ] {
            let found = match_http(&routes, method, path).expect("a route");
            assert_eq!(found.route.function, expected, "{method} {path}");
        }
        let found = match_http(&routes, "GET", "/rooms/a%2Fb").expect("a route");
        assert_eq!(found.parameters["id"], "a/b");
        assert!(match_http(&routes[3..], "GET", "/rooms").is_none());
    }
}

//! Which route a frame or a request takes.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::template::HttpRoute;

/// A selection expression: text with values of the frame in it, such as `$request.body.action`,
/// `v1-${request.body.kind}` or a constant. `\\$` is a dollar sign.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-selection-expressions.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Body(Vec<String>),
}

impl FromStr for Selection {
    type Err = anyhow::Error;

    fn from_str(expression: &str) -> Result<Self> {
        let (mut pieces, mut text) = (Vec::new(), String::new());
        let mut rest = expression;
        while let Some(character) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix(r"\$") {
                text.push('$');
                rest = after;
            } else if let Some(after) = rest.strip_prefix('$') {
                let (name, after) = variable(after)?;
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Body(body_path(name)?));
                rest = after;
            } else {
                text.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
        pieces.push(Piece::Text(text));
        Ok(Self(pieces))
    }
}

/// The name of the variable at the beginning of `text`, with or without braces, and what follows.
fn variable(text: &str) -> Result<(&str, &str)> {
    if let Some(braced) = text.strip_prefix('{') {
        return braced.split_once('}').context("a ${ has no }");
    }
    let is_name = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let end = text.find(|character| !is_name(character));
    Ok(text.split_at(end.unwrap_or(text.len())))
}

fn body_path(name: &str) -> Result<Vec<String>> {
    match name.strip_prefix("request.body.") {
        Some(path) if !path.is_empty() => Ok(path.split('.').map(str::to_owned).collect()),
        _ => bail!("RouteSelectionExpression can use request.body.<path>, not {name}"),
    }
}

impl Selection {
    /// The route key that `frame` asks for. A value that is not there is empty; `None` where the
    /// frame would have to be a JSON object and is not.
    pub fn select(&self, frame: &str) -> Option<String> {
        let needs_body = self.0.iter().any(|piece| matches!(piece, Piece::Body(_)));
        let body: Value = match needs_body {
            true => serde_json::from_str(frame).ok().filter(Value::is_object)?,
            false => Value::Null,
        };
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Body(path) => scalar(path.iter().try_fold(&body, |value, name| value.get(name))),
        });
        Some(pieces.collect())
    }
}

fn scalar(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
        _ => String::new(),
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

/// How loosely a pattern fits, with the parameters. A full match comes first, with as few variables
/// as possible, then a greedy one with as long a beginning as possible, then `$default`.
fn match_path(pattern: &str, path: &str) -> Option<(Rank, BTreeMap<String, String>)> {
    if pattern == "$default" {
        return Some((Rank::Default, BTreeMap::new()));
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
                let parts = pattern.split('/').count();
                return Some((Rank::Greedy(std::cmp::Reverse(parts)), parameters));
            }
            Some(name) if !part.is_empty() => {
                parameters.insert(name.to_owned(), decode(part));
            }
            None if part == expected => {}
            _ => return None,
        }
    }
    let is_full = parts.next().is_none();
    is_full.then_some((Rank::Full(parameters.len()), parameters))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// With so many variables.
    Full(usize),
    /// With so many parts.
    Greedy(std::cmp::Reverse<usize>),
    Default,
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
    fn a_route_is_selected_by_the_values_of_the_frame() {
        let action = "$request.body.action";
        for (expression, frame, key) in [
            (action, r#"{"action":"ping"}"#, "ping"),
            (action, r#"{"action":7}"#, "7"),
            (action, r#"{"action":null}"#, ""),
            (action, "{}", ""),
            ("${request.body.a.b}", r#"{"a":{"b":"x"}}"#, "x"),
            (
                "v${request.body.v}/$request.body.a",
                r#"{"v":2,"a":"x"}"#,
                "v2/x",
            ),
            (r"a-\$constant", "not JSON", "a-$constant"),
        ] {
            let selected = select(expression, frame);
            assert_eq!(selected.as_deref(), Some(key), "{expression} {frame}");
        }
        for frame in ["[]", "7", "not JSON", ""] {
            assert_eq!(select(action, frame), None, "{frame}");
        }
        for malformed in ["$request.header.x", "${request.body.x", "$request.body."] {
            assert!(malformed.parse::<Selection>().is_err(), "{malformed}");
        }
    }

    #[test]
    fn the_most_specific_http_route_wins() {
        let route = |method: &str, path: &str| HttpRoute {
            key: format!("{method} {path}"),
            method: method.to_owned(),
            path: path.to_owned(),
            function: String::new(),
            timeout: std::time::Duration::ZERO,
            authorizer: None,
            scopes: Vec::new(),
        };
        let routes = [
            route("ANY", "$default"),
            route("GET", "/{proxy+}"),
            route("GET", "/files/{path+}"),
            route("ANY", "/rooms/new"),
            route("ANY", "/rooms/{id}"),
            route("GET", "/rooms/{id}"),
        ];
        for (method, path, expected) in [
            ("GET", "/rooms/42", "GET /rooms/{id}"),
            ("POST", "/rooms/42", "ANY /rooms/{id}"),
            ("GET", "/rooms/42/members", "GET /{proxy+}"),
            ("GET", "/rooms/new", "ANY /rooms/new"),
            ("GET", "/files/a/b", "GET /files/{path+}"),
            ("POST", "/elsewhere", "ANY $default"),
        ] {
            let found = match_http(&routes, method, path).expect("a route");
            assert_eq!(found.route.key, expected, "{method} {path}");
        }
        let found = match_http(&routes, "GET", "/rooms/a%2Fb").expect("a route");
        assert_eq!(found.parameters["id"], "a/b");
        assert!(match_http(&routes[3..], "GET", "/rooms").is_none());
    }
}

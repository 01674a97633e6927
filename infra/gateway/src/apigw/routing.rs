//! The routes of frames of the WebSocket API and of requests of the HTTP API.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use crate::model::{HttpRoute, WebSocketApi};

/// Whether a frame can select `$connect`, `$disconnect` or `$default` by its value. [U]
const FRAMES_SELECT_OWN_ROUTES: bool = false;

/// Returns the key of the route for a frame: the selected one, else `$default` if there is one.
pub fn match_frame(api: &WebSocketApi, frame: &str) -> Option<String> {
    let selected = api.selection.select(frame);
    let is_open = |key: &String| FRAMES_SELECT_OWN_ROUTES || !key.starts_with('$');
    let selected = selected.filter(|key| is_open(key) && api.routes.contains_key(key));
    let has_default = api.routes.contains_key("$default");
    selected.or_else(|| has_default.then(|| "$default".to_owned()))
}

/// A route of the HTTP API that fits a request, with the values of its path parameters.
#[derive(Debug)]
pub struct HttpMatch<'a> {
    /// The route.
    pub route: &'a HttpRoute,
    /// Path parameters, decoded.
    pub parameters: BTreeMap<String, String>,
}

/// Returns the route of a request: the most specific path first, then the method before `ANY`.
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

/// Returns the rank of a pattern that matches a path, with the parameters. Full matches come first,
/// those with the fewest variables before others; then greedy ones, the longest first; then
/// `$default`.
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
    use crate::model::Payload;

    #[test]
    fn the_most_specific_http_route_wins() {
        let route = |method: &str, path: &str| HttpRoute {
            key: format!("{method} {path}"),
            method: method.to_owned(),
            path: path.to_owned(),
            function: String::new(),
            timeout: std::time::Duration::ZERO,
            payload: Payload::V2,
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

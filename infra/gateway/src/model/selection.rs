//! Expressions that select the route of a frame.

use std::str::FromStr;

use anyhow::{Context, Result, bail};
use serde_json::Value;

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

/// Returns the name of the variable at the beginning of `text`, with or without braces, and what
/// follows.
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
    /// Returns the route key that `frame` asks for. A value that is not there is empty; `None`
    /// where the frame would have to be a JSON object and is not.
    pub fn select(&self, frame: &str) -> Option<String> {
        let needs_body = self.0.iter().any(|piece| matches!(piece, Piece::Body(_)));
        let body: Value = if needs_body {
            serde_json::from_str(frame).ok().filter(Value::is_object)?
        } else {
            Value::Null
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
}

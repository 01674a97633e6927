//! The properties of resources: which are served, which change nothing on one machine, and which are named at
//! the start because they would have an effect on AWS. The README has this table.
//!
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-resources-and-properties.html>,
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ApiGatewayV2.html>

mod kinds;

use std::fmt::Write;

use serde_json::Value;

use super::intrinsic::plain;
use super::yaml::{Content, Node};

pub(super) use kinds::{
    API, HTTP_AUTH, HTTP_AUTHORIZER, HTTP_EVENT, HTTP_EVENT_AUTH, ROUTE, SAM_HTTP_API,
    SAM_WEBSOCKET_API, WEBSOCKET_AUTH,
};

/// The properties of a type of resources, or of a map in one.
pub(super) struct Kind {
    /// The type, or a name for the table.
    name: &'static str,
    served: &'static str,
    /// They change nothing on one machine.
    without_effect: &'static str,
    named: &'static str,
    /// The reader of the resource names them, with a reason.
    named_elsewhere: &'static str,
    /// Whether there may be others, which change nothing.
    is_open: bool,
    /// Properties that are maps with properties of their own.
    inner: &'static [(&'static str, Inner)],
}

/// A map in a property.
pub(super) enum Inner {
    /// It has these properties.
    Map(&'static Kind),
    /// Each of its values has them.
    Each(&'static Kind),
    /// Each value of its values has them: the operations of paths.
    EachOfEach(&'static Kind),
}

/// Returns the properties of the resources that are there, and of `Globals`, that are not served, with their
/// lines.
pub fn not_served(root: &Node, is_there: impl Fn(&str) -> bool) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let resources = root.get("Resources").map_or(&[][..], Node::entries);
    for (id, resource) in resources.iter().filter(|(id, _)| is_there(id)) {
        let kind = plain(resource.get("Type"));
        if let (Some(kind), Some(properties)) = (of(kind), resource.get("Properties")) {
            let place = format!("{id} ({})", kind.name);
            check(kind, properties, &place, "", &mut found);
        }
        if kind == "AWS::Serverless::Function" {
            check_events(id, resource, &mut found);
        }
    }
    for (section, properties) in root.get("Globals").map_or(&[][..], Node::entries) {
        if let Some(kind) = of(&format!("AWS::Serverless::{section}")) {
            let place = format!("Globals.{section}");
            check(kind, properties, &place, "", &mut found);
        }
    }
    found
}

/// Whether a property of a type changes nothing on one machine.
pub fn is_without_effect(kind: &str, property: &str) -> bool {
    of(kind).is_some_and(|kind| has(kind.without_effect, property))
}

fn of(name: &str) -> Option<&'static Kind> {
    kinds::TYPES.iter().copied().find(|kind| kind.name == name)
}

/// Checks the `HttpApi` events of a function.
fn check_events(id: &str, function: &Node, found: &mut Vec<(usize, String)>) {
    let events = function.get("Properties").and_then(|it| it.get("Events"));
    for (name, event) in events.map_or(&[][..], Node::entries) {
        if plain(event.get("Type")) == "HttpApi"
            && let Some(properties) = event.get("Properties")
        {
            let place = format!("{id} (AWS::Serverless::Function)");
            let path = format!("event {name}: ");
            check(&kinds::HTTP_EVENT, properties, &place, &path, found);
        }
    }
}

fn check(kind: &Kind, node: &Node, place: &str, path: &str, found: &mut Vec<(usize, String)>) {
    if node.is_function() {
        return;
    }
    for (name, value) in node.entries() {
        if !kind.knows(name) && !is_off(value) {
            let why = if has(kind.named, name) {
                ""
            } else {
                ", which is not known"
            };
            let line = value.line;
            found.push((line, format!("line {line}: {place}: its {path}{name}{why}")));
        }
        let inner = kind.inner.iter().find(|(inner, _)| inner == name);
        let path = format!("{path}{name}.");
        match inner {
            Some((_, Inner::Map(kind))) => check(kind, value, place, &path, found),
            Some((_, Inner::Each(kind))) => {
                for (name, value) in value.entries() {
                    check(kind, value, place, &format!("{path}{name}."), found);
                }
            }
            Some((_, Inner::EachOfEach(kind))) => {
                for (name, each) in value.entries() {
                    for (inner, value) in each.entries() {
                        check(kind, value, place, &format!("{path}{name}.{inner}."), found);
                    }
                }
            }
            None => {}
        }
    }
}

impl Kind {
    /// Returns why the guard that `properties` have cannot be applied, if one has a name that is not known: a
    /// deployment refuses it, or drops what it was to keep out.
    pub fn unknown_guard(&self, properties: &Value) -> Option<String> {
        let name = self.unknown(properties, is_of_guard)?;
        Some(format!("its {name} is not known"))
    }

    /// Returns why the map `name`, which is a guard, cannot be applied: it is no map, or has an entry that is not known.
    /// One whose value is not known here is another case.
    pub fn malformed(&self, name: &str, guard: &Value) -> Option<String> {
        match guard {
            Value::Null => None,
            Value::Object(_) => {
                let unknown = self.unknown(guard, |_| true)?;
                Some(format!("its {name}.{unknown} is not known"))
            }
            _ => Some(format!("its {name} is no map")),
        }
    }

    /// Returns the first name in a map that the kind does not have.
    fn unknown<'a>(&self, map: &'a Value, concerns: impl Fn(&str) -> bool) -> Option<&'a String> {
        let mut names = map.as_object().into_iter().flatten().map(|(name, _)| name);
        names.find(|name| concerns(name) && !self.knows(name))
    }

    fn knows(&self, name: &str) -> bool {
        let listed = [self.served, self.without_effect, self.named_elsewhere];
        let is_listed = listed.iter().any(|names| has(names, name));
        is_listed || self.is_open && !has(self.named, name) || name.starts_with("Fn::")
    }
}

/// Whether a name begins as those of all properties of guards do: `Auth`, `AuthorizationType`, `authorizer`.
pub(super) fn is_of_guard(name: &str) -> bool {
    let start = name.get(..4);
    start.is_some_and(|start| start.eq_ignore_ascii_case("auth"))
}

/// Whether a list has a name.
fn has(names: &str, name: &str) -> bool {
    names.split_whitespace().any(|other| other == name)
}

/// Whether a value leaves a property as if it were absent.
fn is_off(node: &Node) -> bool {
    match &node.content {
        Content::Scalar(value) => [Value::Null, false.into(), "false".into()].contains(value),
        Content::List(items) => items.is_empty(),
        Content::Map(entries) => entries.is_empty(),
    }
}

/// Returns the table of all properties, in Markdown.
pub fn table() -> String {
    let mut text =
        "| of | served | without effect here | named at the start |\n|---|---|---|---|\n"
            .to_owned();
    let list = |names: &str| {
        let names = names.split_whitespace();
        let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    let inner = [&kinds::HTTP_EVENT]
        .into_iter()
        .chain(kinds::INNER.iter().copied());
    for kind in kinds::TYPES.iter().copied().chain(inner) {
        let name = match kind.name.contains("::") {
            true => format!("`{}`", kind.name),
            false => kind.name.to_owned(),
        };
        let named = [kind.named, kind.named_elsewhere].join(" ");
        let [served, without, named] = [kind.served, kind.without_effect, &named].map(list);
        writeln!(text, "| {name} | {served} | {without} | {named} |").expect("a String takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        let root = Node::parse(text).expect("YAML");
        not_served(&root, |_| true)
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }

    #[test]
    fn a_property_that_is_not_served_is_named_with_its_line() {
        let text = "
Globals:
  HttpApi: {Domain: {DomainName: a}}
Resources:
  Route:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      RouteKey: a
      OperationName: b
      ApiKeyRequired: true
      ModelSelectionExpression: ~
      Tarjet: c
  Ws:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      Routes:
        a: {FunctionArn: b, ApiKeyRequired: false, RequestModels: {c: d}}
  Fn:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        E:
          Type: HttpApi
          Properties:
            Path: /a
            Auth: {OverrideApiAuth: true}
  Web:
    Type: AWS::Serverless::HttpApi
    Properties:
      DefinitionBody:
        openapi: 3.0.1
        paths:
          /a: {get: {x-amazon-apigateway-request-validator: all, x-amazon-apigateway-integration: {type: aws_proxy,
            requestParameters: {a: b}}}}
";
        assert_eq!(
            named(text),
            [
                "line 10: Route (AWS::ApiGatewayV2::Route): its ApiKeyRequired",
                "line 12: Route (AWS::ApiGatewayV2::Route): its Tarjet, which is not known",
                "line 17: Ws (AWS::Serverless::WebSocketApi): its Routes.a.RequestModels",
                "line 26: Fn (AWS::Serverless::Function): its event E: Auth.OverrideApiAuth, which is not known",
                "line 33: Web (AWS::Serverless::HttpApi): its DefinitionBody.paths./a.get.\
                 x-amazon-apigateway-request-validator",
                "line 34: Web (AWS::Serverless::HttpApi): its DefinitionBody.paths./a.get.\
                 x-amazon-apigateway-integration.requestParameters",
                "line 3: Globals.HttpApi: its Domain",
            ]
        );
    }

    #[test]
    fn no_property_is_in_two_lists() {
        let inner = kinds::INNER.iter().copied();
        for kind in kinds::TYPES.iter().copied().chain(inner) {
            let all = [
                kind.served,
                kind.without_effect,
                kind.named,
                kind.named_elsewhere,
            ]
            .join(" ");
            let mut all: Vec<&str> = all.split_whitespace().collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count, "{}", kind.name);
        }
    }
}

//! The resources of a template, their conditions and properties evaluated.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Place;
use super::globals;
use super::intrinsic::Scope;
use super::properties::is_without_effect;
use super::values::{as_texts, text};
use super::yaml::{Content, Node};
use crate::model::function_name;

/// Types whose properties are evaluated; all types of a service if it ends in `::`. Of others only the
/// line is reported.
const LOOKED_INTO: [&str; 9] = [
    "AWS::ApiGatewayV2::",
    "AWS::Events::Rule",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Function",
    "AWS::SQS::Queue",
    "AWS::Scheduler::Schedule",
    "AWS::Serverless::Function",
    "AWS::Serverless::HttpApi",
    "AWS::Serverless::WebSocketApi",
];

/// The resources whose condition holds and that no reader has taken yet.
pub struct Resources {
    /// The resources in the order of the text, except that one that depends on others comes after
    /// them.
    pub list: Vec<Resource>,
    /// Lines and texts of what is not served.
    pub not_served: Vec<(usize, String)>,
}

/// A resource.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its logical id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// The name of its file, with a colon; empty for that of the outermost template.
    pub file: String,
    /// The line on which it begins.
    pub line: usize,
    /// Whether its condition is not known here: it may not be there on AWS.
    pub is_unsure: bool,
    /// Logical ids of those that have to be there first, as far as it names them.
    pub depends_on: Vec<String>,
    /// Its properties, with texts in place of numbers and booleans; null if its type is not in [`LOOKED_INTO`].
    pub properties: Value,
    /// Its metadata.
    pub metadata: Value,
}

impl Resource {
    /// Returns its place: `line 12: Queue (AWS::SQS::Queue)`
    pub fn place(&self) -> String {
        let Self {
            file,
            line,
            id,
            kind,
            ..
        } = self;
        format!("{file}line {line}: {id} ({kind})")
    }

    /// Returns a property that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.properties[name].as_str()
    }
}

impl Resources {
    /// Reads the resources of the template of `scope`, which stands at `template`.
    ///
    /// # Errors
    ///
    /// There are none, or one that is looked into is malformed.
    pub fn read(scope: &Scope, template: &Place) -> Result<Self> {
        let resources = scope.root().get("Resources");
        let resources = resources.context("it has no Resources")?;
        let mut list = Vec::new();
        for (id, node) in resources.entries() {
            let place = || format!("line {}: {id}", node.line);
            let is_id = !id.is_empty() && id.chars().all(|letter| letter.is_ascii_alphanumeric());
            ensure!(
                is_id,
                "{}: a logical id has letters and digits only",
                place()
            );
            if let Some(resource) = read_one(id, node, scope).with_context(place)? {
                let file = template.file.clone();
                list.push(Resource { file, ..resource });
            }
        }
        Ok(Self {
            list: in_order(list),
            not_served: Vec::new(),
        })
    }

    /// Takes the resources of a kind.
    pub fn take(&mut self, kind: &str) -> Vec<Resource> {
        let taken = self.list.extract_if(.., |resource| resource.kind == kind);
        taken.collect()
    }

    /// Reports that a part of `resource` is not served.
    pub fn skip(&mut self, resource: &Resource, why: &str) {
        let text = format!("{}: {why}", resource.place());
        self.not_served.push((resource.line, text));
    }
}

/// Whether a kind is that of custom resources.
pub fn is_custom(kind: &str) -> bool {
    kind.starts_with("Custom::") || kind == "AWS::CloudFormation::CustomResource"
}

/// Whether a custom resource is made by a function of the template, and not by somebody elsewhere.
fn is_made_here(node: &Node, scope: &Scope) -> Result<bool> {
    let properties = node.get("Properties");
    let token = properties.and_then(|properties| properties.get("ServiceToken"));
    let token = token.map(|token| scope.value(token)).transpose()?;
    let arn = token.as_ref().and_then(Value::as_str);
    match arn.and_then(function_name) {
        Some(function) => Ok(scope.function_named(function)?.is_some()),
        None => Ok(false),
    }
}

/// Sorts resources so that each comes after those that it depends on. A circle, which
/// CloudFormation rejects, is cut.
fn in_order(list: Vec<Resource>) -> Vec<Resource> {
    let ids: Vec<String> = list.iter().map(|resource| resource.id.clone()).collect();
    let mut waiting: BTreeMap<String, Resource> = list
        .into_iter()
        .map(|resource| (resource.id.clone(), resource))
        .collect();
    let mut ordered = Vec::new();
    for id in &ids {
        append(id, &mut waiting, &mut ordered);
    }
    ordered
}

fn append(id: &str, waiting: &mut BTreeMap<String, Resource>, ordered: &mut Vec<Resource>) {
    if let Some(resource) = waiting.remove(id) {
        for other in &resource.depends_on {
            append(other, waiting, ordered);
        }
        ordered.push(resource);
    }
}

/// Whether a type is in [`LOOKED_INTO`].
fn is_listed(kind: &str) -> bool {
    LOOKED_INTO
        .iter()
        .any(|listed| match listed.ends_with("::") {
            true => kind.starts_with(listed),
            false => kind == *listed,
        })
}

/// Returns a resource, unless its condition does not hold.
fn read_one(id: &str, node: &Node, scope: &Scope) -> Result<Option<Resource>> {
    let evaluated = |node: Option<&Node>| match node {
        Some(part) => scope.value(part),
        None => Ok(Value::Null),
    };
    let part = |name: &str| evaluated(node.get(name));
    let holds = scope.holds(node.get("Condition"))?;
    if holds == Some(false) {
        return Ok(None);
    }
    let kind = text(&part("Type")?)?;
    let looked_into = is_listed(&kind) || is_custom(&kind) && is_made_here(node, scope)?;
    let (properties, metadata) = if looked_into {
        let properties = globals::merged(scope.root(), node);
        let properties = properties.map(|node| properties_of(&kind, &node, scope));
        (
            as_texts(properties.transpose()?.unwrap_or_default()),
            as_texts(part("Metadata")?),
        )
    } else {
        (Value::Null, Value::Null)
    };
    let depends_on: Vec<String> = match part("DependsOn")? {
        Value::Array(ids) => ids.iter().map(text).collect::<Result<_>>()?,
        Value::Null => Vec::new(),
        id => vec![text(&id)?],
    };
    Ok(Some(Resource {
        id: scope.own_id(id),
        kind,
        file: String::new(),
        line: node.line,
        is_unsure: holds.is_none(),
        depends_on: depends_on
            .iter()
            .map(|id: &String| scope.own_id(id))
            .collect(),
        properties,
        metadata,
    }))
}

/// Returns the properties of a resource that are used. The others are evaluated as well, since a deployment
/// rejects a malformed one, but what is not known in them changes nothing here.
fn properties_of(kind: &str, properties: &Node, scope: &Scope) -> Result<Value> {
    let is_without_effect = |(name, _): &(String, Node)| is_without_effect(kind, name);
    if properties.is_function() || !matches!(properties.content, Content::Map(_)) {
        return scope.value(properties);
    }
    let entries = properties.entries().iter().cloned();
    let (unused, used): (Vec<_>, Vec<_>) = entries.partition(is_without_effect);
    let map = |entries| Node {
        line: properties.line,
        content: Content::Map(entries),
    };
    scope.unrecorded(|| scope.value(&map(unused)))?;
    scope.value(&map(used))
}

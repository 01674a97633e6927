//! The values of parameters.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{Content, Node, Scope, list, plain, text};

/// Returns the values of a template's parameters, with `given` in place of their defaults.
///
/// # Errors
///
/// A parameter has neither a value nor a default, or a value is for no parameter.
pub fn values(root: &Node, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, Value>> {
    let mut values = BTreeMap::new();
    for (name, node) in declared(root) {
        if is_in_ssm(node) && !given.contains_key(name) {
            values.insert(name.clone(), json!({"Fn::SSM": null}));
            continue;
        }
        let default = node.get("Default").map(|node| &node.content);
        let value = match (given.get(name), default) {
            (Some(value), _) => value.clone(),
            (None, Some(Content::Scalar(default))) => text(default)?,
            (None, _) => bail!("line {}: parameter {name} needs a value", node.line),
        };
        let value = parameter(node, value);
        let value = value.with_context(|| format!("line {}: parameter {name}", node.line))?;
        values.insert(name.clone(), value);
    }
    if let Some(unknown) = given.keys().find(|name| !values.contains_key(*name)) {
        bail!("the template has no parameter {unknown}");
    }
    Ok(values)
}

/// Whether the value of a parameter is the name of another one, in SSM: what functions get is known to AWS
/// only. A value that is given here is that of the other one.
///
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html>
fn is_in_ssm(declaration: &Node) -> bool {
    plain(declaration.get("Type")).starts_with("AWS::SSM::Parameter::Value<")
}

fn declared(root: &Node) -> &[(String, Node)] {
    root.get("Parameters").map_or(&[], Node::entries)
}

/// Returns the value of a parameter in the form of its type, checked against what the template
/// allows.
fn parameter(declaration: &Node, value: String) -> Result<Value> {
    let allowed = declaration.get("AllowedValues").map(list).transpose()?;
    let is_it = |node: &Node| match &node.content {
        Content::Scalar(scalar) => text(scalar).is_ok_and(|allowed| allowed == value),
        _ => false,
    };
    if let Some(allowed) = allowed
        && !is_in_ssm(declaration)
        && !allowed.iter().any(is_it)
    {
        bail!("{value:?} is not one of its AllowedValues");
    }
    let kind = declaration.get("Type").map(|node| &node.content);
    Ok(match kind {
        Some(Content::Scalar(Value::String(kind)))
            if kind == "CommaDelimitedList" || kind.contains("List<") =>
        {
            value
                .split(',')
                .map(|item| Value::from(item.trim()))
                .collect()
        }
        _ => value.into(),
    })
}

impl Scope<'_> {
    /// Returns the values of all parameters of a type; those of lists one by one.
    pub(super) fn values_of(&self, kind: &str) -> Value {
        let list_of = format!("List<{kind}>");
        let is_it = |node: &Node| [kind, &list_of].contains(&plain(node.get("Type")));
        declared(self.root)
            .iter()
            .filter(|(_, node)| is_it(node))
            .filter_map(|(name, _)| self.parameters.get(name))
            .flat_map(|value| match value {
                Value::Array(values) => values.clone(),
                value => vec![value.clone()],
            })
            .collect()
    }
}

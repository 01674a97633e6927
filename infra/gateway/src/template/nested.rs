//! Nested stacks whose templates lie on this machine: their resources are served with those of the template,
//! each with the logical id of its stack before its own.
//!
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-application.html>,
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-stack.html>

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::intrinsic::{Scope, plain};
use super::values::{as_texts, is_unknown, text};
use super::yaml::Node;
use super::{Document, Gathered, Place};

/// The types of stacks, each with the property that names its template.
const TYPES: [(&str, &str); 2] = [
    ("AWS::CloudFormation::Stack", "TemplateURL"),
    ("AWS::Serverless::Application", "Location"),
];

/// Limit of stacks in stacks.
const MAX_DEPTH: usize = 8;

/// Gathers the nested stacks of the template at `place`, and gives `scope` their outputs. Returns them by their
/// logical ids.
///
/// # Errors
///
/// A template of one cannot be read, or lacks something.
pub fn read(scope: &Scope, place: &Place) -> Result<BTreeMap<String, Gathered>> {
    let mut stacks = BTreeMap::new();
    for (id, node) in scope.root().get("Resources").map_or(&[][..], Node::entries) {
        if let Some(path) = template_of(node, scope, &place.folder)? {
            let stack = gather(id, node, &path, scope, place);
            let stack = stack.with_context(|| format!("line {}: {id}", node.line))?;
            stacks.insert(id.clone(), stack);
        }
    }
    Ok(stacks)
}

/// Returns the path of the template of a stack, if the resource is one, its condition holds and the template is
/// on this machine.
fn template_of(node: &Node, scope: &Scope, folder: &Path) -> Result<Option<PathBuf>> {
    let kind = plain(node.get("Type"));
    let Some((_, property)) = TYPES.iter().find(|(stack, _)| *stack == kind) else {
        return Ok(None);
    };
    if scope.holds(node.get("Condition"))? == Some(false) {
        return Ok(None);
    }
    let location = node.get("Properties").and_then(|it| it.get(property));
    let location = location.map(|location| scope.value(location)).transpose()?;
    let Some(location) = location.as_ref().and_then(Value::as_str) else {
        return Ok(None);
    };
    let path = folder.join(location);
    if !path.is_file() && !location.contains("://") {
        let what = format!("the template {}, which is no file,", path.display());
        scope.note_unknown(node.line, &what);
    }
    Ok(Some(path).filter(|path| path.is_file()))
}

fn gather(id: &str, node: &Node, path: &Path, scope: &Scope, place: &Place) -> Result<Gathered> {
    ensure!(place.depth < MAX_DEPTH, "its stacks are nested too deeply");
    let document = Document::read(path)?;
    let inner = Place {
        folder: document.folder.clone(),
        file: format!("{}: ", path.display()),
        prefix: scope.own_id(id),
        depth: place.depth + 1,
    };
    let stack = document.gather(&parameters(node, scope)?, &inner);
    let mut stack = stack.with_context(|| path.display().to_string())?;
    if scope.holds(node.get("Condition"))?.is_none() {
        let all = stack.resources.list.iter_mut();
        all.for_each(|resource| resource.is_unsure = true);
    }
    for (name, value) in &stack.outputs {
        scope.set_output(format!("{id}.Outputs.{name}"), value.clone());
    }
    Ok(stack)
}

/// Returns the parameters of a stack, except those whose values are not known here: they keep their defaults.
fn parameters(node: &Node, scope: &Scope) -> Result<BTreeMap<String, String>> {
    let parameters = node.get("Properties").and_then(|it| it.get("Parameters"));
    let Some(parameters) = parameters else {
        return Ok(BTreeMap::new());
    };
    let parameters = as_texts(scope.value(parameters)?);
    let known = parameters.as_object().into_iter().flatten();
    let known = known.filter(|(_, value)| !is_unknown(value));
    known
        .map(|(name, value)| {
            let value = match value {
                Value::Array(items) => {
                    let items: Vec<String> = items.iter().map(text).collect::<Result<_>>()?;
                    items.join(",")
                }
                value => text(value)?,
            };
            Ok((name.clone(), value))
        })
        .collect()
}

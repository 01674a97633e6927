//! `Globals`, merged into the resources of their type as SAM does: maps by key, lists appended, all else
//! replaced by the resource's own.
//!
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy-globals.html>

use super::intrinsic::plain;
use super::yaml::{Content, Node};

/// The lists that replace the global one, by section and property.
const REPLACED: [(&str, &str); 1] = [("Function", "Architectures")];

/// Properties that a section does not take: a deployment refuses them.
const REFUSED: [(&str, &str); 16] = [
    ("Function", "Events"),
    ("Function", "FunctionName"),
    ("Function", "ImageConfig"),
    ("Function", "ImageUri"),
    ("Function", "InlineCode"),
    ("Function", "PackageType"),
    ("Function", "Policies"),
    ("Function", "Role"),
    ("HttpApi", "DefinitionBody"),
    ("HttpApi", "DefinitionUri"),
    ("HttpApi", "Description"),
    ("HttpApi", "Name"),
    ("HttpApi", "StageName"),
    ("WebSocketApi", "Name"),
    ("WebSocketApi", "Routes"),
    ("WebSocketApi", "StageName"),
];

/// The sections that SAM takes.
const SECTIONS: [&str; 10] = [
    "Api",
    "CapacityProvider",
    "Function",
    "HttpApi",
    "LayerVersion",
    "MicrovmImage",
    "NetworkConnector",
    "SimpleTable",
    "StateMachine",
    "WebSocketApi",
];

/// Returns the properties of a resource with those of `Globals`.
pub fn merged(root: &Node, resource: &Node) -> Option<Node> {
    let own = resource.get("Properties");
    let kind = plain(resource.get("Type"));
    let section = kind.strip_prefix("AWS::Serverless::");
    let globals = section.and_then(|section| section_of(root, section, resource));
    match (globals, own) {
        (Some(globals), Some(own)) => Some(merge(section?, "", &globals, own)),
        (Some(globals), None) => Some(globals),
        (None, own) => own.cloned(),
    }
}

/// Returns the entries of a section that hold for a resource: those that SAM takes and that its
/// `IgnoreGlobals` does not name.
pub fn section_of(root: &Node, section: &str, resource: &Node) -> Option<Node> {
    let globals = root.get("Globals")?.get(section)?;
    let ignored = resource.get("IgnoreGlobals");
    if plain(ignored) == "*" {
        return None;
    }
    let ignored: Vec<&str> = match ignored.map(|ignored| &ignored.content) {
        Some(Content::List(names)) => names.iter().map(|name| plain(Some(name))).collect(),
        _ => Vec::new(),
    };
    let holds = |name: &str| !ignored.contains(&name) && !REFUSED.contains(&(section, name));
    let entries = globals.entries().iter();
    let entries = entries.filter(|(name, _)| holds(name)).cloned().collect();
    Some(Node {
        line: globals.line,
        content: Content::Map(entries),
    })
}

/// Returns the sections, and the entries of sections, that SAM does not take, each with its line.
pub fn refused(root: &Node) -> Vec<(usize, String)> {
    let sections = root.get("Globals").map_or(&[][..], Node::entries);
    let unknown = sections
        .iter()
        .filter(|(section, _)| !SECTIONS.contains(&section.as_str()))
        .map(|(section, node)| not_taken(node.line, section));
    let entries = sections.iter().flat_map(|(section, node)| {
        let entries = node.entries().iter();
        entries.map(move |(name, value)| (section.as_str(), name.as_str(), value.line))
    });
    let refused = entries
        .filter(|(section, name, _)| REFUSED.contains(&(*section, *name)))
        .map(|(section, name, line)| not_taken(line, &format!("{section}.{name}")));
    unknown.chain(refused).collect()
}

fn not_taken(line: usize, path: &str) -> (usize, String) {
    let text = format!("line {line}: Globals.{path}: SAM does not take it");
    (line, text)
}

fn merge(section: &str, name: &str, globals: &Node, own: &Node) -> Node {
    let content = match (&globals.content, &own.content) {
        (Content::Map(_), Content::Map(_)) if !globals.is_function() && !own.is_function() => {
            Content::Map(merge_maps(section, globals.entries(), own.entries()))
        }
        (Content::List(globals), Content::List(own)) if !REPLACED.contains(&(section, name)) => {
            Content::List(globals.iter().chain(own).cloned().collect())
        }
        (_, own) => own.clone(),
    };
    Node {
        line: own.line,
        content,
    }
}

fn merge_maps(
    section: &str,
    globals: &[(String, Node)],
    own: &[(String, Node)],
) -> Vec<(String, Node)> {
    let find = |entries: &[(String, Node)], key: &str| {
        let entry = entries.iter().find(|(name, _)| name == key);
        entry.map(|(_, node)| node.clone())
    };
    let mut merged = Vec::new();
    for (key, global) in globals {
        let node = match find(own, key) {
            Some(own) => merge(section, key, global, &own),
            None => global.clone(),
        };
        merged.push((key.clone(), node));
    }
    let rest = own.iter().filter(|(key, _)| find(globals, key).is_none());
    merged.extend(rest.cloned());
    merged
}

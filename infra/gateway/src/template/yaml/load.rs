//! From the events of the parser to the tree: scalars, anchors, merges and doubled keys as YAML 1.1 and SAM
//! have them.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, anyhow, bail, ensure};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};
use serde_json::Value;

use super::{Content, MAX_DEPTH, Node, scalar};
use crate::template::values::text;

/// Limit of the nodes that aliases add: a few anchors that each use the one before many times would take all
/// memory.
const MAX_ALIASED: usize = 100_000;

/// A tree, and the keys that are twice in a map, with their lines: the last one counts.
pub type Loaded = (Option<Node>, Vec<(usize, String)>);

/// Loads the document of a text. The plain scalars of JSON have rules of their own.
///
/// # Errors
///
/// It is not YAML, has a second document, or is nested too deeply; the sentence gives the line.
pub fn load(text: &str, is_json: bool) -> Result<Loaded> {
    let mut loader = Loader {
        is_json,
        ..Loader::default()
    };
    let mut has_begun = false;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| with_hint(error, text))?;
        let line = span.start.line();
        if matches!(event, Event::DocumentStart(..)) {
            ensure!(
                !has_begun,
                "line {line}: a second document begins: a template is a single one"
            );
            has_begun = true;
        }
        loader
            .event(event, line)
            .with_context(|| format!("line {line}"))?;
    }
    Ok((loader.root, loader.doubled))
}

/// Adds to an error of the parser what to do about it.
fn with_hint(error: ScanError, text: &str) -> anyhow::Error {
    let line = error.marker().line();
    let text = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let indent = text.len() - text.trim_start().len();
    match text[..indent].contains('\t') {
        true => anyhow!("line {line}: it is indented with a tab: YAML takes spaces only"),
        false => error.into(),
    }
}

#[derive(Default)]
struct Loader {
    is_json: bool,
    root: Option<Node>,
    open: Vec<Collection>,
    /// The nodes of anchors, each with the number of its nodes and its depth.
    anchors: HashMap<usize, (Node, usize, usize)>,
    /// The number of nodes that aliases have added.
    aliased: usize,
    doubled: Vec<(usize, String)>,
}

/// A list or a map that has begun.
struct Collection {
    line: usize,
    anchor: usize,
    function: Option<String>,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map(Map),
}

#[derive(Default)]
struct Map {
    entries: Vec<(String, Node)>,
    names: HashSet<String>,
    /// The maps behind `<<`.
    merged: Vec<Node>,
    /// The key whose value is next.
    key: Option<(Key, usize)>,
}

enum Key {
    Name(String),
    Merge,
}

impl Loader {
    fn event(&mut self, event: Event, line: usize) -> Result<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                if is_plain && text == "<<" && self.expects_key() {
                    self.set_key(Key::Merge, line);
                    return Ok(());
                }
                let value = self.scalar(&text, style, tag.as_deref());
                let node = wrap(Node::scalar(line, value), function(tag.as_deref()), line);
                self.add(node, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(line, anchor, tag.as_deref(), Items::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.begin(line, anchor, tag.as_deref(), Items::Map(Map::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor),
            _ => Ok(()),
        }
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
        let is_text = match tag {
            Some(tag) if tag.is_yaml_core_schema() => {
                !["null", "bool", "int", "float"].contains(&tag.suffix.as_str())
            }
            // The argument of a function, such as `!Ref 7`.
            Some(_) => true,
            None => style != ScalarStyle::Plain,
        };
        if is_text {
            text.into()
        } else if self.is_json {
            serde_json::from_str(text).unwrap_or_else(|_| text.into())
        } else {
            scalar::plain(text)
        }
    }

    fn begin(&mut self, line: usize, anchor: usize, tag: Option<&Tag>, items: Items) -> Result<()> {
        ensure!(self.open.len() < MAX_DEPTH, "it is nested too deeply");
        self.open.push(Collection {
            line,
            anchor,
            function: function(tag),
            items,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let ended = self.open.pop().context("nothing has begun")?;
        let content = match ended.items {
            Items::List(items) => Content::List(items),
            Items::Map(map) => Content::Map(map.finish()?),
        };
        let node = Node {
            line: ended.line,
            content,
        };
        self.add(wrap(node, ended.function, ended.line), ended.anchor)
    }

    fn alias(&mut self, anchor: usize) -> Result<()> {
        let anchored = self.anchors.get(&anchor);
        let (node, nodes, depth) = anchored.cloned().context("an alias is in its own anchor")?;
        self.aliased += nodes;
        ensure!(self.aliased <= MAX_ALIASED, "its aliases are too many");
        ensure!(
            self.open.len() + depth <= MAX_DEPTH,
            "it is nested too deeply"
        );
        self.add(node, 0)
    }

    fn expects_key(&self) -> bool {
        let innermost = self.open.last().map(|open| &open.items);
        matches!(innermost, Some(Items::Map(Map { key: None, .. })))
    }

    fn set_key(&mut self, key: Key, line: usize) {
        if let Some(Items::Map(map)) = self.open.last_mut().map(|open| &mut open.items) {
            map.key = Some((key, line));
        }
    }

    /// Adds a node to the collection that it is in: as an item, a key or a value.
    fn add(&mut self, node: Node, anchor: usize) -> Result<()> {
        if anchor != 0 {
            let (nodes, depth) = size(&node);
            self.anchors.insert(anchor, (node.clone(), nodes, depth));
        }
        let Some(innermost) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        match &mut innermost.items {
            Items::List(items) => items.push(node),
            Items::Map(map) => match map.key.take() {
                Some((Key::Merge, _)) => map.merged.push(node),
                Some((Key::Name(name), line)) => {
                    if map.insert(&name, node.at(line)) {
                        self.doubled.push((line, name));
                    }
                }
                None => {
                    let Content::Scalar(key) = &node.content else {
                        bail!("a key is a list or a map");
                    };
                    let name = match key {
                        Value::Null => "null".to_owned(),
                        key => text(key)?,
                    };
                    map.key = Some((Key::Name(name), node.line));
                }
            },
        }
        Ok(())
    }
}

impl Map {
    /// Sets an entry; returns whether it was there.
    fn insert(&mut self, name: &str, node: Node) -> bool {
        let is_doubled = !self.names.insert(name.to_owned());
        if is_doubled {
            self.entries.retain(|(other, _)| other != name);
        }
        self.entries.push((name.to_owned(), node));
        is_doubled
    }

    /// Returns the entries with those of the merged maps, the first of which counts.
    fn finish(mut self) -> Result<Vec<(String, Node)>> {
        for merged in std::mem::take(&mut self.merged) {
            let maps = match merged.content {
                Content::List(maps) => maps,
                _ => vec![merged],
            };
            for map in maps {
                let Content::Map(entries) = map.content else {
                    bail!("line {}: << takes a map, or a list of maps", map.line);
                };
                for (name, node) in entries {
                    if self.names.insert(name.clone()) {
                        self.entries.push((name, node));
                    }
                }
            }
        }
        Ok(self.entries)
    }
}

/// Returns the name of the intrinsic function that a tag is the short form of.
fn function(tag: Option<&Tag>) -> Option<String> {
    let tag = tag.filter(|tag| !tag.is_yaml_core_schema())?;
    match tag.suffix.as_str() {
        "" | "!" => None,
        plain @ ("Ref" | "Condition") => Some(plain.to_owned()),
        function => Some(format!("Fn::{function}")),
    }
}

/// Returns a node as the argument of a function.
fn wrap(node: Node, function: Option<String>, line: usize) -> Node {
    match function {
        Some(name) => Node {
            line,
            content: Content::Map(vec![(name, node)]),
        },
        None => node,
    }
}

/// Returns the number of nodes in a node, and its depth.
fn size(node: &Node) -> (usize, usize) {
    let children: Vec<&Node> = match &node.content {
        Content::Scalar(_) => return (1, 0),
        Content::List(items) => items.iter().collect(),
        Content::Map(entries) => entries.iter().map(|(_, node)| node).collect(),
    };
    let sizes = children.into_iter().map(size);
    let (nodes, depth) = sizes.fold((0, 0), |(nodes, depth), (more, deeper)| {
        (nodes + more, depth.max(deeper))
    });
    (nodes + 1, depth + 1)
}

//! The text of a template as a tree whose nodes know their lines.
//!
//! The short forms of intrinsic functions (`!Ref x`) become the long ones (`{"Ref": x}`), so that
//! there is one form to evaluate.

use anyhow::{Result, bail, ensure};
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use saphyr_parser::{Event, Parser};
use serde_json::Value;

/// Limit of nesting: the reader takes some stack for each level.
const MAX_DEPTH: usize = 64;

/// A node of the tree.
#[derive(Debug, Clone)]
pub struct Node {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// Its content.
    pub content: Content,
}

/// The content of a node.
#[derive(Debug, Clone)]
pub enum Content {
    /// A string, number, boolean or null.
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the text.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Reads the first document of `text`.
    pub fn parse(text: &str) -> Result<Self> {
        check_depth(text)?;
        let documents = MarkedYaml::load_from_str(text)?;
        match documents.into_iter().next() {
            Some(document) => Self::from_yaml(document),
            None => bail!("it is empty"),
        }
    }

    fn from_yaml(yaml: MarkedYaml) -> Result<Self> {
        let line = yaml.span.start.line();
        let content = match yaml.data {
            YamlData::Value(scalar) => Content::Scalar(scalar_value(scalar)),
            YamlData::Sequence(items) => {
                let items = items.into_iter().map(Self::from_yaml);
                Content::List(items.collect::<Result<_>>()?)
            }
            YamlData::Mapping(entries) => {
                let entries = entries.into_iter();
                let entries = entries.map(|(key, value)| Self::entry(&key, value));
                Content::Map(entries.collect::<Result<_>>()?)
            }
            YamlData::Tagged(tag, node) => {
                let name = match tag.suffix.as_str() {
                    plain @ ("Ref" | "Condition") => plain.to_owned(),
                    function => format!("Fn::{function}"),
                };
                // A tagged node has no line of its own.
                let node = Self::from_yaml(*node)?.at(line);
                Content::Map(vec![(name, node)])
            }
            YamlData::Representation(..) | YamlData::Alias(_) | YamlData::BadValue => {
                bail!("line {line}: this is not a value that a template may hold")
            }
        };
        Ok(Self { line, content })
    }

    fn entry(key: &MarkedYaml, value: MarkedYaml) -> Result<(String, Self)> {
        let line = key.span.start.line();
        let Some(name) = key.data.as_str() else {
            bail!("line {line}: a key is not a string");
        };
        // An entry begins at its key.
        Ok((name.to_owned(), Self::from_yaml(value)?.at(line)))
    }

    fn at(self, line: usize) -> Self {
        Self { line, ..self }
    }

    /// Returns the same without lines, as JSON.
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(entries) => {
                let entries = entries.iter();
                Value::Object(
                    entries
                        .map(|(key, it)| (key.clone(), it.to_json()))
                        .collect(),
                )
            }
        }
    }

    /// Whether this is an intrinsic function.
    pub fn is_function(&self) -> bool {
        matches!(self.entries(), [(name, _)] if name == "Ref" || name == "Condition" || name.starts_with("Fn::"))
    }

    /// Returns the value of `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find_map(|(name, node)| (name == key).then_some(node))
    }

    /// Returns the entries of a map; none for anything else.
    pub fn entries(&self) -> &[(String, Self)] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }
}

fn scalar_value(scalar: Scalar) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => value.into(),
        Scalar::Integer(value) => value.into(),
        Scalar::FloatingPoint(value) => value.into_inner().into(),
        Scalar::String(value) => value.into(),
    }
}

fn check_depth(text: &str) -> Result<()> {
    let mut depth = 0;
    for event in Parser::new_from_str(text) {
        let (event, place) = event?;
        match event {
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth -= 1,
            _ => {}
        }
        let line = place.start.line();
        ensure!(depth <= MAX_DEPTH, "line {line}: it is nested too deeply");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeply_nested_templates_are_rejected_before_they_use_up_the_stack() {
        let fits = format!("{}x", "- ".repeat(MAX_DEPTH));
        assert!(Node::parse(&fits).is_ok());
        for text in [
            format!("- {fits}"),
            format!("{}x", "- ".repeat(100_000)),
            "[".repeat(100_000),
            format!("a: {}", "{a: ".repeat(100_000)),
            (0..1_000).map(|depth| " ".repeat(depth) + "a:\n").collect(),
        ] {
            assert!(Node::parse(&text).is_err(), "{}", &text[..10]);
        }
    }
}

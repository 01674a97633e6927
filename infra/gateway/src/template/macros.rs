//! `Fn::ForEach` and `AWS::Include`, expanded before anything is evaluated.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-foreach.html>,
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/transform-aws-include.html>

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::intrinsic::{Scope, list, plain};
use super::yaml::{Content, Node};

/// Transforms that a deployment applies and that are read here, or that change nothing here.
const KNOWN_TRANSFORMS: [&str; 4] = [
    "AWS::CodeDeployBlueGreen",
    "AWS::LanguageExtensions",
    "AWS::SecretsManager-2020-07-23",
    "AWS::Serverless-2016-10-31",
];

/// Limit of the entries that loops make.
const MAX_ENTRIES: usize = 10_000;

/// Returns a template with its loops and its inclusions of files in `folder` written out. What cannot be
/// is noted in `scope`, and left out.
///
/// # Errors
///
/// A loop is malformed, or an included file is; the sentence gives the line.
pub fn expand(scope: &Scope, folder: &Path) -> Result<Node> {
    let root = scope.root();
    let transforms = root
        .get("Transform")
        .map(|transform| match &transform.content {
            Content::List(items) => items.as_slice(),
            _ => std::slice::from_ref(transform),
        });
    for transform in transforms.unwrap_or_default() {
        let name = plain(Some(transform));
        if !KNOWN_TRANSFORMS.contains(&name) {
            let name = if name.is_empty() { "a macro" } else { name };
            scope.note_unknown(transform.line, &format!("Transform {name}"));
        }
    }
    let mut expander = Expander {
        scope,
        folder,
        entries: 0,
    };
    expander.node(root, &[])
}

struct Expander<'a> {
    scope: &'a Scope<'a>,
    folder: &'a Path,
    entries: usize,
}

/// The variables of the loops around a node, each with its value.
type Variables<'a> = &'a [(String, String)];

impl Expander<'_> {
    fn node(&mut self, node: &Node, variables: Variables) -> Result<Node> {
        let content = match &node.content {
            Content::Scalar(value) => Content::Scalar(match value.as_str() {
                Some(text) => replaced(text, variables).into(),
                None => value.clone(),
            }),
            Content::List(items) => {
                let items = items.iter().map(|item| self.node(item, variables));
                Content::List(items.collect::<Result<_>>()?)
            }
            Content::Map(entries) => match entries.as_slice() {
                [(name, argument)]
                    if name == "Ref" && value(plain(Some(argument)), variables).is_some() =>
                {
                    let value = value(plain(Some(argument)), variables).unwrap_or_default();
                    Content::Scalar(value.into())
                }
                entries => Content::Map(self.entries(entries, variables)?),
            },
        };
        Ok(Node {
            line: node.line,
            content,
        })
    }

    fn entries(
        &mut self,
        entries: &[(String, Node)],
        variables: Variables,
    ) -> Result<Vec<(String, Node)>> {
        let mut expanded = Vec::new();
        for (name, node) in entries {
            if name.starts_with("Fn::ForEach::") {
                let entries = self.repeat(name, node, variables);
                expanded.extend(entries.with_context(|| format!("line {}: {name}", node.line))?);
            } else if name == "Fn::Transform" {
                expanded.extend(self.include(name, node, entries.len() == 1)?);
            } else {
                expanded.push((replaced(name, variables), self.node(node, variables)?));
            }
        }
        self.entries += expanded.len();
        ensure!(self.entries < MAX_ENTRIES * 10, "its loops make too much");
        Ok(expanded)
    }

    /// Returns the entries of a loop. One over values that are not known here is noted.
    fn repeat(
        &mut self,
        name: &str,
        node: &Node,
        variables: Variables,
    ) -> Result<Vec<(String, Node)>> {
        let [variable, collection, body] = list(node)? else {
            bail!("it takes a name, a list and a map")
        };
        let variable = plain(Some(variable)).to_owned();
        let collection = self.node(collection, variables)?;
        let values = match self.scope.known_texts(&collection)? {
            Some(values) => values,
            None => {
                self.scope.note_unknown(node.line, name);
                return Ok(Vec::new());
            }
        };
        let mut entries = Vec::new();
        for value in values {
            let mut variables = variables.to_vec();
            variables.push((variable.clone(), value));
            entries.extend(self.entries(body.entries(), &variables)?);
        }
        ensure!(entries.len() < MAX_ENTRIES, "it makes too much");
        Ok(entries)
    }

    /// Returns the entries of an included file. Another macro is noted, and left out unless it is all that
    /// there is of a value: that one is not known.
    fn include(&mut self, name: &str, node: &Node, is_all: bool) -> Result<Vec<(String, Node)>> {
        let location = node.get("Parameters").and_then(|it| it.get("Location"));
        let location = plain(location);
        let path = self.folder.join(location);
        let is_file =
            plain(node.get("Name")) == "AWS::Include" && !location.is_empty() && path.is_file();
        if is_file {
            let text = std::fs::read_to_string(&path);
            let included = text
                .map_err(anyhow::Error::from)
                .and_then(|text| Node::parse(&text));
            let included = included.with_context(|| format!("line {}: {location}", node.line))?;
            return Ok(included.entries().to_vec());
        }
        let what = format!("{name} {} {location}", plain(node.get("Name")));
        self.scope.note_unknown(node.line, what.trim_end());
        match is_all {
            true => Ok(vec![(name.to_owned(), node.clone())]),
            false => Ok(Vec::new()),
        }
    }
}

fn value<'a>(name: &str, variables: Variables<'a>) -> Option<&'a str> {
    let mut variables = variables.iter().rev();
    variables
        .find(|(variable, _)| variable == name)
        .map(|(_, value)| value.as_str())
}

/// Replaces `${Variable}` by its value, and `&{Variable}` by its letters and digits.
fn replaced(text: &str, variables: Variables) -> String {
    let mut text = text.to_owned();
    for (name, value) in variables.iter().rev() {
        let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
        text = text
            .replace(&format!("${{{name}}}"), value)
            .replace(&format!("&{{{name}}}"), &plain);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    /// Returns a template in its expanded form, and what is not known.
    fn expanded(text: &str) -> (Result<Value>, Vec<String>) {
        let root = Node::parse(text).expect("YAML");
        let scope = Scope::new(&root, &BTreeMap::new()).expect("parameters");
        let node = expand(&scope, Path::new(env!("CARGO_MANIFEST_DIR")));
        (node.map(|node| node.to_json()), scope.unknown())
    }

    #[test]
    fn a_loop_makes_an_entry_for_each_value() {
        let text = "
Parameters: {Names: {Type: CommaDelimitedList, Default: 'a,b'}}
Resources:
  Before: {Type: X}
  Fn::ForEach::Outer:
    - N
    - !Ref Names
    - Fn::ForEach::Inner:
        - M
        - [x-1]
        - ${N}&{M}: {Type: X, Properties: {A: !Ref N, B: !Sub '${N}/${M}/${AWS::Region}', C: [!Ref M]}}
";
        let entry = |n: &str| {
            json!({"Type": "X", "Properties": {
                "A": n, "B": {"Fn::Sub": format!("{n}/x-1/${{AWS::Region}}")}, "C": ["x-1"],
            }})
        };
        let (node, unknown) = expanded(text);
        let resources = json!({"Before": {"Type": "X"}, "ax1": entry("a"), "bx1": entry("b")});
        assert_eq!(node.expect("it expands")["Resources"], resources);
        assert_eq!(unknown, Vec::<String>::new());
    }

    #[test]
    fn a_loop_or_a_macro_that_only_aws_can_expand_is_left_out_and_named() {
        let text = "
Transform: [AWS::Serverless-2016-10-31, Mine]
Resources:
  Fn::ForEach::Far: [N, !ImportValue names, {A: {Type: X}}]
  Fn::Transform: {Name: AWS::Include, Parameters: {Location: s3://bucket/file.yaml}}
  Near: {Type: X, Properties: {Fn::Transform: {Name: Other}}}
";
        let (node, unknown) = expanded(text);
        let near = json!({"Type": "X", "Properties": {"Fn::Transform": {"Name": "Other"}}});
        assert_eq!(
            node.expect("it expands")["Resources"],
            json!({"Near": near})
        );
        let named = unknown.join("\n");
        for expected in [
            "line 2: Transform Mine",
            "line 4: Fn::ForEach::Far",
            "line 5: Fn::Transform AWS::Include s3://bucket/file.yaml",
            "line 6: Fn::Transform Other",
        ] {
            assert!(named.contains(expected), "{expected}: {named}");
        }
    }

    #[test]
    fn a_local_file_is_included() {
        let text = "Resources: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: ../template.yaml}}}";
        let (node, unknown) = expanded(text);
        let node = node.expect("it expands");
        assert!(node["Resources"]["Parameters"].is_object(), "{node}");
        assert_eq!(unknown, Vec::<String>::new());
    }

    #[test]
    fn a_malformed_or_endless_loop_is_an_error_with_its_line() {
        let level = |rest: &str, level: usize| {
            let values = vec!["a"; 30].join(", ");
            format!("{{'Fn::ForEach::L{level}': [N{level}, [{values}], {rest}]}}")
        };
        let endless = (0..5).fold("{A: x}".to_owned(), |rest, depth| level(&rest, depth));
        for text in [
            "Resources: {Fn::ForEach::A: [N, [a]]}".to_owned(),
            format!("Resources: {endless}"),
        ] {
            let error = expanded(&text).0.expect_err("an error");
            assert!(
                format!("{error:#}").contains("line 1: Fn::ForEach::"),
                "{error:#}"
            );
        }
    }
}

//! Intrinsic functions: `Ref`, `Fn::Sub`, `Fn::GetAtt`, `Fn::Join`, the conditions and those of
//! rules.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html>

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::values::text;
use super::yaml::{Content, Node};
use crate::model::{ACCOUNT_ID, REGION, STACK_ID, function_arn};

/// Limit of references that follow one another.
const MAX_DEPTH: usize = 20;

/// Limit of references in all: a few references that each name the next one twice would take too
/// long.
const MAX_FOLLOWED: usize = 100_000;

/// The values of names: parameters, conditions, mappings, resources.
pub struct Scope<'a> {
    root: &'a Node,
    parameters: BTreeMap<String, Value>,
    /// Functions that are not known here, with their lines.
    unknown: RefCell<BTreeSet<(usize, String)>>,
    /// The current depth of references between conditions, mappings and aliases.
    depth: Cell<usize>,
    /// The number of references that have been followed.
    followed: Cell<usize>,
}

impl<'a> Scope<'a> {
    /// Returns the scope of a template with `given` in place of its parameters' defaults.
    ///
    /// # Errors
    ///
    /// A parameter has neither a value nor a default, or a value is for no parameter.
    pub fn new(root: &'a Node, given: &BTreeMap<String, String>) -> Result<Self> {
        let declared = root.get("Parameters").map_or(&[][..], Node::entries);
        let mut parameters = BTreeMap::new();
        for (name, node) in declared {
            let value = match (
                given.get(name),
                node.get("Default").map(|node| &node.content),
            ) {
                (Some(value), _) => value.clone(),
                (None, Some(Content::Scalar(default))) => text(default)?,
                (None, _) => bail!("line {}: parameter {name} needs a value", node.line),
            };
            let value = parameter(node, value);
            let value = value.with_context(|| format!("line {}: parameter {name}", node.line))?;
            parameters.insert(name.clone(), value);
        }
        if let Some(unknown) = given.keys().find(|name| !parameters.contains_key(*name)) {
            bail!("the template has no parameter {unknown}");
        }
        Ok(Self {
            root,
            parameters,
            unknown: RefCell::default(),
            depth: Cell::new(0),
            followed: Cell::new(0),
        })
    }

    /// Returns the functions that could not be evaluated so far; their values are null.
    pub fn unknown(&self) -> Vec<String> {
        let unknown = self.unknown.borrow();
        let unknown = unknown.iter();
        unknown
            .map(|(line, name)| format!("line {line}: {name} is not known here"))
            .collect()
    }

    /// Records a function that is not known here.
    pub fn note_unknown(&self, line: usize, name: &str) {
        self.unknown.borrow_mut().insert((line, name.to_owned()));
    }

    /// Returns the value of a node, with all functions applied.
    ///
    /// # Errors
    ///
    /// A function is unknown or misused; the sentence gives the line.
    pub fn evaluate(&self, node: &Node) -> Result<Value> {
        match &node.content {
            Content::Scalar(value) => Ok(value.clone()),
            Content::List(items) => items.iter().map(|item| self.evaluate(item)).collect(),
            Content::Map(entries) => match entries.as_slice() {
                [(name, argument)] if name == "Ref" || name.starts_with("Fn::") => self
                    .call(name, argument)
                    .with_context(|| format!("line {}: {name}", node.line)),
                entries => {
                    let mut map = Map::new();
                    for (name, value) in entries {
                        map.insert(name.clone(), self.evaluate(value)?);
                    }
                    Ok(map.into())
                }
            },
        }
    }

    /// Whether the condition `name` holds.
    ///
    /// # Errors
    ///
    /// There is no such condition, or it is malformed.
    pub fn condition(&self, name: &str) -> Result<bool> {
        let condition = self
            .root
            .get("Conditions")
            .and_then(|conditions| conditions.get(name))
            .with_context(|| format!("there is no condition {name}"))?;
        self.deeper(|| self.truth(condition))
    }

    fn call(&self, name: &str, argument: &Node) -> Result<Value> {
        Ok(match name {
            "Ref" => self.reference(&self.argument(argument)?)?,
            "Fn::Sub" => self.substitute(argument)?.into(),
            "Fn::GetAtt" => self.attribute(argument)?.into(),
            "Fn::If" => match list(argument)? {
                [condition, yes, no] => {
                    let holds = self.condition(&self.argument(condition)?)?;
                    self.evaluate(if holds { yes } else { no })?
                }
                _ => bail!("it takes a condition and two values"),
            },
            "Fn::Join" => match list(argument)? {
                [delimiter, parts] => {
                    let parts = self.evaluate(parts)?;
                    let parts = parts.as_array().context("a list is expected")?;
                    let parts: Result<Vec<_>> = parts.iter().map(text).collect();
                    parts?.join(&self.argument(delimiter)?).into()
                }
                _ => bail!("it takes a delimiter and a list"),
            },
            "Fn::Select" => match list(argument)? {
                [index, items] => {
                    let index: usize = self.argument(index)?.parse()?;
                    let items = self.evaluate(items)?;
                    items
                        .get(index)
                        .context("there is no item of that index")?
                        .clone()
                }
                _ => bail!("it takes an index and a list"),
            },
            "Fn::Split" => match list(argument)? {
                [delimiter, text] => {
                    let (delimiter, text) = (self.argument(delimiter)?, self.argument(text)?);
                    text.split(&delimiter).map(Value::from).collect()
                }
                _ => bail!("it takes a delimiter and a text"),
            },
            "Fn::FindInMap" => self.find_in_map(argument)?,
            "Fn::Equals" | "Fn::Not" | "Fn::And" | "Fn::Or" => self.test(name, argument)?.into(),
            "Fn::RefAll" => self.values_of(&self.argument(argument)?),
            name => {
                self.note_unknown(argument.line, name);
                Value::Null
            }
        })
    }

    fn find_in_map(&self, argument: &Node) -> Result<Value> {
        let keys: Result<Vec<_>> = list(argument)?
            .iter()
            .take(3)
            .map(|key| self.argument(key))
            .collect();
        let keys = keys?;
        let mut found = self.root.get("Mappings");
        for key in &keys {
            found = found.and_then(|node| node.get(key));
        }
        let found = found.with_context(|| format!("there is no {}", keys.join(".")))?;
        self.deeper(|| self.evaluate(found))
    }

    /// Follows a reference within the template, which may lead back to itself.
    fn deeper<T>(&self, follow: impl FnOnce() -> Result<T>) -> Result<T> {
        ensure!(self.depth.get() < MAX_DEPTH, "it refers to itself");
        ensure!(self.followed.get() < MAX_FOLLOWED, "it refers to too much");
        self.followed.set(self.followed.get() + 1);
        self.depth.set(self.depth.get() + 1);
        let followed = follow();
        self.depth.set(self.depth.get() - 1);
        followed
    }

    /// Whether the condition in a node holds.
    ///
    /// # Errors
    ///
    /// It is no condition; the sentence gives the line.
    pub fn truth(&self, node: &Node) -> Result<bool> {
        if let [(name, argument)] = node.entries() {
            match name.as_str() {
                "Condition" => return self.condition(&self.argument(argument)?),
                name if name.starts_with("Fn::") => return self.test(name, argument),
                _ => {}
            }
        }
        bail!("line {}: this is not a condition", node.line)
    }

    fn test(&self, name: &str, argument: &Node) -> Result<bool> {
        let parts = list(argument)?;
        let truths = || parts.iter().map(|part| self.truth(part));
        match (name, parts) {
            ("Fn::Equals", [a, b]) => Ok(self.argument(a)? == self.argument(b)?),
            ("Fn::Not", [condition]) => Ok(!self.truth(condition)?),
            ("Fn::And", _) => Ok(truths().collect::<Result<Vec<_>>>()?.iter().all(|is| *is)),
            ("Fn::Or", _) => Ok(truths().collect::<Result<Vec<_>>>()?.iter().any(|is| *is)),
            // These three are for rules only.
            ("Fn::Contains", [list, one]) => Ok(self.texts(list)?.contains(&self.argument(one)?)),
            ("Fn::EachMemberEquals", [list, one]) => {
                let one = self.argument(one)?;
                Ok(self.texts(list)?.iter().all(|member| *member == one))
            }
            ("Fn::EachMemberIn", [list, others]) => {
                let others = self.texts(others)?;
                Ok(self
                    .texts(list)?
                    .iter()
                    .all(|member| others.contains(member)))
            }
            _ => bail!("line {}: {name} is not a condition", argument.line),
        }
    }

    /// Returns the values of all parameters of a type; those of lists one by one.
    fn values_of(&self, kind: &str) -> Value {
        let declared = self.root.get("Parameters").map_or(&[][..], Node::entries);
        let list_of = format!("List<{kind}>");
        let is_it = |node: &Node| [kind, &list_of].contains(&plain(node.get("Type")));
        declared
            .iter()
            .filter(|(_, node)| is_it(node))
            .filter_map(|(name, _)| self.parameters.get(name))
            .flat_map(|value| match value {
                Value::Array(values) => values.clone(),
                value => vec![value.clone()],
            })
            .collect()
    }

    fn texts(&self, node: &Node) -> Result<Vec<String>> {
        let values = self.evaluate(node)?;
        let values = values.as_array();
        let values = values.with_context(|| format!("line {}: a list is expected", node.line))?;
        values.iter().map(text).collect()
    }

    fn argument(&self, node: &Node) -> Result<String> {
        text(&self.evaluate(node)?).with_context(|| format!("line {}", node.line))
    }

    fn reference(&self, name: &str) -> Result<Value> {
        if let Some(value) = self.parameters.get(name) {
            return Ok(value.clone());
        }
        Ok(match name {
            "AWS::Region" => REGION.into(),
            "AWS::AccountId" => ACCOUNT_ID.into(),
            "AWS::Partition" => "aws".into(),
            "AWS::URLSuffix" => "amazonaws.com".into(),
            "AWS::StackName" => "local".into(),
            "AWS::StackId" => STACK_ID.into(),
            "AWS::NotificationARNs" => Value::Array(Vec::new()),
            "AWS::NoValue" => Value::Null,
            // A resource: its physical id here is its logical one.
            resource => match self.published(resource)? {
                Some(arn) => arn.into(),
                None => resource.into(),
            },
        })
    }

    /// Returns the ARN of a function and the address of an API; other attributes are named after
    /// themselves.
    fn attribute(&self, argument: &Node) -> Result<String> {
        let name = match &argument.content {
            Content::List(parts) => {
                let parts: Result<Vec<_>> = parts.iter().map(|part| self.argument(part)).collect();
                parts?.join(".")
            }
            _ => self.argument(argument)?,
        };
        self.named_attribute(&name)
    }

    fn named_attribute(&self, name: &str) -> Result<String> {
        if let Some(arn) = self.published(name)? {
            return Ok(arn);
        }
        Ok(match name.split_once('.') {
            Some((resource, "Arn")) if self.is_function(resource) => function_arn(resource),
            Some((api, "ApiEndpoint")) => {
                let scheme = if self.is_websocket_api(api) {
                    "wss"
                } else {
                    "https"
                };
                format!("{scheme}://{api}.execute-api.{REGION}.amazonaws.com")
            }
            _ => name.to_owned(),
        })
    }

    /// Returns the ARN that SAM means by `Function.Version` and `Function.Alias`, if it publishes
    /// versions of the function.
    fn published(&self, name: &str) -> Result<Option<String>> {
        let Some((id, part @ ("Version" | "Alias"))) = name.split_once('.') else {
            return Ok(None);
        };
        if self.type_of(id) != "AWS::Serverless::Function" {
            return Ok(None);
        }
        let own = self.resource(id).and_then(|node| node.get("Properties"));
        let globals = self.root.get("Globals");
        let globals = globals.and_then(|globals| globals.get("Function"));
        let mut settings = [own, globals].into_iter().flatten();
        let alias = settings.find_map(|settings| settings.get("AutoPublishAlias"));
        let Some(alias) = alias else {
            return Ok(None);
        };
        // Here there is but one version of a function.
        let qualifier = match part {
            "Alias" => self.deeper(|| self.argument(alias))?,
            _ => "1".to_owned(),
        };
        Ok(Some(format!("{}:{qualifier}", function_arn(id))))
    }

    /// Whether a logical id is that of a function.
    pub fn is_function(&self, id: &str) -> bool {
        self.type_of(id).ends_with("::Function")
    }

    fn is_websocket_api(&self, id: &str) -> bool {
        let properties = self
            .resource(id)
            .and_then(|resource| resource.get("Properties"));
        let protocol = properties.and_then(|properties| properties.get("ProtocolType"));
        self.type_of(id) == "AWS::Serverless::WebSocketApi" || plain(protocol) == "WEBSOCKET"
    }

    fn type_of(&self, id: &str) -> &str {
        plain(self.resource(id).and_then(|resource| resource.get("Type")))
    }

    fn resource(&self, id: &str) -> Option<&Node> {
        self.root.get("Resources")?.get(id)
    }

    fn substitute(&self, argument: &Node) -> Result<String> {
        let (template, own) = match &argument.content {
            Content::List(parts) => match parts.as_slice() {
                [text, variables] => (self.argument(text)?, Some(variables)),
                _ => bail!("it takes a text and a map"),
            },
            _ => (self.argument(argument)?, None),
        };
        let mut result = String::new();
        let mut rest = template.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').context("a ${ has no }")?;
            result.push_str(before);
            result.push_str(&match own.and_then(|own| own.get(name)) {
                _ if name.starts_with('!') => format!("${{{}}}", &name[1..]),
                Some(variable) => self.argument(variable)?,
                None if name.contains('.') => self.named_attribute(name)?,
                None => text(&self.reference(name)?)?,
            });
            rest = after;
        }
        Ok(result + rest)
    }
}

/// Returns the text of a node that is one; empty for anything else.
pub fn plain(node: Option<&Node>) -> &str {
    match node.map(|node| &node.content) {
        Some(Content::Scalar(Value::String(text))) => text,
        _ => "",
    }
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
        && !allowed.iter().any(is_it)
    {
        bail!("{value:?} is not one of its AllowedValues");
    }
    let kind = declaration.get("Type").map(|node| &node.content);
    Ok(match kind {
        Some(Content::Scalar(Value::String(kind)))
            if kind == "CommaDelimitedList" || kind.starts_with("List<") =>
        {
            value
                .split(',')
                .map(|item| Value::from(item.trim()))
                .collect()
        }
        _ => value.into(),
    })
}

/// Returns the items of a list.
///
/// # Errors
///
/// It is none; the sentence gives the line.
pub fn list(node: &Node) -> Result<&[Node]> {
    match &node.content {
        Content::List(items) => Ok(items),
        _ => bail!("line {}: a list is expected", node.line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluate(expression: &str) -> Result<Value> {
        let text = format!(
            "Parameters:\n  Stage: {{Default: prod}}\n  \
             Sites: {{Type: CommaDelimitedList, Default: 'a, b'}}\n\
             Conditions:\n  IsProd: !Equals [!Ref Stage, prod]\n\
             Resources: {{F: {{Type: AWS::Serverless::Function}}, Q: {{Type: AWS::SQS::Queue}}, \
             P: {{Type: AWS::Serverless::Function, Properties: {{AutoPublishAlias: !Ref Stage}}}}}}\n\
             Value: {expression}\n"
        );
        let root = Node::parse(&text)?;
        let scope = Scope::new(&root, &BTreeMap::new())?;
        scope.evaluate(root.get("Value").expect("it is there"))
    }

    #[test]
    fn intrinsic_functions_are_applied() {
        for (expression, value) in [
            ("!Ref Stage", "prod"),
            ("!Ref Bucket", "Bucket"),
            ("{Ref: AWS::Region}", REGION),
            ("!Sub 'a-${Stage}-${!Literal}'", "a-prod-${Literal}"),
            ("!Sub ['${x}/${Stage}', {x: !Ref Stage}]", "prod/prod"),
            ("!If [IsProd, yes-it-is, no]", "yes-it-is"),
            ("!Join ['-', [a, !Ref Stage]]", "a-prod"),
            ("!Join ['', !Ref Sites]", "ab"),
            (
                "!GetAtt F.Arn",
                "arn:aws:lambda:us-east-1:123456789012:function:F",
            ),
            ("!GetAtt Q.Arn", "Q.Arn"),
            (
                "!Ref P.Version",
                "arn:aws:lambda:us-east-1:123456789012:function:P:1",
            ),
            (
                "!Sub '${P.Alias}'",
                "arn:aws:lambda:us-east-1:123456789012:function:P:prod",
            ),
            ("!Ref F.Version", "F.Version"),
            (
                "!Sub '${F.Arn}'",
                "arn:aws:lambda:us-east-1:123456789012:function:F",
            ),
        ] {
            assert_eq!(
                evaluate(expression).expect(expression),
                value,
                "{expression}"
            );
        }
    }

    /// Returns the error of a template whose value is `!FindInMap [M, a, x]`.
    fn find(rest: &str) -> String {
        let text = format!("{rest}Value: !FindInMap [M, a, x]\n");
        let root = Node::parse(&text).expect("YAML");
        let scope = Scope::new(&root, &BTreeMap::new()).expect("no parameters");
        let value = scope.evaluate(root.get("Value").expect("it is there"));
        format!("{:#}", value.expect_err("it cannot be evaluated"))
    }

    #[test]
    fn circular_references_are_rejected() {
        for text in [
            "Mappings: {M: {a: {x: !FindInMap [M, a, x]}}}\n",
            "Conditions: {C: !Not [!Condition C]}\n\
             Mappings: {M: {a: {x: !If [C, 1, 2]}}}\n",
            "Resources: {F: {Type: AWS::Serverless::Function, \
             Properties: {AutoPublishAlias: !Ref F.Alias}}}\n\
             Mappings: {M: {a: {x: !Ref F.Alias}}}\n",
        ] {
            let error = find(text);
            assert!(error.contains("refers to itself"), "{error}");
        }
    }

    #[test]
    fn exponential_conditions_are_rejected() {
        let condition = |step| {
            format!(
                "  C{step}: !And [!Condition C{0}, !Condition C{0}]\n",
                step + 1
            )
        };
        let conditions: String = (0..18).map(condition).collect();
        let error = find(&format!(
            "Conditions:\n{conditions}  C18: !Equals [a, a]\n\
             Mappings: {{M: {{a: {{x: !If [C0, 1, 2]}}}}}}\n"
        ));
        assert!(error.contains("refers to too much"), "{error}");
    }

    #[test]
    fn an_unknown_function_is_named_with_its_line() {
        let root = Node::parse("A: 1\nValue: [1, !ImportValue x]\n").expect("YAML");
        let scope = Scope::new(&root, &BTreeMap::new()).expect("no parameters");
        let value = scope.evaluate(root.get("Value").expect("it is there"));
        assert_eq!(
            value.expect("the rest is known"),
            serde_json::json!([1, null])
        );
        assert_eq!(
            scope.unknown(),
            ["line 2: Fn::ImportValue is not known here"]
        );
    }
}

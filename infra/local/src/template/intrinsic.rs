//! Intrinsic functions: `Ref`, `Fn::Sub`, `Fn::GetAtt`, `Fn::Join` and the conditions.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html>

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::yaml::{Content, Node};

/// The region that functions are told.
pub const REGION: &str = "us-east-1";

/// The account that functions are told.
pub const ACCOUNT_ID: &str = "123456789012";

/// What names stand for.
pub struct Scope<'a> {
    root: &'a Node,
    parameters: BTreeMap<String, Value>,
}

impl<'a> Scope<'a> {
    /// The scope of a template with `given` in place of its parameters' defaults.
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
                (Some(value), _) => Value::from(value.as_str()),
                (None, Some(Content::Scalar(default))) => text(default)?.into(),
                (None, _) => bail!("line {}: parameter {name} needs a value", node.line),
            };
            parameters.insert(name.clone(), value);
        }
        if let Some(unknown) = given.keys().find(|name| !parameters.contains_key(*name)) {
            bail!("the template has no parameter {unknown}");
        }
        Ok(Self { root, parameters })
    }

    /// The value of a node, with all functions applied.
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
        self.truth(condition)
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
                    let parts: Result<Vec<_>> = list(parts)?
                        .iter()
                        .map(|part| self.argument(part))
                        .collect();
                    parts?.join(&self.argument(delimiter)?).into()
                }
                _ => bail!("it takes a delimiter and a list"),
            },
            "Fn::Equals" | "Fn::Not" | "Fn::And" | "Fn::Or" => self.test(name, argument)?.into(),
            _ => bail!("this function is not supported here"),
        })
    }

    fn truth(&self, node: &Node) -> Result<bool> {
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
            _ => bail!("line {}: {name} is not a condition", argument.line),
        }
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
            "AWS::NoValue" => Value::Null,
            // A resource: its physical id here is its logical one.
            resource => resource.into(),
        })
    }

    /// `Function.Arn` is all that a local template needs; other attributes are named after
    /// themselves.
    fn attribute(&self, argument: &Node) -> Result<String> {
        let name = match &argument.content {
            Content::List(parts) => {
                let parts: Result<Vec<_>> = parts.iter().map(|part| self.argument(part)).collect();
                parts?.join(".")
            }
            _ => self.argument(argument)?,
        };
        Ok(match name.split_once('.') {
            Some((resource, "Arn")) => function_arn(resource),
            _ => name,
        })
    }

    fn substitute(&self, argument: &Node) -> Result<String> {
        let (text, own) = match &argument.content {
            Content::List(parts) => match parts.as_slice() {
                [text, variables] => (self.argument(text)?, Some(variables)),
                _ => bail!("it takes a text and a map"),
            },
            _ => (self.argument(argument)?, None),
        };
        let mut result = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').context("a ${ has no }")?;
            result.push_str(before);
            result.push_str(&match own.and_then(|own| own.get(name)) {
                _ if name.starts_with('!') => format!("${{{}}}", &name[1..]),
                Some(variable) => self.argument(variable)?,
                None => match name.split_once('.') {
                    Some((resource, "Arn")) => function_arn(resource),
                    _ => self::text(&self.reference(name)?)?,
                },
            });
            rest = after;
        }
        Ok(result + rest)
    }
}

/// The ARN of a function; its last part is the name by which it is invoked.
pub fn function_arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}")
}

/// A scalar as CloudFormation passes it on: as text.
///
/// # Errors
///
/// It is a list or a map.
pub fn text(value: &Value) -> Result<String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Array(_) | Value::Object(_) => bail!("a single value is expected"),
    }
}

fn list(node: &Node) -> Result<&[Node]> {
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
            "Parameters:\n  Stage: {{Default: prod}}\n\
             Conditions:\n  IsProd: !Equals [!Ref Stage, prod]\n\
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
            (
                "!GetAtt F.Arn",
                "arn:aws:lambda:us-east-1:123456789012:function:F",
            ),
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

    #[test]
    fn an_unknown_function_is_named_with_its_line() {
        let error = evaluate("!Cidr [a, b]").expect_err("not supported");
        let message = format!("{error:#}");
        assert!(
            message.contains("line 5") && message.contains("Fn::Cidr"),
            "{message}"
        );
    }
}

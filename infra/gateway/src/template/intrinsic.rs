//! Intrinsic functions: `Ref`, `Fn::Sub`, `Fn::GetAtt`, `Fn::Join`, the conditions and those of
//! rules.
//!
//! - `condition`: conditions, and the functions that are true or false
//! - `generated`: resources that a deployment adds to a template
//! - `named`: ids and attributes of resources that follow from their names
//! - `parameter`: the values of parameters
//! - `reference`: the values of `Ref` and `Fn::GetAtt`
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html>

mod condition;
mod generated;
mod named;
mod parameter;
mod reference;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::values::{is_unknown, text};
use super::yaml::{Content, Node};

/// Limit of references that follow one another.
const MAX_DEPTH: usize = 20;

/// Limit of references in all: a few references that each name the next one twice would take too
/// long.
const MAX_FOLLOWED: usize = 100_000;

/// The values of names: parameters, conditions, mappings, resources.
pub struct Scope<'a> {
    root: &'a Node,
    parameters: BTreeMap<String, Value>,
    /// What the ids of resources begin with: the ids of the stacks around the template.
    prefix: String,
    /// Whether resources are missing that only a deployment can add.
    is_partial: bool,
    /// The outputs of nested stacks, by `Stack.Outputs.Name`.
    outputs: RefCell<BTreeMap<String, Value>>,
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
        Ok(Self {
            root,
            parameters: parameter::values(root, given)?,
            prefix: String::new(),
            is_partial: false,
            outputs: RefCell::default(),
            unknown: RefCell::default(),
            depth: Cell::new(0),
            followed: Cell::new(0),
        })
    }

    /// Returns the scope with ids that begin with `prefix`.
    pub fn in_stack(self, prefix: &str) -> Self {
        let prefix = prefix.to_owned();
        Self { prefix, ..self }
    }

    /// Returns the scope of a template that lacks resources which only a deployment can add, if `is_partial`.
    pub fn partial(self, is_partial: bool) -> Self {
        Self { is_partial, ..self }
    }

    /// Returns the id of a resource among those of all stacks.
    pub fn own_id(&self, id: &str) -> String {
        format!("{}{id}", self.prefix)
    }

    /// Sets the value of an output of a nested stack: `Stack.Outputs.Name`.
    pub fn set_output(&self, name: String, value: Value) {
        self.outputs.borrow_mut().insert(name, value);
    }

    /// Returns the template.
    pub fn root(&self) -> &'a Node {
        self.root
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

    /// Evaluates something whose values are not used: what is not known in it is not recorded.
    pub fn unrecorded<T>(&self, evaluate: impl FnOnce() -> T) -> T {
        let before = self.unknown.borrow().clone();
        let evaluated = evaluate();
        *self.unknown.borrow_mut() = before;
        evaluated
    }

    /// Records what is not known here, and returns the error that ends the evaluation of its value.
    fn unknown_error(&self, line: usize, name: &str) -> anyhow::Error {
        self.note_unknown(line, name);
        Unknown(name.to_owned()).into()
    }

    /// Returns the value of a node, with all functions applied. `AWS::NoValue` removes the entry or the
    /// item whose value it is.
    ///
    /// A value that needs a function that is not known here is noted, and stands in its map or list as
    /// `{"Fn::…": null}`: see [`is_unknown`].
    ///
    /// # Errors
    ///
    /// A function is misused; the sentence gives the line.
    pub fn value(&self, node: &Node) -> Result<Value> {
        match self.evaluate(node) {
            Err(error) => match error.downcast::<Unknown>() {
                Ok(Unknown(name)) => {
                    Ok(json!({format!("Fn::{}", name.trim_start_matches("Fn::")): null}))
                }
                Err(error) => Err(error),
            },
            value => value,
        }
    }

    fn evaluate(&self, node: &Node) -> Result<Value> {
        match &node.content {
            Content::Scalar(Value::String(text)) => match dynamic_reference(text) {
                Some(reference) => Err(self.unknown_error(node.line, reference)),
                None => Ok(text.as_str().into()),
            },
            Content::Scalar(value) => Ok(value.clone()),
            Content::List(items) => {
                let items = items.iter().map(|item| self.value(item));
                items
                    .filter(|item| !matches!(item, Ok(Value::Null)))
                    .collect()
            }
            Content::Map(entries) => match entries.as_slice() {
                [(name, argument)] if name == "Ref" || name.starts_with("Fn::") => self
                    .call(name, argument)
                    .with_context(|| format!("line {}: {name}", node.line)),
                entries => {
                    let mut map = Map::new();
                    for (name, value) in entries {
                        let value = self.value(value)?;
                        if !value.is_null() {
                            map.insert(name.clone(), value);
                        }
                    }
                    Ok(map.into())
                }
            },
        }
    }

    fn call(&self, name: &str, argument: &Node) -> Result<Value> {
        Ok(match name {
            "Ref" => self.reference(&self.argument(argument)?, argument.line)?,
            "Fn::Sub" => self.substitute(argument)?.into(),
            "Fn::GetAtt" => self.attribute(argument)?.into(),
            "Fn::If" => self.choose(argument)?,
            "Fn::Join" => self.join(argument)?.into(),
            "Fn::Select" => self.select(argument)?,
            "Fn::Split" => self.split(argument)?,
            "Fn::FindInMap" => self.find_in_map(argument)?,
            "Fn::Equals" | "Fn::Not" | "Fn::And" | "Fn::Or" => self.test(name, argument)?.into(),
            "Fn::RefAll" => self.values_of(&self.argument(argument)?),
            "Fn::Length" => self.texts(argument)?.len().into(),
            "Fn::ToJsonString" => self.evaluate(argument)?.to_string().into(),
            "Fn::Base64" => STANDARD.encode(self.argument(argument)?).into(),
            name => return Err(self.unknown_error(argument.line, name)),
        })
    }

    fn choose(&self, argument: &Node) -> Result<Value> {
        let [condition, yes, no] = list(argument)? else {
            bail!("it takes a condition and two values")
        };
        let holds = self.condition(&self.argument(condition)?)?;
        self.evaluate(if holds { yes } else { no })
    }

    fn join(&self, argument: &Node) -> Result<String> {
        let [delimiter, parts] = list(argument)? else {
            bail!("it takes a delimiter and a list")
        };
        let parts = self.texts(parts)?;
        Ok(parts.join(&self.argument(delimiter)?))
    }

    fn select(&self, argument: &Node) -> Result<Value> {
        let [index, items] = list(argument)? else {
            bail!("it takes an index and a list")
        };
        let index: usize = self.argument(index)?.parse()?;
        let items = self.evaluate(items)?;
        let item = items.get(index).context("there is no item of that index")?;
        known(item)?;
        Ok(item.clone())
    }

    fn split(&self, argument: &Node) -> Result<Value> {
        let [delimiter, text] = list(argument)? else {
            bail!("it takes a delimiter and a text")
        };
        let (delimiter, text) = (self.argument(delimiter)?, self.argument(text)?);
        Ok(text.split(&delimiter).map(Value::from).collect())
    }

    fn find_in_map(&self, argument: &Node) -> Result<Value> {
        let (keys, default) = match list(argument)? {
            [map, key, name] => ([map, key, name], None),
            [map, key, name, default] => ([map, key, name], default.get("DefaultValue")),
            _ => bail!("it takes a map and two keys"),
        };
        let keys = keys.map(|key| self.argument(key));
        let keys: Vec<String> = keys.into_iter().collect::<Result<_>>()?;
        let mut found = self.root.get("Mappings");
        for key in &keys {
            found = found.and_then(|node| node.get(key));
        }
        match found.or(default) {
            Some(found) => self.deeper(|| self.evaluate(found)),
            // It may be there for the region or the account of a deployment.
            None => {
                let name = format!("FindInMap {}", keys.join("."));
                Err(self.unknown_error(argument.line, &name))
            }
        }
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

    fn texts(&self, node: &Node) -> Result<Vec<String>> {
        let values = self.evaluate(node)?;
        let values = values.as_array();
        let values = values.with_context(|| format!("line {}: a list is expected", node.line))?;
        values.iter().map(|value| text(known(value)?)).collect()
    }

    /// Returns the texts of a list; `None` if one of them is not known here.
    ///
    /// # Errors
    ///
    /// It is no list of texts.
    pub fn known_texts(&self, node: &Node) -> Result<Option<Vec<String>>> {
        match self.texts(node) {
            Err(error) if is_unknown_error(&error) => Ok(None),
            texts => texts.map(Some),
        }
    }

    fn argument(&self, node: &Node) -> Result<String> {
        text(&self.evaluate(node)?).with_context(|| format!("line {}", node.line))
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
                None if name.contains('.') => self.named_attribute(name, argument.line)?,
                None => text(&self.reference(name, argument.line)?)?,
            });
            rest = after;
        }
        Ok(result + rest)
    }
}

/// Whether an evaluation has ended because a value is not known here.
pub fn is_unknown_error(error: &anyhow::Error) -> bool {
    error.is::<Unknown>()
}

/// A value that is not known here: the error that ends the evaluation of all that contains it, up to the
/// entry of a map or the item of a list.
#[derive(Debug)]
struct Unknown(String);

impl std::fmt::Display for Unknown {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} is not known here", self.0)
    }
}

impl std::error::Error for Unknown {}

/// Returns a value that is known.
///
/// # Errors
///
/// [`Unknown`].
fn known(value: &Value) -> Result<&Value> {
    if is_unknown(value) {
        let name = value.as_object().and_then(|map| map.keys().next());
        return Err(Unknown(name.cloned().unwrap_or_default()).into());
    }
    Ok(value)
}

/// Returns the reference of a text to a value that only a deployment knows: `{{resolve:ssm:/name}}`.
///
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html>
fn dynamic_reference(text: &str) -> Option<&str> {
    let start = text.find("{{resolve:")?;
    let end = text[start..]
        .find("}}")
        .map_or(text.len(), |end| start + end + 2);
    Some(&text[start..end])
}

/// Returns the text of a node that is one; empty for anything else.
pub fn plain(node: Option<&Node>) -> &str {
    match node.map(|node| &node.content) {
        Some(Content::Scalar(Value::String(text))) => text,
        _ => "",
    }
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
    use crate::model::REGION;

    fn evaluate(expression: &str) -> Result<Value> {
        let text = format!(
            "Parameters:\n  Stage: {{Default: prod}}\n  \
             Sites: {{Type: CommaDelimitedList, Default: 'a, b'}}\n\
             Conditions:\n  IsProd: !Equals [!Ref Stage, prod]\n\
             Resources: {{F: {{Type: AWS::Serverless::Function}}, Q: {{Type: AWS::SQS::Queue}}, \
             N: {{Type: AWS::SQS::Queue, Properties: {{QueueName: !Sub 'sent-${{Stage}}'}}}}, \
             P: {{Type: AWS::Serverless::Function, Properties: {{AutoPublishAlias: !Ref Stage}}}}, \
             Named: {{Type: AWS::Lambda::Function, Properties: {{FunctionName: !Sub 'x-${{Stage}}'}}}}, \
             V: {{Type: AWS::Lambda::Version, Properties: {{FunctionName: !Ref Named}}}}, \
             L: {{Type: AWS::Lambda::Alias, Properties: {{FunctionName: !GetAtt Named.Arn, Name: live}}}}, \
             Live: {{Type: AWS::ApiGatewayV2::Stage, Properties: {{StageName: !Ref Stage}}}}, \
             I: {{Type: AWS::ApiGatewayV2::Integration}}, T: {{Type: AWS::DynamoDB::Table, Properties: {{TableName: t-1}}}}, \
             B: {{Type: AWS::S3::Bucket}}, R: {{Type: AWS::IAM::Role, Properties: {{Path: /a/}}}}, \
             S: {{Type: AWS::SecretsManager::Secret}}, Bus: {{Type: AWS::Events::EventBus, Properties: {{Name: bus-1}}}}, \
             NT: {{Type: AWS::SNS::Topic, Properties: {{TopicName: nt}}}}, Pool: {{Type: AWS::Cognito::UserPool}}, \
             P1: {{Type: AWS::SSM::Parameter, Properties: {{Type: String, Value: !Ref Stage}}}}, \
             Far: {{Type: AWS::CloudFormation::Stack}}, CF: {{Type: AWS::CloudFront::Function}}, \
             Web: {{Type: AWS::Serverless::HttpApi, Properties: {{StageName: v1}}}}, \
             Ws: {{Type: AWS::Serverless::WebSocketApi}}}}\n\
             Value: {expression}\n"
        );
        let root = Node::parse(&text)?;
        let scope = Scope::new(&root, &BTreeMap::new())?;
        scope.value(root.get("Value").expect("it is there"))
    }

    #[test]
    fn intrinsic_functions_are_applied() {
        for (expression, value) in [
            ("!Ref Stage", "prod"),
            ("!Ref B", "B"),
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
            ("!GetAtt Q.Arn", "arn:aws:sqs:us-east-1:123456789012:Q"),
            ("!Sub '${N.QueueName}'", "sent-prod"),
            (
                "!Ref N",
                "https://sqs.us-east-1.amazonaws.com/123456789012/sent-prod",
            ),
            (
                "!GetAtt Q.QueueUrl",
                "https://sqs.us-east-1.amazonaws.com/123456789012/Q",
            ),
            (
                "!Ref P.Version",
                "arn:aws:lambda:us-east-1:123456789012:function:P:1",
            ),
            (
                "!Sub '${P.Alias}'",
                "arn:aws:lambda:us-east-1:123456789012:function:P:prod",
            ),
            ("!Ref Named", "x-prod"),
            (
                "!GetAtt Named.Arn",
                "arn:aws:lambda:us-east-1:123456789012:function:x-prod",
            ),
            (
                "!Ref V",
                "arn:aws:lambda:us-east-1:123456789012:function:x-prod:1",
            ),
            (
                "!Ref L",
                "arn:aws:lambda:us-east-1:123456789012:function:x-prod:live",
            ),
            ("!GetAtt V.Version", "1"),
            ("!Ref Live", "prod"),
            ("!Sub '${Web.ApiId}/${I.IntegrationId}'", "Web/I"),
            ("!Ref T", "t-1"),
            (
                "!GetAtt T.Arn",
                "arn:aws:dynamodb:us-east-1:123456789012:table/t-1",
            ),
            ("!GetAtt B.Arn", "arn:aws:s3:::B"),
            ("!GetAtt B.DomainName", "B.s3.amazonaws.com"),
            ("!GetAtt R.Arn", "arn:aws:iam::123456789012:role/a/R"),
            ("!Ref NT", "arn:aws:sns:us-east-1:123456789012:nt"),
            ("!GetAtt NT.TopicName", "nt"),
            ("!Ref Bus", "bus-1"),
            (
                "!GetAtt Bus.Arn",
                "arn:aws:events:us-east-1:123456789012:event-bus/bus-1",
            ),
            (
                "!Ref S",
                "arn:aws:secretsmanager:us-east-1:123456789012:secret:S-000000",
            ),
            ("!GetAtt P1.Value", "prod"),
            ("!Ref WsPingRoute", "WsPingRoute"),
            ("!GetAtt ServerlessHttpApi.ApiId", "ServerlessHttpApi"),
            ("!Ref Web.Stage", "v1"),
            ("!Ref Webv1Stage", "v1"),
            ("!Ref WsDefaultStage", "default"),
            (
                "!GetAtt Ws.ApiEndpoint",
                "wss://Ws.execute-api.us-east-1.amazonaws.com",
            ),
            ("!Join ['-', [a, !Ref AWS::NoValue, b]]", "a-b"),
            (
                "!FindInMap [None, a, b, {DefaultValue: !Ref Stage}]",
                "prod",
            ),
            ("!Base64 abc", "YWJj"),
            ("{Fn::ToJsonString: {a: [!Ref Stage]}}", r#"{"a":["prod"]}"#),
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
    fn an_id_or_an_attribute_that_does_not_follow_from_the_template_is_not_known() {
        for (expression, name) in [
            ("!GetAtt T.StreamArn", "T.StreamArn"),
            ("!GetAtt Q.Name", "Q.Name"),
            ("!GetAtt CF.Arn", "CF.Arn"),
            ("!Sub 'a-${Far.Outputs.Name}'", "Far.Outputs.Name"),
            ("!Ref Pool", "the id of Pool (AWS::Cognito::UserPool)"),
            (
                "!Ref F.Version",
                "F.Version, which the template does not have,",
            ),
            (
                "!GetAtt FRole.Arn",
                "FRole.Arn, which the template does not have,",
            ),
            (
                "!Ref ServerlessRestApi",
                "ServerlessRestApi, which the template does not have,",
            ),
        ] {
            let value = evaluate(expression).expect(expression);
            assert_eq!(value, json!({format!("Fn::{name}"): null}), "{expression}");
        }
    }

    #[test]
    fn a_reference_to_nothing_is_an_error() {
        for (expression, expected) in [
            ("!Ref Nope", "Unresolved resource dependencies [Nope]"),
            ("!Ref AWS::Regoin", "dependencies [AWS::Regoin]"),
            ("!Sub 'a-${Nope}'", "dependencies [Nope]"),
            ("!Ref F.Arn", "dependencies [F.Arn]"),
            ("!GetAtt Nope.Arn", "undefined resource Nope"),
            ("!Sub '${Nope.Arn}'", "undefined resource Nope"),
            ("!GetAtt F", "F: the name of a resource and an attribute"),
        ] {
            let error = format!("{:#}", evaluate(expression).expect_err(expression));
            assert!(
                error.starts_with("line 7: ") && error.contains(expected),
                "{expression}: {error}"
            );
        }
    }

    /// Returns the error of a template whose value is `!FindInMap [M, a, x]`.
    fn find(rest: &str) -> String {
        let text = format!("{rest}Value: !FindInMap [M, a, x]\n");
        let root = Node::parse(&text).expect("YAML");
        let scope = Scope::new(&root, &BTreeMap::new()).expect("no parameters");
        let value = scope.value(root.get("Value").expect("it is there"));
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
        let value = scope.value(root.get("Value").expect("it is there"));
        assert_eq!(
            value.expect("the rest is known"),
            json!([1, {"Fn::ImportValue": null}])
        );
        assert_eq!(
            scope.unknown(),
            ["line 2: Fn::ImportValue is not known here"]
        );
    }
}

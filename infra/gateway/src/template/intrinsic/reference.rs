//! The values of `Ref` and `Fn::GetAtt`.

use anyhow::{Result, bail};
use serde_json::Value;

use super::{Content, Node, Scope, is_unknown_error, known, named, plain};
use crate::model::{ACCOUNT_ID, REGION, STACK_ID, function_arn, queue_arn, queue_url, sqs_url};
use crate::template::sam::IMPLICIT_API;
use crate::template::values::text;

impl Scope<'_> {
    /// Returns the value of `Ref`, which stands on `line`.
    pub(super) fn reference(&self, name: &str, line: usize) -> Result<Value> {
        if let Some(value) = self.parameters.get(name) {
            let noted = |_| {
                self.unknown_error(line, &format!("the value of parameter {name}, which is in SSM (--parameter {name}=VALUE sets it),"))
            };
            return known(value).cloned().map_err(noted);
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
            resource => self.physical_id(resource, line)?.into(),
        })
    }

    /// Returns the physical id of a resource, for a `Ref` on `line`. In place of a name that AWS makes, it has the
    /// logical id.
    fn physical_id(&self, id: &str, line: usize) -> Result<String> {
        if let Some(arn) = self.published(id)? {
            return Ok(arn);
        }
        if let Some(stage) = self.stage_of_sam(id)? {
            return Ok(stage);
        }
        match self.type_of(id) {
            "AWS::SQS::Queue" => Ok(queue_url(&sqs_url(), &self.queue_name(id)?)),
            "AWS::Lambda::Version" => Ok(self.arn_of(id, "FunctionName")? + ":1"),
            "AWS::Lambda::Alias" => {
                let name = self.property(id, "Name")?.unwrap_or_default();
                Ok(format!("{}:{name}", self.arn_of(id, "FunctionName")?))
            }
            kind => match named::of(kind) {
                Some(named) => self.filled(id, named.id),
                None if is_of_api(kind) || self.is_part_of_api(id) => Ok(self.own_id(id)),
                None if self.resource(id).is_some() => {
                    let kind = if kind.is_empty() { "no Type" } else { kind };
                    Err(self.unknown_error(line, &format!("the id of {id} ({kind})")))
                }
                None if self.may_be_generated(id) => Err(self.generated_error(line, id)),
                None => bail!(
                    "Unresolved resource dependencies [{id}]: the template has no parameter and no resource {id}"
                ),
            },
        }
    }

    /// Returns a pattern with the values of a resource.
    fn filled(&self, id: &str, pattern: &str) -> Result<String> {
        let path = match pattern.contains("{path}") {
            true => self.property(id, "Path")?,
            false => None,
        };
        let path = path.unwrap_or_else(|| "/".to_owned());
        Ok(named::filled(pattern, &self.named(id)?, &path))
    }

    /// Returns the name that the template gives a resource, else its logical id.
    pub(super) fn named(&self, id: &str) -> Result<String> {
        let name = named::of(self.type_of(id)).map(|named| self.property(id, named.property));
        let name = match name {
            // The function runs here under its logical id.
            Some(Err(error)) if is_unknown_error(&error) && self.is_function(id) => None,
            name => name.transpose()?.flatten(),
        };
        let name = name.filter(|name| !name.is_empty());
        Ok(name.unwrap_or_else(|| self.own_id(id)))
    }

    /// Returns the ARN of the function that a property names, by its name or its ARN.
    fn arn_of(&self, id: &str, property: &str) -> Result<String> {
        let function = self.property(id, property)?.unwrap_or_default();
        Ok(match function.starts_with("arn:") {
            true => function,
            false => function_arn(&function),
        })
    }

    /// Returns an attribute of a resource.
    pub(super) fn attribute(&self, argument: &Node) -> Result<String> {
        let name = match &argument.content {
            Content::List(parts) => {
                let parts: Result<Vec<_>> = parts.iter().map(|part| self.argument(part)).collect();
                parts?.join(".")
            }
            _ => self.argument(argument)?,
        };
        self.named_attribute(&name, argument.line)
    }

    /// Returns the attribute `name`, of the form `Resource.Attribute`, for a function on `line`.
    pub(super) fn named_attribute(&self, name: &str, line: usize) -> Result<String> {
        if let Some(arn) = self.published(name)? {
            return Ok(arn);
        }
        if let Some(output) = self.outputs.borrow().get(name) {
            return text(known(output).map_err(|_| self.unknown_error(line, name))?);
        }
        let Some((id, attribute)) = name.split_once('.') else {
            bail!("{name}: the name of a resource and an attribute are expected, as in {name}.Arn");
        };
        let is_there = self.resource(id).is_some() || id == IMPLICIT_API;
        if !is_there && self.may_be_generated(id) {
            return Err(self.generated_error(line, name));
        }
        if !is_there {
            bail!("it references the undefined resource {id}: the template has none of this name");
        }
        match self.known_attribute(id, attribute, line)? {
            Some(value) => Ok(value),
            None => Err(self.unknown_error(line, name)),
        }
    }

    /// Returns an attribute of a resource; `None` if it does not follow from the template.
    fn known_attribute(&self, id: &str, attribute: &str, line: usize) -> Result<Option<String>> {
        let kind = self.type_of(id);
        Ok(Some(match (kind, attribute) {
            ("AWS::SQS::Queue", "Arn") => queue_arn(&self.queue_name(id)?),
            ("AWS::SQS::Queue", "QueueName") => self.queue_name(id)?,
            ("AWS::SQS::Queue", "QueueUrl") => queue_url(&sqs_url(), &self.queue_name(id)?),
            ("AWS::Lambda::Version", "FunctionArn") | ("AWS::Lambda::Alias", "AliasArn") => {
                self.physical_id(id, line)?
            }
            ("AWS::Lambda::Version", "Version") => "1".to_owned(),
            ("AWS::SSM::Parameter", "Type" | "Value") => {
                return self.property(id, attribute);
            }
            (kind, "ApiEndpoint") if is_of_api(kind) => {
                let scheme = if self.is_websocket_api(id) {
                    "wss"
                } else {
                    "https"
                };
                let id = self.own_id(id);
                format!("{scheme}://{id}.execute-api.{REGION}.amazonaws.com")
            }
            ("AWS::Serverless::HttpApi" | "AWS::Serverless::WebSocketApi", "Stage") => {
                self.sam_stage_name(id)?
            }
            (kind, id_of_kind) if is_of_api(kind) && id_of_kind.ends_with("Id") => self.own_id(id),
            (kind, attribute) => {
                let pattern = named::of(kind).and_then(|named| named.attribute(attribute));
                return pattern.map(|pattern| self.filled(id, pattern)).transpose();
            }
        }))
    }

    /// Returns the name of a queue: `QueueName`, else its logical id.
    fn queue_name(&self, id: &str) -> Result<String> {
        let own = self.property(id, "QueueName")?;
        let own = own.filter(|name| !name.is_empty());
        Ok(own.unwrap_or_else(|| self.own_id(id)))
    }

    /// Returns a property of a resource as text.
    pub(super) fn property(&self, id: &str, name: &str) -> Result<Option<String>> {
        let properties = self.resource(id).and_then(|node| node.get("Properties"));
        let property = properties.and_then(|properties| properties.get(name));
        property
            .map(|property| self.deeper(|| self.argument(property)))
            .transpose()
    }

    /// Whether a logical id is that of a function.
    pub fn is_function(&self, id: &str) -> bool {
        ["AWS::Lambda::Function", "AWS::Serverless::Function"].contains(&self.type_of(id))
    }

    /// Returns the logical id of the function of a name.
    pub fn function_named(&self, name: &str) -> Result<Option<&str>> {
        for (id, _) in self.root.get("Resources").map_or(&[][..], Node::entries) {
            if self.is_function(id) && (id == name || self.named(id)? == name) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn is_websocket_api(&self, id: &str) -> bool {
        let properties = self
            .resource(id)
            .and_then(|resource| resource.get("Properties"));
        let protocol = properties.and_then(|properties| properties.get("ProtocolType"));
        self.type_of(id) == "AWS::Serverless::WebSocketApi" || plain(protocol) == "WEBSOCKET"
    }

    pub(super) fn type_of(&self, id: &str) -> &str {
        match self.resource(id) {
            None if id == IMPLICIT_API => "AWS::Serverless::HttpApi",
            resource => plain(resource.and_then(|resource| resource.get("Type"))),
        }
    }

    pub(super) fn resource(&self, id: &str) -> Option<&Node> {
        self.root.get("Resources")?.get(id)
    }
}

/// Whether a type is that of an API or of a part of one: its attributes that end in `Id` are its own id.
fn is_of_api(kind: &str) -> bool {
    kind.starts_with("AWS::ApiGatewayV2::") || is_api_of_sam(kind)
}

/// Whether a type is that of an API of SAM.
pub(super) fn is_api_of_sam(kind: &str) -> bool {
    ["AWS::Serverless::HttpApi", "AWS::Serverless::WebSocketApi"].contains(&kind)
}

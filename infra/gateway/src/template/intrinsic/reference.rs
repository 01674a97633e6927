//! The values of `Ref` and `Fn::GetAtt`.

use anyhow::Result;
use serde_json::Value;

use super::{Content, Node, Scope, is_unknown_error, known, plain};
use crate::model::{ACCOUNT_ID, REGION, STACK_ID, function_arn, queue_arn, queue_url, sqs_url};
use crate::template::values::text;

/// Types of resources that `Ref` names by a property, if the template sets it.
const NAMED_BY: [(&str, &str); 10] = [
    ("AWS::ApiGatewayV2::Stage", "StageName"),
    ("AWS::DynamoDB::Table", "TableName"),
    ("AWS::IAM::Role", "RoleName"),
    ("AWS::Kinesis::Stream", "Name"),
    ("AWS::Lambda::Function", "FunctionName"),
    ("AWS::Logs::LogGroup", "LogGroupName"),
    ("AWS::S3::Bucket", "BucketName"),
    ("AWS::SSM::Parameter", "Name"),
    ("AWS::Serverless::Function", "FunctionName"),
    ("AWS::Serverless::SimpleTable", "TableName"),
];

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
            resource => self.physical_id(resource)?.into(),
        })
    }

    /// Returns the physical id of a resource: on this machine its logical one, if it is not named by
    /// the template.
    fn physical_id(&self, id: &str) -> Result<String> {
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
            kind => self.named(id, kind),
        }
    }

    /// Returns the name that the template gives a resource, else its logical id.
    fn named(&self, id: &str, kind: &str) -> Result<String> {
        let name = NAMED_BY.iter().find(|(named, _)| *named == kind);
        let name = match name.map(|(_, property)| self.property(id, property)) {
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

    /// Returns an attribute of a resource that is read; that of another is named after itself.
    pub(super) fn attribute(&self, argument: &Node) -> Result<String> {
        let name = match &argument.content {
            Content::List(parts) => {
                let parts: Result<Vec<_>> = parts.iter().map(|part| self.argument(part)).collect();
                parts?.join(".")
            }
            _ => self.argument(argument)?,
        };
        self.named_attribute(&name)
    }

    pub(super) fn named_attribute(&self, name: &str) -> Result<String> {
        if let Some(arn) = self.published(name)? {
            return Ok(arn);
        }
        if let Some(output) = self.outputs.borrow().get(name) {
            return text(known(output)?);
        }
        let Some((id, attribute)) = name.split_once('.') else {
            return Ok(name.to_owned());
        };
        let kind = self.type_of(id);
        Ok(match (kind, attribute) {
            ("AWS::SQS::Queue", "Arn") => queue_arn(&self.queue_name(id)?),
            ("AWS::SQS::Queue", "QueueName") => self.queue_name(id)?,
            ("AWS::SQS::Queue", "QueueUrl") => queue_url(&sqs_url(), &self.queue_name(id)?),
            ("AWS::Lambda::Version", "FunctionArn") | ("AWS::Lambda::Alias", "AliasArn") => {
                self.physical_id(id)?
            }
            ("AWS::Lambda::Version", "Version") => "1".to_owned(),
            (_, "Arn") if self.is_function(id) => function_arn(&self.named(id, kind)?),
            (_, "ApiEndpoint") => {
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
        let function = self.named(id, "AWS::Serverless::Function")?;
        Ok(Some(format!("{}:{qualifier}", function_arn(&function))))
    }

    /// Returns the name of the stage that SAM makes as a resource `id`.
    fn stage_of_sam(&self, id: &str) -> Result<Option<String>> {
        if !id.ends_with("Stage") || self.resource(id).is_some() {
            return Ok(None);
        }
        let resources = self.root.get("Resources").map_or(&[][..], Node::entries);
        for (api, _) in resources {
            if id.starts_with(api.as_str()) && self.type_of(api).starts_with("AWS::Serverless::") {
                return self.sam_stage_name(api).map(Some);
            }
        }
        Ok(None)
    }

    fn sam_stage_name(&self, api: &str) -> Result<String> {
        let default = match self.type_of(api) {
            "AWS::Serverless::HttpApi" => "$default",
            _ => "default",
        };
        let own = self.property(api, "StageName")?;
        Ok(own.unwrap_or_else(|| default.to_owned()))
    }

    /// Returns the name of a queue: `QueueName`, else its logical id.
    fn queue_name(&self, id: &str) -> Result<String> {
        let own = self.property(id, "QueueName")?;
        let own = own.filter(|name| !name.is_empty());
        Ok(own.unwrap_or_else(|| self.own_id(id)))
    }

    /// Returns a property of a resource as text.
    fn property(&self, id: &str, name: &str) -> Result<Option<String>> {
        let properties = self.resource(id).and_then(|node| node.get("Properties"));
        let property = properties.and_then(|properties| properties.get(name));
        property
            .map(|property| self.deeper(|| self.argument(property)))
            .transpose()
    }

    /// Whether a logical id is that of a function.
    pub fn is_function(&self, id: &str) -> bool {
        self.type_of(id).ends_with("::Function")
    }

    /// Returns the logical id of the function of a name.
    pub fn function_named(&self, name: &str) -> Result<Option<&str>> {
        for (id, _) in self.root.get("Resources").map_or(&[][..], Node::entries) {
            if self.is_function(id) && (id == name || self.named(id, self.type_of(id))? == name) {
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

    fn type_of(&self, id: &str) -> &str {
        plain(self.resource(id).and_then(|resource| resource.get("Type")))
    }

    fn resource(&self, id: &str) -> Option<&Node> {
        self.root.get("Resources")?.get(id)
    }
}

/// Whether a type is that of an API or of a part of one: its attributes that end in `Id` are its own id.
fn is_of_api(kind: &str) -> bool {
    kind.starts_with("AWS::ApiGatewayV2::")
        || ["AWS::Serverless::HttpApi", "AWS::Serverless::WebSocketApi"].contains(&kind)
}

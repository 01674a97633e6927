//! The values of `Ref` and `Fn::GetAtt`.

use anyhow::Result;
use serde_json::Value;

use super::{Content, Node, Scope, plain};
use crate::model::{ACCOUNT_ID, REGION, STACK_ID, function_arn, queue_arn, queue_url, sqs_url};

impl Scope<'_> {
    pub(super) fn reference(&self, name: &str) -> Result<Value> {
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
            // A resource: its physical id here is its logical one, except of queues.
            resource => match (self.published(resource)?, self.queue_name(resource)?) {
                (Some(arn), _) => arn.into(),
                (None, Some(queue)) => queue_url(&sqs_url(), &queue).into(),
                (None, None) => resource.into(),
            },
        })
    }

    /// Returns the ARN of a function, the address of an API and the attributes of a queue; others are
    /// named after themselves.
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
        if let Some(attribute) = self.queue_attribute(name)? {
            return Ok(attribute);
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

    fn queue_attribute(&self, name: &str) -> Result<Option<String>> {
        let Some((id, attribute @ ("Arn" | "QueueName" | "QueueUrl"))) = name.split_once('.')
        else {
            return Ok(None);
        };
        let queue = self.queue_name(id)?;
        Ok(queue.map(|queue| match attribute {
            "Arn" => queue_arn(&queue),
            "QueueUrl" => queue_url(&sqs_url(), &queue),
            _ => queue,
        }))
    }

    /// Returns the name of a queue: `QueueName`, else its logical id.
    fn queue_name(&self, id: &str) -> Result<Option<String>> {
        if self.type_of(id) != "AWS::SQS::Queue" {
            return Ok(None);
        }
        let properties = self.resource(id).and_then(|node| node.get("Properties"));
        let own = properties.and_then(|properties| properties.get("QueueName"));
        let own = own.map(|name| self.deeper(|| self.argument(name)));
        let own = own.transpose()?.filter(|name| !name.is_empty());
        Ok(Some(own.unwrap_or_else(|| id.to_owned())))
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
}

//! Resources that are not in a template, but in the one that a deployment makes of it: SAM and modules generate
//! resources whose ids begin with that of another one, and macros generate any.
//!
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-generated-resources.html>

use anyhow::Result;

use super::reference::is_api_of_sam;
use super::{Node, Scope};
use crate::model::function_arn;
use crate::template::sam::IMPLICIT_API;

/// What SAM takes after the id of one of its resources, for a resource that it generates.
const GENERATED_PARTS: [&str; 8] = [
    "Alias",
    "ApiKey",
    "Deployment",
    "DestinationQueue",
    "DestinationTopic",
    "DomainName",
    "Stage",
    "Version",
];

/// Resources that SAM generates once for a template.
const GENERATED: [&str; 4] = [
    IMPLICIT_API,
    "ServerlessRestApi",
    "ServerlessDeploymentApplication",
    "CodeDeployServiceRole",
];

impl Scope<'_> {
    /// Records a reference to a resource that a deployment may generate, and returns the error that ends the
    /// evaluation of its value.
    pub(super) fn generated_error(&self, line: usize, id: &str) -> anyhow::Error {
        self.unknown_error(line, &format!("{id}, which the template does not have,"))
    }

    /// Whether a deployment may generate a resource that is not in the template.
    pub(super) fn may_be_generated(&self, id: &str) -> bool {
        if self.is_partial || GENERATED.iter().any(|generated| id.starts_with(generated)) {
            return true;
        }
        let resources = self.root.get("Resources").map_or(&[][..], Node::entries);
        resources.iter().any(|(of, _)| {
            let kind = self.type_of(of);
            let generates = kind.starts_with("AWS::Serverless::") || kind.ends_with("::MODULE");
            let part = id.strip_prefix(of.as_str()).filter(|_| generates);
            part.is_some_and(|part| match part.strip_prefix('.') {
                Some(part) => GENERATED_PARTS.contains(&part) || kind.ends_with("::MODULE"),
                None => true,
            })
        })
    }

    /// Whether SAM generates a resource as a part of an API: its id is that of the API, a name, and the kind.
    pub(super) fn is_part_of_api(&self, id: &str) -> bool {
        let is_part = ["Authorizer", "Integration", "Route"]
            .iter()
            .any(|kind| id.ends_with(kind));
        let resources = self.root.get("Resources").map_or(&[][..], Node::entries);
        let mut ids = resources.iter().map(|(of, _)| of.as_str());
        is_part
            && self.resource(id).is_none()
            && ids.any(|of| id.starts_with(of) && is_api_of_sam(self.type_of(of)))
    }

    /// Returns the ARN that SAM means by `Function.Version` and `Function.Alias`, if it publishes
    /// versions of the function.
    pub(super) fn published(&self, name: &str) -> Result<Option<String>> {
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
        let function = self.named(id)?;
        Ok(Some(format!("{}:{qualifier}", function_arn(&function))))
    }

    /// Returns the name of the stage that SAM makes as a resource `id`.
    pub(super) fn stage_of_sam(&self, id: &str) -> Result<Option<String>> {
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

    /// Returns the name of the stage of an API of SAM.
    pub(super) fn sam_stage_name(&self, api: &str) -> Result<String> {
        let default = match self.type_of(api) {
            "AWS::Serverless::HttpApi" => "$default",
            _ => "default",
        };
        let own = self.property(api, "StageName")?;
        Ok(own.unwrap_or_else(|| default.to_owned()))
    }
}

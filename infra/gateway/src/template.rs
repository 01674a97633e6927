//! Reads a SAM or CloudFormation template into a [`Template`].
//!
//! - [`yaml`]: the text as a tree whose nodes know their lines
//! - `intrinsic`: `!Ref`, `!Sub`, `!If` and their kin
//! - `macros`: loops and inclusions of files, written out
//! - `rules`: what the template demands of its parameters
//! - `resource`: the resources, their conditions and properties evaluated
//! - `globals`: `Globals`, merged into the resources
//! - `function`: the functions
//! - `plain`: functions of CloudFormation and the CDK
//! - `sam`: SAM's APIs and events as the plain resources that they stand for
//! - `openapi`: OpenAPI definitions of APIs as such resources
//! - `api`: the WebSocket API and the HTTP API of those resources
//! - `stage`: a stage of these, with its variables and limits
//! - `authorizer`: authorizers of handshakes and requests
//! - `queue`: queues, and the functions that consume them
//! - `schedule`: functions that are invoked at times
//! - `custom`: custom resources of functions
//! - `values`: values of properties

mod api;
mod authorizer;
mod custom;
mod function;
mod globals;
mod intrinsic;
mod macros;
mod openapi;
mod plain;
mod queue;
mod resource;
mod rules;
mod sam;
mod schedule;
mod stage;
mod values;
pub mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::model::Template;
use intrinsic::Scope;
use resource::Resources;
use yaml::Node;

/// Resources that change nothing on one machine: permissions, roles, logs, alarms.
const WITHOUT_EFFECT: [&str; 15] = [
    "AWS::ApiGateway::Account",
    "AWS::ApiGatewayV2::Deployment",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::CDK::Metadata",
    "AWS::Lambda::Alias",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Version",
    "AWS::Logs::LogGroup",
    "AWS::SQS::QueuePolicy",
    "AWS::CloudFormation::WaitConditionHandle",
];

/// A template whose text is read, but whose parameters are still open.
pub struct Document {
    root: Node,
    /// Keys that are twice in a map, with their lines.
    doubled: Vec<(usize, String)>,
    folder: PathBuf,
}

impl Document {
    /// Reads a template file, YAML or JSON.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is not YAML; the sentence gives the line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the template {}", path.display()))?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
            .with_context(|| format!("{} is not a template", path.display()))
    }

    /// Reads the text of a template that lies in `folder`.
    ///
    /// # Errors
    ///
    /// It is not YAML; the sentence gives the line.
    pub fn parse(text: &str, folder: &Path) -> Result<Self> {
        let (root, doubled) = Node::parse_noting_doubled(text)?;
        Ok(Self {
            root,
            doubled,
            folder: folder.to_owned(),
        })
    }

    /// Evaluates the template with `parameters` in place of its defaults.
    ///
    /// # Errors
    ///
    /// A parameter has no value, the parameters break a rule of the template, or something that is
    /// needed to serve is missing or malformed.
    pub fn evaluate(&self, parameters: &BTreeMap<String, String>) -> Result<Template> {
        let written = Scope::new(&self.root, parameters)?;
        let root = macros::expand(&written, &self.folder)?;
        let scope = Scope::new(&root, parameters)?;
        rules::check(&root, &scope)?;
        let evaluated = self.evaluate_in(&scope);
        let mut unknown = scope.unknown();
        unknown.splice(0..0, written.unknown());
        let mut template = if unknown.is_empty() {
            evaluated?
        } else {
            evaluated.with_context(|| unknown.join("; "))?
        };
        template.not_served.splice(0..0, unknown);
        let doubled = self
            .doubled
            .iter()
            .map(|(line, key)| format!("line {line}: {key} is twice in its map: this one counts"));
        template.not_served.splice(0..0, doubled);
        Ok(template)
    }

    /// Evaluates the properties of one resource, whatever its type.
    ///
    /// # Errors
    ///
    /// There is no such resource, a parameter has no value, or the properties are malformed.
    pub fn properties(&self, id: &str, parameters: &BTreeMap<String, String>) -> Result<Value> {
        let scope = Scope::new(&self.root, parameters)?;
        let resource = self.root.get("Resources").and_then(|list| list.get(id));
        let properties = resource.and_then(|resource| resource.get("Properties"));
        scope.value(properties.with_context(|| format!("there is no {id}"))?)
    }

    fn evaluate_in(&self, scope: &Scope) -> Result<Template> {
        let mut resources = Resources::read(scope.root(), scope)?;
        resources.not_served.extend(globals::refused(scope.root()));
        sam::expand(&mut resources, scope, &self.folder).context("the SAM part of the template")?;
        let functions = function::read(&mut resources, &self.folder);
        let custom_resources = custom::read(&mut resources, &functions);
        let (queues, event_sources) = queue::read(&mut resources, &functions)?;
        let schedules = schedule::read(&mut resources, &functions);
        let apis = api::read(&mut resources, &functions)?;
        let has_api = apis.websocket.is_some() || apis.http.is_some();
        if !has_api && queues.is_empty() && schedules.is_empty() {
            bail!(
                "the template has no WebSocket API, no HTTP API with a stage, no queue and no schedule: \
                 nothing to serve"
            );
        }
        Ok(Template {
            functions,
            websocket: apis.websocket.map(Arc::new),
            http: apis.http,
            queues,
            event_sources,
            schedules,
            custom_resources,
            not_served: not_served(resources),
        })
    }
}

/// Returns the parts that are not served, and the resources that nothing has taken, in the order of
/// their lines.
fn not_served(resources: Resources) -> Vec<String> {
    let rest = resources
        .list
        .iter()
        .filter(|resource| !WITHOUT_EFFECT.contains(&resource.kind.as_str()));
    let rest = rest.map(|resource| (resource.line, resource.place()));
    let mut all: Vec<_> = resources.not_served.into_iter().chain(rest).collect();
    all.sort();
    all.into_iter().map(|(_, text)| text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Authorizer;

    #[test]
    fn a_parameter_without_a_good_value_is_named() {
        let without_default = "Parameters: {Name: {Type: String}}\n".to_owned();
        let error = read(&(without_default + &with_routes("{}"))).expect_err("no Name");
        assert!(format!("{error:#}").contains("parameter Name"), "{error:#}");
    }

    fn read(text: &str) -> Result<Template> {
        Document::parse(text, Path::new(""))?.evaluate(&BTreeMap::new())
    }

    /// Returns a template with a WebSocket API of these routes.
    fn with_routes(routes: &str) -> String {
        format!(
            "Resources:\n  Api:\n    Type: AWS::Serverless::WebSocketApi\n    Properties:\n      \
             RouteSelectionExpression: $request.body.action\n      Routes: {routes}\n"
        )
    }

    #[test]
    fn a_broken_template_is_an_error_with_its_line() {
        let conditions = "Conditions: {A: !Condition B, B: !Condition A}\n";
        let mappings = "Mappings: {M: {a: {b: !FindInMap [M, a, b]}}}\nOutputs: x\n";
        for (text, expected) in [
            (with_routes("{ping: a-function}"), "line 2: Api"),
            (with_routes("[]"), "line 2: Api"),
            (with_routes("{ping: {FunctionArn: [1]}}"), "line 2: Api"),
            (
                with_routes("{}").replace("request.body", "context"),
                "line 2: Api",
            ),
            (with_routes("{}").replace("Api:", "A-p-i:"), "line 2: A-p-i"),
            (
                format!("{conditions}{}", with_routes("{}"))
                    .replace("Type:", "Condition: A\n    Type:"),
                "line 3: Api",
            ),
            (
                format!("{mappings}{}", with_routes("!FindInMap [M, a, b]")),
                "line 4: Api",
            ),
            ("Resources: {Api: 7}".to_owned(), "nothing to serve"),
            ("Resources: 7".to_owned(), "nothing to serve"),
            ("- a".to_owned(), "no Resources"),
            (String::new(), "empty"),
        ] {
            let error = read(&text).expect_err(&text);
            let message = format!("{error:#}");
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn a_function_that_cannot_run_is_named_and_the_rest_is_served() {
        let function = |id: &str, properties: &str| {
            format!("  {id}:\n    Type: AWS::Serverless::Function\n    Properties: {properties}\n")
        };
        let text = with_routes("{ping: {FunctionArn: !GetAtt Endless.Arn}}")
            + &function("Endless", "{CodeUri: x, Timeout: 9223372036854775807}")
            + &function("Script", "{CodeUri: x, Runtime: nodejs22.x, Handler: i.h}")
            + &function("Image", "{PackageType: Image, ImageUri: x}")
            + &function("Elsewhere", "{CodeUri: {Bucket: b, Key: k}}")
            + &function("Inline", "{InlineCode: x}")
            + &function("Old", "{CodeUri: x, Runtime: java21, Handler: a::b}")
            + &function(
                "Queued",
                "{CodeUri: x, Events: {Q: {Type: SQS, Properties: y}}}",
            );
        let template = read(&text).expect("the API is served");
        let ids: Vec<_> = template.functions.keys().collect();
        assert_eq!(ids, ["Queued", "Script"]);
        for (line, expected) in [
            (2, "leads to no function that runs here"),
            (7, "Timeout is from 1 to 900"),
            (13, "an image"),
            (16, "in S3"),
            (19, "InlineCode, which only Node and Python run"),
            (22, "its runtime java21"),
            (25, "its event Q (SQS)"),
        ] {
            let is_it =
                |text: &String| text.contains(&format!("line {line}: ")) && text.contains(expected);
            assert!(
                template.not_served.iter().any(is_it),
                "{:?}",
                template.not_served
            );
        }
    }

    #[test]
    fn a_function_without_code_has_the_folder_of_the_template() {
        let text = "Resources: {Fn: {Type: AWS::Serverless::Function, Metadata: {BuildProperties: \
                    {Binary: fn}}, Properties: {Events: {E: {Type: HttpApi}}}}}";
        let folder = std::env::temp_dir().canonicalize().expect("a folder");
        let template = Document::parse(text, &folder).expect("YAML");
        let template = template.evaluate(&BTreeMap::new()).expect("valid");
        let function = &template.functions["Fn"];
        assert_eq!(function.folder(), Some(folder.as_path()));
        assert_eq!(function.binary(), Some("fn"));
        assert_eq!(function.handler, "bootstrap");
    }

    #[test]
    fn an_authorizer_applies_even_if_its_route_has_no_function() {
        let resource = |id: &str, kind: &str, properties: &str| {
            format!("  {id}:\n    Type: AWS::{kind}\n    Properties: {{{properties}}}\n")
        };
        let part = |id: &str, kind: &str, properties: &str| {
            let kind = format!("ApiGatewayV2::{kind}");
            resource(id, &kind, &format!("ApiId: !Ref Api, {properties}"))
        };
        let api = "ProtocolType: WEBSOCKET, RouteSelectionExpression: $request.body.action";
        let authorizer = "AuthorizerType: REQUEST, AuthorizerUri: !GetAtt Guard.Arn";
        let route = "RouteKey: $connect, AuthorizationType: CUSTOM, AuthorizerId: !Ref Authorizer, \
                     Target: integrations/Mock";
        let text = [
            "Resources:\n".to_owned(),
            resource("Api", "ApiGatewayV2::Api", api),
            resource("Guard", "Serverless::Function", "CodeUri: x"),
            part("Stage", "Stage", "StageName: prod"),
            part("Authorizer", "Authorizer", authorizer),
            part("Connect", "Route", route),
            part("Mock", "Integration", "IntegrationType: MOCK"),
        ];
        let websocket = read(&text.concat()).expect("valid").websocket;
        let websocket = websocket.expect("a WebSocket API");
        assert!(websocket.routes.is_empty());
        let Some(Authorizer::Lambda(authorizer)) = &websocket.authorizer else {
            panic!("{:?}", websocket.authorizer);
        };
        assert_eq!(authorizer.function, "Guard");
    }
}

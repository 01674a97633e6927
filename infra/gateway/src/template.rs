//! Reads a SAM or CloudFormation template into a [`Template`].
//!
//! - [`yaml`]: the text as a tree whose nodes know their lines
//! - `intrinsic`: `!Ref`, `!Sub`, `!If` and their kin
//! - `macros`: loops and inclusions of files, written out
//! - `nested`: nested stacks whose templates lie on this machine
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
//! - [`properties`]: the properties that are served, and the table of them
//! - `values`: values of properties

mod api;
mod authorizer;
mod custom;
mod function;
mod globals;
mod intrinsic;
mod macros;
mod nested;
mod openapi;
mod plain;
pub mod properties;
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

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::model::{Function, Template, has_address};
use intrinsic::Scope;
use resource::{Resource, Resources};
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

/// The types of REST APIs.
const REST_APIS: [&str; 2] = ["AWS::ApiGateway::RestApi", "AWS::Serverless::Api"];

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
    /// It cannot be read, is not YAML, or has no resources; the sentence gives the line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the template {}", path.display()))?;
        let document = Self::parse(&text, path.parent().unwrap_or(Path::new("")));
        let document = document.and_then(|document| {
            let has = |name| document.root.get(name).is_some();
            // An included file may have the resources.
            ensure!(
                has("Resources") || has("Fn::Transform"),
                "it has no Resources"
            );
            Ok(document)
        });
        document.with_context(|| format!("{} is not a template", path.display()))
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
        let place = Place {
            folder: self.folder.clone(),
            ..Place::default()
        };
        let gathered = self.gather(parameters, &place)?;
        let unknown = gathered.unknown.clone();
        let template = template(gathered);
        match unknown.is_empty() {
            true => template,
            false => template.with_context(|| unknown.join("; ")),
        }
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

    /// Gathers the resources and the functions of the template and of its nested stacks.
    fn gather(&self, parameters: &BTreeMap<String, String>, place: &Place) -> Result<Gathered> {
        let written = Scope::new(&self.root, parameters)?;
        let root = macros::expand(&written, &self.folder)?;
        let scope = Scope::new(&root, parameters)?.in_stack(&place.prefix);
        let scope = scope.partial(!written.unknown().is_empty());
        rules::check(&root, &scope)?;
        let gathered = self.gather_in(&scope, place);
        let doubled = self
            .doubled
            .iter()
            .map(|(line, key)| format!("line {line}: {key} is twice in its map: this one counts"));
        let unknown = written.unknown().into_iter().chain(scope.unknown());
        let unknown: Vec<String> = doubled
            .chain(unknown)
            .map(|text| format!("{}{text}", place.file))
            .collect();
        let mut gathered = match unknown.is_empty() {
            true => gathered?,
            false => gathered.with_context(|| unknown.join("; "))?,
        };
        gathered.unknown.splice(0..0, unknown);
        Ok(gathered)
    }

    fn gather_in(&self, scope: &Scope, place: &Place) -> Result<Gathered> {
        let stacks = nested::read(scope, place)?;
        let mut resources = Resources::read(scope, place)?;
        let is_followed = |resource: &Resource| {
            let own = resource.id.strip_prefix(&place.prefix);
            own.is_some_and(|id| stacks.contains_key(id))
        };
        resources.list.retain(|resource| !is_followed(resource));
        resources.not_served.extend(globals::refused(scope.root()));
        let unserved = properties::not_served(scope.root(), |id| {
            let id = scope.own_id(id);
            resources.list.iter().any(|resource| resource.id == id)
        });
        resources.not_served.extend(unserved);
        for (_, text) in &mut resources.not_served {
            text.insert_str(0, &place.file);
        }
        sam::expand(&mut resources, scope, &self.folder).context("the SAM part of the template")?;
        let mut gathered = Gathered {
            functions: function::read(&mut resources, &self.folder),
            resources,
            unknown: Vec::new(),
            outputs: outputs(scope)?,
        };
        for stack in stacks.into_values() {
            gathered.functions.extend(stack.functions);
            gathered.unknown.extend(stack.unknown);
            gathered.resources.list.extend(stack.resources.list);
            let notes = stack.resources.not_served;
            gathered.resources.not_served.extend(notes);
        }
        Ok(gathered)
    }
}

/// Where a template stands among the stacks.
#[derive(Default)]
struct Place {
    /// The folder of its file.
    folder: PathBuf,
    /// The name of its file, with a colon, for notes; empty for the outermost.
    file: String,
    /// What the ids of its resources begin with.
    prefix: String,
    /// The number of stacks around it.
    depth: usize,
}

/// The resources and the functions of a template and of its nested stacks.
struct Gathered {
    resources: Resources,
    functions: BTreeMap<String, Function>,
    /// The notes of what is not known here.
    unknown: Vec<String>,
    /// The values of its outputs.
    outputs: BTreeMap<String, Value>,
}

/// Returns the values of the outputs. One that is not known is recorded where it is used.
fn outputs(scope: &Scope) -> Result<BTreeMap<String, Value>> {
    let outputs = scope.root().get("Outputs").map_or(&[][..], Node::entries);
    let values = outputs.iter().filter_map(|(name, output)| {
        let value = output.get("Value")?;
        Some(scope.value(value).map(|value| (name.clone(), value)))
    });
    scope.unrecorded(|| values.collect())
}

/// Reads what is served of the resources of all stacks.
fn template(gathered: Gathered) -> Result<Template> {
    let Gathered {
        mut resources,
        mut functions,
        unknown,
        ..
    } = gathered;
    let custom_resources = custom::read(&mut resources, &functions);
    let (queues, event_sources) = queue::read(&mut resources, &functions)?;
    let schedules = schedule::read(&mut resources, &functions);
    let apis = api::read(&mut resources, &functions)?;
    for api in &apis.others {
        withhold_address(api, &mut functions, &mut resources);
    }
    let has_api = apis.websocket.is_some() || apis.http.is_some();
    if !has_api && queues.is_empty() && schedules.is_empty() {
        let lines = not_served(resources);
        let lines = lines
            .iter()
            .map(|line| format!("\n  not served here: {line}"));
        bail!(
            "the template has no WebSocket API, no HTTP API with a stage, no queue and no schedule: \
             nothing to serve{}",
            lines.collect::<String>()
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
        not_served: unknown.into_iter().chain(not_served(resources)).collect(),
    })
}

/// Takes the variables with the address of an API that is not served from all functions, and notes them.
fn withhold_address(
    api: &Resource,
    functions: &mut BTreeMap<String, Function>,
    resources: &mut Resources,
) {
    for (id, function) in functions {
        function.environment.retain(|name, value| {
            let is_kept = !has_address(value, &api.id);
            if !is_kept {
                let why =
                    format!("{id} does not get its variable {name}, which has this API's address");
                resources.skip(api, &why);
            }
            is_kept
        });
    }
}

/// Returns the parts that are not served, and the resources that nothing has taken, in the order of
/// their lines.
fn not_served(resources: Resources) -> Vec<String> {
    let rest = resources
        .list
        .iter()
        .filter(|resource| !WITHOUT_EFFECT.contains(&resource.kind.as_str()));
    let rest = rest.map(|resource| (resource.line, left(resource)));
    let mut all: Vec<_> = resources.not_served.into_iter().chain(rest).collect();
    all.sort();
    all.into_iter().map(|(_, text)| text).collect()
}

/// Returns the note of a resource that nothing has taken.
fn left(resource: &Resource) -> String {
    let place = resource.place();
    match REST_APIS.contains(&resource.kind.as_str()) {
        true => format!("{place}: REST APIs are not served: use AWS::Serverless::HttpApi"),
        false => place,
    }
}

#[cfg(test)]
mod tests;

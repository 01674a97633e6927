//! What to serve, read from a SAM template.
//!
//! - `yaml`: the text as a tree whose nodes know their lines
//! - `intrinsic`: `!Ref`, `!Sub`, `!If` and their kin
//!
//! Served are `AWS::Serverless::Function` (Rust, with its `HttpApi` events),
//! `AWS::Serverless::WebSocketApi`, `AWS::Serverless::HttpApi` and
//! `AWS::ApiGatewayV2::RouteResponse`.

mod intrinsic;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use intrinsic::Scope;
pub use intrinsic::{REGION, function_arn};
use yaml::Node;

use crate::routing::Selection;

/// A template whose text is read, but whose parameters are still open.
pub struct Document {
    root: Node,
    folder: PathBuf,
}

/// What a template describes, as far as one machine can serve it.
#[derive(Debug, Clone)]
pub struct Template {
    /// The functions, by logical id.
    pub functions: BTreeMap<String, Function>,
    /// The WebSocket API.
    pub websocket: WebSocketApi,
    /// The routes of the HTTP API.
    pub http_routes: Vec<HttpRoute>,
    /// What is not served, with the reason, for the developer to read.
    pub not_served: Vec<String>,
}

/// A Lambda function.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its logical id, and its name here.
    pub name: String,
    /// The folder of its package.
    pub folder: PathBuf,
    /// The name of its binary.
    pub binary: String,
    /// Environment variables of the template, evaluated.
    pub environment: BTreeMap<String, String>,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// Its memory in megabytes; told to the function, not enforced.
    pub memory_mb: u64,
}

/// The WebSocket API.
#[derive(Debug, Clone)]
pub struct WebSocketApi {
    /// Its id, part of events.
    pub api_id: String,
    /// The stage, part of its URL.
    pub stage: String,
    /// How the route of a frame is found.
    pub selection: Selection,
    /// The routes by key.
    pub routes: BTreeMap<String, Route>,
}

/// A route of the WebSocket API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The function that serves it, by logical id.
    pub function: String,
    /// Whether the function's answer goes back to the client: the route has a
    /// `RouteResponseSelectionExpression` and a RouteResponse resource.
    pub two_way: bool,
}

/// A route of the HTTP API.
#[derive(Debug, Clone)]
pub struct HttpRoute {
    /// Method in upper case, or `ANY`.
    pub method: String,
    /// Path with `{name}` and `{name+}` parts, or `$default`.
    pub path: String,
    /// The function that serves it, by logical id.
    pub function: String,
}

impl Document {
    /// Reads a template file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is not YAML; the sentence gives the line.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the template {}", path.display()))?;
        let root =
            Node::parse(&text).with_context(|| format!("{} is not a template", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { root, folder })
    }

    /// Whether the template has a parameter of this name.
    pub fn has_parameter(&self, name: &str) -> bool {
        let parameters = self.root.get("Parameters");
        parameters.is_some_and(|parameters| parameters.get(name).is_some())
    }

    /// Evaluates the template with `parameters` in place of its defaults.
    ///
    /// # Errors
    ///
    /// A parameter has no value, or something that is needed to serve is missing or malformed.
    pub fn evaluate(&self, parameters: &BTreeMap<String, String>) -> Result<Template> {
        let scope = Scope::new(&self.root, parameters)?;
        let mut resources = Resources::read(&self.root, &scope)?;
        let globals = self
            .root
            .get("Globals")
            .and_then(|globals| globals.get("Function"))
            .map(|globals| scope.evaluate(globals))
            .transpose()?
            .unwrap_or(Value::Null);
        let mut functions = BTreeMap::new();
        let mut http_routes = Vec::new();
        for resource in resources.take("AWS::Serverless::Function") {
            let function = self
                .function(&resource, &globals)
                .with_context(|| resource.place())?;
            http_routes.extend(http_events(&resource));
            functions.insert(resource.id.clone(), function);
        }
        let apis = resources.take("AWS::Serverless::WebSocketApi");
        let [api] = apis.as_slice() else {
            bail!(
                "the template has {} AWS::Serverless::WebSocketApi resources; one is needed",
                apis.len()
            );
        };
        let responses = resources.take("AWS::ApiGatewayV2::RouteResponse");
        let websocket = websocket_api(api, &responses).with_context(|| api.place())?;
        resources.take("AWS::Serverless::HttpApi");
        check_functions(&websocket, &functions)?;
        Ok(Template {
            functions,
            websocket,
            http_routes,
            not_served: resources.0.iter().map(Resource::place).collect(),
        })
    }

    fn function(&self, resource: &Resource, globals: &Value) -> Result<Function> {
        let properties = &resource.properties;
        let setting = |name: &str| match &properties[name] {
            Value::Null => &globals[name],
            own => own,
        };
        let code = setting("CodeUri").as_str().context("CodeUri is missing")?;
        let folder = self.folder.join(code);
        let binary = match resource.metadata["BuildProperties"]["Binary"].as_str() {
            Some(binary) => binary.to_owned(),
            None => file_name(&folder)?,
        };
        let mut environment = BTreeMap::new();
        for variables in [globals, properties] {
            let variables = variables["Environment"]["Variables"].as_object();
            for (name, value) in variables.into_iter().flatten() {
                environment.insert(name.clone(), intrinsic::text(value)?);
            }
        }
        Ok(Function {
            name: resource.id.clone(),
            folder,
            binary,
            environment,
            // Lambda's defaults: https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
            timeout: Duration::from_secs(setting("Timeout").as_u64().unwrap_or(3)),
            memory_mb: setting("MemorySize").as_u64().unwrap_or(128),
        })
    }
}

/// The resources whose condition holds, not yet looked at.
struct Resources(Vec<Resource>);

struct Resource {
    id: String,
    kind: String,
    line: usize,
    properties: Value,
    metadata: Value,
}

impl Resource {
    fn place(&self) -> String {
        format!("line {}: {} ({})", self.line, self.id, self.kind)
    }
}

impl Resources {
    fn read(root: &Node, scope: &Scope) -> Result<Self> {
        let resources = root.get("Resources").context("it has no Resources")?;
        let mut read = Vec::new();
        for (id, node) in resources.entries() {
            let part = |name: &str| match node.get(name) {
                Some(part) => scope
                    .evaluate(part)
                    .with_context(|| format!("line {}: {id}", node.line)),
                None => Ok(Value::Null),
            };
            if let Value::String(condition) = part("Condition")?
                && !scope.condition(&condition)?
            {
                continue;
            }
            read.push(Resource {
                id: id.clone(),
                kind: intrinsic::text(&part("Type")?)?,
                line: node.line,
                properties: part("Properties")?,
                metadata: part("Metadata")?,
            });
        }
        Ok(Self(read))
    }

    fn take(&mut self, kind: &str) -> Vec<Resource> {
        self.0
            .extract_if(.., |resource| resource.kind == kind)
            .collect()
    }
}

fn http_events(resource: &Resource) -> Vec<HttpRoute> {
    let events = resource.properties["Events"].as_object();
    events
        .into_iter()
        .flatten()
        .filter(|(_, event)| event["Type"] == "HttpApi")
        .map(|(_, event)| {
            let property = |name: &str, default: &str| {
                let value = event["Properties"][name].as_str();
                value.unwrap_or(default).to_owned()
            };
            HttpRoute {
                method: property("Method", "ANY").to_uppercase(),
                path: property("Path", "$default"),
                function: resource.id.clone(),
            }
        })
        .collect()
}

fn websocket_api(api: &Resource, responses: &[Resource]) -> Result<WebSocketApi> {
    let properties = &api.properties;
    let selection = properties["RouteSelectionExpression"]
        .as_str()
        .context("RouteSelectionExpression is missing")?
        .parse()?;
    let mut routes = BTreeMap::new();
    for (key, route) in properties["Routes"]
        .as_object()
        .context("Routes is missing")?
    {
        let function = route["FunctionArn"]
            .as_str()
            .and_then(|arn| arn.rsplit(':').next())
            .with_context(|| format!("route {key} has no FunctionArn"))?;
        let has_response = responses
            .iter()
            .any(|response| response.properties["RouteId"] == route_id(&api.id, key));
        let has_expression = route["RouteResponseSelectionExpression"] == "$default";
        if has_response != has_expression {
            tracing::warn!(
                "route {key} answers nothing: it needs both RouteResponseSelectionExpression: \
                 $default and an AWS::ApiGatewayV2::RouteResponse"
            );
        }
        let route = Route {
            function: function.to_owned(),
            two_way: has_response && has_expression,
        };
        routes.insert(key.clone(), route);
    }
    Ok(WebSocketApi {
        api_id: api.id.to_lowercase(),
        stage: properties["StageName"]
            .as_str()
            .unwrap_or("default")
            .to_owned(),
        selection,
        routes,
    })
}

/// The logical id that SAM gives to the route `key`: `ChatApi` and `sendMessage` make
/// `ChatApiSendmessageRoute`.
fn route_id(api_id: &str, key: &str) -> String {
    let key = key.trim_start_matches('$').to_lowercase();
    let mut letters = key.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    format!(
        "{api_id}{}{}Route",
        first.unwrap_or_default(),
        letters.as_str()
    )
}

fn check_functions(api: &WebSocketApi, functions: &BTreeMap<String, Function>) -> Result<()> {
    for (key, route) in &api.routes {
        if !functions.contains_key(&route.function) {
            bail!(
                "route {key} leads to {}, which is not an AWS::Serverless::Function of the template",
                route.function
            );
        }
    }
    Ok(())
}

fn file_name(folder: &Path) -> Result<String> {
    let name = folder.file_name().context("CodeUri names no folder")?;
    Ok(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Document {
        Document::read(Path::new("../template.yaml")).expect("our template")
    }

    fn evaluate(parameters: &[(&str, &str)]) -> Result<Template> {
        let pair = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        ours().evaluate(&parameters.iter().map(pair).collect())
    }

    #[test]
    fn our_template_is_served_whole() {
        let template = evaluate(&[("MongodbUri", "mongodb://db")]).expect("valid");
        assert_eq!(template.not_served, Vec::<String>::new());
        let routes: Vec<_> = template.websocket.routes.keys().collect();
        assert_eq!(
            routes,
            ["$connect", "$default", "$disconnect", "ping", "sendMessage"]
        );
        assert!(template.websocket.routes["sendMessage"].two_way);
        assert!(!template.websocket.routes["$default"].two_way);
        assert_eq!(template.http_routes[0].path, "/chat/history");
        let send = &template.functions["SendMessageFunction"];
        assert_eq!(send.binary, "send-message");
        assert_eq!(send.timeout, Duration::from_secs(10));
        assert_eq!(send.environment["MONGODB_URI"], "mongodb://db");
        assert_eq!(
            send.environment["MANAGEMENT_ENDPOINT"],
            "https://ChatApi.execute-api.us-east-1.amazonaws.com/prod"
        );
    }

    #[test]
    fn a_parameter_takes_the_place_of_its_default() {
        let template = evaluate(&[
            ("MongodbUri", "mongodb://db"),
            ("ManagementEndpoint", "http://127.0.0.1:1/prod"),
            ("StageName", "beta"),
        ])
        .expect("valid");
        assert_eq!(template.websocket.stage, "beta");
        assert_eq!(
            template.functions["ConnectFunction"].environment["MANAGEMENT_ENDPOINT"],
            "http://127.0.0.1:1/prod"
        );
    }

    #[test]
    fn a_parameter_without_value_is_named() {
        let error = evaluate(&[]).expect_err("no MongodbUri");
        assert!(format!("{error:#}").contains("MongodbUri"), "{error:#}");
    }
}

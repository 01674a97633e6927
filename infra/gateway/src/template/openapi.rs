//! An OpenAPI definition (`Body`, SAM's `DefinitionBody`) as the routes, integrations and authorizers that it
//! stands for.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-open-api.html>

use serde_json::{Map, Value, json};

use super::api::DENIED;
use super::resource::Resource;

/// The methods of OpenAPI, as keys of a path.
const METHODS: [&str; 8] = [
    "delete", "get", "head", "options", "patch", "post", "put", "trace",
];

/// The key of a path for all methods.
const ANY: &str = "x-amazon-apigateway-any-method";

const INTEGRATION: &str = "x-amazon-apigateway-integration";

/// An operation of a definition.
pub struct Operation<'a> {
    /// Its method in upper case, or `ANY`.
    pub method: String,
    /// The key of its method in the definition.
    pub name: &'a str,
    /// Its path.
    pub path: &'a str,
    /// Its settings.
    pub settings: &'a Value,
}

impl Operation<'_> {
    /// Returns the route key.
    pub fn key(&self) -> String {
        route_key(&self.method, self.path)
    }
}

/// Returns the key of a route. `/$default` is another spelling of `$default`.
pub fn route_key(method: &str, path: &str) -> String {
    match path {
        "$default" | "/$default" if method.eq_ignore_ascii_case("any") => "$default".to_owned(),
        path => format!("{} {path}", method.to_uppercase()),
    }
}

/// Returns the operations of a definition.
pub fn operations(body: &Value) -> Vec<Operation<'_>> {
    let paths = body["paths"].as_object().into_iter().flatten();
    let all = paths.flat_map(|(path, item)| {
        let entries = item.as_object().into_iter().flatten();
        entries.filter_map(move |(method, settings)| {
            let name = method.as_str();
            let method = match name.to_lowercase().as_str() {
                ANY | "any" => "ANY".to_owned(),
                method if METHODS.contains(&method) => method.to_uppercase(),
                _ => return None,
            };
            Some(Operation {
                method,
                name,
                path,
                settings,
            })
        })
    });
    all.collect()
}

/// Returns the cross-origin rules of a definition, with the names that they have in a template.
pub fn cors(body: &Value) -> Value {
    let rules = &body["x-amazon-apigateway-cors"];
    match rules.as_object() {
        Some(rules) => capitalized(rules),
        None => Value::Null,
    }
}

/// Returns the routes, integrations and authorizers of an API's definition.
pub fn parts(api: &Resource, body: &Value) -> Vec<Resource> {
    let schemes = body["components"]["securitySchemes"].as_object();
    let schemes = schemes.into_iter().flatten();
    let authorizers = schemes.filter_map(|(name, scheme)| authorizer(api, name, scheme));
    let operations = operations(body);
    let routes = operations
        .iter()
        .flat_map(|operation| route(api, body, operation));
    authorizers.chain(routes).collect()
}

fn part(api: &Resource, id: String, kind: &str, mut properties: Value) -> Resource {
    properties["ApiId"] = api.id.as_str().into();
    Resource {
        id,
        kind: format!("AWS::ApiGatewayV2::{kind}"),
        file: api.file.clone(),
        line: api.line,
        is_unsure: api.is_unsure,
        depends_on: Vec::new(),
        properties,
        metadata: Value::Null,
    }
}

fn route(api: &Resource, body: &Value, operation: &Operation) -> Vec<Resource> {
    let key = operation.key();
    let id = format!("{} {key}", api.id);
    let mut properties = guard(api, body, operation);
    properties["RouteKey"] = key.into();
    let integration = &operation.settings[INTEGRATION];
    let shared = integration["$ref"].as_str();
    let shared = shared.and_then(|path| body.pointer(path.trim_start_matches('#')));
    let integration = shared.unwrap_or(integration);
    let mut parts = Vec::new();
    if let Some(settings) = integration.as_object() {
        properties["Target"] = format!("integrations/{}", integration_id(&id)).into();
        let mut own = capitalized(settings);
        let kind = own["Type"].as_str().unwrap_or_default().to_uppercase();
        own["IntegrationType"] = kind.into();
        own["IntegrationUri"] = own["Uri"].clone();
        if own["PayloadFormatVersion"].is_null() {
            own["PayloadFormatVersion"] = "1.0".into();
        }
        parts.push(part(api, integration_id(&id), "Integration", own));
    }
    parts.push(part(api, id, "Route", properties));
    parts
}

/// Returns the id of the integration of a route.
pub fn integration_id(route_id: &str) -> String {
    format!("{route_id} Integration")
}

/// Returns the properties of a route that are about its authorizer: those of `security`, and the type in
/// `x-amazon-apigateway-auth`, which must not contradict them.
///
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-auth.html>
fn guard(api: &Resource, body: &Value, operation: &Operation) -> Value {
    const AUTH: &str = "x-amazon-apigateway-auth";
    let guard = security(api, body, operation);
    let auth = own_or_shared(body, operation, AUTH);
    let kind = auth["type"].as_str().map(str::to_uppercase);
    match (kind.as_deref(), guard["AuthorizationType"].as_str()) {
        _ if auth.is_null() => guard,
        (Some("AWS_IAM"), None | Some("AWS_IAM")) => json!({"AuthorizationType": "AWS_IAM"}),
        (Some("NONE"), None) => guard,
        (Some("CUSTOM"), Some("CUSTOM" | "JWT")) => guard,
        _ => {
            json!({DENIED: format!("its {AUTH} is not what its security says, or not known here")})
        }
    }
}

/// Returns a setting of an operation, else that of the definition for all operations.
fn own_or_shared<'a>(body: &'a Value, operation: &'a Operation, name: &str) -> &'a Value {
    match &operation.settings[name] {
        Value::Null => &body[name],
        own => own,
    }
}

/// Returns the properties of a route that are about the first security requirement of the operation, else of the
/// definition. Of the schemes in one requirement, a request has to pass all; only one can be applied.
fn security(api: &Resource, body: &Value, operation: &Operation) -> Value {
    let requirement = match own_or_shared(body, operation, "security") {
        Value::Null => return json!({}),
        Value::Array(list) if list.is_empty() => return json!({}),
        list => &list[0],
    };
    let mut schemes = requirement.as_object().into_iter().flatten();
    let (name, scopes) = match (schemes.next(), schemes.next()) {
        (Some(first), None) => first,
        (None, _) => return json!({DENIED: "its security names no scheme that is known here"}),
        (Some(_), Some(_)) => return json!({DENIED: "its security needs several schemes at once"}),
    };
    let scheme = &body["components"]["securitySchemes"][name];
    if scheme.is_null() && name == "NONE" {
        return json!({});
    }
    if scheme["x-amazon-apigateway-authtype"] == "awsSigv4" {
        return json!({"AuthorizationType": "AWS_IAM"});
    }
    let kind = match is_jwt(&scheme["x-amazon-apigateway-authorizer"]) {
        true => "JWT",
        false => "CUSTOM",
    };
    json!({
        "AuthorizationType": kind,
        "AuthorizerId": authorizer_id(api, name),
        "AuthorizationScopes": scopes,
    })
}

/// Returns the id of the authorizer that a security scheme stands for.
pub fn authorizer_id(api: &Resource, name: &str) -> String {
    format!("{} {name}", api.id)
}

fn is_jwt(settings: &Value) -> bool {
    let kind = settings["type"].as_str();
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("jwt"))
}

fn authorizer(api: &Resource, name: &str, scheme: &Value) -> Option<Resource> {
    let settings = &scheme["x-amazon-apigateway-authorizer"];
    let mut properties = capitalized(settings.as_object()?);
    let kind = properties["Type"]
        .as_str()
        .unwrap_or_default()
        .to_uppercase();
    properties["AuthorizerType"] = kind.into();
    if let Some(jwt) = settings["jwtConfiguration"].as_object() {
        properties["JwtConfiguration"] = capitalized(jwt);
    }
    let id = authorizer_id(api, name);
    Some(part(api, id, "Authorizer", properties))
}

/// Returns the settings with capital first letters, as in a template.
fn capitalized(settings: &Map<String, Value>) -> Value {
    let entries = settings.iter().map(|(name, value)| {
        let mut letters = name.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        let name: String = first.into_iter().chain(letters).collect();
        (name, value.clone())
    });
    Value::Object(entries.collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::model::Authorizer;
    use crate::template::Document;

    /// Returns the authorizer of the one operation of a definition with these settings.
    fn authorizer(settings: &str) -> Option<Authorizer> {
        let text = format!(
            "Resources:
  Fn: {{Type: AWS::Serverless::Function, Properties: {{CodeUri: x}}}}
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      DefinitionBody:
        openapi: 3.0.1
        paths: {{/a: {{get: {{{settings}, x-amazon-apigateway-integration: {{type: aws_proxy, uri: !GetAtt Fn.Arn}}}}}}}}
        components:
          securitySchemes:
            J: {{type: oauth2, x-amazon-apigateway-authorizer: {{type: jwt, identitySource: $request.header.Authorization,
              jwtConfiguration: {{issuer: 'https://i.example', audience: [a]}}}}}}
            I: {{type: apiKey, x-amazon-apigateway-authtype: awsSigv4}}
            K: {{type: apiKey, name: x, in: header}}
"
        );
        let document = Document::parse(&text, "".as_ref()).expect("YAML");
        let template = document.evaluate(&BTreeMap::new()).expect(&text);
        let api = template.http.expect("an HTTP API");
        api.routes[0].authorizer.clone()
    }

    #[test]
    fn the_guard_of_an_operation_is_its_security_and_its_type() {
        for settings in [
            "x-amazon-apigateway-auth: {type: AWS_IAM}",
            "x-amazon-apigateway-auth: {type: aws_iam}, security: [{I: []}]",
            "security: [{I: []}]",
        ] {
            assert_eq!(authorizer(settings), Some(Authorizer::Iam), "{settings}");
        }
        for settings in [
            "security: [{J: []}]",
            "security: [{J: []}], x-amazon-apigateway-auth: {type: CUSTOM}",
            "security: [{J: []}, {K: []}]",
        ] {
            let authorizer = authorizer(settings);
            assert!(matches!(authorizer, Some(Authorizer::Jwt(_))), "{settings}");
        }
        for settings in ["security: []", "x-amazon-apigateway-auth: {type: NONE}"] {
            assert_eq!(authorizer(settings), None, "{settings}");
        }
    }

    #[test]
    fn a_guard_of_which_only_a_part_can_be_applied_lets_nobody_in() {
        for settings in [
            "security: [{J: [], K: []}]",
            "security: [{}]",
            "security: J",
            "security: [J]",
            "security: [{K: []}]",
            "x-amazon-apigateway-auth: {type: CUSTOM}",
            "x-amazon-apigateway-auth: {type: COGNITO_USER_POOLS}",
            "x-amazon-apigateway-auth: {type: !ImportValue x}",
            "x-amazon-apigateway-auth: AWS_IAM",
            "x-amazon-apigateway-auth: {type: AWS_IAM}, security: [{J: []}]",
            "x-amazon-apigateway-auth: {type: NONE}, security: [{J: []}]",
        ] {
            let authorizer = authorizer(settings);
            assert!(
                matches!(authorizer, Some(Authorizer::Deny(_))),
                "{settings}: {authorizer:?}"
            );
        }
    }
}

//! Quick create: the resources that `Target` of an API stands for, and the settings that
//! `ApiGatewayManagedOverrides` adds to them.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-apigatewayv2-apigatewaymanagedoverrides.html>

use serde_json::{Value, json};

use super::super::resource::Resource;
use super::Parts;

impl Parts<'_> {
    /// Adds the resources of a quick create: a `$default` stage, and a route to a function.
    pub(super) fn quick_create(&mut self) {
        let api = self.api;
        let Some(target) = api.text("Target") else {
            return;
        };
        let id = |part: &str| format!("{}Target{part}", api.id);
        let integration = id("Integration");
        let key = api.text("RouteKey").unwrap_or("$default");
        let route = json!({"RouteKey": key, "Target": format!("integrations/{integration}")});
        let overrides = self.take_overrides();
        for (kind, mut properties) in [
            ("Stage", json!({"StageName": "$default"})),
            ("Route", route),
            (
                "Integration",
                json!({"IntegrationType": "AWS_PROXY", "IntegrationUri": target}),
            ),
        ] {
            for own in &overrides {
                override_with(&mut properties, &own.properties[kind]);
            }
            self.parts.push(Resource {
                id: id(kind),
                kind: format!("AWS::ApiGatewayV2::{kind}"),
                file: api.file.clone(),
                line: overrides.first().map_or(api.line, |first| first.line),
                is_unsure: api.is_unsure,
                depends_on: Vec::new(),
                properties,
                metadata: Value::Null,
            });
        }
    }

    fn take_overrides(&mut self) -> Vec<Resource> {
        let kind = "AWS::ApiGatewayV2::ApiGatewayManagedOverrides";
        self.parts
            .extract_if(.., |part| part.kind == kind)
            .collect()
    }
}

fn override_with(properties: &mut Value, own: &Value) {
    for (name, value) in own.as_object().into_iter().flatten() {
        properties[name] = value.clone();
    }
}

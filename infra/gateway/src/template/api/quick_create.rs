//! Quick create: the resources that `Target` of an API stands for, and the settings that
//! `ApiGatewayManagedOverrides` adds to them.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-apigatewayv2-apigatewaymanagedoverrides.html>

use serde_json::{Value, json};

use super::super::properties::is_of_guard;
use super::super::resource::Resource;
use super::super::values::is_unknown;
use super::{DENIED, Parts};

impl Parts<'_> {
    /// Adds the resources of a quick create: a `$default` stage, and a route to a function.
    pub(super) fn quick_create(&mut self) {
        let api = self.api;
        let overrides = self.take_overrides();
        let Some(target) = api.text("Target") else {
            self.refuse_overrides(&overrides);
            return;
        };
        let id = |part: &str| format!("{}Target{part}", api.id);
        let integration = id("Integration");
        let key = api.text("RouteKey").unwrap_or("$default");
        let route = json!({"RouteKey": key, "Target": format!("integrations/{integration}")});
        for (kind, mut properties) in [
            ("Stage", json!({"StageName": "$default"})),
            ("Route", route),
            (
                "Integration",
                json!({"IntegrationType": "AWS_PROXY", "IntegrationUri": target}),
            ),
        ] {
            self.override_with(&mut properties, kind, &overrides);
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

    /// Notes the overrides of an API that has nothing which they could override. One with a guard lets nobody in.
    fn refuse_overrides(&mut self, overrides: &[Resource]) {
        for own in overrides {
            let why = "it overrides a quick create, and its API has no Target";
            self.resources.skip(own, why);
            if has_guard(&own.properties["Route"]) {
                self.denied = Some(format!("the guard in {} is for no route", own.place()));
            }
        }
    }

    /// Sets the properties of a stage, route or integration that are overridden. Two overrides with other settings, and
    /// settings that are no map, leave open what the guard of the route is.
    fn override_with(&mut self, properties: &mut Value, kind: &str, overrides: &[Resource]) {
        let mut first: Option<&Resource> = None;
        for own in overrides {
            let settings = &own.properties[kind];
            let why = match (settings, first) {
                (Value::Null, _) => continue,
                (Value::Object(map), None) if !is_unknown(settings) => {
                    let entries = map.iter();
                    entries.for_each(|(name, value)| properties[name] = value.clone());
                    first = Some(own);
                    continue;
                }
                (_, Some(first)) if first.properties[kind] == *settings => continue,
                (_, Some(first)) => format!("its {kind} is another one than in {}", first.place()),
                (_, None) => format!("its {kind} is no map that is known here"),
            };
            self.resources.skip(own, &why);
            properties[DENIED] = format!("{}: {why}", own.place()).into();
        }
    }
}

/// Whether the settings of a route guard it, or may do so.
fn has_guard(settings: &Value) -> bool {
    match settings {
        Value::Null => false,
        Value::Object(map) if !is_unknown(settings) => map.keys().any(|name| is_of_guard(name)),
        _ => true,
    }
}

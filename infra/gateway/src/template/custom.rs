//! Custom resources that functions of the template make.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html>

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::function;
use super::resource::{Resource, Resources, is_custom};
use super::values::number;
use crate::model::{CustomResource, Function};

/// Takes the custom resources of `functions`, in their order. Those of others are left.
pub fn read(
    resources: &mut Resources,
    functions: &BTreeMap<String, Function>,
) -> Vec<CustomResource> {
    let is_ours = |resource: &mut Resource| {
        is_custom(&resource.kind) && function(resource, functions).is_some()
    };
    let ours: Vec<_> = resources.list.extract_if(.., is_ours).collect();
    let mut custom_resources = Vec::new();
    for resource in ours {
        match custom_resource(&resource, functions) {
            Ok(custom_resource) => custom_resources.push(custom_resource),
            Err(why) => resources.skip(&resource, &format!("{why:#}")),
        }
    }
    custom_resources
}

/// Returns the function behind a `ServiceToken`.
fn function<'a>(
    resource: &Resource,
    functions: &'a BTreeMap<String, Function>,
) -> Option<&'a Function> {
    function::find(resource.text("ServiceToken")?, functions)
}

fn custom_resource(
    resource: &Resource,
    functions: &BTreeMap<String, Function>,
) -> Result<CustomResource> {
    let seconds = number(&resource.properties["ServiceTimeout"]).context("ServiceTimeout")?;
    let seconds = seconds.unwrap_or(3_600);
    ensure!(
        (1..=3_600).contains(&seconds),
        "ServiceTimeout is from 1 to 3600 seconds"
    );
    Ok(CustomResource {
        id: resource.id.clone(),
        kind: resource.kind.clone(),
        function: function(resource, functions)
            .map(|function| function.logical_id.clone())
            .unwrap_or_default(),
        timeout: Duration::from_secs(seconds),
        properties: resource.properties.clone(),
    })
}

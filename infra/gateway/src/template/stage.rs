//! A stage of an API, with its variables and limits.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use super::resource::Resource;
use super::values::{is_unknown, known_entries, or_null, text};
use crate::model::{Stage, Throttle};

/// Reads a stage, which is named `default_name` if its name is not known here. Of its settings, those that are not
/// known here are left out.
///
/// # Errors
///
/// It has no name, or a setting is malformed.
pub fn read(stage: &Resource, default_name: &str) -> Result<Stage> {
    let settings = &stage.properties;
    let mut throttles = BTreeMap::new();
    for (key, settings) in known_entries(&settings["RouteSettings"]) {
        if let Some(throttle) = throttle(settings)? {
            throttles.insert(key.clone(), throttle);
        }
    }
    let variables = known_entries(&settings["StageVariables"])
        .map(|(name, value)| {
            let value = text(value).with_context(|| format!("StageVariables: {name}"))?;
            Ok((name.clone(), value))
        })
        .collect::<Result<_>>()?;
    let name = match &settings["StageName"] {
        name if is_unknown(name) => default_name,
        name => name.as_str().context("StageName is missing")?,
    };
    Ok(Stage {
        name: name.to_owned(),
        variables,
        throttles,
        default_throttle: throttle(&settings["DefaultRouteSettings"])?,
    })
}

fn throttle(settings: &Value) -> Result<Option<Throttle>> {
    let limit = |name: &str| match or_null(&settings[name]) {
        Value::Null => Ok(None),
        Value::Number(number) => Ok(number.as_f64()),
        other => text(other)?.parse().map(Some).context(name.to_owned()),
    };
    let (rate, burst) = (
        limit("ThrottlingRateLimit")?,
        limit("ThrottlingBurstLimit")?,
    );
    Ok(match (rate, burst) {
        (None, None) => None,
        (rate, burst) => Some(Throttle {
            // The account's own limits:
            // https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
            rate: rate.unwrap_or(10_000.0),
            burst: burst.unwrap_or(5_000.0),
        }),
    })
}

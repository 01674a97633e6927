//! The functions of a template.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::resource::{Resource, Resources};
use super::values::{number, text};
use crate::model::Function;

/// Takes the functions, by their logical ids; notes those that cannot run here. Their folders are
/// relative to `folder`; `globals` are the settings for all.
pub fn read(
    resources: &mut Resources,
    globals: &Value,
    folder: &Path,
) -> BTreeMap<String, Function> {
    let mut functions = BTreeMap::new();
    for resource in resources.take("AWS::Serverless::Function") {
        match read_one(&resource, globals, folder) {
            Ok(function) => drop(functions.insert(resource.id.clone(), function)),
            Err(why) => resources.skip(&resource, &format!("{why:#}")),
        }
    }
    functions
}

fn read_one(resource: &Resource, globals: &Value, folder: &Path) -> Result<Function> {
    let setting = |name: &str| match &resource.properties[name] {
        Value::Null => &globals[name],
        own => own,
    };
    if let Some(runtime) = setting("Runtime").as_str()
        && !runtime.starts_with("provided")
    {
        bail!("its runtime {runtime}: only programs (provided.*) run here");
    }
    let code = setting("CodeUri")
        .as_str()
        .context("CodeUri, the folder of the function's package, is missing")?;
    let folder = folder.join(code);
    let folder = folder.canonicalize().unwrap_or(folder);
    let binary = match resource.metadata["BuildProperties"]["Binary"].as_str() {
        Some(binary) => binary.to_owned(),
        None => file_name(&folder)?,
    };
    let function_name = setting("FunctionName").as_str().unwrap_or(&resource.id);
    Ok(Function {
        logical_id: resource.id.clone(),
        function_name: function_name.to_owned(),
        folder,
        binary,
        environment: environment([globals, &resource.properties])?,
        timeout: timeout(setting("Timeout"))?,
        memory_mb: memory_mb(setting("MemorySize"))?,
    })
}

/// Returns the environment variables of the settings for all functions and of a function's own.
fn environment(settings: [&Value; 2]) -> Result<BTreeMap<String, String>> {
    let mut environment = BTreeMap::new();
    for settings in settings {
        let variables = settings["Environment"]["Variables"].as_object();
        for (name, value) in variables.into_iter().flatten() {
            match value {
                // `AWS::NoValue`, which takes a global one away.
                Value::Null => environment.remove(name),
                value => environment.insert(name.clone(), text(value)?),
            };
        }
    }
    Ok(environment)
}

/// Returns a timeout, with Lambda's default:
/// <https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html>.
fn timeout(value: &Value) -> Result<Duration> {
    let seconds = number(value).context("Timeout")?.unwrap_or(3);
    ensure!(
        (1..=900).contains(&seconds),
        "Timeout is from 1 to 900 seconds"
    );
    Ok(Duration::from_secs(seconds))
}

/// Returns megabytes of memory, with Lambda's default.
fn memory_mb(value: &Value) -> Result<u64> {
    Ok(number(value).context("MemorySize")?.unwrap_or(128))
}

fn file_name(folder: &Path) -> Result<String> {
    let name = folder.file_name().context("CodeUri names no folder")?;
    Ok(name.to_string_lossy().into_owned())
}

//! The functions of a template.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::plain;
use super::resource::{Resource, Resources};
use super::values::{known_entries, number, or_null, text};
use crate::model::{Code, Function, Runtime, function_name};

/// Takes the functions, by their logical ids; notes those that cannot run here. Their folders are
/// relative to `folder`.
pub fn read(resources: &mut Resources, folder: &Path) -> BTreeMap<String, Function> {
    let mut functions = BTreeMap::new();
    let plain = resources.take("AWS::Lambda::Function").into_iter();
    let all = plain.map(|resource| plain::as_sam(&resource));
    for resource in resources
        .take("AWS::Serverless::Function")
        .into_iter()
        .chain(all)
    {
        match read_one(&resource, folder) {
            Ok(function) => {
                if !resource.properties["Layers"].is_null() {
                    let why =
                        "its Layers: their files have to be in CodeUri, or made by `sam build`";
                    resources.skip(&resource, why);
                }
                functions.insert(resource.id.clone(), function);
            }
            Err(why) => resources.skip(&resource, &format!("{why:#}")),
        }
    }
    functions
}

/// Returns the function that an ARN, an ARN of an integration, or a name leads to.
pub fn find<'a>(name: &str, functions: &'a BTreeMap<String, Function>) -> Option<&'a Function> {
    let name = function_name(name).unwrap_or(name);
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    let by_name = |function: &&Function| function.function_name == name;
    functions
        .values()
        .find(by_name)
        .or_else(|| functions.get(name))
}

fn read_one(resource: &Resource, folder: &Path) -> Result<Function> {
    let setting = |name: &str| &resource.properties[name];
    ensure!(
        setting("PackageType") != "Image",
        "its code is an image: only Lambda and `sam local` run images"
    );
    let code = code(setting("InlineCode"), setting("CodeUri"), folder)?;
    let binary = resource.metadata["BuildProperties"]["Binary"].as_str();
    let runtime = runtime(setting("Runtime"), &code, binary)?;
    let handler = match (&runtime, setting("Handler").as_str()) {
        (_, Some(handler)) => handler,
        (Runtime::Provided { .. }, None) => "bootstrap",
        (Runtime::Node(_) | Runtime::Python(_), None) => bail!("Handler is missing"),
    };
    let name = setting("FunctionName").as_str().unwrap_or(&resource.id);
    Ok(Function {
        logical_id: resource.id.clone(),
        function_name: name.to_owned(),
        code,
        runtime,
        handler: handler.to_owned(),
        environment: environment(&resource.properties)?,
        timeout: timeout(or_null(setting("Timeout")))?,
        memory_mb: memory_mb(or_null(setting("MemorySize")))?,
    })
}

/// Returns the code of a function. Without any, `sam build` takes the folder of the template.
fn code(inline: &Value, uri: &Value, folder: &Path) -> Result<Code> {
    if let Value::String(text) = inline {
        return Ok(Code::Inline(text.clone()));
    }
    let folder = std::path::absolute(folder.join("."))?;
    let folder = match uri {
        Value::Null => folder,
        Value::String(uri) if !uri.starts_with("s3://") => folder.join(uri),
        uri => asset(uri, &folder)
            .context("its code is in S3: only folders of this machine are read")?,
    };
    Ok(Code::Folder(folder.canonicalize().unwrap_or(folder)))
}

/// Returns the folder of an asset of the CDK, which lies beside the template: that of the key `1f2e….zip` is
/// `asset.1f2e…`.
fn asset(code: &Value, folder: &Path) -> Option<PathBuf> {
    let hash = code["S3Key"].as_str()?.strip_suffix(".zip")?;
    let folder = folder.join(format!("asset.{hash}"));
    folder.is_dir().then_some(folder)
}

/// Returns the runtime that a template names; a program, if it names none.
fn runtime(name: &Value, code: &Code, binary: Option<&str>) -> Result<Runtime> {
    let name = name.as_str().unwrap_or("provided");
    if let Some(version) = name.strip_prefix("nodejs") {
        let version = version.strip_suffix(".x");
        let version = version.with_context(|| format!("its runtime {name} is unknown"))?;
        return Ok(Runtime::Node(version.to_owned()));
    }
    if let Some(version) = name.strip_prefix("python") {
        return Ok(Runtime::Python(version.to_owned()));
    }
    ensure!(
        name.starts_with("provided"),
        "its runtime {name}: only nodejs*, python* and programs (provided.*) run here"
    );
    let Code::Folder(folder) = code else {
        bail!("it has InlineCode, which only Node and Python run");
    };
    let binary = match binary {
        Some(binary) => binary.to_owned(),
        None => file_name(folder)?,
    };
    Ok(Runtime::Provided { binary })
}

/// Returns the environment variables, except those whose values are not known here.
fn environment(properties: &Value) -> Result<BTreeMap<String, String>> {
    known_entries(&properties["Environment"]["Variables"])
        .map(|(name, value)| {
            let value = text(value).with_context(|| format!("its variable {name}"))?;
            Ok((name.clone(), value))
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_asset_of_the_cdk_is_the_folder_of_its_key_beside_the_template() {
        let folder = std::env::temp_dir().join(format!("local-gateway-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("asset.1f2e")).expect("a folder");
        let bucket = "cdk-hnb659fds-assets-123456789012-us-east-1";
        let of_key = |key: &str| {
            let code = code(
                &Value::Null,
                &json!({"S3Bucket": bucket, "S3Key": key}),
                &folder,
            );
            code.ok()
        };
        let asset = folder
            .join("asset.1f2e")
            .canonicalize()
            .expect("it is there");
        assert_eq!(of_key("1f2e.zip"), Some(Code::Folder(asset)));
        assert_eq!(of_key("3d4c.zip"), None);
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}

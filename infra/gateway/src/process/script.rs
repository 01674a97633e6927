//! Functions in Node and Python: the program that runs each, with the packages that Lambda has built
//! in.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::code::{self, Found};
use super::interpreter::{self, Interpreter};
use super::program::{Program, Programs};
use super::{cache, sources};
use crate::model::{Function, Runtime};

/// Lambda's runtime for Python, and the SDK that it has built in.
const PYTHON_PACKAGES: [&str; 2] = ["awslambdaric==4.2.2", "boto3==1.44.5"];

/// The newest version of the packages of the AWS SDK for JavaScript. Not each has one of each day.
const NODE_SDK: &str = "<=3.1169.0";

/// The SDK that Lambda has built in up to Node 16.
const OLD_NODE_SDK: &str = "aws-sdk@2.1692.0";

/// The runtime for Node. That of AWS has a client in C++, which npm would have to compile.
const NODE_RUNTIME: &str = include_str!("bootstrap.mjs");

/// Returns the programs of those `functions` that are in Node or Python, of a template in the folder
/// `base`. Installs what is missing. A function that cannot run is reported in the log. With
/// `is_watched`, they run from their sources.
pub async fn programs<'a>(
    functions: impl Iterator<Item = &'a Function>,
    base: &Path,
    is_watched: bool,
) -> Programs {
    let mut host = Host::default();
    let mut programs = Programs::new();
    for function in functions.filter(|function| function.binary().is_none()) {
        let found = code::find(function, base, is_watched);
        let program = async { host.program(function, found?).await };
        match program.await {
            Ok(program) => drop(programs.insert(function.logical_id.clone(), program)),
            Err(why) => tracing::error!("{} does not run: {why:#}", function.logical_id),
        }
    }
    host.install_node_sdk(&mut programs).await;
    programs
}

/// Installs Lambda's runtime for Python, and these packages of the SDK for functions in Node, before a
/// gateway needs them.
///
/// # Errors
///
/// There is no Python or no Node, or no package index; the sentence says what to do.
pub async fn install(node_sdk: &[&str]) -> Result<()> {
    let python = interpreter::python("3").await?;
    let packages = node_sdk.iter().map(|name| (*name).to_owned()).collect();
    install_python_packages(&python).await?;
    install_node_packages(&packages).await?;
    Ok(())
}

/// What is known of this machine.
#[derive(Default)]
struct Host {
    interpreters: BTreeMap<String, Interpreter>,
    /// The packages of the SDK that the sources of a folder name.
    sdk_of_folders: BTreeMap<PathBuf, BTreeSet<String>>,
    /// The packages of the SDK that functions in Node use.
    node_sdk: BTreeSet<String>,
    /// The functions that use them, by logical id.
    node_sdk_users: Vec<String>,
}

impl Host {
    async fn program(&mut self, function: &Function, found: Found) -> Result<Program> {
        match &function.runtime {
            Runtime::Python(version) => {
                let python = self.interpreter("python", version).await?;
                python_program(function, found, python).await
            }
            Runtime::Node(version) => {
                let node = self.interpreter("nodejs", version).await?;
                self.note_sdk(function, version, &found.folder);
                node_program(function, found, node)
            }
            Runtime::Provided { .. } => anyhow::bail!("it is a program"),
        }
    }

    /// Returns an interpreter; asks for each once, and warns once if it is of another version.
    async fn interpreter(&mut self, kind: &str, wanted: &str) -> Result<Interpreter> {
        let name = format!("{kind}{wanted}");
        if let Some(known) = self.interpreters.get(&name) {
            return Ok(known.clone());
        }
        let found = match kind {
            "python" => interpreter::python(wanted).await?,
            _ => interpreter::node(wanted).await?,
        };
        if found.version != wanted {
            tracing::warn!(
                "functions for {name} run on version {}, {}: install {wanted} to be like Lambda",
                found.version,
                found.file.display()
            );
        }
        self.interpreters.insert(name, found.clone());
        Ok(found)
    }

    /// Notes the packages that Lambda has built in for a function.
    fn note_sdk(&mut self, function: &Function, version: &str, folder: &Path) {
        let is_old = version.parse().is_ok_and(|major: u32| major <= 16);
        // Functions often share a folder.
        let known = self.sdk_of_folders.entry(folder.to_owned());
        let known = known.or_insert_with(|| sources::missing_sdk_packages(folder));
        let mut packages = known.clone();
        packages.retain(|name| (name == "aws-sdk") == is_old);
        if !packages.is_empty() {
            self.node_sdk.append(&mut packages);
            self.node_sdk_users.push(function.logical_id.clone());
        }
    }

    /// Installs the packages of the SDK, and tells the programs that use them.
    async fn install_node_sdk(&self, programs: &mut Programs) {
        if self.node_sdk.is_empty() {
            return;
        }
        match install_node_packages(&self.node_sdk).await {
            Ok(folder) => {
                for id in &self.node_sdk_users {
                    if let Some(program) = programs.get_mut(id) {
                        append(&mut program.environment, "NODE_PATH", &folder);
                    }
                }
            }
            Err(why) => tracing::error!(
                "the SDK that Lambda has built in is missing: {why:#}; install {} in the folders of {}",
                Vec::from_iter(&self.node_sdk)
                    .iter()
                    .map(|name| name.as_str())
                    .collect::<Vec<_>>()
                    .join(" "),
                self.node_sdk_users.join(", ")
            ),
        }
    }
}

async fn python_program(function: &Function, found: Found, python: Interpreter) -> Result<Program> {
    let packages = install_python_packages(&python).await?;
    let mut environment = Vec::new();
    for folder in found.dependencies.iter().chain([&packages]) {
        append(&mut environment, "PYTHONPATH", folder);
    }
    Ok(Program {
        file: python.file,
        // Without byte code in the developer's folders.
        arguments: ["-B", "-m", "awslambdaric", &function.handler]
            .map(OsString::from)
            .to_vec(),
        folder: Some(found.folder),
        environment,
    })
}

fn node_program(function: &Function, found: Found, node: Interpreter) -> Result<Program> {
    let runtime = cache::folder()?.join("node").join("bootstrap.mjs");
    cache::write(&runtime, NODE_RUNTIME.as_bytes())?;
    let mut environment = Vec::new();
    if let Some(folder) = &found.dependencies {
        append(&mut environment, "NODE_PATH", &folder.join("node_modules"));
    }
    Ok(Program {
        file: node.file,
        arguments: vec![runtime.into(), function.handler.clone().into()],
        folder: Some(found.folder),
        environment,
    })
}

/// Appends a folder to a variable that is a list of folders.
fn append(environment: &mut Vec<(&'static str, OsString)>, name: &'static str, folder: &Path) {
    match environment.iter_mut().find(|(known, _)| *known == name) {
        Some((_, folders)) => {
            folders.push(":");
            folders.push(folder);
        }
        None => environment.push((name, folder.into())),
    }
}

/// Installs [`PYTHON_PACKAGES`] for an interpreter; returns their folder.
async fn install_python_packages(python: &Interpreter) -> Result<PathBuf> {
    let packages = PYTHON_PACKAGES.join("-").replace("==", "-");
    let name = format!("python{}-{packages}", python.version);
    let installed = cache::install_once(&name, async |folder| {
        tracing::info!("installing {} once", PYTHON_PACKAGES.join(" and "));
        let mut pip = Command::new(&python.file);
        pip.args(["-m", "pip", "install", "--quiet", "--no-input"])
            .args(["--disable-pip-version-check", "--target"])
            .arg(folder)
            .args(PYTHON_PACKAGES);
        cache::run(&mut pip).await
    });
    installed.await.context(
        "it needs Lambda's runtime for Python, which pip installs once (apt install python3-pip, and \
         a network)",
    )
}

/// Installs packages of the AWS SDK for JavaScript; returns their `node_modules`.
async fn install_node_packages(packages: &BTreeSet<String>) -> Result<PathBuf> {
    let packages: Vec<String> = packages
        .iter()
        .map(|name| match name.as_str() {
            "aws-sdk" => OLD_NODE_SDK.to_owned(),
            name => format!("{name}@{NODE_SDK}"),
        })
        .collect();
    let name = hex::encode(&Sha256::digest(packages.join(" "))[..8]);
    let name = format!("node-sdk-{name}");
    let folder = cache::install_once(&name, async |folder| {
        tracing::info!("installing {} once", packages.join(", "));
        std::fs::write(folder.join("package.json"), r#"{"private": true}"#)?;
        let mut npm = Command::new("npm");
        npm.current_dir(folder)
            .args([
                "install",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--loglevel=error",
            ])
            .args(&packages);
        cache::run(&mut npm).await
    });
    Ok(folder.await?.join("node_modules"))
}

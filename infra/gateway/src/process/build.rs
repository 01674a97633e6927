//! Builds the functions, or finds them built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::cargo::cargo;
use crate::model::Function;

/// The binary of each function, by its logical id.
pub type Binaries = BTreeMap<String, PathBuf>;

/// Builds the binaries of `functions`, with one call of cargo for each workspace.
///
/// # Errors
///
/// A build fails, or makes no binary of a function's name.
pub async fn build<'a>(
    functions: impl Iterator<Item = &'a Function>,
    release: bool,
) -> Result<Binaries> {
    let functions: Vec<&Function> = functions.collect();
    let roots = functions
        .iter()
        .map(|function| workspace_of(&function.folder));
    let roots = futures_util::future::try_join_all(roots).await?;
    let mut workspaces: BTreeMap<PathBuf, Vec<&Function>> = BTreeMap::new();
    for (workspace, function) in roots.into_iter().zip(functions) {
        workspaces.entry(workspace).or_default().push(function);
    }
    let mut binaries = Binaries::new();
    for (workspace, functions) in workspaces {
        let built = build_workspace(&workspace, &functions, release).await?;
        for function in functions {
            let path = built.get(&function.binary).with_context(|| {
                format!("{} has no binary {}", workspace.display(), function.binary)
            })?;
            binaries.insert(function.logical_id.clone(), path.clone());
        }
    }
    Ok(binaries)
}

/// Builds some binaries of a workspace; returns their paths by their names.
async fn build_workspace(
    workspace: &Path,
    functions: &[&Function],
    release: bool,
) -> Result<BTreeMap<String, PathBuf>> {
    let names = functions.iter().map(|function| function.binary.as_str());
    let mut command = cargo();
    command
        .current_dir(workspace)
        .args(["build", "--message-format", "json-render-diagnostics"])
        .args(names.flat_map(|name| ["--bin", name]))
        .args(release.then_some("--release"));
    let output = super::cargo::build(command, "functions").await?;
    let messages = output.split(|byte| *byte == b'\n');
    let built = messages
        .filter_map(|line| serde_json::from_slice(line).ok())
        .filter_map(|message: Value| {
            let executable = message["executable"].as_str()?;
            let name = message["target"]["name"].as_str()?;
            Some((name.to_owned(), executable.into()))
        });
    Ok(built.collect())
}

/// Returns the folder of the workspace that a folder belongs to.
///
/// # Errors
///
/// There is no such folder, or no Cargo.toml in it or above it.
pub async fn workspace_of(folder: &Path) -> Result<PathBuf> {
    let output = tokio::process::Command::from(cargo())
        .current_dir(folder)
        .args(["locate-project", "--workspace", "--message-format", "plain"])
        .output()
        .await
        .with_context(|| format!("cannot run cargo in {}", folder.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{} is no package of Rust: {}",
            folder.display(),
            said.trim()
        );
    }
    let manifest = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    let workspace = manifest.parent().context("a manifest is in a folder")?;
    Ok(workspace.to_owned())
}

/// Takes the binaries of `functions` from a folder.
///
/// # Errors
///
/// One is missing.
pub fn find<'a>(folder: &Path, functions: impl Iterator<Item = &'a Function>) -> Result<Binaries> {
    functions
        .map(|function| {
            let path = folder.join(&function.binary);
            if !path.is_file() {
                bail!("there is no {}", path.display());
            }
            Ok((function.logical_id.clone(), path.canonicalize()?))
        })
        .collect()
}

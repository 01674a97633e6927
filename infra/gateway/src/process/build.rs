//! Builds the functions, or finds them built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::model::Function;

/// The binary of each function, by its logical id.
pub type Binaries = BTreeMap<String, PathBuf>;

/// Builds the binaries of `functions`, with one call of cargo for each workspace, whose progress
/// goes to the terminal.
///
/// # Errors
///
/// A build fails, or makes no binary of a function's name.
pub async fn build<'a>(
    functions: impl Iterator<Item = &'a Function>,
    release: bool,
) -> Result<Binaries> {
    let mut workspaces: BTreeMap<PathBuf, Vec<&Function>> = BTreeMap::new();
    for function in functions {
        let workspace = workspace_of(&function.folder)?;
        workspaces.entry(workspace).or_default().push(function);
    }
    let mut binaries = Binaries::new();
    for (workspace, functions) in workspaces {
        let built = build_workspace(&workspace, &functions, release).await?;
        for function in functions {
            let path = built.get(&function.binary).with_context(|| {
                format!("{} has no binary {}", workspace.display(), function.binary)
            })?;
            binaries.insert(function.name.clone(), path.clone());
        }
    }
    Ok(binaries)
}

/// Builds some binaries of a workspace; gives their paths by their names.
async fn build_workspace(
    workspace: &Path,
    functions: &[&Function],
    release: bool,
) -> Result<BTreeMap<String, PathBuf>> {
    let names = functions.iter().map(|function| function.binary.as_str());
    let output = tokio::process::Command::from(cargo())
        .current_dir(workspace)
        .args(["build", "--message-format", "json-render-diagnostics"])
        .args(names.flat_map(|name| ["--bin", name]))
        .args(release.then_some("--release"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("the functions do not build; cargo says why above");
    }
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let built = messages
        .filter_map(|line| serde_json::from_slice(line).ok())
        .filter_map(|message: Value| {
            let executable = message["executable"].as_str()?;
            let name = message["target"]["name"].as_str()?;
            Some((name.to_owned(), executable.into()))
        });
    Ok(built.collect())
}

/// Cargo, without what `cargo run` and `cargo test` tell their program about its own package: some
/// build scripts watch those variables, and their crates would be compiled anew.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names {
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// The folder of the workspace that a folder belongs to.
///
/// # Errors
///
/// There is no such folder, or no Cargo.toml in it or above it.
pub fn workspace_of(folder: &Path) -> Result<PathBuf> {
    let output = cargo()
        .current_dir(folder)
        .args(["locate-project", "--workspace", "--message-format", "plain"])
        .output()
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
            Ok((function.name.clone(), path.canonicalize()?))
        })
        .collect()
}

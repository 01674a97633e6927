//! Builds the functions, or finds them built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::cargo::cargo;
use crate::model::Function;

/// The binary of each function, by its logical id.
pub type Binaries = BTreeMap<String, PathBuf>;

/// A binary that a package has.
struct Binary<'a> {
    /// The function that it runs, by logical id.
    id: &'a str,
    folder: &'a Path,
    name: &'a str,
}

impl<'a> Binary<'a> {
    /// Returns the binary of a function that is a program.
    fn of(function: &'a Function) -> Option<Self> {
        Some(Self {
            id: &function.logical_id,
            folder: function.folder()?,
            name: function.binary()?,
        })
    }
}

/// Builds the binaries of those `functions` that are programs, with one call of cargo for each
/// workspace.
///
/// # Errors
///
/// A build fails, or makes no binary of a function's name.
pub async fn build<'a>(
    functions: impl Iterator<Item = &'a Function>,
    release: bool,
) -> Result<Binaries> {
    let wanted: Vec<Binary> = functions.filter_map(Binary::of).collect();
    let roots = wanted.iter().map(|binary| workspace_of(binary.folder));
    let roots = futures_util::future::try_join_all(roots).await?;
    let mut workspaces: BTreeMap<PathBuf, Vec<Binary>> = BTreeMap::new();
    for (workspace, binary) in roots.into_iter().zip(wanted) {
        workspaces.entry(workspace).or_default().push(binary);
    }
    let mut binaries = Binaries::new();
    for (workspace, wanted) in workspaces {
        let built = build_workspace(&workspace, &wanted, release).await?;
        for binary in wanted {
            let path = built.get(binary.name).with_context(|| {
                format!("{} has no binary {}", workspace.display(), binary.name)
            })?;
            binaries.insert(binary.id.to_owned(), path.clone());
        }
    }
    Ok(binaries)
}

/// Builds some binaries of a workspace; returns their paths by their names.
async fn build_workspace(
    workspace: &Path,
    wanted: &[Binary<'_>],
    release: bool,
) -> Result<BTreeMap<String, PathBuf>> {
    let names = wanted.iter().map(|binary| binary.name);
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

/// Takes the binaries of those `functions` that are programs from a folder.
///
/// # Errors
///
/// One is missing.
pub fn find<'a>(folder: &Path, functions: impl Iterator<Item = &'a Function>) -> Result<Binaries> {
    functions
        .filter_map(Binary::of)
        .map(|binary| {
            let path = folder.join(binary.name);
            if !path.is_file() {
                bail!("there is no {}", path.display());
            }
            Ok((binary.id.to_owned(), path.canonicalize()?))
        })
        .collect()
}

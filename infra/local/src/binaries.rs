//! Builds the functions, or finds them built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::template::Function;

/// Binaries by their names.
pub type Binaries = BTreeMap<String, PathBuf>;

/// Builds the binaries of `functions` with one call of cargo, whose progress goes to the terminal.
///
/// # Errors
///
/// The build fails, or makes no binary of a function's name.
pub fn build<'a>(functions: impl Iterator<Item = &'a Function>, release: bool) -> Result<Binaries> {
    let functions: Vec<_> = functions.collect();
    let Some(first) = functions.first() else {
        return Ok(Binaries::new());
    };
    let mut command = cargo();
    command
        .current_dir(workspace_of(&first.folder)?)
        .args(["build", "--message-format", "json-render-diagnostics"])
        .args(
            functions
                .iter()
                .flat_map(|function| ["--bin", &function.binary]),
        )
        .args(release.then_some("--release"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("the functions do not build; cargo says why above");
    }
    let built: Binaries = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .filter_map(|message: Value| {
            let executable = message["executable"].as_str()?;
            let name = message["target"]["name"].as_str()?;
            Some((name.to_owned(), executable.into()))
        })
        .collect();
    for function in functions {
        if !built.contains_key(&function.binary) {
            bail!(
                "{} has no binary {}",
                function.folder.display(),
                function.binary
            );
        }
    }
    Ok(built)
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

/// The folder of the workspace that a package belongs to, so that one build serves all functions.
///
/// # Errors
///
/// There is no Cargo.toml in the package or above it.
pub fn workspace_of(package: &Path) -> Result<PathBuf> {
    let package = package
        .canonicalize()
        .with_context(|| format!("there is no folder {}", package.display()))?;
    let mut with_manifest = package
        .ancestors()
        .filter(|folder| folder.join("Cargo.toml").is_file());
    let root = with_manifest.by_ref().last();
    let root = root.with_context(|| format!("no Cargo.toml in {}", package.display()))?;
    Ok(root.to_owned())
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
            Ok((function.binary.clone(), path))
        })
        .collect()
}

//! Builds the functions that are programs, or finds them built.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::cargo::cargo;
use super::program::{Program, Programs};
use crate::model::Function;

/// A binary that a package has.
#[derive(Debug, Clone)]
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

    fn program(&self, file: PathBuf) -> (String, Program) {
        let folder = Some(self.folder.to_owned());
        (self.id.to_owned(), Program::binary(file, folder))
    }

    /// Returns the program `bootstrap` of a folder that has no package: it was built before, in
    /// whatever language.
    fn prebuilt(&self) -> Option<PathBuf> {
        let file = self.folder.join("bootstrap");
        let data = file.metadata().ok().filter(|data| data.is_file())?;
        let is_program = data.permissions().mode() & 0o111 != 0;
        (is_program && !self.folder.join("Cargo.toml").is_file()).then_some(file)
    }

    /// Returns the folder where cargo finds the package. The output folder of `cargo lambda build`, which
    /// may not be there yet, belongs to the workspace around it.
    fn package(&self) -> &'a Path {
        let is_target = |folder: &&Path| folder.ends_with("target/lambda");
        match self.folder.ancestors().find(is_target) {
            Some(target) => target.ancestors().nth(2).unwrap_or(target),
            None => self.folder,
        }
    }
}

/// Builds the binaries of those `functions` that are programs, with one call of cargo for each
/// workspace. A function without a package, whose code was not built before either, is reported in the
/// log.
///
/// # Errors
///
/// A build fails, or makes no binary of a function's name.
pub async fn build<'a>(
    functions: impl Iterator<Item = &'a Function>,
    release: bool,
) -> Result<Programs> {
    let (mut programs, mut wanted) = (Programs::new(), Vec::new());
    for binary in functions.filter_map(Binary::of) {
        match binary.prebuilt() {
            Some(file) => programs.extend([binary.program(file)]),
            None => wanted.push(binary),
        }
    }
    let roots = wanted.iter().map(|binary| workspace_of(binary.package()));
    let roots = futures_util::future::join_all(roots).await;
    let mut workspaces: BTreeMap<PathBuf, Vec<Binary>> = BTreeMap::new();
    for (workspace, binary) in roots.into_iter().zip(wanted) {
        match workspace {
            Ok(workspace) => workspaces.entry(workspace).or_default().push(binary),
            Err(why) => tracing::error!("{} does not run: {why:#}", binary.id),
        }
    }
    for (workspace, wanted) in workspaces {
        let (alike, alone) = split_by_name(wanted);
        programs.extend(build_together(&workspace, &alone, release).await?);
        for binary in alike {
            programs.extend([build_alone(&workspace, &binary, release).await?]);
        }
    }
    Ok(programs)
}

/// Splits binaries into those of different packages that have the same name, and the others.
fn split_by_name(binaries: Vec<Binary<'_>>) -> (Vec<Binary<'_>>, Vec<Binary<'_>>) {
    let mut folders: BTreeMap<&str, BTreeSet<&Path>> = BTreeMap::new();
    for binary in &binaries {
        folders
            .entry(binary.name)
            .or_default()
            .insert(binary.package());
    }
    let is_shared = |binary: &Binary| folders[binary.name].len() > 1;
    binaries.iter().cloned().partition(is_shared)
}

/// Builds some binaries of a workspace.
async fn build_together(
    workspace: &Path,
    wanted: &[Binary<'_>],
    release: bool,
) -> Result<Programs> {
    if wanted.is_empty() {
        return Ok(Programs::new());
    }
    let names: Vec<&str> = wanted.iter().map(|binary| binary.name).collect();
    let built = cargo_build(workspace, &names, release).await?;
    let programs = wanted.iter().map(|binary| {
        let file = built.get(binary.name);
        let file =
            file.with_context(|| format!("{} has no binary {}", workspace.display(), binary.name))?;
        Ok(binary.program(file.clone()))
    });
    programs.collect()
}

/// Builds a binary whose name another package has too: cargo would overwrite the one with the other, so
/// it is kept under the function's name.
async fn build_alone(
    workspace: &Path,
    binary: &Binary<'_>,
    release: bool,
) -> Result<(String, Program)> {
    let built = cargo_build(binary.package(), &[binary.name], release).await?;
    let file = built.get(binary.name).with_context(|| {
        format!(
            "{} has no binary {}",
            binary.package().display(),
            binary.name
        )
    })?;
    let folder = file.parent().unwrap_or(workspace).join("local-gateway");
    std::fs::create_dir_all(&folder)?;
    let kept = folder.join(binary.id);
    // Not over a program that runs.
    let new = kept.with_added_extension(format!("{:016x}", fastrand::u64(..)));
    std::fs::copy(file, &new).with_context(|| format!("cannot write {}", new.display()))?;
    std::fs::rename(&new, &kept)?;
    Ok(binary.program(kept))
}

/// Builds binaries of the packages in a folder; returns their paths by their names.
async fn cargo_build(
    folder: &Path,
    names: &[&str],
    release: bool,
) -> Result<BTreeMap<String, PathBuf>> {
    let mut command = cargo();
    command
        .current_dir(folder)
        .args(["build", "--message-format", "json-render-diagnostics"])
        .args(names.iter().flat_map(|name| ["--bin", name]))
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
pub fn find<'a>(folder: &Path, functions: impl Iterator<Item = &'a Function>) -> Result<Programs> {
    functions
        .filter_map(Binary::of)
        .map(|binary| {
            let path = folder.join(binary.name);
            if !path.is_file() {
                bail!("there is no {}", path.display());
            }
            Ok(binary.program(path.canonicalize()?))
        })
        .collect()
}

//! The folder from which a function in Node or Python runs.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use sha2::{Digest, Sha256};

use super::{cache, sources};
use crate::model::{Code, Function, Runtime};

/// The code of a function, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The folder that is run.
    pub folder: PathBuf,
    /// A folder with its dependencies, if they are in another one.
    pub dependencies: Option<PathBuf>,
}

impl Found {
    fn alone(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            dependencies: None,
        }
    }
}

/// Returns the code of a function of a template in `base`. If `sam build` has built it, that is its
/// build, unless the sources are newer or are to be watched: then the build has its dependencies only.
///
/// # Errors
///
/// There is no such folder, or its modules have to be compiled first.
pub fn find(function: &Function, base: &Path, is_watched: bool) -> Result<Found> {
    let folder = match &function.code {
        Code::Folder(folder) => folder,
        Code::Inline(text) => return write_inline(text, &function.runtime),
    };
    let id = &function.logical_id;
    let is_compiled = is_compiled(function, folder);
    let built = base.join(".aws-sam/build").join(id);
    if !built.is_dir() {
        ensure!(folder.is_dir(), "there is no folder {}", folder.display());
        ensure!(
            !is_compiled,
            "its source is TypeScript: run `sam build` first, and again after changes"
        );
        return Ok(Found::alone(folder));
    }
    if is_compiled || !is_watched && is_newer(base, folder) {
        tracing::info!("{id} runs from {}", built.display());
        return Ok(Found::alone(&built));
    }
    tracing::info!(
        "{id} runs from {}, with the packages in {}: its sources are newer, or watched",
        folder.display(),
        built.display()
    );
    Ok(Found {
        folder: folder.clone(),
        dependencies: Some(built),
    })
}

/// Whether the last `sam build` of a template in `base` came after the last change of a folder.
fn is_newer(base: &Path, folder: &Path) -> bool {
    let built = std::fs::metadata(base.join(".aws-sam/build/template.yaml"));
    let built = built.and_then(|data| data.modified());
    built.ok() > sources::last_change(folder)
}

/// Whether the module of a handler is compiled from TypeScript, and is not in its folder.
fn is_compiled(function: &Function, folder: &Path) -> bool {
    let module = folder.join(module(&function.handler));
    let has = |endings: [&str; 3]| {
        let mut endings = endings.iter();
        endings.any(|ending| module.with_added_extension(ending).is_file())
    };
    matches!(function.runtime, Runtime::Node(_))
        && has(["ts", "mts", "cts"])
        && !has(["js", "mjs", "cjs"])
}

/// Returns the path of a handler's module without its ending: `src/app` of `src/app.handler`.
fn module(handler: &str) -> &str {
    let name = handler.rfind('/').map_or(0, |slash| slash + 1);
    let end = handler[name..]
        .find('.')
        .map_or(handler.len(), |dot| name + dot);
    &handler[..end]
}

/// Writes the code of a template to a file `index` in the cache, in a folder of its own.
fn write_inline(text: &str, runtime: &Runtime) -> Result<Found> {
    let ending = match runtime {
        Runtime::Python(_) => "py",
        Runtime::Node(_) | Runtime::Provided { .. } => "js",
    };
    let name = hex::encode(&Sha256::digest(text)[..12]);
    let folder = cache::folder()?.join("inline").join(name);
    cache::write(
        &folder.join("index").with_added_extension(ending),
        text.as_bytes(),
    )?;
    Ok(Found::alone(&folder))
}

#[cfg(test)]
mod tests {
    use super::module;

    #[test]
    fn the_module_of_a_handler_is_before_the_first_dot_of_its_name() {
        for (handler, expected) in [
            ("index.handler", "index"),
            ("src/app.handler", "src/app"),
            ("src.d/app.a.b", "src.d/app"),
            ("app", "app"),
        ] {
            assert_eq!(module(handler), expected, "{handler}");
        }
    }
}

//! Packages for Node, installed once, and bundles of them.
//!
//! `tests/baseline/package.json` has their versions. npm installs them into the cache of the user's
//! that [`crate::tools`] has too. Node itself is not installed: who has none learns what to do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::tools::{install_once, run};

/// The packages and their versions.
const MANIFEST: &str = include_str!("../baseline/package.json");

/// What makes bundles, in the folder of the packages.
const ESBUILD: &str = "node_modules/.bin/esbuild";

/// The part of the language that is left as it is: of the oldest Node that the packages run on.
const TARGET: &str = "node20";

/// ESM, so that a module can await at its top level; packages in the older form ask for `require`.
const BANNER: &str =
    "import{createRequire}from'node:module';const require=createRequire(import.meta.url);";

const HELP: &str = "functions for Node need Node 20 or newer with npm, and its package index: \
                    install them (apt install nodejs npm, brew install node)";

/// The Node that is on the PATH.
///
/// # Errors
///
/// There is none; the sentence says what to do.
pub fn program() -> Result<PathBuf> {
    // What is on the PATH may be a script that chooses one.
    let asked = Command::new("node")
        .args(["--print", "process.execPath"])
        .output();
    let answer = asked.context("there is no Node").context(HELP)?;
    ensure!(answer.status.success(), "Node does not run: {HELP}");
    let path = String::from_utf8(answer.stdout).context("the path of Node is UTF-8")?;
    Ok(PathBuf::from(path.trim_end()))
}

/// Makes one file, `target`, of the module `source` and all that it imports, as is usual on Lambda.
///
/// # Errors
///
/// There is no Node, or no package index; the sentence says what to do.
pub fn bundle(source: &Path, target: &Path) -> Result<()> {
    let packages = packages()?;
    run(Command::new(packages.join(ESBUILD))
        .arg(source)
        .args(["--bundle", "--minify", "--platform=node", "--format=esm"])
        .args(["--log-level=warning", &format!("--target={TARGET}")])
        .arg(format!("--banner:js={BANNER}"))
        .arg(format!("--outfile={}", target.display()))
        .env("NODE_PATH", packages.join("node_modules")))
}

/// The folder of the packages, which are installed if need be.
fn packages() -> Result<PathBuf> {
    let names = names()?.join("-").replace(['@', '/'], "-");
    let name = format!("npm-{}", names.trim_start_matches('-'));
    install_once(&name, ESBUILD, |root| install(root).context(HELP))
}

fn install(root: &Path) -> Result<()> {
    eprintln!(
        "Installing {} once into {}.",
        names()?.join(", "),
        root.display()
    );
    // Of an installation that was interrupted.
    if root.exists() {
        std::fs::remove_dir_all(root)?;
    }
    std::fs::create_dir_all(root)?;
    std::fs::write(root.join("package.json"), MANIFEST)?;
    run(Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--no-package-lock"])
        // No program of a package runs by being installed; none of these needs that.
        .args(["--ignore-scripts", "--loglevel", "error"])
        .stdout(Stdio::null())
        .current_dir(root))
}

/// `mongodb@7.9.0` and so on.
fn names() -> Result<Vec<String>> {
    let manifest: Value = serde_json::from_str(MANIFEST)?;
    let Some(packages) = manifest["dependencies"].as_object() else {
        bail!("tests/baseline/package.json names no packages");
    };
    let name = |(name, version): (&String, &Value)| Some(format!("{name}@{}", version.as_str()?));
    let names = packages.iter().map(name).collect::<Option<_>>();
    names.context("a version in tests/baseline/package.json is no text")
}

//! The tools that others use on such a gateway: boto3, the AWS CLI, and cargo-lambda.
//!
//! They come from the Python package index, each in the version named here, once into a virtual
//! environment in a cache of the user's: it survives `cargo clean` and is shared by all clones.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use local::database::cache_folder;

const AWSCLI: &str = "awscli==1.46.3";
const BOTO3: &str = "boto3==1.44.5";
const CARGO_LAMBDA: &str = "cargo-lambda==1.9.2";

/// Written last: without it an installation is only half done.
const MARKER: &str = "complete";

const HELP: &str = "the tools for these tests need python3 with venv and pip, and their package \
                    index: install them (apt install python3-venv, brew install python3)";

/// Python, with boto3.
pub fn python() -> PathBuf {
    folder().join("python")
}

/// The AWS CLI, version 1.
pub fn aws() -> PathBuf {
    folder().join("aws")
}

/// `cargo lambda`; without zig, so it runs and invokes but does not cross-compile.
pub fn cargo_lambda() -> PathBuf {
    folder().join("cargo-lambda")
}

/// A PATH on which all of them come first: then `cargo lambda` works as well.
pub fn path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder().to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).expect("it was a PATH before")
}

/// The folder of these programs, which are installed if need be.
///
/// # Panics
///
/// They cannot be installed; the sentence says what to do.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| match find_or_install() {
        Ok(folder) => folder,
        Err(error) => panic!("{error:#}"),
    })
}

fn find_or_install() -> Result<PathBuf> {
    let cache = cache_folder()?;
    let versions = [CARGO_LAMBDA, AWSCLI, BOTO3].map(|package| package.replace("==", "-"));
    let root = cache.join(format!("tools-{}", versions.join("-")));
    if !is_complete(&root) {
        // Test programs may come here at once: one of them installs.
        std::fs::create_dir_all(&cache)
            .with_context(|| format!("cannot make {}", cache.display()))?;
        let turn = File::create(cache.join("tools.lock"))?;
        turn.lock()?;
        if !is_complete(&root) {
            install(&root).context(HELP)?;
        }
    }
    Ok(root.join("bin"))
}

/// Python is a link to that of the machine, which may have gone since.
fn is_complete(root: &Path) -> bool {
    root.join(MARKER).is_file() && root.join("bin/python").is_file()
}

fn install(root: &Path) -> Result<()> {
    eprintln!(
        "Installing {CARGO_LAMBDA}, {AWSCLI} and {BOTO3} once into {}.",
        root.display()
    );
    // Its programs hold its path, so it cannot be made elsewhere and renamed.
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(root))?;
    let pip = |packages: &[&str]| {
        run(Command::new(root.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet"])
            .args(["--disable-pip-version-check", "--no-input"])
            .args(packages))
    };
    // Without zig, which only builds need and which is large.
    pip(&["--no-deps", CARGO_LAMBDA])?;
    // At once, so that they agree on what both stand on.
    pip(&[AWSCLI, BOTO3])?;
    File::create(root.join(MARKER))?;
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {program:?}"))?;
    if !status.success() {
        bail!("{program:?} failed ({status}) and says why above");
    }
    Ok(())
}

//! Builds the embedded database, [SecantusDB](https://github.com/jdrumgoole/SecantusDB) (the crate
//! `secantus-mdb`), once into a cache of the user's. It is GPL software: a separate program that is
//! fetched, never linked.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use local_gateway::process::cargo::{self, cargo};
use tokio::process::Command;

/// The crate.
const CRATE: &str = "secantus-mdb";

/// The version of the crate.
pub const VERSION: &str = "0.5.3-beta.196";

/// The program that the crate installs.
pub const PROGRAM: &str = "secantusd-rs";

/// Returns the path of the embedded server; builds it if it is not installed.
///
/// # Errors
///
/// It does not build; the sentence says what to install.
pub async fn embedded() -> Result<PathBuf> {
    let cache = cache_folder()?;
    let root = cache.join(format!("{CRATE}-{VERSION}"));
    let program = root.join("bin").join(PROGRAM);
    if !program.is_file() {
        std::fs::create_dir_all(&cache)
            .with_context(|| format!("cannot make {}", cache.display()))?;
        // Several starts and test runs may come here at once: one of them builds.
        let lock = File::create(cache.join("install.lock"))?;
        while lock.try_lock().is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if !program.is_file() {
            install(&root).await?;
        }
    }
    Ok(program)
}

async fn install(root: &Path) -> Result<()> {
    eprintln!(
        "No MONGODB_URI and no mongod: building {CRATE} {VERSION} once into {}. That takes some minutes.",
        root.display()
    );
    let mut command = cargo();
    command
        .args(["install", CRATE, "--version", VERSION, "--locked"])
        // It declares a newer compiler than it needs.
        .args(["--ignore-rust-version", "--root"])
        .arg(root)
        // Builds in about half the time and serves one client as fast.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        // Not into the workspace's own target folder, whatever the caller has set: the functions
        // are built there at the same time.
        .env_remove("CARGO_TARGET_DIR")
        // From a folder without settings of a workspace.
        .current_dir(std::env::temp_dir());
    if let Some(path) = path_with_cmake().await? {
        command.env("PATH", path);
    }
    cargo::build(command, "database").await.with_context(|| {
        format!(
            "{CRATE} does not build: it needs a C and a C++ compiler and cmake. Or install MongoDB, \
             or set MONGODB_URI"
        )
    })?;
    Ok(())
}

/// Returns the PATH with cmake on it; `None` if cmake is on it already.
async fn path_with_cmake() -> Result<Option<OsString>> {
    const HELP: &str = "cmake is needed to build the embedded database: install it \
                        (apt install cmake, brew install cmake), or set MONGODB_URI";
    if which::which("cmake").is_ok() {
        return Ok(None);
    }
    let venv = cache_folder()?.join("cmake-venv");
    let bin = venv.join("bin");
    if !bin.join("cmake").is_file() {
        eprintln!("No cmake: installing it with pip into {}.", venv.display());
        let mut python = Command::new("python3");
        run(python.args(["-m", "venv"]).arg(&venv))
            .await
            .context(HELP)?;
        let mut pip = Command::new(bin.join("pip"));
        run(pip.args(["install", "--quiet", "cmake"]))
            .await
            .context(HELP)?;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(bin).chain(std::env::split_paths(&path));
    Ok(Some(std::env::join_paths(folders)?))
}

async fn run(command: &mut Command) -> Result<()> {
    let program = command.as_std().get_program().to_owned();
    let status = command.kill_on_drop(true).status().await;
    let status = status.with_context(|| format!("cannot run {program:?}"))?;
    if !status.success() {
        bail!("{program:?} failed: {status}");
    }
    Ok(())
}

/// Returns `$XDG_CACHE_HOME/meetme-chat`, by default `~/.cache/meetme-chat`: it survives `cargo
/// clean` and is shared by all clones.
///
/// # Errors
///
/// There is no home folder.
pub fn cache_folder() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => std::env::home_dir()
            .context("neither XDG_CACHE_HOME nor HOME is set")?
            .join(".cache"),
    };
    Ok(base.join("meetme-chat"))
}

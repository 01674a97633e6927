//! The user's cache folder: what is installed or made once for all templates.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// Pause between attempts to get the lock of an installation.
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// Returns `$XDG_CACHE_HOME/local-gateway`, by default `~/.cache/local-gateway`.
///
/// # Errors
///
/// There is no home folder.
pub fn folder() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => std::env::home_dir()
            .context("neither XDG_CACHE_HOME nor HOME is set")?
            .join(".cache"),
    };
    Ok(base.join("local-gateway"))
}

/// Returns the folder `name` of the cache. If it is not there, `install` fills a temporary one, which
/// then gets the name: a folder that is there is complete. Of several gateways, one installs.
///
/// # Errors
///
/// `install` fails, or the cache is not writable.
pub async fn install_once(
    name: &str,
    install: impl AsyncFnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let cache = folder()?;
    let target = cache.join(name);
    if target.is_dir() {
        return Ok(target);
    }
    let _lock = lock(&cache, name).await?;
    if !target.is_dir() {
        let new = cache.join(format!("{name}.new"));
        // Left by a gateway that was killed.
        let _ = std::fs::remove_dir_all(&new);
        std::fs::create_dir_all(&new)?;
        install(&new).await?;
        std::fs::rename(&new, &target)?;
    }
    Ok(target)
}

/// Takes a lock that other gateways respect. It is released when the file is dropped, or its process
/// ends.
///
/// # Errors
///
/// The cache is not writable.
pub async fn lock(cache: &Path, name: &str) -> Result<File> {
    std::fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let file = File::create(cache.join(format!("{name}.lock")))?;
    while file.try_lock().is_err() {
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    Ok(file)
}

/// Writes a file whole: whoever reads it gets the old text or the new one.
///
/// # Errors
///
/// The folder is not writable.
pub fn write(path: &Path, text: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let folder = path.parent().context("a file is in a folder")?;
    std::fs::create_dir_all(folder)?;
    let new = path.with_added_extension(format!("{:016x}", fastrand::u64(..)));
    std::fs::write(&new, text)?;
    std::fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))
}

/// Runs a command that installs something.
///
/// # Errors
///
/// It cannot be run or fails; the sentence has the command and the end of what it wrote.
pub async fn run(command: &mut Command) -> Result<()> {
    let program = command.as_std().get_program().to_owned();
    let words = std::iter::once(program.as_os_str()).chain(command.as_std().get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let words = words.join(" ");
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = output
        .await
        .with_context(|| format!("cannot run {words}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.trim().lines().collect();
        let last = lines[lines.len().saturating_sub(5)..].join("; ");
        bail!("`{words}` failed: {last}");
    }
    Ok(())
}

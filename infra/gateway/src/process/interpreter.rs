//! Interpreters of this machine: Node and Python.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

/// An interpreter that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// Its file. What is on the PATH may be a script that chooses a version.
    pub file: PathBuf,
    /// Its version, as runtimes have it: `22` of Node, `3.13` of Python.
    pub version: String,
}

/// Returns Node, of whatever version.
///
/// # Errors
///
/// There is none; the sentence says how to install it.
pub async fn node(wanted: &str) -> Result<Interpreter> {
    const SCRIPT: &str = "process.execPath + '\\n' + process.versions.node.split('.')[0]";
    ask("node", ["--print", SCRIPT]).await.with_context(|| {
        format!("it needs Node {wanted}: install it (apt install nodejs npm, brew install node)")
    })
}

/// Returns Python: the version of the runtime if it is there, else `python3`.
///
/// # Errors
///
/// There is none; the sentence says how to install it.
pub async fn python(wanted: &str) -> Result<Interpreter> {
    const SCRIPT: &str =
        "import sys; print(sys.executable, '%d.%d' % sys.version_info[:2], sep='\\n')";
    for name in [&format!("python{wanted}"), "python3"] {
        if let Ok(python) = ask(name, ["-c", SCRIPT]).await {
            return Ok(python);
        }
    }
    bail!(
        "it needs Python {wanted}: install it (apt install python3 python3-pip, brew install python3)"
    )
}

/// Runs an interpreter that prints its path and its version.
async fn ask(name: &str, arguments: [&str; 2]) -> Result<Interpreter> {
    let output = Command::new(name)
        .args(arguments)
        .kill_on_drop(true)
        .output();
    let output = output
        .await
        .with_context(|| format!("{name} is not there"))?;
    ensure!(output.status.success(), "{name} does not run");
    let text = String::from_utf8(output.stdout)?;
    let mut lines = text.lines();
    let (file, version) = lines.next().zip(lines.next()).context("it prints less")?;
    Ok(Interpreter {
        file: file.into(),
        version: version.to_owned(),
    })
}

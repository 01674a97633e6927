//! Packages for Node, installed once, bundles of them, and tests that run on Node.
//!
//! npm installs them into the cache of the user's that [`crate::tools`] has too. Node itself is not
//! installed: who has none learns what to do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::tools::{install_once, run};
use crate::{programs, server};

/// What a function for Node needs, and what makes bundles.
static BASELINE: Packages = Packages {
    manifest: include_str!("../baseline/package.json"),
    list: "dependencies",
    program: "node_modules/.bin/esbuild",
    folder: OnceLock::new(),
};

/// What the tests of the client library need.
static CLIENT: Packages = Packages {
    manifest: include_str!("../../shared/client/package.json"),
    list: "devDependencies",
    program: "node_modules/.bin/tsc",
    folder: OnceLock::new(),
};

/// What the tests of the page need, a browser among it.
static PAGE: Packages = Packages {
    manifest: include_str!("../page/package.json"),
    list: "dependencies",
    program: "node_modules/playwright-core/cli.js",
    folder: OnceLock::new(),
};

/// The part of the language that is left as it is: of the oldest Node that the packages run on.
const TARGET: &str = "node20";

/// ESM, so that a module can await at its top level; packages in the older form ask for `require`.
const BANNER: &str =
    "import{createRequire}from'node:module';const require=createRequire(import.meta.url);";

const HELP: &str = "these tests need Node 20 or newer with npm, and its package index: \
                    install them (apt install nodejs npm, brew install node)";

/// How long a test may take, in milliseconds, on a machine that has other things to do.
const TEST_TIMEOUT_MS: u32 = 240_000;

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
    let packages = BASELINE.folder()?;
    run(Command::new(packages.join(BASELINE.program))
        .arg(source)
        .args(["--bundle", "--minify", "--platform=node", "--format=esm"])
        .args(["--log-level=warning", &format!("--target={TARGET}")])
        .arg(format!("--banner:js={BANNER}"))
        .arg(format!("--outfile={}", target.display()))
        .env("NODE_PATH", packages.join("node_modules")))
}

/// Runs the test files (`*.test.js`) of a folder of this repository by `node --test`, with a database
/// server that is up and the functions built.
///
/// # Errors
///
/// A test fails, or something is missing; the error says which, or what to install.
pub async fn test(folder: &str) -> Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let uri = server::uri().await;
    let files = test_files(&root.join(folder))?;
    let command = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(program()?);
        command
            // One file after another: they measure times, and share a browser that is unpacked once.
            .args(["--test", "--test-reporter=spec", "--test-concurrency=1"])
            .arg(format!("--test-timeout={TEST_TIMEOUT_MS}"))
            .args(files)
            .env("NODE_PATH", node_path()?)
            .env("CHAT_LOCAL", programs::local())
            .env("BINARIES", programs::folder())
            .env("MONGODB_URI", uri)
            .env(
                "DATABASE_COMMAND",
                serde_json::to_string(&server::command()?)?,
            );
        anyhow::Ok(command)
    });
    let mut command = command.await??;
    tokio::task::spawn_blocking(move || run(command.current_dir(root))).await?
}

fn test_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut files: Vec<PathBuf> = paths.collect::<std::io::Result<_>>()?;
    files.retain(|path| path.to_string_lossy().ends_with(".test.js"));
    files.sort();
    ensure!(!files.is_empty(), "{} has no tests", folder.display());
    Ok(files)
}

/// Where tests find the packages.
fn node_path() -> Result<OsString> {
    let folders = [CLIENT.folder()?, PAGE.folder()?].map(|folder| folder.join("node_modules"));
    Ok(std::env::join_paths(folders)?)
}

/// Packages that are installed into one folder.
struct Packages {
    /// A `package.json`.
    manifest: &'static str,
    /// The part of it that lists them with their versions.
    list: &'static str,
    /// What is there when they are installed.
    program: &'static str,
    /// Where they are, once it is known.
    folder: OnceLock<PathBuf>,
}

impl Packages {
    /// Their folder; they are installed if need be.
    fn folder(&self) -> Result<&Path> {
        if let Some(folder) = self.folder.get() {
            return Ok(folder);
        }
        let names = self.names()?.join("-").replace(['@', '/'], "-");
        let name = format!("npm-{}", names.trim_start_matches('-'));
        let folder = install_once(&name, self.program, |root| self.install(root).context(HELP))?;
        Ok(self.folder.get_or_init(|| folder))
    }

    fn install(&self, root: &Path) -> Result<()> {
        let names = self.names()?;
        eprintln!(
            "Installing {} once into {}.",
            names.join(", "),
            root.display()
        );
        // Of an installation that was interrupted.
        if root.exists() {
            std::fs::remove_dir_all(root)?;
        }
        std::fs::create_dir_all(root)?;
        std::fs::write(root.join("package.json"), r#"{"private": true}"#)?;
        run(Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--no-package-lock"])
            // No program of a package runs by being installed; none of these needs that.
            .args(["--ignore-scripts", "--loglevel", "error"])
            .args(names)
            .stdout(Stdio::null())
            .current_dir(root))
    }

    /// `mongodb@7.9.0` and so on.
    fn names(&self) -> Result<Vec<String>> {
        let manifest: Value = serde_json::from_str(self.manifest)?;
        let Some(packages) = manifest[self.list].as_object() else {
            bail!("a package.json has no {}", self.list);
        };
        let name =
            |(name, version): (&String, &Value)| Some(format!("{name}@{}", version.as_str()?));
        let names = packages.iter().map(name).collect::<Option<_>>();
        names.context("a version in a package.json is no text")
    }
}

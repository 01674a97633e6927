//! Packages for Node, installed once; bundles; and tests that run on Node.
//!
//! npm installs them into the user's cache folder, as [`crate::tools`] does. Node itself is not installed:
//! without it, the error says what to do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::tools::{install_once, run};
use crate::{programs, server};

/// Packages of a function for Node, and of the bundler.
static BASELINE: Packages = Packages {
    manifest: include_str!("../baseline/package.json"),
    list: "dependencies",
    program: "node_modules/.bin/esbuild",
    folder: OnceLock::new(),
};

/// Packages for the tests of the client library.
static CLIENT: Packages = Packages {
    manifest: include_str!("../../shared/client/package.json"),
    list: "devDependencies",
    program: "node_modules/.bin/tsc",
    folder: OnceLock::new(),
};

/// Packages for the tests of the page, with a browser.
static PAGE: Packages = Packages {
    manifest: include_str!("../page/package.json"),
    list: "dependencies",
    program: "node_modules/playwright-core/cli.js",
    folder: OnceLock::new(),
};

/// The packages of the SDK that functions of the tests use, and that the gateway installs.
pub const SDK: [&str; 1] = ["@aws-sdk/client-apigatewaymanagementapi"];

/// Bundles use the language of this version: the oldest Node that the packages run on.
const TARGET: &str = "node20";

/// First line of a bundle. A bundle is ESM, so that a module can await at its top level; packages in the older
/// form need `require`.
const BANNER: &str =
    "import{createRequire}from'node:module';const require=createRequire(import.meta.url);";

const HELP: &str = "these tests need Node 20 or newer with npm, and its package index: \
                    install them (apt install nodejs npm, brew install node)";

/// Time limit of a test in milliseconds, and of all tests of a file, on a busy machine.
const TEST_TIMEOUT_MS: u32 = 240_000;

/// Installs all packages that are missing.
///
/// # Errors
///
/// There is no Node, or no package index; the sentence says what to do.
pub fn install() -> Result<()> {
    [&BASELINE, &CLIENT, &PAGE]
        .into_iter()
        .try_for_each(|packages| packages.folder().map(drop))
}

/// Returns the path of the Node that is on the PATH.
///
/// # Errors
///
/// There is no Node; the error says what to do.
pub fn program() -> Result<PathBuf> {
    // `node` on the PATH may be a script that chooses a version.
    let output = Command::new("node")
        .args(["--print", "process.execPath"])
        .output();
    let output = output.context("there is no Node").context(HELP)?;
    ensure!(output.status.success(), "Node does not run: {HELP}");
    let path = String::from_utf8(output.stdout).context("the path of Node is UTF-8")?;
    Ok(PathBuf::from(path.trim_end()))
}

/// Bundles the module `source` and its imports into the file `target`, as is usual on Lambda.
///
/// # Errors
///
/// Node or the package index is missing; the error says what to do.
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
/// server running and the functions built.
///
/// # Errors
///
/// A test fails, or something is missing; the error names it.
pub async fn test(folder: &str) -> Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let uri = server::uri().await;
    let files = test_files(&root.join(folder))?;
    let database_command = serde_json::to_string(&server::command().await?)?;
    let command = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(program()?);
        command
            // One file at a time: the tests measure times, and share a browser that is unpacked once.
            .args(["--test", "--test-reporter=spec", "--test-concurrency=1"])
            .arg(format!("--test-timeout={TEST_TIMEOUT_MS}"))
            .args(files)
            .env("NODE_PATH", node_path()?)
            .env("CHAT_LOCAL", programs::local())
            .env("BINARIES", programs::folder())
            .env("MONGODB_URI", uri)
            .env("DATABASE_COMMAND", database_command);
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

/// Returns the folders in which tests find the packages.
fn node_path() -> Result<OsString> {
    let folders = [CLIENT.folder()?, PAGE.folder()?].map(|folder| folder.join("node_modules"));
    Ok(std::env::join_paths(folders)?)
}

/// Packages that are installed into one folder.
struct Packages {
    /// A `package.json`.
    manifest: &'static str,
    /// The key in it that lists the packages with their versions.
    list: &'static str,
    /// A file that exists when the packages are installed.
    program: &'static str,
    /// The folder, once they have been found or installed.
    folder: OnceLock<PathBuf>,
}

impl Packages {
    /// Returns the folder of the packages, and installs them if they are missing.
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
        // Left over by an installation that was interrupted.
        if root.exists() {
            std::fs::remove_dir_all(root)?;
        }
        std::fs::create_dir_all(root)?;
        std::fs::write(root.join("package.json"), r#"{"private": true}"#)?;
        run(Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--no-package-lock"])
            // Scripts of packages do not run; none of these packages needs that.
            .args(["--ignore-scripts", "--loglevel", "error"])
            .args(names)
            .stdout(Stdio::null())
            .current_dir(root))
    }

    /// Returns names with versions: `mongodb@7.9.0`.
    fn names(&self) -> Result<Vec<String>> {
        let manifest: Value = serde_json::from_str(self.manifest)?;
        let Some(packages) = manifest[self.list].as_object() else {
            bail!("a package.json has no {}", self.list);
        };
        let name =
            |(name, version): (&String, &Value)| Some(format!("{name}@{}", version.as_str()?));
        let names = packages.iter().map(name).collect::<Option<_>>();
        names.context("a version in a package.json is not a string")
    }
}

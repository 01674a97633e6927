//! Finds, installs and runs the database.
//!
//! - [`choice`]: which one it is
//!
//! In this order: `MONGODB_URI`; `mongod` on the PATH; the MongoDB-compatible server
//! [SecantusDB](https://github.com/jdrumgoole/SecantusDB) (the crate `secantus-mdb`), built once into a cache of the user's.
//! That server is GPL software: a separate program that is fetched, never linked.

pub mod choice;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use chat::Store;
use chat::store::StoreConfig;

use local_gateway::process::build::cargo;
use local_gateway::process::supervise::Supervised;

const EMBEDDED_CRATE: &str = "secantus-mdb";
const EMBEDDED_VERSION: &str = "0.5.3-beta.196";
const EMBEDDED_PROGRAM: &str = "secantusd-rs";

/// How long a server may take to answer; after a crash it recovers first.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long one that is to end may take.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A program that serves the MongoDB protocol.
#[derive(Debug, Clone)]
pub enum Server {
    /// MongoDB itself.
    Mongod(PathBuf),
    /// The embedded server.
    Embedded(PathBuf),
}

impl Server {
    /// `mongod` if it is on the PATH, else the embedded server, which is installed if need be.
    ///
    /// # Errors
    ///
    /// The embedded server cannot be built; the sentence says what to install.
    pub fn find_or_install() -> Result<Self> {
        if let Some(mongod) = on_path("mongod") {
            return Ok(Self::Mongod(mongod));
        }
        let cache = cache_folder()?;
        let root = cache.join(format!("{EMBEDDED_CRATE}-{EMBEDDED_VERSION}"));
        let program = root.join("bin").join(EMBEDDED_PROGRAM);
        if !program.is_file() {
            // Clones and test runs may come here at once: one of them builds.
            std::fs::create_dir_all(&cache)
                .with_context(|| format!("cannot make {}", cache.display()))?;
            let turn = File::create(cache.join("install.lock"))?;
            turn.lock()?;
            if !program.is_file() {
                install(&root)?;
            }
        }
        Ok(Self::Embedded(program))
    }

    /// Its name, for the developer.
    pub fn name(&self) -> String {
        match self {
            Self::Mongod(path) => path.display().to_string(),
            Self::Embedded(_) => format!("{EMBEDDED_PROGRAM} {EMBEDDED_VERSION}"),
        }
    }

    /// The name of its folder: servers cannot read each other's files.
    pub fn folder_name(&self) -> &'static str {
        match self {
            Self::Mongod(_) => "mongod",
            Self::Embedded(_) => EMBEDDED_PROGRAM,
        }
    }

    /// The command that runs it on `port` with its data in `folder`, as its words.
    pub fn command(&self, folder: &Path, port: u16) -> Vec<OsString> {
        let program = self.path().as_os_str().to_owned();
        std::iter::once(program)
            .chain(self.arguments(folder, port))
            .collect()
    }

    fn path(&self) -> &Path {
        match self {
            Self::Mongod(path) | Self::Embedded(path) => path,
        }
    }

    fn arguments(&self, folder: &Path, port: u16) -> Vec<OsString> {
        let port = port.to_string();
        let folder = folder.as_os_str();
        let arguments: Vec<&std::ffi::OsStr> = match self {
            Self::Mongod(_) => vec![
                "--bind_ip".as_ref(),
                "127.0.0.1".as_ref(),
                "--port".as_ref(),
                port.as_ref(),
                "--dbpath".as_ref(),
                folder,
            ],
            Self::Embedded(_) => vec![
                "--host".as_ref(),
                "127.0.0.1".as_ref(),
                "--port".as_ref(),
                port.as_ref(),
                "--storage-path".as_ref(),
                folder,
                "--log-level".as_ref(),
                "WARNING".as_ref(),
                // Without it a kill loses writes that were acknowledged, even with j: true.
                "--sync-on-commit".as_ref(),
            ],
        };
        arguments.into_iter().map(OsString::from).collect()
    }
}

/// A server that we run.
pub struct Database {
    /// Its connection string.
    pub uri: String,
    server: Supervised,
    log: PathBuf,
}

impl Database {
    /// Starts `server` on `port` with its data in `folder`, and waits until it answers. `fresh`
    /// empties the folder first. `supervisor` is the `local` binary.
    ///
    /// # Errors
    ///
    /// Another one uses the folder, or it ends, or does not answer; the sentence names its log.
    pub async fn start(
        server: &Server,
        supervisor: &Path,
        folder: &Path,
        port: u16,
        fresh: bool,
    ) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let log_path = folder.with_extension("log");
        let log = open_log(&log_path, folder).await?;
        if fresh {
            std::fs::remove_dir_all(folder)
                .and_then(|()| std::fs::create_dir(folder))
                .with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        let arguments = server.arguments(folder, port);
        let mut supervised = Supervised::start(supervisor, server.path(), &arguments, log)?;
        let uri = uri(port);
        let answers = tokio::time::timeout(START_PATIENCE, until_it_answers(&uri));
        tokio::select! {
            status = supervised.ended() => bail!(
                "{} did not start ({}); see {}", server.name(), status?, log_path.display()
            ),
            answers = answers => answers.with_context(|| format!(
                "{} does not answer; see {}", server.name(), log_path.display()
            ))?,
        }
        Ok(Self {
            uri,
            server: supervised,
            log: log_path,
        })
    }

    /// Stops the server cleanly.
    ///
    /// # Errors
    ///
    /// It cannot be waited for.
    pub async fn stop(&mut self) -> Result<()> {
        self.server.stop().await?;
        Ok(())
    }

    /// Waits until the server has ended by itself; says so, and where to look.
    pub async fn ended(&mut self) -> anyhow::Error {
        match self.server.ended().await {
            Ok(status) => anyhow!("the database ended ({status}); see {}", self.log.display()),
            Err(error) => error,
        }
    }
}

/// Opens the log of a server and locks it. The server writes to this very file and so holds the
/// lock for as long as it lives: two of them never use one folder.
async fn open_log(path: &Path, folder: &Path) -> Result<File> {
    let log = File::options().create(true).append(true).open(path);
    let log = log.with_context(|| format!("cannot write {}", path.display()))?;
    let start = Instant::now();
    while log.try_lock().is_err() {
        // After a kill, the server of the run before may still be about to end.
        if start.elapsed() > STOP_PATIENCE {
            bail!(
                "another cargo local uses {}: stop it, or choose another folder with --data",
                folder.display()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(log)
}

/// Returns the connection string of a server on a port of this machine.
fn uri(port: u16) -> String {
    format!("mongodb://127.0.0.1:{port}/?directConnection=true")
}

async fn until_it_answers(uri: &str) {
    while ping(uri).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a database answers.
///
/// # Errors
///
/// It does not, or the connection string is malformed.
pub async fn ping(uri: &str) -> Result<()> {
    let config = StoreConfig::new(uri, "admin");
    let pinged = async { Store::open(&config).await?.ping().await };
    pinged.await.map_err(|error| anyhow!(error.chain()))
}

/// Builds the embedded server.
fn install(root: &Path) -> Result<()> {
    eprintln!(
        "No MONGODB_URI and no mongod: building {EMBEDDED_CRATE} {EMBEDDED_VERSION} once into {}. \
         That takes some minutes.",
        root.display()
    );
    let mut command = cargo();
    command
        .args([
            "install",
            EMBEDDED_CRATE,
            "--version",
            EMBEDDED_VERSION,
            "--locked",
        ])
        // It declares a newer compiler than it needs.
        .args(["--ignore-rust-version", "--root"])
        .arg(root)
        // Builds in about half the time and serves one client as fast.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        // Not into the workspace's own target folder, whatever the caller has set.
        .env_remove("CARGO_TARGET_DIR")
        // From a folder without settings of a workspace.
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null());
    if let Some(path) = path_with_cmake()? {
        command.env("PATH", path);
    }
    let status = command.status().context("cannot run cargo install")?;
    if !status.success() {
        bail!(
            "{EMBEDDED_CRATE} does not build; cargo says why above. It needs a C and a C++ \
             compiler and cmake. Or install MongoDB, or set MONGODB_URI"
        );
    }
    Ok(())
}

/// The PATH with a cmake on it; `None` if it has one already.
fn path_with_cmake() -> Result<Option<OsString>> {
    const HELP: &str = "cmake is needed to build the embedded database: install it \
                        (apt install cmake, brew install cmake), or set MONGODB_URI";
    if on_path("cmake").is_some() {
        return Ok(None);
    }
    let venv = cache_folder()?.join("cmake-venv");
    let bin = venv.join("bin");
    if !bin.join("cmake").is_file() {
        eprintln!("No cmake: installing it with pip into {}.", venv.display());
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv)).context(HELP)?;
        run(Command::new(bin.join("pip")).args(["install", "--quiet", "cmake"])).context(HELP)?;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(bin).chain(std::env::split_paths(&path));
    Ok(Some(std::env::join_paths(folders)?))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{:?} failed: {status}", command.get_program());
    }
    Ok(())
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// `$XDG_CACHE_HOME/meetme-chat`, by default `~/.cache/meetme-chat`: it survives `cargo clean` and
/// is shared by all clones.
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

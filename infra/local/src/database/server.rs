//! The program that serves the MongoDB protocol.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::install;

/// A program that serves the MongoDB protocol.
#[derive(Debug, Clone)]
pub enum Server {
    /// MongoDB itself.
    Mongod(PathBuf),
    /// The embedded server.
    Embedded(PathBuf),
}

impl Server {
    /// Returns `mongod` if it is on the PATH, else the embedded server, which is installed if it is
    /// not yet.
    ///
    /// # Errors
    ///
    /// The embedded server cannot be built; the sentence says what to install.
    pub async fn find_or_install() -> Result<Self> {
        if let Ok(mongod) = which::which("mongod") {
            return Ok(Self::Mongod(mongod));
        }
        install::embedded().await.map(Self::Embedded)
    }

    /// Returns its name, for the log.
    pub fn name(&self) -> String {
        match self {
            Self::Mongod(path) => path.display().to_string(),
            Self::Embedded(_) => format!("{} {}", install::PROGRAM, install::VERSION),
        }
    }

    /// Returns the name of its folder: servers cannot read each other's files.
    pub fn folder_name(&self) -> &'static str {
        match self {
            Self::Mongod(_) => "mongod",
            Self::Embedded(_) => install::PROGRAM,
        }
    }

    /// Returns the words of the command that runs it on `port` with its data in `folder`.
    pub fn command(&self, folder: &Path, port: u16) -> Vec<OsString> {
        let program = self.path().as_os_str().to_owned();
        std::iter::once(program)
            .chain(self.arguments(folder, port))
            .collect()
    }

    /// Returns the path of the program.
    pub fn path(&self) -> &Path {
        match self {
            Self::Mongod(path) | Self::Embedded(path) => path,
        }
    }

    /// Returns its arguments, to serve on `port` with its data in `folder`.
    pub fn arguments(&self, folder: &Path, port: u16) -> Vec<OsString> {
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

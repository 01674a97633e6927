//! The programs of functions.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// The program of each function that runs on this machine, by its logical id.
pub type Programs = BTreeMap<String, Program>;

/// A program that polls the Runtime API for the events of a function.
#[derive(Debug, Clone)]
pub struct Program {
    /// The file that is run.
    pub file: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The folder in which it runs: that of the function's code.
    pub folder: Option<PathBuf>,
    /// The environment variables that its runtime needs: folders that are searched for packages.
    pub environment: Vec<(&'static str, OsString)>,
}

impl Program {
    /// Returns a binary without arguments.
    pub fn binary(file: PathBuf, folder: Option<PathBuf>) -> Self {
        Self {
            file,
            arguments: Vec::new(),
            folder,
            environment: Vec::new(),
        }
    }
}

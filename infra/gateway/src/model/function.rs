//! Functions: their code, and the runtime that it runs on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A Lambda function.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its logical id.
    pub logical_id: String,
    /// `FunctionName`, else its logical id: `AWS_LAMBDA_FUNCTION_NAME`.
    pub function_name: String,
    /// Its code.
    pub code: Code,
    /// The runtime of its code.
    pub runtime: Runtime,
    /// `Handler`, which the runtime calls: `index.handler`. A program of its own needs none, and has
    /// `bootstrap`.
    pub handler: String,
    /// Environment variables of the template, evaluated.
    pub environment: BTreeMap<String, String>,
    /// Timeout of one invocation.
    pub timeout: Duration,
    /// Its memory in megabytes: passed to the function, not enforced.
    pub memory_mb: u64,
}

/// The code of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// A folder: of a package that is built, or of modules.
    Folder(PathBuf),
    /// The text of its only module, `index`.
    Inline(String),
}

/// The runtime of a function's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runtime {
    /// `provided.*`: a program that polls the Runtime API itself.
    Provided {
        /// The name of its binary.
        binary: String,
    },
    /// `nodejs*`, by its major version: `22`.
    Node(String),
    /// `python*`, by its version: `3.13`.
    Python(String),
}

impl Runtime {
    /// Returns its name as templates have it, if it is not a program: `nodejs22.x`.
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Provided { .. } => None,
            Self::Node(version) => Some(format!("nodejs{version}.x")),
            Self::Python(version) => Some(format!("python{version}")),
        }
    }
}

impl Function {
    /// Returns the folder of its code.
    pub fn folder(&self) -> Option<&Path> {
        match &self.code {
            Code::Folder(folder) => Some(folder),
            Code::Inline(_) => None,
        }
    }

    /// Returns the name of its binary, if it is a program.
    pub fn binary(&self) -> Option<&str> {
        match &self.runtime {
            Runtime::Provided { binary } => Some(binary),
            Runtime::Node(_) | Runtime::Python(_) => None,
        }
    }

    /// Returns the name by which it runs elsewhere: `FunctionName`, else that of its binary, else its
    /// logical id.
    pub fn name_elsewhere(&self) -> &str {
        match self.binary() {
            Some(binary) if self.function_name == self.logical_id => binary,
            _ => &self.function_name,
        }
    }
}

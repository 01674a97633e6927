//! The binaries of the workspace, built once.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use local_gateway::process::cargo::cargo;

/// Builds all binaries of the workspace, in the profile of this program; returns their folder.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let mut command = cargo();
        command
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .args(["build", "--quiet", "--workspace", "--bins"]);
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        let status = command.status().expect("cargo runs");
        assert!(status.success(), "the workspace builds");
        let program = std::env::current_exe().expect("this program has a path");
        // Tests are in a folder `deps` below that of the binaries.
        let folder = program.parent().expect("it is in a folder");
        if folder.ends_with("deps") {
            folder.parent().expect("it is in a folder").to_owned()
        } else {
            folder.to_owned()
        }
    })
}

/// Returns the path of the gateway for any template.
pub fn gateway() -> PathBuf {
    folder().join("local-gateway")
}

/// Returns the path of `cargo local`, which runs the chat.
pub fn local() -> PathBuf {
    folder().join("chat-local")
}

//! The binaries, built once.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use local_gateway::process::build::cargo;

/// The folder of all binaries of the workspace, built in the profile of this program.
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

/// The gateway, which knows nothing of the chat.
pub fn gateway() -> PathBuf {
    folder().join("local-gateway")
}

/// The chat on this machine: `cargo local`.
pub fn local() -> PathBuf {
    folder().join("chat-local")
}

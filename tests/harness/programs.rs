//! The binaries of the workspace, built once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use local_gateway::process::cargo::cargo;

/// Builds all binaries of the workspace, in the profile of this program; returns their folder.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = own_folder();
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            // The profile `dev` has a folder of another name.
            None | Some("debug") => "dev",
            Some(profile) => profile,
        };
        run(build().args(["--profile", profile, "--bins"]));
        folder
    })
}

/// Builds the functions as they are deployed: in the profile `release`, without the features that other
/// packages ask of the same dependencies. Returns their folder.
pub fn deployed() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let others = ["tests", "local-gateway", "chat-local", "chat-admin"];
        let others = others.iter().flat_map(|package| ["--exclude", package]);
        run(build().args(["--release", "--bins"]).args(others));
        own_folder().with_file_name("release")
    })
}

/// Returns the folder of this program, which is that of its profile.
fn own_folder() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    // Tests are in a folder `deps` below that of the binaries.
    let mut folders = program.ancestors().skip(1);
    let folder = folders.find(|folder| !folder.ends_with("deps"));
    folder.expect("it is in a folder").to_owned()
}

fn build() -> Command {
    let mut command = cargo();
    command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["build", "--quiet", "--workspace"]);
    command
}

fn run(command: &mut Command) {
    let status = command.status().expect("cargo runs");
    assert!(status.success(), "the workspace builds");
}

/// Returns the path of the gateway for any template.
pub fn gateway() -> PathBuf {
    folder().join("local-gateway")
}

/// Returns the path of `cargo local`, which runs the chat.
pub fn local() -> PathBuf {
    folder().join("chat-local")
}

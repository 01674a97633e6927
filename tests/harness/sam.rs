//! The SAM CLI: builds, deploys and deletes stacks, as the README says.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::launch::TEMPLATE;
use crate::ministack::MiniStack;
use crate::{process, programs, server, tools};

/// Time limit of a command, of which a deployment takes the longest.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Default settings of the SAM CLI.
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/samconfig.toml");

/// AWS's name for the processor of this machine, on which the emulator runs the functions.
pub const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x86_64"
};

/// Folder of the external cargo command `cargo prebuilt`.
const CARGO_COMMANDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/harness");

/// Runs `sam build` once in this process. Returns the folder of the built template and of its functions.
///
/// The SAM CLI and cargo-lambda run as for a deployment, except that `cargo prebuilt` takes the place
/// of `cargo build`: it hands out the programs that the tests have built already. Compiling all
/// dependencies once more for a named target would take minutes.
///
/// # Panics
///
/// `sam build` fails.
pub async fn built() -> &'static Path {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    BUILT.get_or_init(build).await
}

async fn build() -> PathBuf {
    let programs = spawn_blocking(programs::folder).await.expect("no panic");
    let folder = server::scratch_folder().join("sam");
    let built = folder.join("built");
    let mut command = Command::new(spawn_blocking(tools::sam).await.expect("no panic"));
    command
        .args(["build", "--template-file", TEMPLATE, "--build-dir"])
        .arg(&built)
        .arg("--parameter-overrides")
        .arg(format!("Architecture={ARCHITECTURE}"))
        .env("PATH", spawn_blocking(path).await.expect("no panic"))
        .env("CARGO_LAMBDA_COMPILER", "cargo")
        .env("CARGO_LAMBDA_COMPILER_SUBCOMMAND", "prebuilt")
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env("PROGRAMS", programs)
        .env("SAM_CLI_TELEMETRY", "0");
    if let Err(said) = run(&mut command).await {
        panic!("sam build: {said}");
    }
    built
}

/// Returns a PATH on which `cargo lambda` and `cargo prebuilt` work.
fn path() -> OsString {
    let mut path = OsString::from(CARGO_COMMANDS);
    path.push(":");
    path.push(tools::path());
    path
}

/// Deploys a built template as a new or an existing stack, and waits for the end of the deployment.
///
/// # Errors
///
/// The deployment failed and was rolled back; the error is the output of the SAM CLI.
pub async fn deploy(
    emulator: &MiniStack,
    template: &Path,
    stack: &str,
    parameters: &[(&str, &str)],
) -> Result<(), String> {
    eprintln!("Deploying {stack}.");
    let mut command = client(emulator).await;
    command
        .args(["deploy", "--stack-name", stack, "--template-file"])
        .arg(template)
        .args(["--config-file", CONFIG, "--parameter-overrides"])
        .args(
            parameters
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
    run(&mut command).await
}

/// Deletes a stack and waits until it is gone.
///
/// # Errors
///
/// A resource cannot be deleted; the error is the output of the SAM CLI.
pub async fn delete(emulator: &MiniStack, stack: &str) -> Result<(), String> {
    eprintln!("Deleting {stack}.");
    let mut command = client(emulator).await;
    run(command.args(["delete", "--no-prompts", "--stack-name", stack])).await
}

async fn client(emulator: &MiniStack) -> Command {
    let mut command = emulator.client(&spawn_blocking(tools::sam).await.expect("no panic"));
    command
        .env("SAM_CLI_TELEMETRY", "0")
        // Seconds.
        .env("SAM_CLI_POLL_DELAY", "1");
    command
}

async fn run(command: &mut Command) -> Result<(), String> {
    let output = process::output(command, TIMEOUT).await;
    if output.status.success() {
        return Ok(());
    }
    let texts = [output.stdout, output.stderr];
    Err(texts
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat())
}

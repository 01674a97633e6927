//! Runs a command with `cargo deny` and `cargo fuzz` on its PATH; they are installed first if need be:
//!
//! ```sh
//! cargo run --bin tools -- cargo deny check
//! ```

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("Say which command to run: cargo run --bin tools -- cargo deny check");
        return ExitCode::FAILURE;
    };
    let error = Command::new(&program)
        .args(arguments)
        .env("PATH", tests::tools::cargo_path())
        .exec();
    eprintln!("cannot run {}: {error}", program.display());
    ExitCode::FAILURE
}

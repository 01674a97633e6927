//! Installs the tools of the tests, and runs commands with them.
//!
//! ```sh
//! cargo run --bin tools -- install
//! cargo run --bin tools -- run cargo deny check
//! ```

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::thread;

use anyhow::{Context, Result, anyhow};
use chat_local::database::server::Server;
use clap::{Parser, Subcommand};
use local_gateway::process::script;
use tests::{node, tools};

/// Tools of the tests, which are installed once into the user's cache
#[derive(Parser)]
#[command(name = "tools")]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Installs all that the tests need and that is missing: the database server, and packages for
    /// Python and Node, also those that the gateway has for functions
    Install,
    /// Runs a command with `cargo deny` and `cargo fuzz` on its PATH
    Run {
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Action::Install => install(),
        Action::Run { command } => run(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Installs side by side: one compiles, the others wait for the network.
fn install() -> Result<()> {
    let database = thread::spawn(|| {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(Server::find_or_install()).map(drop)
    });
    let runtimes = thread::spawn(|| {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(script::install(&node::SDK))
    });
    let python = thread::spawn(tools::install);
    let node = thread::spawn(node::install);
    [database, runtimes, python, node]
        .into_iter()
        .map(|thread| {
            thread
                .join()
                .map_err(|_| anyhow!("an installation panicked"))?
        })
        // All of them end, whatever becomes of one.
        .collect::<Vec<_>>()
        .into_iter()
        .collect()
}

/// Replaces this process by the command.
fn run(command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("there is no command")?;
    let error = Command::new(program)
        .args(arguments)
        .env("PATH", tools::cargo_path())
        .exec();
    Err(error).with_context(|| format!("cannot run {program}"))
}

//! `local-gateway`: serves a template on one machine.

use anyhow::Result;
use clap::Parser;
use local_gateway::cli::{self, Flags, Internal};
use local_gateway::interrupt::Interrupt;
use local_gateway::startup::{Options, Running};

/// API Gateway and Lambda on one machine: serves the WebSocket API and the HTTP API of a SAM or
/// CloudFormation template, with its functions as processes.
#[derive(Parser)]
#[command(name = "local-gateway", version)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,

    #[command(subcommand)]
    command: Option<Internal>,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(command) => command.run().await,
        None => serve(arguments.flags).await,
    };
    if let Err(error) = result {
        cli::exit_with(&error);
    }
}

async fn serve(flags: Flags) -> Result<()> {
    flags.apply_to_process();
    let mut interrupt = Interrupt::listen()?;
    let options = Options {
        flags,
        parameters: Default::default(),
        path_rewrite: None,
        page_refusal: None,
    };
    let running = tokio::select! {
        running = Running::start(options) => running?,
        // The supervisors stop all programs when this process exits.
        () = interrupt.wait() => return Ok(()),
    };
    println!("\n{}\n\n  Ctrl-C stops everything.\n", running.addresses());
    println!("ready");
    let outcome = interrupt.wait_unless(running.wait()).await;
    let shutdown = interrupt.shut_down(running.shutdown()).await;
    outcome.and(shutdown)
}

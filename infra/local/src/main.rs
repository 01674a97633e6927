//! `cargo local`: the whole chat on one machine.

use anyhow::Result;
use chat_local::auth::{self, Authorization};
use chat_local::database::choice::{self, ChatDatabase, Choice};
use chat_local::{path_rewrite, screen};
use clap::Parser;
use local_gateway::cli::{self, Internal};
use local_gateway::interrupt::Interrupt;
use local_gateway::startup::{Options, Running, Startup};

/// The MeetMe chat on one machine: API Gateway, Lambda and a database.
///
/// The database is MONGODB_URI if that is set, else mongod if it is on the PATH, else a
/// MongoDB-compatible server that is built once.
#[derive(Parser)]
#[command(name = "chat-local", version)]
struct Arguments {
    #[command(flatten)]
    gateway: cli::Flags,

    #[command(flatten)]
    auth: auth::Flags,

    #[command(flatten)]
    database: choice::Flags,

    #[command(subcommand)]
    command: Option<Internal>,
}

#[tokio::main]
async fn main() {
    let mut arguments = Arguments::parse();
    let result = match arguments.command.take() {
        Some(command) => command.run().await,
        None => serve(arguments).await,
    };
    if let Err(error) = result {
        cli::exit_with(&error);
    }
}

async fn serve(arguments: Arguments) -> Result<()> {
    let flags = arguments.gateway;
    flags.apply_to_process();
    let authorization = arguments.auth.choose(&flags.parameters).await?;
    let database = Choice::new(arguments.database)?;
    let parameters = database.parameters().into_iter();
    let is_off = matches!(authorization, Authorization::Off);
    let options = Options {
        flags,
        parameters: parameters.chain(authorization.parameters()).collect(),
        path_rewrite: Some(path_rewrite::rewrite),
        page_refusal: is_off.then_some(auth::PAGE_REFUSAL),
    };
    let startup = Startup::open(options).await?;
    if is_off {
        tracing::warn!("{}", auth::OFF);
    }
    let mut interrupt = Interrupt::listen()?;
    let (running, mut database) = tokio::select! {
        started = start(startup, database) => started?,
        // The supervisors stop all programs when this process exits.
        () = interrupt.wait() => return Ok(()),
    };
    database.announce(running.management_endpoint().unwrap_or_default())?;
    println!("\n{}", running.addresses());
    screen::show(&authorization, &running.websocket, &running.http)?;
    println!("\n  Ctrl-C stops everything.\n");
    println!("ready");
    wait_and_shut_down(running, database, interrupt).await
}

/// Builds the functions and starts the database, then the functions.
async fn start(mut startup: Startup, database: Choice) -> Result<(Running, ChatDatabase)> {
    let home = startup.home().await?;
    // The first start builds both, so run them in parallel.
    let (database, ()) = tokio::try_join!(database.start(&home), startup.build())?;
    Ok((startup.start().await?, database))
}

async fn wait_and_shut_down(
    running: Running,
    mut database: ChatDatabase,
    mut interrupt: Interrupt,
) -> Result<()> {
    let failure = async {
        tokio::select! {
            error = database.wait() => error,
            error = running.wait() => error,
        }
    };
    let outcome = interrupt.wait_unless(failure).await;
    let shutdown = async {
        running.shutdown().await?;
        database.shutdown().await
    };
    let shutdown = interrupt.shut_down(shutdown).await;
    outcome.and(shutdown)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}

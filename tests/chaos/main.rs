//! Checks the delivery contract of the chat under faults:
//! `cargo measure chaos`.
//!
//! - [`trial`]: a run, from its start to the verdict
//! - [`fault`], [`schedule`]: the faults, and their times
//! - [`nemesis`]: executes a schedule
//! - [`cluster`]: the chat, whose processes are killed, stopped and started again
//! - [`skew`]: functions whose clocks are wrong
//! - [`workload`]: the clients: [`device`] with [`author`], [`outbox`] and [`copies`], [`poller`], [`lister`] and [`roll`]
//! - [`session`], [`pages`], [`texts`]: the parts of clients
//! - [`roster`]: who is in a group, by its entries
//! - [`recorder`], [`history`]: the record of everything that clients did and saw
//! - [`contents`]: what the database holds at the end
//! - [`check`]: the contract, as rules over a history and those contents
//! - [`report`]: the figures of a run

mod author;
mod check;
mod cluster;
mod contents;
mod copies;
mod device;
mod fault;
mod history;
mod lister;
mod nemesis;
mod outbox;
mod pages;
mod poller;
mod recorder;
mod report;
mod roll;
mod roster;
mod schedule;
mod session;
mod skew;
mod texts;
mod trial;
mod workload;

#[cfg(test)]
mod undisturbed;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, value_parser};
use tests::process;
use tokio_util::sync::CancellationToken;
use trial::Trial;

/// Messages a second by default: a debug build on two cores can do that.
const RATE: u64 = 25;

/// Checks the delivery contract of the chat under faults: processes are killed and stopped, pushes
/// and connections are lost, clocks are wrong. Exits with code 1 if the contract does not hold.
#[derive(Parser)]
#[command(name = "chaos")]
struct Arguments {
    /// Seed of the faults and their times, of the clocks, and of the clients [default: any]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Length of the run; a minute has every kind of fault
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = value_parser!(u64).range(10..))]
    seconds: u64,

    /// Messages that are sent in that time [default: 25 a second]
    #[arg(long, value_name = "N")]
    messages: Option<u64>,

    /// Conversations of two users in which they are sent, with a group beside every fourth one
    #[arg(long, default_value_t = 24, value_name = "N")]
    conversations: usize,

    /// Run one process of each function with up to N events at once, which share database
    /// operations [default: processes with one event at a time]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(2..))]
    in_flight: Option<u32>,

    /// Prints the figures as one JSON object; everything else goes to standard error
    #[arg(long)]
    json: bool,

    /// Prints the faults and their times, and runs nothing
    #[arg(long)]
    schedule: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let trial = Trial {
        seed: arguments.seed.unwrap_or_else(|| fastrand::u64(..)),
        length: Duration::from_secs(arguments.seconds),
        messages: arguments.messages.unwrap_or(RATE * arguments.seconds),
        conversations: arguments.conversations,
        in_flight: arguments.in_flight,
        json: arguments.json,
    };
    if arguments.json {
        eprintln!("seed {}", trial.seed);
    } else {
        println!("seed {}", trial.seed);
    }
    if arguments.schedule {
        for planned in trial.schedule() {
            println!("{planned}");
        }
        return ExitCode::SUCCESS;
    }
    process::raise_file_limit();
    match trial.run(stop_on_interrupt()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!(
                "error: {problem:#}\nthe same faults again: {}",
                trial.command()
            );
            ExitCode::FAILURE
        }
    }
}

/// Returns a token that Ctrl-C cancels; a second Ctrl-C ends the program at once.
fn stop_on_interrupt() -> CancellationToken {
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        let interrupted = async || {
            tokio::signal::ctrl_c()
                .await
                .expect("it can be listened for")
        };
        interrupted().await;
        eprintln!("ends early; Ctrl-C again ends at once, without a verdict");
        token.cancel();
        interrupted().await;
        std::process::exit(130);
    });
    stop
}

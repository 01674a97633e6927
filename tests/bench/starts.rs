//! Start of a function, beside the samples: from the spawn of a process to its first poll for an event, with
//! its connection to the database open.

use std::time::{Duration, Instant};

use tests::baseline::Language;
use tests::function::Function;
use tests::programs;
use tests::relay::Relay;
use tokio::process::Command;

use crate::figures::{Report, Samples};

/// Starts of each function.
const STARTS: usize = 30;

/// Prints the starts with the database itself, and with a [`Relay`] whose connections are open already:
/// the embedded database makes new ones wait.
pub async fn run(uri: &str) {
    let send_message = Command::new(programs::deployed().join("send-message"));
    let mut functions = vec![("send-message".to_owned(), send_message)];
    for language in Language::ALL {
        match language.sample().await {
            Ok(sample) => functions.push((format!("{language} sample"), sample.command())),
            Err(error) => eprintln!("the start of the {language} sample is left out: {error:#}"),
        }
    }
    starts(&mut functions, uri, "spawn to first poll").await;
    let relay = Relay::start(uri).await;
    let figure = "spawn to first poll, no wait for the database";
    starts(&mut functions, &relay.uri, figure).await;
}

async fn starts(functions: &mut [(String, Command)], uri: &str, figure: &str) {
    let mut starts: Vec<_> = functions.iter().map(|_| Samples::default()).collect();
    for _ in 0..STARTS {
        for ((_, command), samples) in functions.iter_mut().zip(&mut starts) {
            samples.add(spawn_to_first_poll(command, uri).await);
        }
    }
    let ours = starts[0].median_ms();
    for ((name, _), samples) in functions.iter().zip(&starts) {
        let (summary, ratio) = (samples.summary(), samples.median_ms() / ours);
        let value = format!("{summary}, {ratio:.1} times ours at p50");
        Report::EITHER_MODE.row(format_args!("{figure}, {name}"), value);
    }
}

async fn spawn_to_first_poll(command: &mut Command, uri: &str) -> Duration {
    let start = Instant::now();
    let function = Function::start(command, uri, "meetme", "http://127.0.0.1:9/prod").await;
    let elapsed = start.elapsed();
    function.kill().await;
    elapsed
}

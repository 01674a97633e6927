//! The delivery contract, checked on clients that write and read many conversations at once:
//! `cargo run --bin chaos`.
//!
//! - [`workload`]: the clients, with [`device`], [`outbox`], [`copies`] and [`poller`]
//! - [`session`], [`pages`], [`client`], [`texts`]: what they do it with
//! - [`recorder`], [`history`]: what they did and saw, written down
//! - [`check`]: the contract, as rules over a history and what the database holds

mod check;
mod client;
mod copies;
mod device;
mod history;
mod outbox;
mod pages;
mod poller;
mod recorder;
mod session;
mod texts;
mod workload;

#[cfg(test)]
mod undisturbed;

use std::time::Duration;

use tests::Stack;
use workload::{Settings, Workload};

/// How long clients chat.
const SECONDS: u64 = 10;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let stack = Stack::start().await;
    let workload = Workload::start(Settings {
        ws: stack.ws.clone(),
        http: stack.http.clone(),
        conversations: 24,
        messages: 84 * SECONDS,
        seconds: SECONDS,
        seed: fastrand::u64(..),
    });
    for _ in 0..SECONDS {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let progress = workload.progress();
        eprintln!(
            "{:.0} s: {} messages sent in {} attempts, {} acknowledged; {} pages, {} sockets",
            workload.now().as_secs_f64(),
            progress.sent,
            progress.attempts,
            progress.acked,
            progress.reads,
            progress.sockets
        );
    }
    let history = workload.finish().await;
    let stored = history::read_stored(&stack.database).await?;
    let violations = check::check(&history, &stored);
    stack.stop().await;
    let waits = history.sends.iter().map(|sent| sent.end() - sent.start());
    println!(
        "{} messages stored, the longest wait {:.1} s",
        stored.len(),
        waits.max().unwrap_or_default().as_secs_f64()
    );
    anyhow::ensure!(violations.is_empty(), "{violations:#?}");
    Ok(())
}

//! The figures of the README: `cargo run --release --bin bench`, or only some of them:
//! `cargo run --release --bin bench messages pages start sizes`.
//!
//! - [`messages`]: send to receive, with one pair and with many, beside an insert and a bare echo
//! - [`pages`]: the newest and the oldest page of a long conversation
//! - [`processes`]: start, memory and size of the functions
//! - [`figures`]: medians and percentiles
//!
//! Everything runs on this machine: clients, gateway, functions, database. Figures of one run can be
//! compared with each other; those of two machines cannot.

mod figures;
mod messages;
mod pages;
mod processes;

use tests::{Stack, programs, server};

#[tokio::main]
async fn main() {
    if cfg!(debug_assertions) {
        eprintln!("error: figures of a debug build mean nothing; run with --release");
        std::process::exit(1);
    }
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let parts = ["messages", "pages", "start", "sizes"];
    if let Some(unknown) = chosen.iter().find(|part| !parts.contains(&part.as_str())) {
        eprintln!(
            "error: there is no part {unknown}; there are {}",
            parts.join(", ")
        );
        std::process::exit(1);
    }
    let wanted = |part: &str| chosen.is_empty() || chosen.iter().any(|name| name == part);
    eprintln!("building the functions …");
    programs::folder();
    eprintln!("starting the database and the chat …");
    let uri = server::uri().await;
    let stack = Stack::start_with(uri, &server::database_name(), &["--log", "warn"]).await;
    if wanted("messages") {
        let sent = messages::one_pair(&stack).await + messages::many_pairs(&stack).await;
        processes::memory(&stack, sent).await;
    }
    if wanted("pages") {
        pages::newest_and_oldest(&stack).await;
    }
    if wanted("start") {
        processes::start(uri).await;
    }
    if wanted("sizes") {
        processes::sizes();
    }
    stack.stop().await;
}

//! The figures of the README: `cargo run --release --bin bench`, or only some of them:
//! `cargo run --release --bin bench messages pages start compare sizes scale load`.
//!
//! - [`messages`]: send to receive, with one pair and with many, beside an insert and a bare echo
//! - [`pages`]: the newest and the oldest page of a long conversation
//! - [`compare`]: beside the server that the chat replaces, and beside functions in other languages
//! - [`processes`]: start, memory and size of the functions
//! - [`scale`]: many sockets on the gateway with a function that does nothing
//! - [`load`]: the whole chat with 10,000 open sockets, cut at once, with 200 senders in one
//!   conversation, beside a slow reader and bad frames, and with a conversation of 1,000,000
//!   messages; it writes the memory of each process meanwhile to `tests/bench/memory.svg`
//! - [`echo`]: a server that only sends back, to compare with
//! - [`cpu`]: the CPU time of processes
//! - [`figures`]: medians and percentiles
//! - [`plot`]: line charts
//!
//! Everything runs on this machine: clients, gateway, functions, database. Figures of one run can be
//! compared with each other; those of two machines cannot. What the chat is compared with (in
//! `tests/baseline`) is installed by pip and npm; without Node its row is left out.

mod compare;
mod cpu;
mod echo;
mod figures;
mod load;
mod messages;
mod pages;
mod plot;
mod processes;
mod scale;

use tests::launch::Host;
use tests::{Chat, programs, server};

#[tokio::main]
async fn main() {
    if cfg!(debug_assertions) {
        eprintln!("error: figures of a debug build mean nothing; run with --release");
        std::process::exit(1);
    }
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    if chosen == [echo::ARGUMENT] {
        return echo::serve().await;
    }
    let parts = [
        "messages", "pages", "start", "compare", "sizes", "scale", "load",
    ];
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
    if ["messages", "pages", "start", "compare"]
        .into_iter()
        .any(wanted)
    {
        chat(wanted).await;
    }
    if wanted("sizes") {
        processes::sizes();
    }
    if wanted("scale") {
        scale::idle_sockets().await;
        scale::full_speed().await;
        scale::slow_client().await;
    }
    if wanted("load") {
        load::run().await;
    }
}

/// The parts that need a database.
async fn chat(wanted: impl Fn(&str) -> bool) {
    eprintln!("starting the database and the chat …");
    let uri = server::uri().await;
    // One process, so that its memory and its CPU time are those of the function.
    let settings = Chat::with().host(Host::InFlight);
    let stack = settings.flags(&["--log", "warn"]).start().await;
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
    if wanted("compare") {
        compare::servers(&stack).await;
        compare::starts(uri).await;
    }
    stack.stop().await;
}

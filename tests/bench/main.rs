//! Measures the chat: `cargo measure bench`, or only some parts of it:
//! `cargo measure bench messages pages start compare sizes scale load`.
//!
//! - [`messages`]: send to receive, with one pair and with many, beside an insert and a bare echo
//! - [`pages`]: pages of long conversations and sends into them, beside a short one
//! - [`compare`]: beside the server that the chat replaces, and beside functions in other languages
//! - [`processes`]: start, memory and size of the functions
//! - [`scale`]: many connections to the gateway with a function that does nothing
//! - [`load`]: the whole chat with 10,000 open connections, cut at once, with 200 senders in one
//!   conversation, and beside a slow reader and bad frames; with the memory of each process
//! - [`mode`]: a process per event, or many events in one process
//! - [`echo`]: an echo server to compare with
//! - [`cpu`]: the CPU time of processes
//! - [`figures`]: medians and percentiles
//!
//! Everything runs on this machine: clients, gateway, functions, database. Figures of one run can be
//! compared with each other; those of two machines cannot. A heading names the [`Mode`] of the figures
//! below it; the default mode comes first. pip and npm install what the chat is compared with (in
//! `tests/baseline`); without Node its row is left out.

mod compare;
mod cpu;
mod echo;
mod figures;
mod load;
mod messages;
mod mode;
mod pages;
mod processes;
mod scale;

use tests::{programs, server};

use mode::Mode;

/// The parts of the benchmark.
const PARTS: [&str; 7] = [
    "messages", "pages", "start", "compare", "sizes", "scale", "load",
];

#[tokio::main]
async fn main() {
    if cfg!(debug_assertions) {
        eprintln!("error: figures of a debug build mean nothing; run cargo measure bench");
        std::process::exit(1);
    }
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    if chosen == [echo::ARGUMENT] {
        return echo::serve().await;
    }
    if let Some(unknown) = chosen.iter().find(|part| !PARTS.contains(&part.as_str())) {
        eprintln!(
            "error: there is no part {unknown}; there are {}",
            PARTS.join(", ")
        );
        std::process::exit(1);
    }
    eprintln!("building …");
    programs::folder();
    programs::deployed();
    let wanted = |part: &str| chosen.is_empty() || chosen.iter().any(|name| name == part);
    for mode in Mode::ALL {
        in_mode(mode, &wanted).await;
    }
    in_either_mode(&wanted).await;
}

/// Measures the parts that depend on the mode.
async fn in_mode(mode: Mode, wanted: &impl Fn(&str) -> bool) {
    let is_default = mode == Mode::OneEvent;
    let pages = is_default && wanted("pages");
    let chat = wanted("messages") || wanted("compare") || pages;
    if !chat && !wanted("scale") && !wanted("load") {
        return;
    }
    println!("\n== {}", mode.heading());
    if chat {
        eprintln!("starting the database and the chat …");
        let stack = mode.chat().flags(&["--log", "warn"]).start().await;
        if wanted("messages") {
            let sent = messages::one_pair(&stack).await + messages::many_pairs(&stack).await;
            processes::memory(&stack, sent).await;
        }
        if wanted("compare") {
            compare::servers(&stack).await;
        }
        if pages {
            pages::of_long_conversations(&stack).await;
        }
        stack.stop().await;
    }
    if wanted("scale") {
        scale::full_speed(mode).await;
        scale::slow_client(mode).await;
    }
    if wanted("load") {
        load::run(mode).await;
    }
}

/// Measures the parts that are the same in both modes.
async fn in_either_mode(wanted: &impl Fn(&str) -> bool) {
    if !["start", "compare", "sizes", "scale"]
        .into_iter()
        .any(wanted)
    {
        return;
    }
    println!("\n== either mode");
    if wanted("start") {
        processes::start(server::uri().await).await;
    }
    if wanted("compare") {
        compare::starts(server::uri().await).await;
    }
    if wanted("sizes") {
        processes::sizes();
    }
    if wanted("scale") {
        scale::idle_connections().await;
    }
}

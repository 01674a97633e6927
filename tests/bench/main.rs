//! Measures the chat: `cargo measure bench`, or only some parts of it:
//! `cargo measure bench messages posts pages compare compare-long start sizes scale load fair groups year`.
//!
//! - [`messages`]: send to receive, with one pair and with many, beside an insert and a bare echo
//! - [`posts`]: a post to a connection through the AWS SDK, and by hand
//! - [`list`]: the first page of a list of conversations, beside a short one
//! - [`pages`]: pages of long conversations and sends into them, beside a short one
//! - [`compare`]: beside the server that the chat replaces, and beside a chat in Node and in Python, with
//!   short conversations or with long ones
//! - [`starts`]: start of a function, beside the same, and of the gateway
//! - [`processes`]: memory and size of the functions
//! - [`scale`]: many connections to the gateway with a function that does nothing
//! - [`load`]: the whole chat with 10,000 open connections, cut at once, with 200 senders in one
//!   conversation, and beside a slow reader; with the memory of each process
//! - [`fair`]: sends of other users before a flood of one user, and during it
//! - [`groups`]: messages to groups of 10, 100 and 1,000 members, beside a loop of posts
//! - [`year`]: the operator's program on a year of history
//! - [`mode`]: a process per event, or many events in one process
//! - [`echo`]: an echo server to compare with
//! - [`cpu`]: the CPU time of processes
//! - [`figures`]: medians and percentiles, and the rows that are printed
//!
//! Everything runs on this machine: clients, gateway, functions, database. Figures of one run can be
//! compared with each other; those of two machines cannot. Each row names the [`Mode`]; the default mode
//! comes first. pip and npm install what the chat is compared with (in `tests/baseline`); what cannot be
//! installed is left out.

mod compare;
mod cpu;
mod echo;
mod fair;
mod figures;
mod groups;
mod list;
mod load;
mod messages;
mod mode;
mod pages;
mod posts;
mod processes;
mod scale;
mod starts;
mod year;

use tests::{programs, server};

use compare::Conversations;
use figures::Report;
use mode::Mode;

/// The parts of the benchmark.
const PARTS: [&str; 13] = [
    "messages",
    "posts",
    "pages",
    "list",
    "compare",
    "compare-long",
    "start",
    "sizes",
    "scale",
    "load",
    "fair",
    "groups",
    "year",
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
    let wanted = |parts: &[&str]| {
        let mut chosen = chosen.iter().map(String::as_str);
        chosen.len() == 0 || chosen.any(|part| parts.contains(&part))
    };
    for mode in Mode::ALL {
        in_mode(mode, &wanted).await;
    }
    if wanted(&["posts", "start", "sizes", "scale", "year"]) {
        in_either_mode(&wanted).await;
    }
}

/// Measures the parts that depend on the mode.
async fn in_mode(mode: Mode, wanted: &impl Fn(&[&str]) -> bool) {
    if wanted(&["messages", "pages", "list", "scale", "load"]) {
        mode.report().heading(&["value"]);
    }
    if wanted(&["messages", "pages", "list"]) {
        one_chat(mode, wanted).await;
    }
    if wanted(&["scale"]) {
        scale::full_speed(mode).await;
        scale::slow_client(mode).await;
    }
    if wanted(&["load"]) {
        load::run(mode).await;
    }
    if wanted(&["fair"]) {
        fair::run(mode).await;
    }
    if wanted(&["groups"]) {
        groups::run(mode).await;
    }
    if wanted(&["compare"]) {
        compare::run(mode, Conversations::Short).await;
    }
    if wanted(&["compare-long"]) {
        compare::run(mode, Conversations::Long).await;
    }
}

/// Measures the parts that share a chat.
async fn one_chat(mode: Mode, wanted: &impl Fn(&[&str]) -> bool) {
    let pages = mode == Mode::OneEvent && wanted(&["pages"]);
    if !pages && !wanted(&["messages", "list"]) {
        return;
    }
    eprintln!("starting the database and the chat …");
    let (chat, report) = (mode.chat().flags(&["--log", "warn"]), mode.report());
    let chat = chat.start().await;
    if wanted(&["messages"]) {
        let one = messages::one_pair(&chat, report).await;
        let sent = one + messages::many_pairs(&chat, report).await;
        processes::memory(&chat, sent, report).await;
    }
    if wanted(&["list"]) {
        list::of_many_conversations(&chat, report).await;
    }
    if pages {
        pages::of_long_conversations(&chat, report).await;
    }
    chat.stop().await;
}

/// Measures the parts that are the same in both modes.
async fn in_either_mode(wanted: &impl Fn(&[&str]) -> bool) {
    Report::EITHER_MODE.heading(&["value"]);
    if wanted(&["posts"]) {
        posts::compare().await;
    }
    if wanted(&["start"]) {
        starts::run(server::uri().await).await;
        starts::gateway().await;
    }
    if wanted(&["sizes"]) {
        processes::sizes().await;
    }
    if wanted(&["scale"]) {
        scale::idle_connections().await;
    }
    if wanted(&["year"]) {
        year::run(server::uri().await).await;
    }
}

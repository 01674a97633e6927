//! The whole chat under load, and the memory of each process.
//!
//! - [`crowd`]: many open connections, of which some chat, and all of them back after a cut
//! - [`tally`]: counters of the crowd
//! - [`devices`]: many connections of two users that write into one conversation
//! - [`slow_reader`]: pairs that chat beside a client that does not read what it is sent
//! - [`memory`]: memory of each process and open connections

mod crowd;
mod devices;
mod memory;
mod slow_reader;
mod tally;

use serde_json::Value;
use tests::{Chat, process};
use tokio::signal::ctrl_c;

use crate::figures::Report;
use crate::mode::Mode;
use crowd::Crowd;
use memory::Recorder;

/// Open connections, each of a user of its own.
const CONNECTIONS: usize = 10_000;

/// Users of these who chat, in pairs.
const CHATTING: usize = 1_000;

/// Files that each process opens besides connections, with some to spare.
const OTHER_FILES: usize = 500;

/// Runs all of it on a chat of its own, unless Ctrl-C ends it.
pub async fn run(mode: Mode) {
    tokio::select! {
        () = measure(mode) => {}
        // The gateway has been killed with the dropped future. It would run a `$disconnect` for each
        // connection, against a database that ends with this process.
        _ = ctrl_c() => std::process::exit(130),
    }
}

async fn measure(mode: Mode) {
    let files = process::raise_file_limit() as usize;
    assert!(
        files >= CONNECTIONS + OTHER_FILES,
        "a process may open {files} files only, too few for {CONNECTIONS} connections: see ulimit -n"
    );
    eprintln!("starting the database and the chat …");
    let chat = mode.chat().flags(&["--log", "warn"]).start().await;
    let recorder = Recorder::start(&chat);
    let report = mode.report();
    come_and_go(&chat, &recorder, report).await;
    recorder.phase("200 connections, 2 users");
    devices::write_at_once(&chat, report).await;
    recorder.phase("slow reader");
    slow_reader::beside_pairs(&chat, report).await;
    let record = recorder.finish().await;
    record.print(report);
    chat.stop().await;
    // Only different processes insert at the same number.
    if mode == Mode::OneEvent {
        conflicts(mode).await;
    }
}

/// Repeats the conversation of many connections with a log of metrics, and counts its number conflicts.
async fn conflicts(mode: Mode) {
    eprintln!("starting the chat with a log of metrics …");
    let chat = mode.chat().flags(&["--log-format", "json"]).start().await;
    devices::write_at_once(&chat, mode.report()).await;
    let log = chat.stop().await;
    let lines = log.lines().filter_map(|line| line.split_once(" | "));
    let metrics = lines.filter_map(|(_, line)| serde_json::from_str::<Value>(line).ok());
    let conflicts = metrics.filter_map(|line| line["NumberConflicts"].as_u64());
    mode.report()
        .row("number conflicts of these", conflicts.sum::<u64>());
}

async fn come_and_go(chat: &Chat, recorder: &Recorder, report: Report) {
    recorder.phase("all connect");
    let crowd = Crowd::connect(chat, CONNECTIONS, CHATTING, report).await;
    recorder.phase("1,000 chat");
    crowd.chat().await;
    recorder.phase("all cut, back");
    crowd.storm(chat).await;
    recorder.phase("1,000 chat");
    crowd.chat().await;
    recorder.phase("all leave");
    crowd.leave(chat).await;
}

//! Start, memory and size of the functions.

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::json;
use tests::function::Function;
use tests::{Chat, process, programs};
use tokio::process::Command;

use crate::figures::Samples;

const FUNCTIONS: [&str; 5] = [
    "authorizer",
    "connect",
    "disconnect",
    "history",
    "send-message",
];

/// Sends after which memory is read.
const SENDS: usize = 10_000;

/// Measured starts.
const STARTS: usize = 50;

/// Prints the resident memory of a process of each function, after [`SENDS`] messages, of which `sent`
/// have been sent before.
pub async fn memory(stack: &Chat, sent: usize) {
    let mut client = stack.connect("memory").await;
    for _ in sent..SENDS {
        client
            .send(&json!({"action": "sendMessage", "receiver_id": "nobody", "message": "m"}))
            .await;
        client.next_raw().await;
    }
    let sent = sent.max(SENDS);
    let memory: Vec<String> = FUNCTIONS
        .iter()
        .map(|name| format!("{name} {:.1} MB", resident_mb(stack, name)))
        .collect();
    println!("memory after {sent} sends        {}", memory.join(", "));
}

/// Returns the resident memory of a process of a function, from `/proc`.
fn resident_mb(stack: &Chat, name: &str) -> f64 {
    let processes = process::descendants_named(stack.pid(), name);
    let process = processes.first().expect("the function runs");
    process::memory_kb(process.as_raw_pid().cast_unsigned()) as f64 / 1024.0
}

/// Prints the time from the spawn of `send-message` to its first poll for an event, with its connection
/// to the database open.
pub async fn start(uri: &str) {
    let mut starts = Samples::default();
    for _ in 0..STARTS {
        starts.add(spawn_to_first_poll(&mut send_message(), uri).await);
    }
    println!("send-message, spawn to first poll  {}", starts.summary());
}

/// Returns the command of `send-message`.
pub fn send_message() -> Command {
    Command::new(programs::deployed().join("send-message"))
}

/// Returns the time from the spawn of a function to its first poll for an event.
pub async fn spawn_to_first_poll(command: &mut Command, uri: &str) -> Duration {
    let start = Instant::now();
    let function = Function::start(command, uri, "meetme", "http://127.0.0.1:9/prod").await;
    let elapsed = start.elapsed();
    function.kill().await;
    elapsed
}

/// Prints the deflated size of each binary, which is the size of its zip without the header.
pub fn sizes() {
    let sizes: Vec<String> = FUNCTIONS
        .iter()
        .map(|name| {
            let binary = std::fs::read(programs::deployed().join(name)).expect("it is built");
            let mut zip = DeflateEncoder::new(Vec::new(), Compression::best());
            zip.write_all(&binary).expect("memory suffices");
            let zipped = zip.finish().expect("memory suffices").len();
            format!("{name} {:.2} MB", zipped as f64 / 1e6)
        })
        .collect();
    println!("zipped release binaries          {}", sizes.join(", "));
}

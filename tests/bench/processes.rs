//! Start, memory and size of the functions.

use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use local::lambda::runtime::{Queue, RuntimeApi};
use serde_json::json;
use tests::{Stack, programs};
use tokio::net::TcpListener;
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

/// Starts that are measured.
const STARTS: usize = 50;

/// Prints the resident memory of each function, after `sent` messages and as many more as make
/// [`SENDS`].
pub async fn memory(stack: &Stack, sent: usize) {
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

/// Resident memory of a child of the gateway, from `/proc`.
fn resident_mb(stack: &Stack, name: &str) -> f64 {
    let gateway = stack.pid().as_raw_nonzero();
    let status = tests::stack::children(gateway.get())
        .into_iter()
        .map(|child| std::fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default())
        .find(|status| status.starts_with(&format!("Name:\t{name}\n")))
        .expect("the function runs");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .expect("it has memory");
    let kilobytes = line
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse::<f64>().ok());
    kilobytes.expect("a number of kB") / 1024.0
}

/// Prints the time from the start of `send-message` to its first request for an event, when its
/// connection to the database is open.
pub async fn start(uri: &str) {
    let mut starts = Samples::default();
    for _ in 0..STARTS {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let api = RuntimeApi::new(
            "arn:aws:lambda:us-east-1:1:function:f".to_owned(),
            Duration::from_secs(10),
            Queue::new(),
            false,
        );
        tokio::spawn(Arc::clone(&api).serve(listener));
        let start = Instant::now();
        let mut child = Command::new(programs::folder().join("send-message"))
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "send-message")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AUTH", "open")
            .env("MANAGEMENT_ENDPOINT", "http://127.0.0.1:9/prod")
            .env("MONGODB_URI", uri)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        api.first_poll().await;
        starts.add(start.elapsed());
        child.kill().await.expect("it runs");
        api.process_exited(None);
    }
    println!("send-message, spawn to first poll  {}", starts.summary());
}

/// Prints the deflated size of each binary, which is what a zip of it has but for a header.
pub fn sizes() {
    let sizes: Vec<String> = FUNCTIONS
        .iter()
        .map(|name| {
            let binary = std::fs::read(programs::folder().join(name)).expect("it is built");
            let mut zip = DeflateEncoder::new(Vec::new(), Compression::best());
            zip.write_all(&binary).expect("memory suffices");
            let zipped = zip.finish().expect("memory suffices").len();
            format!("{name} {:.2} MB", zipped as f64 / 1e6)
        })
        .collect();
    println!("zipped release binaries          {}", sizes.join(", "));
}

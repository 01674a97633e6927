//! Memory and size of the functions.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::json;
use tests::baseline::Language;
use tests::{Chat, get, process, programs};

use crate::figures::Report;

const FUNCTIONS: [&str; 7] = [
    "authorizer",
    "connect",
    "conversations",
    "deliver",
    "disconnect",
    "history",
    "send-message",
];

/// Sends after which memory is read.
const SENDS: usize = 10_000;

/// Prints the resident memory of a process of each function, after [`SENDS`] messages, of which `sent`
/// have been sent before.
pub async fn memory(chat: &Chat, sent: usize, report: Report) {
    let mut client = chat.connect("memory").await;
    for _ in sent..SENDS {
        client
            .send(&json!({"action": "sendMessage", "receiver_id": "nobody", "message": "m"}))
            .await;
        client.next_raw().await;
    }
    let list = format!("{}/chat/conversations?user=memory", chat.http);
    get(&list).await.messages();
    let sent = sent.max(SENDS);
    let memory: Vec<String> = FUNCTIONS
        .iter()
        .filter_map(|name| Some(format!("{name} {:.1} MB", resident_mb(chat, name)?)))
        .collect();
    report.row(format_args!("memory after {sent} sends"), memory.join(", "));
}

/// Returns the resident memory of a process of a function, from `/proc`. There is none of `deliver` without a large
/// group.
fn resident_mb(chat: &Chat, name: &str) -> Option<f64> {
    let processes = process::descendants_named(chat.pid(), name);
    let process = processes.first()?;
    Some(process::memory_kb(process.as_raw_pid().cast_unsigned()) as f64 / 1024.0)
}

/// Prints the size of the zip of each function, and of each sample.
pub async fn sizes() {
    let sizes = FUNCTIONS.map(|name| {
        let zipped = zipped_mb(&programs::deployed().join(name));
        format!("{name} {zipped:.2} MB")
    });
    Report::EITHER_MODE.row("zipped function", sizes.join(", "));
    for language in Language::ALL {
        let sample = match language.sample().await {
            Ok(sample) => sample,
            Err(error) => {
                eprintln!("the size of the {language} sample is left out: {error:#}");
                continue;
            }
        };
        let zipped: f64 = sample.package.iter().map(|path| zipped_mb(path)).sum();
        let figure = format!("zipped {language} sample");
        Report::EITHER_MODE.row(figure, format_args!("{zipped:.2} MB"));
    }
}

/// Returns the deflated size of a file, or of the files of a folder without byte code: the size of their
/// zip without its headers.
fn zipped_mb(path: &Path) -> f64 {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).expect("a folder of packages");
        let paths = entries.map(|entry| entry.expect("it is read").path());
        return paths
            .filter(|path| !path.ends_with("__pycache__"))
            .map(|path| zipped_mb(&path))
            .sum();
    }
    let content = std::fs::read(path).expect("it is built or installed");
    let mut zip = DeflateEncoder::new(Vec::new(), Compression::best());
    zip.write_all(&content).expect("memory suffices");
    zip.finish().expect("memory suffices").len() as f64 / 1e6
}

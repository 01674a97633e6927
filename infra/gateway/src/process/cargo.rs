//! Runs cargo, and shows how far it is.
//!
//! Several cargos may build at once. Each has a [`progress`](super::progress) line, and what it
//! writes is kept: it is shown if the build fails, and warnings of the compiler are shown in any
//! case.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::progress::Progress;

/// Returns the command `cargo`, without the variables with which `cargo run` and `cargo test`
/// describe their own package: some build scripts watch these variables, and their crates would be
/// compiled anew.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names {
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command of cargo that builds `what`; returns its standard output. The command is killed
/// if the future is dropped.
///
/// # Errors
///
/// Cargo cannot be run or fails; its messages are on standard error then.
pub async fn build(command: Command, what: &'static str) -> Result<Vec<u8>> {
    let mut child = tokio::process::Command::from(command)
        // By default, cargo counts on a terminal only.
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "80")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot run cargo")?;
    let mut stdout = child.stdout.take().context("the output is a pipe")?;
    let stderr = child.stderr.take().context("the messages are a pipe")?;
    let progress = Progress::start(what);
    let mut output = Vec::new();
    let (read, messages, status) = tokio::join!(
        stdout.read_to_end(&mut output),
        read_messages(stderr, &progress),
        child.wait(),
    );
    read?;
    let is_built = status?.success();
    progress.finish(is_built);
    for line in messages.lines() {
        if !is_built || !is_status(line) {
            eprintln!("{line}");
        }
    }
    if !is_built {
        bail!("{what}: the build failed; cargo's messages are above");
    }
    Ok(output)
}

/// Reads what cargo writes: lines, and bars such as `Building [===> ] 12/345: serde` that overwrite
/// each other. Returns the lines.
async fn read_messages(mut pipe: impl AsyncRead + Unpin, progress: &Progress) -> String {
    let (mut bytes, mut text) = ([0; 4_096], Vec::new());
    while let Ok(count @ 1..) = pipe.read(&mut bytes).await {
        text.extend_from_slice(&bytes[..count]);
        let tail = &text[text.len().saturating_sub(512)..];
        if let Some((done, total)) = counts(&String::from_utf8_lossy(tail)) {
            progress.set(done, total);
        }
    }
    let text = String::from_utf8_lossy(&text);
    let lines = text.split(['\r', '\n']).map(without_control_sequences);
    let lines = lines.filter(|line| !line.trim().is_empty() && counts(line).is_none());
    lines.map(|line| line + "\n").collect()
}

/// Returns the counts of the last bar in a text.
fn counts(text: &str) -> Option<(u32, u32)> {
    let (_, bar) = text.rsplit_once("Building [")?;
    let (_, rest) = bar.split_once("] ")?;
    let (done, rest) = rest.split_once('/')?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
    Some((done.parse().ok()?, rest[..end].parse().ok()?))
}

/// Whether a line says what cargo does, such as `   Compiling serde v1.0.0`.
fn is_status(line: &str) -> bool {
    const VERBS: [&str; 13] = [
        "Adding",
        "Blocking",
        "Compiling",
        "Downloaded",
        "Downloading",
        "Finished",
        "Ignored",
        "Installed",
        "Installing",
        "Locking",
        "Replaced",
        "Replacing",
        "Updating",
    ];
    let verb = line.split_whitespace().next().unwrap_or_default();
    line.starts_with(' ') && VERBS.contains(&verb)
}

/// Removes sequences such as `ESC [ K`, which erases a line of a terminal.
fn without_control_sequences(line: &str) -> String {
    let mut pieces = line.split('\u{1b}');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        let end = piece.find(|letter: char| letter.is_ascii_alphabetic());
        text + end.map_or("", |end| &piece[end + 1..])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bar_is_counted() {
        for (text, expected) in [
            ("    Building [=>   ] 12/345: serde, syn", Some((12, 345))),
            (
                "Building [ ] 1/9: a\r    Building [=] 2/9: b\u{1b}[K",
                Some((2, 9)),
            ),
            ("    Building [=>   ] 12/34", None),
            ("   Compiling serde v1.0.0", None),
        ] {
            assert_eq!(counts(text), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn messages_other_than_progress_are_kept() {
        let progress = Progress::start("test");
        let text = "   Compiling a v1.0.0\n    Building [=> ] 1/2: a\r\u{1b}[Kwarning: unused\n --> a.rs\n";
        let kept = read_messages(text.as_bytes(), &progress).await;
        assert_eq!(kept, "   Compiling a v1.0.0\nwarning: unused\n --> a.rs\n");
        let shown: Vec<&str> = kept.lines().filter(|line| !is_status(line)).collect();
        assert_eq!(shown, ["warning: unused", " --> a.rs"]);
    }
}

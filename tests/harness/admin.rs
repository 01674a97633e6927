//! The operator's program, `chat-admin`.

use serde_json::Value;
use tokio::process::Command;

use crate::{Chat, TIMEOUT, process, programs};

/// What the program has printed.
#[derive(Debug)]
pub struct Printed {
    /// The exit status.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Printed {
    /// Returns the lines of `--json`.
    ///
    /// # Panics
    ///
    /// A line is no JSON.
    pub fn lines(&self) -> Vec<Value> {
        let lines = self.stdout.lines().map(serde_json::from_str);
        let lines: Result<_, _> = lines.collect();
        lines.unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Returns the program with the environment of a chat.
pub fn of(chat: &Chat) -> Command {
    let mut command = with(&chat.uri, chat.database.name());
    command.env("MANAGEMENT_ENDPOINT", chat.management_endpoint());
    command
}

/// Returns the program with a database alone.
pub fn with(uri: &str, database: &str) -> Command {
    let mut command = Command::new(programs::folder().join("chat-admin"));
    command
        .env_clear()
        .env("MONGODB_URI", uri)
        .env("MONGODB_DATABASE", database)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local");
    command
}

/// Runs it with some arguments.
///
/// # Panics
///
/// It does not end in time, or is killed.
pub async fn run(command: &mut Command, arguments: &[&str]) -> Printed {
    let output = process::output(command.args(arguments), TIMEOUT).await;
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Printed {
        status: output.status.code().expect("it is not killed"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

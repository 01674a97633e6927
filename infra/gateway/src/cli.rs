//! The command line: flags, hidden commands, and the error at the end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::level_filters::LevelFilter;

use crate::faults::Faults;
use crate::http::sigv4::AccessKey;
use crate::lambda::pool::Concurrency;
use crate::logs;
use crate::process::supervise;

/// Default of `--concurrency`.
const PROCESSES: u32 = 10;

/// Flags of a gateway, for programs to flatten into their own.
#[derive(Args)]
#[group(skip)]
pub struct Flags {
    /// The template [default: the nearest template.yaml, template.yml or infra/template.yaml, here
    /// or in a folder above]
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,

    /// Set a parameter of the template; may be repeated
    #[arg(long = "parameter", value_name = "KEY=VALUE", value_parser = pair)]
    pub parameters: Vec<(String, String)>,

    /// Port of the WebSocket API, @connections and the Invoke API; 0 takes any free one
    #[arg(long, default_value_t = 3001, value_name = "PORT")]
    pub ws_port: u16,

    /// Port of the HTTP API; 0 takes any free one
    #[arg(long, default_value_t = 3000, value_name = "PORT")]
    pub http_port: u16,

    /// Build the functions with optimisations
    #[arg(long)]
    pub release: bool,

    /// Take the binaries of the functions from this folder instead of building them
    #[arg(long, value_name = "FOLDER")]
    pub binaries: Option<PathBuf>,

    /// Run up to N processes per function, each with one event at a time, started on demand
    /// [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub concurrency: Option<u32>,

    /// Run one process per function with up to N concurrent events (AWS_LAMBDA_MAX_CONCURRENCY),
    /// instead of --concurrency
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    #[arg(conflicts_with = "concurrency")]
    pub in_flight: Option<u32>,

    /// While several users send, serve N events at once, in equal shares [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub fair_concurrency: Option<u32>,

    /// Run the functions with `cargo lambda watch`, which rebuilds them when their source changes
    #[arg(long, conflicts_with_all = ["concurrency", "in_flight", "binaries", "lambda_endpoint"])]
    pub watch: bool,

    /// Run no functions; invoke them through the Lambda Invoke API at this address
    #[arg(long, value_name = "URL")]
    #[arg(conflicts_with_all = ["concurrency", "in_flight", "binaries", "release"])]
    pub lambda_endpoint: Option<String>,

    /// Close a connection after this time without a message
    #[arg(long, default_value = "600", value_name = "SECONDS", value_parser = seconds)]
    pub idle_timeout: Duration,

    /// Close a connection at this age
    #[arg(long, default_value = "7200", value_name = "SECONDS", value_parser = seconds)]
    pub lifetime: Duration,

    /// Access key that may call @connections and the Invoke API; may be repeated. Functions get the first
    #[arg(
        long = "access-key",
        default_value = "local:local",
        value_name = "ID:SECRET"
    )]
    pub access_keys: Vec<AccessKey>,

    /// Serve the rest if a custom resource cannot be made, such as one whose function needs AWS
    #[arg(long)]
    pub skip_failed_resources: bool,

    /// Fire a schedule once at the start, by its logical id or its function; may be repeated
    #[arg(long = "fire", value_name = "SCHEDULE")]
    pub fire: Vec<String>,

    /// Faults to inject, as JSON: see the README of local-gateway
    #[arg(long, default_value = "{}", value_name = "JSON")]
    pub fault: Faults,

    /// Lowest level of log lines: off, error, warn, info, debug or trace
    #[arg(long, default_value = "info", value_name = "LEVEL")]
    pub log: LevelFilter,

    /// Format of the functions' log lines; json is the format on Lambda, with metrics
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// Address of an X-Ray daemon (HOST:PORT), passed to functions as AWS_XRAY_DAEMON_ADDRESS; they
    /// send their traces there
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["watch", "lambda_endpoint"])]
    pub xray_daemon: Option<String>,
}

/// Format of the log lines of functions.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// As on Lambda.
    Json,
}

impl LogFormat {
    /// Returns the value of `AWS_LAMBDA_LOG_FORMAT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "Text",
            Self::Json => "JSON",
        }
    }
}

impl Flags {
    /// Starts the log, and raises the limit of open files.
    pub fn apply_to_process(&self) {
        logs::start(self.log);
        raise_file_limit();
    }

    /// Returns the template that is asked for, else the nearest one.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn find_template(&self) -> Result<PathBuf> {
        if let Some(path) = &self.template {
            return Ok(path.clone());
        }
        let here = std::env::current_dir().context("there is no current folder")?;
        let names = ["template.yaml", "template.yml", "infra/template.yaml"];
        let candidates = here
            .ancestors()
            .flat_map(|folder| names.map(|name| folder.join(name)));
        let mut found = candidates.filter(|path| path.is_file());
        found
            .next()
            .context("there is no template.yaml here or above: name one with --template")
    }

    /// Returns `defaults` with the parameters of the command line in their place.
    pub fn parameters(&self, mut defaults: BTreeMap<String, String>) -> BTreeMap<String, String> {
        defaults.extend(self.parameters.iter().cloned());
        defaults
    }

    /// Returns how many processes a function has, and how many events each takes.
    pub fn concurrency(&self) -> Concurrency {
        match self.in_flight {
            Some(events) => Concurrency::InFlight(events),
            None => Concurrency::Processes(self.concurrency.unwrap_or(PROCESSES)),
        }
    }

    /// Returns how many events are served at once while several callers have some.
    pub fn fair_concurrency(&self) -> u32 {
        self.fair_concurrency.unwrap_or_else(cores)
    }
}

/// Returns how many threads run at once on this machine.
fn cores() -> u32 {
    let cores = std::thread::available_parallelism();
    cores.map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

fn pair(text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').context("a parameter is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn seconds(text: &str) -> Result<Duration> {
    let duration = Duration::try_from_secs_f64(text.parse()?)?;
    if duration.is_zero() {
        bail!("it must be more than 0");
    }
    Ok(duration)
}

/// Raises the limit of open files to the maximum: each connection is a file.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!("the limit of open files stays: {error}");
    }
}

/// Commands with which the program starts itself as a supervisor. A program that flattens [`Flags`]
/// takes them as subcommands.
#[derive(Subcommand)]
pub enum Internal {
    /// Runs a program that ends when standard input does
    #[command(hide = true)]
    Supervise {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Kills its process group when standard input ends
    #[command(hide = true)]
    SuperviseGroup,
}

impl Internal {
    /// Runs the command.
    ///
    /// # Errors
    ///
    /// Those of [`supervise::run`] and [`supervise::run_group`].
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Supervise { program, arguments } => supervise::run(program, arguments).await,
            Self::SuperviseGroup => supervise::run_group().await,
        }
    }
}

/// Ends the program with an error on standard error.
pub fn exit_with(error: &anyhow::Error) -> ! {
    // In one write: functions that still end share standard error, and their lines come between
    // the pieces that `eprintln` writes.
    let line = format!("error: {error:#}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    std::process::exit(1);
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        flags: Flags,
    }

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
        let flags = Arguments::parse_from(["local-gateway"]).flags;
        assert!(
            flags
                .find_template()
                .expect("ours")
                .ends_with("infra/template.yaml")
        );
        assert!(Arguments::try_parse_from(["local-gateway", "--idle-timeout", "0"]).is_err());
        assert!(Arguments::try_parse_from(["local-gateway", "--parameter", "Stage"]).is_err());
    }
}

//! What the chat costs on AWS, a million messages and a month of users, beside a sample that scans a
//! table and pushes one by one: `cargo run --release --bin cost`.
//!
//! - [`prices`]: the one table of prices, dated
//! - [`usage`]: what users do
//! - [`measure`]: what invocations take on this machine
//! - [`invocation`]: what Lambda bills for them
//! - [`bill`]: dollars, service by service
//! - [`chat`]: what this chat costs
//! - [`scan`]: what the sample costs
//! - [`report`]: what is printed
//!
//! It is a model. REPORT lines of CloudWatch tell the billed milliseconds of a deployed chat, and
//! `--billed-ms` puts them in place of what was measured here.

mod bill;
mod chat;
mod invocation;
mod measure;
mod prices;
mod report;
mod scan;
mod usage;

use std::collections::{BTreeMap, BTreeSet};

use clap::{CommandFactory, Parser, ValueEnum};

use chat::Chat;
use invocation::{Figures, Invocations, KINDS, Kind, Network, Sampling};
use scan::Scan;
use usage::{Usage, amount, positive, share};

/// The chat's template.
const TEMPLATE: &str = include_str!("../../infra/template.yaml");

/// Bytes that a send logs, where nothing was measured.
const SEND_LOG_BYTES: f64 = 450.0;

/// What the chat costs on AWS, a million messages and a month of users, beside a sample that scans a
/// table of connections for each message and pushes to one socket after the other.
///
/// Invocations are measured on this machine, unless --billed-ms has all of them.
#[derive(Parser)]
#[command(name = "cost")]
struct Arguments {
    /// Billed milliseconds of invocations, from REPORT lines of CloudWatch; what is measured
    /// otherwise. Kinds: authorize, connect, disconnect, send, ping, history
    #[arg(long, value_delimiter = ',', value_parser = billed, value_name = "KIND=MS")]
    billed_ms: Vec<(Kind, f64)>,

    /// Memory of the functions in MB, from 128 to 10240; that of the template otherwise
    #[arg(long, value_parser = clap::value_parser!(u64).range(128..=10_240), value_name = "MB")]
    memory: Option<u64>,

    /// Bytes that a send logs by itself; what is measured otherwise
    #[arg(long, value_parser = amount, value_name = "N")]
    log_bytes: Option<f64>,

    /// Milliseconds of a round trip to the database on AWS, added to what is measured here; the
    /// default is a database in the same region
    #[arg(long, default_value_t = 1.0, value_parser = amount, value_name = "MS")]
    database_ms: f64,

    /// Milliseconds of a call of @connections on AWS, added to what is measured here, and used for
    /// the sample; the default is an assumption
    #[arg(long, default_value_t = 10.0, value_parser = positive, value_name = "MS")]
    post_ms: f64,

    /// Share of the invocations that X-Ray traces; otherwise the first of each second and 5 % of the
    /// others, as Lambda has it
    #[arg(long, value_parser = share, value_name = "SHARE")]
    traced_share: Option<f64>,

    /// What the MongoDB cluster costs a month: yours, so 0 unless you say
    #[arg(long, default_value_t = 0.0, value_parser = amount, value_name = "USD")]
    database_usd_per_month: f64,

    /// Custom metrics that the functions write; what is measured otherwise
    #[arg(long, value_name = "N")]
    custom_metrics: Option<u32>,

    #[command(flatten)]
    usage: Usage,
}

/// `send=14.5`
fn billed(text: &str) -> Result<(Kind, f64), String> {
    let (kind, ms) = text.split_once('=').ok_or("it is not KIND=MS")?;
    Ok((Kind::from_str(kind, false)?, positive(ms)?))
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let figures = arguments.figures().await;
    let network = Network {
        database_ms: arguments.database_ms,
        post_ms: arguments.post_ms,
    };
    let sampling = arguments
        .traced_share
        .map_or(Sampling::Default, Sampling::Share);
    let metrics = arguments
        .custom_metrics
        .unwrap_or(figures.custom_metrics.len() as u32);
    let chat = Chat {
        usage: &arguments.usage,
        figures: &figures,
        memory_mb: arguments.memory.unwrap_or_else(template_memory),
        network,
        sampling,
        database_month: arguments.database_usd_per_month,
        watching_month: watching_month(metrics),
    };
    let scan = Scan {
        usage: &arguments.usage,
        network,
        same_work: false,
        sampling,
    };
    report::sources(!arguments.has_all());
    report::invocations(&chat);
    report::memory(&chat);
    report::bills(&chat, &scan);
    report::growth(&chat, &scan);
}

impl Arguments {
    /// Whether nothing is left to be measured.
    fn has_all(&self) -> bool {
        KINDS
            .iter()
            .all(|kind| self.billed_ms.iter().any(|(given, _)| given == kind))
    }

    async fn figures(&self) -> Figures {
        let mut figures = match self.has_all() {
            true => Figures {
                invocations: BTreeMap::new(),
                log_bytes: KINDS.map(|kind| (kind, 0.0)).into(),
                custom_metrics: BTreeSet::new(),
            },
            false if cfg!(debug_assertions) => Self::command()
                .error(
                    clap::error::ErrorKind::MissingRequiredArgument,
                    "measurements of a debug build mean nothing; run with --release, or give \
                     --billed-ms for authorize, connect, disconnect, send, ping and history",
                )
                .exit(),
            false => measure::run(&self.usage).await,
        };
        let given = self.billed_ms.iter();
        let given = given.map(|(kind, billed_ms)| (*kind, Invocations::Billed(*billed_ms)));
        figures.invocations.extend(given);
        let default = self.has_all().then_some(SEND_LOG_BYTES);
        if let Some(log_bytes) = self.log_bytes.or(default) {
            figures.log_bytes.insert(Kind::Send, log_bytes);
        }
        figures
    }
}

/// The memory that the template gives its functions, in MB.
fn template_memory() -> u64 {
    let mut lines = TEMPLATE.lines().map(str::trim);
    let memory = lines.find_map(|line| line.strip_prefix("MemorySize: ")?.parse().ok());
    memory.expect("the template gives its functions memory")
}

/// What the template watches the chat with, a month. Only its alarms name metrics in lines of their
/// own.
fn watching_month(custom_metrics: u32) -> f64 {
    let count = |start: &str| {
        let lines = TEMPLATE.lines().map(str::trim);
        lines.filter(|line| line.starts_with(start)).count() as f64
    };
    count("MetricName: ") * prices::ALARM_METRIC_MONTH
        + count("Type: AWS::CloudWatch::Dashboard") * prices::DASHBOARD_MONTH
        + f64::from(custom_metrics) * prices::CUSTOM_METRIC_MONTH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_template_gives_its_functions_memory() {
        assert!((128..=10_240).contains(&template_memory()));
    }
}

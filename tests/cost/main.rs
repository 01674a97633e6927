//! Estimates what the chat costs on AWS, for a million messages and for a month of users:
//! `cargo measure cost`.
//!
//! - [`prices`]: the one table of prices, dated
//! - [`usage`]: what users do
//! - [`measure`]: how long invocations take on this machine
//! - [`invocation`]: what Lambda bills for them
//! - [`bill`]: dollars, service by service
//! - [`chat`]: the bill of the chat
//! - [`report`]: the output
//!
//! It is a model. `--billed-ms` takes the billed milliseconds of a deployed chat, from the REPORT lines
//! of CloudWatch, in place of measured ones.

mod bill;
mod chat;
mod invocation;
mod measure;
mod prices;
mod report;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use clap::{CommandFactory, Parser, ValueEnum};
use local_gateway::template::Document;
use local_gateway::template::yaml::Node;
use serde_json::Value;

use ::tests::launch::TEMPLATE;
use chat::Chat;
use invocation::{Figures, Invocations, KINDS, Kind, Network, Sampling};
use usage::{Usage, amount, positive, share};

/// Bytes that a send logs, if nothing was measured.
const SEND_LOG_BYTES: f64 = 450.0;

/// Estimates what the chat costs on AWS, for a million messages and for a month of users.
///
/// Measures invocations on this machine, unless --billed-ms has all of them.
#[derive(Parser)]
#[command(name = "cost")]
struct Arguments {
    /// Billed milliseconds of invocations, from REPORT lines of CloudWatch [default: measured]. Kinds:
    /// authorize, connect, disconnect, send, deliver (a slice of a hundred pushes), ping, typing, mark, history, list
    #[arg(long, value_delimiter = ',', value_parser = billed, value_name = "KIND=MS")]
    billed_ms: Vec<(Kind, f64)>,

    /// Memory of the functions in MB, from 128 to 10240 [default: that of the template]
    #[arg(long, value_parser = clap::value_parser!(u64).range(128..=10_240), value_name = "MB")]
    memory: Option<u64>,

    /// Bytes that a send logs, without Lambda's own lines [default: measured]
    #[arg(long, value_parser = amount, value_name = "N")]
    log_bytes: Option<f64>,

    /// Milliseconds of a round trip to the database on AWS, added to the measured times; the default
    /// is for a database in the same region
    #[arg(long, default_value_t = 1.0, value_parser = amount, value_name = "MS")]
    database_ms: f64,

    /// Milliseconds of a call of @connections on AWS, added to the measured times; the default is an
    /// assumption
    #[arg(long, default_value_t = 10.0, value_parser = positive, value_name = "MS")]
    post_ms: f64,

    /// Share of the invocations that X-Ray traces [default: the first of each second and 5 % of the
    /// others, as Lambda does]
    #[arg(long, value_parser = share, value_name = "SHARE")]
    traced_share: Option<f64>,

    /// Price of your MongoDB cluster a month
    #[arg(long, default_value_t = 0.0, value_parser = amount, value_name = "USD")]
    database_usd_per_month: f64,

    /// Number of custom metrics that the functions write [default: measured]
    #[arg(long, value_name = "N")]
    custom_metrics: Option<u32>,

    #[command(flatten)]
    usage: Usage,
}

/// Parses `send=14.5`.
fn billed(text: &str) -> Result<(Kind, f64), String> {
    let (kind, ms) = text.split_once('=').ok_or("it is not KIND=MS")?;
    Ok((Kind::from_str(kind, false)?, positive(ms)?))
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let figures = arguments.figures().await;
    let metrics = arguments
        .custom_metrics
        .unwrap_or(figures.custom_metrics.len() as u32);
    let chat = Chat {
        usage: &arguments.usage,
        figures: &figures,
        memory_mb: arguments.memory.unwrap_or_else(template_memory),
        network: Network {
            database_ms: arguments.database_ms,
            post_ms: arguments.post_ms,
        },
        sampling: arguments
            .traced_share
            .map_or(Sampling::Default, Sampling::Share),
        database_month: arguments.database_usd_per_month,
        watching_month: watching_month(metrics),
    };
    report::sources(!arguments.has_all());
    report::invocations(&chat);
    report::memory(&chat);
    report::bills(&chat);
    report::groups(&chat);
    report::growth(&chat);
}

impl Arguments {
    /// Returns whether the flags give the billed milliseconds of all kinds.
    fn has_all(&self) -> bool {
        KINDS
            .iter()
            .all(|kind| self.billed_ms.iter().any(|(given, _)| given == kind))
    }

    /// Returns the figures of the flags, and measures the others.
    async fn figures(&self) -> Figures {
        let mut figures = if self.has_all() {
            Figures {
                invocations: BTreeMap::new(),
                log_bytes: KINDS.map(|kind| (kind, 0.0)).into(),
                custom_metrics: BTreeSet::new(),
            }
        } else if cfg!(debug_assertions) {
            let sentence = "measurements of a debug build mean nothing; run cargo measure cost, or \
                            give --billed-ms for authorize, connect, disconnect, send, deliver, ping, typing, mark, history and list";
            Self::command()
                .error(clap::error::ErrorKind::MissingRequiredArgument, sentence)
                .exit()
        } else {
            measure::run(&self.usage).await
        };
        for (kind, billed_ms) in &self.billed_ms {
            let billed = Invocations::Billed(*billed_ms);
            figures.invocations.insert(*kind, billed);
        }
        let default = self.has_all().then_some(SEND_LOG_BYTES);
        if let Some(log_bytes) = self.log_bytes.or(default) {
            figures.log_bytes.insert(Kind::Send, log_bytes);
        }
        figures
    }
}

/// Returns the memory that the template gives `send-message` by default, in MB.
fn template_memory() -> u64 {
    let required = [("Auth", "open"), ("MongodbUri", "mongodb://db")];
    let required = required.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let template = Document::read(Path::new(TEMPLATE))
        .and_then(|document| document.evaluate(&required.into()))
        .expect("the template is valid");
    template.functions["SendMessageFunction"].memory_mb
}

/// Returns the price of alarms, dashboard and custom metrics a month.
fn watching_month(custom_metrics: u32) -> f64 {
    let text = std::fs::read_to_string(TEMPLATE).expect("the template");
    let template = Node::parse(&text).expect("it is YAML").to_json();
    let resources = template["Resources"].as_object().expect("resources");
    let (mut alarm_metrics, mut dashboards) = (0, 0);
    for resource in resources.values() {
        match resource["Type"].as_str() {
            Some("AWS::CloudWatch::Alarm") => alarm_metrics += metric_names(resource),
            Some("AWS::CloudWatch::Dashboard") => dashboards += 1,
            _ => {}
        }
    }
    f64::from(alarm_metrics) * prices::ALARM_METRIC_MONTH
        + f64::from(dashboards) * prices::DASHBOARD_MONTH
        + f64::from(custom_metrics) * prices::CUSTOM_METRIC_MONTH
}

/// Counts the keys `MetricName` anywhere in an alarm.
fn metric_names(alarm: &Value) -> u32 {
    match alarm {
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| u32::from(key == "MetricName") + metric_names(value))
            .sum(),
        Value::Array(items) => items.iter().map(metric_names).sum(),
        _ => 0,
    }
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

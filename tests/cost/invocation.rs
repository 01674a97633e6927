//! How long one invocation of a function takes, and what Lambda bills for it.

use std::collections::{BTreeMap, BTreeSet};

use ::chat::delivery::push::CONCURRENT_CALLS;

use crate::prices;

/// Memory that comes with one whole CPU, in MB. The share of a CPU is proportional to the memory.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
pub const ONE_CPU_MB: u64 = 1_769;

/// Bytes that `platform.start` and `platform.report` add to the log of each invocation, as JSON:
/// <https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html>.
pub const PLATFORM_LOG_BYTES: f64 = 550.0;

/// Kind of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// The authorizer, before each handshake and each request of the HTTP API.
    Authorize,
    /// `$connect`.
    Connect,
    /// `$disconnect`.
    Disconnect,
    /// A message, stored and pushed.
    Send,
    /// A slice of a large group, with [`DELIVER_PUSHES`] pushes.
    Deliver,
    /// A ping, which keeps a connection open.
    Ping,
    /// The news that a user types, passed on.
    Typing,
    /// A read mark, stored and passed on.
    Mark,
    /// A page of the history.
    History,
    /// The first page of a user's list of conversations.
    List,
}

/// Pushes of the slices that are measured.
pub const DELIVER_PUSHES: u32 = 100;

/// Every kind.
pub const KINDS: [Kind; 10] = [
    Kind::Authorize,
    Kind::Connect,
    Kind::Disconnect,
    Kind::Send,
    Kind::Deliver,
    Kind::Ping,
    Kind::Typing,
    Kind::Mark,
    Kind::History,
    Kind::List,
];

/// Network times on AWS that a single machine does not have, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// A round trip to the database.
    pub database_ms: f64,
    /// A call of `@connections`.
    pub post_ms: f64,
}

/// The invocations of one kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Invocations {
    /// Billed milliseconds of each, from REPORT lines of CloudWatch.
    Billed(f64),
    /// Measured on this machine.
    Measured {
        /// Wall time of each, in milliseconds.
        wall_ms: Vec<f64>,
        /// Mean CPU time, in milliseconds.
        cpu_ms: f64,
    },
}

/// Measurements of a run of the chat.
pub struct Figures {
    /// The invocations of each kind.
    pub invocations: BTreeMap<Kind, Invocations>,
    /// Mean bytes that a function itself logs for an invocation of each kind.
    pub log_bytes: BTreeMap<Kind, f64>,
    /// Names of the custom metrics in the log.
    pub custom_metrics: BTreeSet<String>,
}

/// Sampling rule of X-Ray.
#[derive(Debug, Clone, Copy)]
pub enum Sampling {
    /// Lambda's default, the first of each second and a share of the others:
    /// <https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html>.
    Default,
    /// A share of all.
    Share(f64),
}

/// Sampled share of the invocations that are not the first of their second.
const SAMPLED_OTHERS: f64 = 0.05;

impl Sampling {
    /// Returns the traced share of additional invocations under load.
    pub fn of_more(self) -> f64 {
        match self {
            Self::Default => SAMPLED_OTHERS,
            Self::Share(share) => share,
        }
    }

    /// Returns the traced share of `invocations` at random times within `seconds`, with all functions
    /// taken together.
    pub fn of_all(self, invocations: f64, seconds: f64) -> f64 {
        match self {
            Self::Default => {
                let firsts = seconds * (1.0 - (-invocations / seconds).exp());
                (firsts + SAMPLED_OTHERS * (invocations - firsts)) / invocations
            }
            Self::Share(share) => share,
        }
    }
}

impl Kind {
    /// Returns its name in the output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::Send => "send",
            Self::Deliver => "deliver",
            Self::Ping => "ping",
            Self::Typing => "typing",
            Self::Mark => "mark",
            Self::History => "history",
            Self::List => "list",
        }
    }

    /// Returns the network time of an invocation, in milliseconds. `pushes` is the share of messages
    /// with a receiver online; all pushes of a message run concurrently.
    pub fn network_ms(self, network: Network, pushes: f64) -> f64 {
        match self {
            // The issuer's keys are cached.
            Self::Authorize => 0.0,
            Self::Disconnect | Self::History => network.database_ms,
            // The row of the connection, then the user's other connections.
            Self::Connect => 2.0 * network.database_ms,
            // At most: read the newest number, insert, find the connections. A process may have the
            // first cached, and the rate limit runs beside the insert.
            Self::Send => 3.0 * network.database_ms + pushes * network.post_ms,
            // The entry and the members at once, then the connections; and as many pushes in a row as must wait for
            // others.
            Self::Deliver => {
                let rounds = DELIVER_PUSHES.div_ceil(CONCURRENT_CALLS as u32);
                2.0 * network.database_ms + f64::from(rounds) * network.post_ms
            }
            Self::Ping => 0.0,
            // Connections and numbers are known to the process.
            Self::Typing => pushes * network.post_ms,
            Self::Mark => network.database_ms + pushes * network.post_ms,
            // The user's documents, the newest messages with marks and settings, the count of unread ones.
            Self::List => 3.0 * network.database_ms,
        }
    }
}

impl Invocations {
    /// Returns the mean billed milliseconds of an invocation at `memory_mb`, with `network_ms` added
    /// to measured times. Lambda rounds each up to a whole millisecond.
    pub fn billed_ms(&self, memory_mb: u64, network_ms: f64) -> f64 {
        match self {
            Self::Billed(billed_ms) => *billed_ms,
            Self::Measured { wall_ms, cpu_ms } => {
                // One event uses one CPU at most.
                let slower = (ONE_CPU_MB as f64 / memory_mb as f64).max(1.0);
                let billed = wall_ms
                    .iter()
                    .map(|wall_ms| (wall_ms - cpu_ms).max(0.0) + network_ms + cpu_ms * slower)
                    .map(f64::ceil);
                billed.sum::<f64>() / wall_ms.len() as f64
            }
        }
    }
}

/// Returns the price of the GB-seconds of an invocation.
pub fn time_price(billed_ms: f64, memory_mb: u64) -> f64 {
    billed_ms / 1e3 * memory_mb as f64 / 1024.0 * prices::LAMBDA_ARM64_GB_SECOND
}

/// Returns the price of an invocation: the request and its GB-seconds.
pub fn price(billed_ms: f64, memory_mb: u64) -> f64 {
    prices::LAMBDA_REQUEST + time_price(billed_ms, memory_mb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_memory_stretches_cpu_time_and_not_waiting_time() {
        let sends = Invocations::Measured {
            wall_ms: vec![2.0, 4.0],
            cpu_ms: 0.5,
        };
        // Waiting 1.5 and 3.5, CPU 0.5: 2 and 4.
        assert_eq!(sends.billed_ms(ONE_CPU_MB, 0.0), 3.0);
        assert_eq!(sends.billed_ms(10_000, 0.0), 3.0);
        // CPU 0.5 x 1769 / 256 = 3.455: 4.955 and 6.955, billed as 5 and 7.
        assert_eq!(sends.billed_ms(256, 0.0), 6.0);
        // And 10 of network: 14.955 and 16.955.
        assert_eq!(sends.billed_ms(256, 10.0), 16.0);
        assert_eq!(Invocations::Billed(7.0).billed_ms(256, 10.0), 7.0);
    }

    #[test]
    fn the_first_of_each_second_is_traced_and_a_share_of_the_others() {
        let few = Sampling::Default.of_all(1.0, 1e6);
        assert!((few - 1.0).abs() < 1e-5, "{few}");
        // A million in a million seconds: 632,121 seconds have a first one.
        let more = Sampling::Default.of_all(1e6, 1e6);
        assert!(
            (more - (0.632_121 + 0.05 * 0.367_879)).abs() < 1e-6,
            "{more}"
        );
        let many = Sampling::Default.of_all(1e9, 1e6);
        assert!((many - (0.001 + 0.05 * 0.999)).abs() < 1e-9, "{many}");
        assert_eq!(Sampling::Share(0.5).of_all(1.0, 1e6), 0.5);
    }

    #[test]
    fn a_price_is_the_request_and_the_gb_seconds() {
        // 16 ms at 256 MB are 0.004 GB-seconds.
        let expected = 0.000_000_2 + 0.004 * 0.000_013_333_4;
        assert!((price(16.0, 256) - expected).abs() < 1e-15);
    }
}

//! Telemetry: log lines, EMF metrics, X-Ray subsegments. Nothing here blocks a request.
//!
//! - `line`: one log line for each event, as JSON or as text
//! - `invocation`: collects the counters and calls of an invocation, and reports them when it ends
//! - `report`: the data of a report
//! - `emf`: its metrics, as a log line that CloudWatch reads
//! - `xray`: its trace, to the X-Ray daemon beside the function
//! - `fields`: the fields of spans and events
//!
//! An event counts by a field with the name of a metric, as in `monotonic_counter.Sends = 1`. A span
//! named `database`, `push`, `queue` or `topic` is timed. Spans give their fields to all lines within them.
//!
//! The counters, on which alarms key:
//!
//! | metric | an event |
//! |---|---|
//! | `Connects`, `Disconnects` | a connection is recorded, its row is deleted |
//! | `SocketsClosed` | a connection is closed: its user has too many, its token has expired, too many of its frames were refused |
//! | `Sends`, `Duplicates` | a message is stored, a resend finds it stored |
//! | `NumberConflicts` | another writer took the number of a message |
//! | `PushesDelivered`, `PushesGone`, `PushesFailed` | outcomes of pushes |
//! | `SlicesQueued` | parts of the recipients of an entry that were queued, since they have too many connections |
//! | `Announced`, `NotAnnounced` | a text that no connection has got is announced at the topic, or could not be |
//! | `Refusals` | a request is rejected: the client's fault |
//! | `RateLimited` | such a request was beyond the rate limit |
//! | `Unauthorized` | a token is missing or not valid |
//! | `Failures` | a request failed: our fault |

mod emf;
mod fields;
mod invocation;
mod line;
mod report;
mod xray;

use std::env;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use emf::MetricSource;
use invocation::Invocations;
use line::Lines;
use xray::Daemon;

/// Starts telemetry as the environment asks:
///
/// - lines as Lambda's [logging controls] say: `AWS_LAMBDA_LOG_FORMAT` `JSON` or `Text` (default),
///   `AWS_LAMBDA_LOG_LEVEL` (default `INFO`)
/// - metrics if the lines are JSON and `STACK_NAME` is set, whatever the level
/// - traces if `AWS_XRAY_DAEMON_ADDRESS` is set, of the invocations that Lambda samples
///
/// [logging controls]: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html
pub fn start() {
    let level = variable("AWS_LAMBDA_LOG_LEVEL")
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::INFO);
    let json =
        variable("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json"));
    let invocations = Invocations {
        metric_source: variable("STACK_NAME")
            .filter(|_| json)
            .map(|stack| MetricSource {
                stack,
                function: variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
            }),
        daemon: variable("AWS_XRAY_DAEMON_ADDRESS").and_then(|address| Daemon::at(&address)),
    };
    // Below INFO the runtime shows whole events, and with them the text of messages. We log nothing
    // there. Spans are INFO and there at any level: they give lines their ids, and metrics their times.
    tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(invocations)
        .with(Lines { json, level })
        .init();
}

/// Returns a variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

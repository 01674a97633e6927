//! The figures of a run, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use chat::Kind as Message;
use serde::Serialize;
use strum::IntoEnumIterator;
use tests::client::Frame;

use crate::cluster::Killed;
use crate::fault::Kind;
use crate::history::{History, Outcome, Sent};
use crate::nemesis::Fault;

/// Width of the column of labels.
const LABEL: usize = 38;

/// The kinds of entries that are no texts, with their names in a report.
const CHANGES: [(Message, &str); 7] = [
    (Message::Edit, "edits"),
    (Message::Delete, "deletions"),
    (Message::Create, "creations of groups"),
    (Message::Join, "invitations"),
    (Message::Leave, "leaves and removals"),
    (Message::Rename, "new names of groups"),
    (Message::Role, "new roles"),
];

/// The input of a report.
pub struct Run<'a> {
    /// The seed.
    pub seed: u64,
    /// Everything that the clients did and saw.
    pub history: &'a History,
    /// How many messages the database holds.
    pub stored: usize,
    /// How often the contract was broken.
    pub violations: usize,
    /// The faults that were carried out.
    pub faults: &'a [Fault],
    /// How many processes of each function were killed.
    pub killed: Killed,
    /// How many processes of functions ran with which clock.
    pub clocks: BTreeMap<String, usize>,
}

/// The figures of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    seed: u64,
    violations: usize,
    messages: Messages,
    handshakes: Operations,
    pages: Operations,
    /// Attempts to send a message after its first one, by the reason.
    resends: BTreeMap<String, usize>,
    duplicate_acks: usize,
    /// Pushes that a device had already.
    pushes_dropped: u64,
    /// Messages that a device had to read from the history.
    messages_fetched: u64,
    /// Messages that no fault touched.
    undisturbed: Latency,
    /// Messages that were under way during a fault.
    disturbed: Latency,
    faults: Vec<FaultFigures>,
    /// Processes of functions that were killed, by function.
    processes_killed: Killed,
    /// Processes of functions, by how far their clock was off.
    processes_by_clock: BTreeMap<String, usize>,
}

#[derive(Debug, Serialize)]
struct Messages {
    sent: usize,
    acknowledged: usize,
    /// Those of them that are no texts, by their kind.
    changes: BTreeMap<&'static str, usize>,
    refused: usize,
    unknown: usize,
    stored: usize,
}

#[derive(Debug, Serialize)]
struct Operations {
    all: usize,
    failed: usize,
}

/// Times from the first attempt of a message to its ack.
#[derive(Debug, Serialize)]
struct Latency {
    p50_ms: f64,
    p99_ms: f64,
    messages: usize,
}

/// The faults of a kind.
#[derive(Debug, Serialize)]
struct FaultFigures {
    kind: String,
    count: usize,
    /// Of those that took a process away.
    outage: Option<Outage>,
}

/// The longest times after any fault of a kind.
#[derive(Debug, Serialize)]
struct Outage {
    /// To the first ack of a message that was sent after it.
    first_ack_s: f64,
    /// From the first attempt of a message that was under way to its ack.
    longest_wait_s: f64,
    /// Until everything responded again.
    healthy_s: f64,
}

impl Report {
    /// Computes the figures of a run.
    pub fn of(run: Run<'_>) -> Self {
        let history = run.history;
        let held = &history.held;
        let (disturbed, undisturbed): (Vec<&Sent>, Vec<&Sent>) =
            acknowledged(history).partition(|sent| is_disturbed(sent, run.faults));
        Self {
            seed: run.seed,
            violations: run.violations,
            messages: Messages::of(&history.sends, run.stored),
            handshakes: Operations {
                all: history.handshakes.len(),
                failed: history.handshakes.len() - history.connections.len(),
            },
            pages: pages(history),
            resends: reasons(&history.sends),
            duplicate_acks: duplicate_acks(history),
            pushes_dropped: held.iter().map(|held| held.dropped).sum(),
            messages_fetched: held.iter().map(|held| held.fetched).sum(),
            undisturbed: Latency::of(&undisturbed),
            disturbed: Latency::of(&disturbed),
            faults: Kind::iter()
                .map(|kind| FaultFigures::of(kind, &run))
                .collect(),
            processes_killed: run.killed,
            processes_by_clock: run.clocks,
        }
    }
}

impl Messages {
    fn of(sends: &[Sent], stored: usize) -> Self {
        let with = |sought: fn(&Outcome) -> bool| {
            let outcomes = sends.iter().map(Sent::outcome);
            outcomes.filter(sought).count()
        };
        let changes = CHANGES.map(|(kind, name)| {
            let changes = sends.iter().filter(|sent| sent.kind == kind);
            let acknowledged = changes.filter(|it| it.outcome() == Outcome::Ok);
            (name, acknowledged.count())
        });
        let acknowledged = with(|outcome| matches!(outcome, Outcome::Ok));
        let refused = with(|outcome| matches!(outcome, Outcome::Failed(_)));
        Self {
            sent: sends.len(),
            acknowledged,
            changes: changes.into(),
            refused,
            unknown: sends.len() - acknowledged - refused,
            stored,
        }
    }
}

impl Latency {
    fn of(sends: &[&Sent]) -> Self {
        let waits = sends.iter().map(|sent| sent.end() - sent.start());
        let mut waits: Vec<Duration> = waits.collect();
        waits.sort_unstable();
        let percentile_ms = |percent: usize| {
            let wait = waits.get(waits.len() * percent / 100);
            wait.map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
        };
        Self {
            p50_ms: percentile_ms(50),
            p99_ms: percentile_ms(99),
            messages: waits.len(),
        }
    }
}

impl FaultFigures {
    fn of(kind: Kind, run: &Run<'_>) -> Self {
        let faults = run.faults.iter().filter(|fault| fault.kind == kind);
        let faults: Vec<&Fault> = faults.collect();
        let longest_s = |time: fn(&History, &Fault) -> Duration| {
            let times = faults.iter().map(|fault| time(run.history, fault));
            times.max().unwrap_or_default().as_secs_f64()
        };
        Self {
            kind: kind.to_string(),
            count: faults.len(),
            outage: (kind.is_outage() && !faults.is_empty()).then(|| Outage {
                first_ack_s: longest_s(until_first_ack),
                longest_wait_s: longest_s(longest_wait),
                healthy_s: longest_s(|_, fault| fault.healthy - fault.began),
            }),
        }
    }
}

/// Counts the pages that clients have read.
fn pages(history: &History) -> Operations {
    let reads = &history.reads;
    let failed = reads.iter().filter(|read| read.outcome != Outcome::Ok);
    Operations {
        all: reads.len(),
        failed: failed.count(),
    }
}

fn duplicate_acks(history: &History) -> usize {
    let connections = history.connections.iter();
    let frames = connections.flat_map(|connection| &connection.received);
    let duplicates =
        frames.filter(|received| matches!(&received.frame, Frame::Ack(ack) if ack.duplicate));
    duplicates.count()
}

/// Returns the messages that were acknowledged.
fn acknowledged(history: &History) -> impl Iterator<Item = &Sent> {
    let sends = history.sends.iter();
    sends.filter(|sent| sent.outcome() == Outcome::Ok)
}

/// Whether a message was under way at any time from a fault until everything responded again.
fn is_under_way(sent: &Sent, fault: &Fault) -> bool {
    sent.start() <= fault.healthy && sent.end() >= fault.began
}

fn is_disturbed(sent: &Sent, faults: &[Fault]) -> bool {
    faults.iter().any(|fault| is_under_way(sent, fault))
}

/// Returns the time from a fault to the first ack of a message that was sent after it.
fn until_first_ack(history: &History, fault: &Fault) -> Duration {
    let after = acknowledged(history).filter(|sent| sent.start() >= fault.began);
    let first = after.map(Sent::end).min();
    first.map_or(Duration::ZERO, |first| first - fault.began)
}

/// Returns the longest time from the first attempt of a message to its ack, of those under way.
fn longest_wait(history: &History, fault: &Fault) -> Duration {
    let affected = acknowledged(history).filter(|sent| is_under_way(sent, fault));
    let waits = affected.map(|sent| sent.end() - sent.start());
    waits.max().unwrap_or_default()
}

/// Counts the attempts that were followed by another one, by the reason.
fn reasons(sends: &[Sent]) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    for sent in sends {
        for attempt in sent.attempts.iter().rev().skip(1) {
            *reasons.entry(reason(&attempt.outcome)).or_default() += 1;
        }
    }
    reasons
}

/// Returns the outcome of an attempt without its details.
fn reason(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Unknown(why) if why.starts_with('{') => "an error of the gateway".to_owned(),
        Outcome::Unknown(why) if why == "no response in time" => why.clone(),
        Outcome::Unknown(why) | Outcome::Failed(why) if !why.contains(' ') => why.clone(),
        _ => "the end of the connection".to_owned(),
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        self.write_messages(out)?;
        self.write_resends(out)?;
        line(out, "send to ack, without faults", &self.undisturbed)?;
        line(out, "send to ack, under faults", &self.disturbed)?;
        self.write_faults(out)?;
        writeln!(out)?;
        line(out, "violations of the contract", self.violations)
    }
}

impl Report {
    fn write_messages(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let messages = &self.messages;
        line(out, "messages sent", messages.sent)?;
        line(out, "messages acknowledged", messages.acknowledged)?;
        for (name, count) in &messages.changes {
            line(out, &format!("  {name} among them"), count)?;
        }
        line(out, "messages refused, as they should", messages.refused)?;
        line(out, "messages of unknown fate", messages.unknown)?;
        line(out, "messages stored", messages.stored)?;
        line(out, "handshakes", &self.handshakes)?;
        line(out, "pages read", &self.pages)
    }

    fn write_resends(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let resends: usize = self.resends.values().sum();
        line(out, "messages sent again", resends)?;
        for (reason, count) in &self.resends {
            line(out, &format!("  after {reason}"), count)?;
        }
        line(out, "acknowledged as duplicates", self.duplicate_acks)?;
        line(out, "pushes dropped as known", self.pushes_dropped)?;
        let fetched = self.messages_fetched;
        line(out, "messages fetched from the history", fetched)
    }

    fn write_faults(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "\nfaults, how often; until the first ack; longest wait for an ack; until healthy"
        )?;
        for fault in &self.faults {
            writeln!(out, "  {fault}")?;
        }
        for (function, count) in &self.processes_killed {
            let label = format!("process of {function} killed");
            writeln!(out, "  {label:LABEL$}{count:4}")?;
        }
        for (clock, count) in &self.processes_by_clock {
            let label = format!("process with a clock off by {clock}");
            writeln!(out, "  {label:LABEL$}{count:4}")?;
        }
        Ok(())
    }
}

fn line(out: &mut Formatter<'_>, label: &str, figure: impl Display) -> fmt::Result {
    writeln!(out, "{label:LABEL$}  {figure}")
}

impl Display for Operations {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}, {} of them failed", self.all, self.failed)
    }
}

impl Display for Latency {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            p50_ms,
            p99_ms,
            messages,
        } = self;
        write!(
            out,
            "p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms, {messages} messages"
        )
    }
}

impl Display for FaultFigures {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{:LABEL$}{:4}", self.kind, self.count)?;
        if let Some(outage) = &self.outage {
            let Outage {
                first_ack_s,
                longest_wait_s,
                healthy_s,
            } = outage;
            write!(
                out,
                "{first_ack_s:8.2} s{longest_wait_s:8.2} s{healthy_s:8.2} s"
            )?;
        }
        Ok(())
    }
}

//! The figures of a run.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use tests::client::Frame;

use crate::fault::Kind;
use crate::history::{History, Outcome, Sent};
use crate::nemesis::Fault;

/// Width of what a figure is called.
const LABEL: usize = 38;

/// What figures are made of.
pub struct Report<'a> {
    /// What the run did and saw.
    pub history: &'a History,
    /// How many messages the database holds.
    pub stored: usize,
    /// How often the contract was broken.
    pub violations: usize,
    /// What was done to it.
    pub faults: &'a [Fault],
    /// How many processes of each function were killed.
    pub killed: &'a BTreeMap<String, usize>,
    /// How many processes of functions ran with which clock.
    pub clocks: &'a BTreeMap<String, usize>,
}

impl Display for Report<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        self.operations(out)?;
        self.repairs(out)?;
        self.latencies(out)?;
        self.carried_out(out)?;
        writeln!(out)?;
        line(out, "violations of the contract", self.violations)
    }
}

impl Report<'_> {
    fn operations(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let history = self.history;
        let with = |sought: fn(&Outcome) -> bool| {
            let outcomes = history.sends.iter().map(Sent::outcome);
            outcomes.filter(sought).count()
        };
        let acknowledged = with(|outcome| matches!(outcome, Outcome::Ok));
        let refused = with(|outcome| matches!(outcome, Outcome::Failed(_)));
        let sent = history.sends.len();
        line(out, "messages sent", sent)?;
        line(out, "messages acknowledged", acknowledged)?;
        line(out, "messages refused, as they should", refused)?;
        line(
            out,
            "messages of unknown fate",
            sent - acknowledged - refused,
        )?;
        line(out, "messages stored", self.stored)?;
        let handshakes = history.handshakes.len();
        let failed = handshakes - history.sockets.len();
        line(
            out,
            "handshakes",
            format!("{handshakes}, {failed} of them in vain"),
        )?;
        let pages = history.reads.len();
        let failed = history
            .reads
            .iter()
            .filter(|read| read.outcome != Outcome::Ok);
        let failed = failed.count();
        line(
            out,
            "pages read",
            format!("{pages}, {failed} of them in vain"),
        )
    }

    fn repairs(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let history = self.history;
        let retries = history.sends.iter().map(|sent| sent.attempts.len() - 1);
        line(out, "messages sent again", retries.sum::<usize>())?;
        for (reason, count) in reasons(&history.sends) {
            line(out, &format!("  after {reason}"), count)?;
        }
        let frames = history.sockets.iter().flat_map(|socket| &socket.received);
        let duplicates =
            frames.filter(|received| matches!(&received.frame, Frame::Ack(ack) if ack.duplicate));
        line(out, "acknowledged as duplicates", duplicates.count())?;
        let dropped: u64 = history.held.iter().map(|held| held.dropped).sum();
        line(out, "pushes dropped as known", dropped)?;
        let fetched: u64 = history.held.iter().map(|held| held.fetched).sum();
        line(out, "messages fetched from the history", fetched)
    }

    fn latencies(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let acknowledged = || {
            self.history
                .sends
                .iter()
                .filter(|sent| is_acknowledged(sent))
        };
        let overlaps = |sent: &&Sent| {
            let mut faults = self.faults.iter();
            faults.any(|fault| sent.start() <= fault.healthy && sent.end() >= fault.began)
        };
        let (under_faults, quiet): (Vec<&Sent>, Vec<&Sent>) = acknowledged().partition(overlaps);
        line(out, "send to ack, without faults", summary(&quiet))?;
        line(out, "send to ack, under faults", summary(&under_faults))
    }

    fn carried_out(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "\nfaults, how often; until the first ack; longest wait for an ack; until healthy"
        )?;
        for kind in Kind::ALL {
            let faults = self.faults.iter().filter(|fault| fault.kind == kind);
            let faults: Vec<&Fault> = faults.collect();
            let longest = |time: fn(&Self, &Fault) -> Duration| {
                let times = faults.iter().map(|fault| time(self, fault));
                times.max().unwrap_or_default().as_secs_f64()
            };
            write!(out, "  {kind:LABEL$}{:4}", faults.len())?;
            if kind.is_outage() && !faults.is_empty() {
                let first_ack = longest(Self::until_first_ack);
                let wait = longest(Self::longest_wait);
                let healthy = longest(|_, fault| fault.healthy - fault.began);
                write!(out, "{first_ack:8.2} s{wait:8.2} s{healthy:8.2} s")?;
            }
            writeln!(out)?;
        }
        for (function, count) in self.killed {
            writeln!(
                out,
                "  {:LABEL$}{count:4}",
                format!("process of {function} killed")
            )?;
        }
        for (clock, count) in self.clocks {
            writeln!(
                out,
                "  {:LABEL$}{count:4}",
                format!("process with a clock off by {clock}")
            )?;
        }
        Ok(())
    }

    /// From a fault to the first acknowledgement of a message that was sent after it.
    fn until_first_ack(&self, fault: &Fault) -> Duration {
        let sends = self.history.sends.iter();
        let after = sends.filter(|sent| sent.start() >= fault.began && is_acknowledged(sent));
        let first = after.map(Sent::end).min();
        first.map_or(Duration::ZERO, |first| first - fault.began)
    }

    /// The longest time from the first attempt of a message to its acknowledgement, of those that were
    /// under way at any time from the fault until everything answered again.
    fn longest_wait(&self, fault: &Fault) -> Duration {
        let sends = self
            .history
            .sends
            .iter()
            .filter(|sent| is_acknowledged(sent));
        let affected =
            sends.filter(|sent| sent.start() <= fault.healthy && sent.end() >= fault.began);
        let waits = affected.map(|sent| sent.end() - sent.start());
        waits.max().unwrap_or_default()
    }
}

fn line(out: &mut Formatter<'_>, label: &str, figure: impl Display) -> fmt::Result {
    writeln!(out, "{label:LABEL$}  {figure}")
}

fn is_acknowledged(sent: &Sent) -> bool {
    sent.outcome() == Outcome::Ok
}

/// Why messages had to be sent again, and how often.
fn reasons(sends: &[Sent]) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    for sent in sends {
        // The last attempt is not followed by another one.
        for attempt in sent.attempts.iter().rev().skip(1) {
            *reasons.entry(reason(&attempt.outcome)).or_default() += 1;
        }
    }
    reasons
}

/// The outcome of an attempt without what is of this attempt alone.
fn reason(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Unknown(why) if why.starts_with('{') => "an error of the gateway".to_owned(),
        Outcome::Unknown(why) if why == "no answer in time" => why.clone(),
        Outcome::Unknown(why) | Outcome::Failed(why) if !why.contains(' ') => why.clone(),
        _ => "the end of the socket".to_owned(),
    }
}

/// `p50 12.3 ms, p99 456.7 ms, 789 messages`
fn summary(sends: &[&Sent]) -> String {
    let waits = sends.iter().map(|sent| sent.end() - sent.start());
    let mut waits: Vec<Duration> = waits.collect();
    waits.sort_unstable();
    let percentile_ms = |percent: usize| {
        let wait = waits.get(waits.len() * percent / 100);
        wait.map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
    };
    let (p50, p99) = (percentile_ms(50), percentile_ms(99));
    format!("p50 {p50:.1} ms, p99 {p99:.1} ms, {} messages", waits.len())
}

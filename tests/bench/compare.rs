//! Compares the chat with the server that it replaces, and in the default mode with samples in Node and
//! Python.
//!
//! - [`contender`]: the chat, a sample, or the old server, each with a database of its own
//! - [`pair`]: two clients of a contender
//! - [`turns`]: pairs that chat concurrently, contender by contender
//!
//! All use one database server and the same clients, in turn within one run. A pair sends its next message
//! when the last one has been received, because neither a sample nor the old server has acks. Writes are
//! acknowledged by a majority everywhere, and all look-ups have an index.

mod contender;
mod pair;
mod turns;

use std::ops::Range;
use std::time::Instant;

use tests::baseline::Language;

use crate::cpu::Role;
use crate::figures::{Report, Samples};
use crate::messages::WARM_UP;
use crate::mode::Mode;
use contender::Contender;
use pair::Pair;
use turns::Total;

/// Counted rounds with one pair.
const ROUNDS: usize = 1_000;

/// How many messages a conversation has before it is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Conversations {
    /// None.
    Short,
    /// Some thousand.
    Long,
}

impl Conversations {
    fn messages(self) -> i64 {
        match self {
            Self::Short => 0,
            Self::Long => 5_000,
        }
    }

    /// Returns how many pairs chat concurrently, one number after another.
    fn pairs(self) -> &'static [usize] {
        match self {
            Self::Short => &[16, 32],
            // More take minutes to fill.
            Self::Long => &[16],
        }
    }
}

/// Prints a table: a column for each contender, and the ratios of the chat to the others.
pub async fn run(mode: Mode, conversations: Conversations) {
    let contenders = start(mode).await;
    let table = Table::print_heading(mode.report(), &contenders, conversations);
    let (mut pairs, mut connected) = (Vec::new(), 0);
    for count in conversations.pairs() {
        // Other users than before, whose connections are about to be closed.
        let numbers = connected..connected + count;
        connected = numbers.end;
        pairs = fill_and_connect(&contenders, conversations, numbers).await;
        table.rows_of_turns(*count, &turns::all_chat(&mut pairs).await);
    }
    // All processes that the turns needed are warm now.
    let samples = one_pair(pairs.iter_mut().map(|all| &mut all[0]).collect()).await;
    table.row("1 pair, p50", Unit::Ms, |at| Some(samples[at].median_ms()));
    table.row("1 pair, p99", Unit::Ms, |at| {
        Some(samples[at].percentile_ms(99))
    });
    let memory: Vec<_> = contenders.iter().map(Contender::memory_mb).collect();
    table.row("memory of a function's process", Unit::Mb, |at| memory[at]);
    drop(pairs);
    let mut billed = Vec::new();
    for contender in &contenders {
        billed.push(contender.billed_ms().await);
    }
    table.row("billed time of a send, mean", Unit::Ms, |at| billed[at]);
    for contender in contenders {
        contender.stop().await;
    }
}

/// Returns pairs of each contender, whose conversations have their messages.
async fn fill_and_connect(
    contenders: &[Contender],
    conversations: Conversations,
    numbers: Range<usize>,
) -> Vec<Vec<Pair>> {
    let mut pairs = Vec::new();
    for contender in contenders {
        for number in numbers.clone() {
            contender.fill(number, conversations.messages()).await;
        }
    }
    for contender in contenders {
        pairs.push(Pair::connect(contender, numbers.clone()).await);
    }
    pairs
}

async fn start(mode: Mode) -> Vec<Contender> {
    eprintln!("starting the database, the chat, and what it is compared with …");
    let mut contenders = vec![Contender::chat(mode).await];
    let languages: &[Language] = match mode {
        Mode::OneEvent => &Language::ALL,
        // Their runtimes give a process one event at a time.
        Mode::ManyEvents => &[],
    };
    for language in languages {
        match Contender::sample(*language).await {
            Ok(sample) => contenders.push(sample),
            Err(error) => eprintln!("the {language} sample is left out: {error:#}"),
        }
    }
    contenders.push(Contender::old_server().await);
    contenders
}

/// Lets one pair of each contender send a message in turn, so that other load on the machine affects all alike.
async fn one_pair(mut pairs: Vec<&mut Pair>) -> Vec<Samples> {
    let mut samples: Vec<_> = pairs.iter().map(|_| Samples::default()).collect();
    let warm_at = Instant::now() + WARM_UP;
    while samples[0].len() < ROUNDS {
        let start = Instant::now();
        for (pair, samples) in pairs.iter_mut().zip(&mut samples) {
            let elapsed = pair.message().await;
            pair.all_acked().await;
            if warm_at < start {
                samples.add(elapsed);
            }
        }
    }
    samples
}

/// The unit of a row.
#[derive(Clone, Copy)]
enum Unit {
    Ms,
    Mb,
    PerSecond,
}

impl Unit {
    fn format(self, value: f64) -> String {
        match self {
            Self::Ms => format!("{value:.2} ms"),
            Self::Mb => format!("{value:.1} MB"),
            Self::PerSecond => format!("{value:.0} a second"),
        }
    }
}

/// A table with a row for each figure.
struct Table {
    report: Report,
    conversations: Conversations,
    columns: usize,
}

impl Table {
    fn print_heading(
        report: Report,
        contenders: &[Contender],
        conversations: Conversations,
    ) -> Self {
        let names = contenders.iter().map(|contender| contender.name.clone());
        let others = contenders.iter().skip(1);
        let ratios = others.map(|other| format!("chat / {}", other.name));
        let columns: Vec<String> = names.chain(ratios).collect();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        report.heading(&columns);
        Self {
            report,
            conversations,
            columns: contenders.len(),
        }
    }

    /// Prints the value of each contender, and the ratios. `value` gets the number of a contender.
    fn row(&self, figure: &str, unit: Unit, value: impl Fn(usize) -> Option<f64>) {
        let values: Vec<_> = (0..self.columns).map(value).collect();
        let cells = values
            .iter()
            .map(|value| value.map_or_else(|| "–".to_owned(), |value| unit.format(value)));
        let ratios = values.iter().skip(1).map(|other| {
            let ratio = values[0].zip(*other).map(|(ours, other)| ours / other);
            ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
        });
        let cells: Vec<String> = cells.chain(ratios).collect();
        let figure = match self.conversations {
            Conversations::Short => figure.to_owned(),
            Conversations::Long => {
                let messages = self.conversations.messages();
                format!("after {messages} messages: {figure}")
            }
        };
        self.report.row(figure, cells.join(" | "));
    }

    /// Prints what many pairs have delivered, and the CPU time of a message.
    fn rows_of_turns(&self, pairs: usize, totals: &[Total]) {
        let figure = format!("{pairs} pairs, delivered");
        self.row(&figure, Unit::PerSecond, |at| Some(totals[at].rate()));
        let p50 = format!("{pairs} pairs, p50");
        self.row(&p50, Unit::Ms, |at| Some(totals[at].delivered.median_ms()));
        let all = [Role::Functions, Role::Gateway, Role::Server, Role::Database];
        for (what, roles) in [
            ("without the client", &all[..]),
            ("functions", &[Role::Functions]),
            ("gateway", &[Role::Gateway]),
            ("old server", &[Role::Server]),
            ("database", &[Role::Database]),
            ("client", &[Role::Client]),
        ] {
            let figure = format!("{pairs} pairs, CPU time of a message, {what}");
            self.row(&figure, Unit::Ms, |at| totals[at].cpu_ms(roles));
        }
    }
}

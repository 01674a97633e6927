//! A run, from its start to the verdict.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tests::{programs, server};
use tokio_util::sync::CancellationToken;

use crate::check::{Violation, check};
use crate::cluster::Cluster;
use crate::contents::Contents;
use crate::fault::Planned;
use crate::history::History;
use crate::nemesis::{Fault, Nemesis};
use crate::report::{Report, Run};
use crate::schedule;
use crate::skew::Binaries;
use crate::workload::{Settings, Workload};

/// Time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// Number of violations that are shown; a file has all.
const SHOWN: usize = 20;

/// The settings of a run.
pub struct Trial {
    /// Seed of all random numbers; the machine's timing is not among them.
    pub seed: u64,
    /// Length of the run.
    pub length: Duration,
    /// Number of messages in that time.
    pub messages: u64,
    /// Number of conversations.
    pub conversations: usize,
    /// Events that the one process of a function takes at once; `None` for processes that take one
    /// each.
    pub in_flight: Option<u32>,
    /// Whether the report is JSON.
    pub json: bool,
}

impl Trial {
    /// Returns the faults and their times. A database that is not this run's has none.
    pub fn schedule(&self) -> Vec<Planned> {
        let given = std::env::var("MONGODB_URI").is_ok_and(|uri| !uri.is_empty());
        schedule::of(self.seed, self.length, !given)
    }

    /// Returns the command that repeats the run.
    pub fn command(&self) -> String {
        let run = if cfg!(debug_assertions) {
            "run --bin"
        } else {
            "measure"
        };
        let in_flight = self
            .in_flight
            .map(|events| format!(" --in-flight {events}"));
        format!(
            "cargo {run} chaos -- --seed {} --seconds {} --messages {} --conversations {}{}",
            self.seed,
            self.length.as_secs(),
            self.messages,
            self.conversations,
            in_flight.unwrap_or_default()
        )
    }

    /// Runs and prints figures; ends early, but with a verdict, when `stop` is cancelled. Removes
    /// its files, unless the run fails.
    ///
    /// # Errors
    ///
    /// The contract was broken, or a process did not come back; the error names the files.
    pub async fn run(&self, stop: CancellationToken) -> Result<()> {
        eprintln!("building …");
        programs::folder();
        let scratch = server::scratch_folder();
        let outcome = self.run_in(&scratch, stop).await;
        if outcome.is_ok() {
            fs::remove_dir_all(&scratch)?;
            return Ok(());
        }
        let kept = programs::folder().join(format!("chaos-{}", self.seed));
        let _ = fs::remove_dir_all(&kept);
        fs::rename(&scratch, &kept)?;
        outcome.with_context(|| format!("see {}", kept.display()))
    }

    async fn run_in(&self, folder: &Path, stop: CancellationToken) -> Result<()> {
        let binaries = Binaries::prepare(folder, self.seed)?;
        if !binaries.are_skewed {
            eprintln!("all clocks are right: libfaketime does not work here");
        }
        let outcome = self.run_on(folder, &binaries, stop).await;
        binaries.clean()?;
        outcome
    }

    async fn run_on(
        &self,
        folder: &Path,
        binaries: &Binaries,
        stop: CancellationToken,
    ) -> Result<()> {
        let cluster = Arc::new(Cluster::start(folder, &binaries.folder, self.in_flight).await?);
        if !cluster.owns_database() {
            eprintln!("the database is not ours: there are no faults of the database");
        }
        let workload = Workload::start(self.settings(&cluster));
        let start = Instant::now() - workload.now();
        let nemesis = Nemesis::new(Arc::clone(&cluster), start, stop);
        let faults = tokio::select! {
            faults = nemesis.execute(self.schedule(), self.length) => faults?,
            () = print_progress(&workload, &nemesis) => unreachable!("it goes on"),
        };
        eprintln!("all is healed; clients get what they lack …");
        let history = workload.finish().await;
        let data = cluster.data().await?;
        let contents = Contents::read(&data).await?;
        let mut violations = check(&history, &contents);
        let mut damages = cluster.damages().await?;
        // What is found so far is kept for a look.
        if violations.is_empty() && damages.is_empty() {
            damages = cluster.damages_after_removal().await?;
        }
        let damages = damages.into_iter();
        violations.extend(damages.map(|line| Violation::Damaged { line }));
        self.print(&Report::of(Run {
            seed: self.seed,
            history: &history,
            stored: contents.stored.len(),
            violations: violations.len(),
            faults: &faults,
            killed: cluster.gateway().await.killed().await?,
            clocks: binaries.started()?,
        }))?;
        let stopped = cluster.stop().await;
        if violations.is_empty() {
            return stopped;
        }
        write_down(folder, &history, &faults, &violations)?;
        bail!("the contract was broken {} times", violations.len())
    }

    fn print(&self, report: &Report) -> Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(report)?);
        } else {
            print!("{report}");
        }
        Ok(())
    }

    fn settings(&self, cluster: &Cluster) -> Settings {
        Settings {
            ws: cluster.ws.clone(),
            http: cluster.http.clone(),
            conversations: self.conversations,
            messages: self.messages,
            seconds: self.length.as_secs(),
            seed: self.seed,
        }
    }
}

/// Prints lines of progress.
async fn print_progress(workload: &Workload, nemesis: &Nemesis) {
    loop {
        tokio::time::sleep(PROGRESS).await;
        let progress = workload.progress();
        let faults = nemesis.active().into_iter().map(|kind| kind.to_string());
        eprintln!(
            "{:5.0} s  {} sent, {} acknowledged, {} attempts, {} connections, {} pages  [{}]",
            workload.now().as_secs_f64(),
            progress.sent,
            progress.acked,
            progress.attempts,
            progress.connections,
            progress.reads,
            faults.collect::<Vec<_>>().join(", ")
        );
    }
}

/// Shows violations, and writes files for the search for their causes.
fn write_down(
    folder: &Path,
    history: &History,
    faults: &[Fault],
    violations: &[Violation],
) -> Result<()> {
    for violation in violations.iter().take(SHOWN) {
        eprintln!("{violation:?}");
    }
    let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
    let write = |name: &str, text: Vec<u8>| fs::write(folder.join(name), text);
    write("violations.txt", format!("{violations:#?}").into_bytes())?;
    write("faults.txt", faults.join("\n").into_bytes())?;
    write("history.json", serde_json::to_vec(history)?)?;
    Ok(())
}

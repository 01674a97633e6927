//! Memory of each process and open connections in each phase of the load (Linux).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, getpid};
use tests::process::descendants;
use tests::{Chat, process};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::figures::Report;

/// Interval between two samples.
const INTERVAL: Duration = Duration::from_secs(1);

/// Samples memory and connections until it is finished.
pub struct Recorder {
    record: Arc<Mutex<Record>>,
    start: Instant,
    sampler: JoinHandle<()>,
}

/// The phases so far.
pub struct Record(Vec<Phase>);

/// A part of the load, with the maxima of its samples.
#[derive(Default)]
struct Phase {
    name: &'static str,
    connections: usize,
    /// Resident memory in MB, by the name of the process; processes of one name are added up.
    memory: BTreeMap<String, f64>,
}

impl Recorder {
    /// Starts to sample. The first phase is called `idle`.
    pub fn start(chat: &Chat) -> Self {
        let record = Arc::new(Mutex::new(Record(vec![Phase::named("idle")])));
        let gateway = chat.pid();
        let id = chat.gateway.id();
        let files = process::open_files(id);
        let sampler = {
            let record = Arc::clone(&record);
            tokio::spawn(async move {
                let mut ticks = tokio::time::interval(INTERVAL);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
                loop {
                    ticks.tick().await;
                    let connections = process::open_files(id).saturating_sub(files);
                    record.lock().add(connections, memory_mb(gateway));
                }
            })
        };
        Self {
            record,
            start: Instant::now(),
            sampler,
        }
    }

    /// Starts a new phase.
    pub fn phase(&self, name: &'static str) {
        let at = self.start.elapsed().as_secs_f64();
        eprintln!("{at:.0} s: {name} …");
        self.record.lock().0.push(Phase::named(name));
    }

    /// Stops sampling and returns the phases.
    pub async fn finish(self) -> Record {
        self.sampler.abort();
        // It is aborted between two samples.
        let _ = self.sampler.await;
        Record(std::mem::take(&mut self.record.lock().0))
    }
}

impl Phase {
    fn named(name: &'static str) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }
}

impl Record {
    fn add(&mut self, connections: usize, memory: BTreeMap<String, f64>) {
        let phase = self.0.last_mut().expect("there is a first phase");
        phase.connections = phase.connections.max(connections);
        for (name, megabytes) in memory {
            let most = phase.memory.entry(name).or_default();
            *most = most.max(megabytes);
        }
    }

    /// Prints a row for each phase.
    pub fn print(&self, report: Report) {
        for phase in &self.0 {
            let memory = phase.memory.iter();
            let memory: Vec<String> = memory
                .map(|(name, megabytes)| format!("{name} {megabytes:.1}"))
                .collect();
            let figure = format!("memory at most, in MB: {}", phase.name);
            let value = format!("{} ({} connections)", memory.join(", "), phase.connections);
            report.row(figure, value);
        }
    }
}

/// Returns the resident memory of the clients (this process), the gateway, its functions, and the
/// database if this run started it.
fn memory_mb(gateway: Pid) -> BTreeMap<String, f64> {
    let us = getpid();
    let functions = descendants(gateway);
    let others = descendants(us);
    let mut memory = BTreeMap::new();
    for id in std::iter::once(us).chain(others) {
        let Some((name, megabytes)) = name_and_mb(id) else {
            continue;
        };
        let name = match id {
            _ if id == us => "clients".to_owned(),
            _ if id == gateway => "gateway".to_owned(),
            // Processes that end the others if the gateway cannot, and the migration at the start.
            _ if ["chat-local", "migrate", "sh"].contains(&name.as_str()) => continue,
            _ if functions.contains(&id) => name,
            _ => "database".to_owned(),
        };
        *memory.entry(name).or_default() += megabytes;
    }
    memory
}

/// Returns the name and the resident memory of a process, unless it has ended.
fn name_and_mb(id: Pid) -> Option<(String, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let field = |name| status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes: f64 = field("VmRSS:")?.split_whitespace().next()?.parse().ok()?;
    Some((field("Name:")?.trim().to_owned(), kilobytes / 1_024.0))
}

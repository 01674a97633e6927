//! Memory of each process and open sockets, once a second (Linux).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, getpid};
use tests::process::descendants;
use tests::{Chat, process};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::plot::{Panel, Plot, Scale, Series};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks on, until it is finished.
pub struct Recorder {
    record: Arc<Mutex<Record>>,
    start: Instant,
    watcher: JoinHandle<()>,
}

/// What was seen.
#[derive(Default)]
pub struct Record {
    /// Beginnings, by seconds since the start.
    phases: Vec<(f64, &'static str)>,
    /// Resident memory in MB of each process, by seconds since the start.
    memory: BTreeMap<String, Vec<(f64, f64)>>,
    /// Open sockets of the gateway.
    sockets: Vec<(f64, f64)>,
}

impl Recorder {
    /// Begins to look on.
    pub fn start(stack: &Chat) -> Self {
        let (record, start) = (Arc::new(Mutex::new(Record::default())), Instant::now());
        let gateway = stack.pid();
        let id = stack.gateway.id();
        let files = process::open_files(id);
        let watcher = {
            let record = Arc::clone(&record);
            tokio::spawn(async move {
                let mut ticks = tokio::time::interval(INTERVAL);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
                loop {
                    ticks.tick().await;
                    let sockets = process::open_files(id).saturating_sub(files);
                    let memory = memory_mb(gateway);
                    let at = start.elapsed().as_secs_f64();
                    record.lock().add(at, sockets, memory);
                }
            })
        };
        Self {
            record,
            start,
            watcher,
        }
    }

    /// Notes that something else begins.
    pub fn phase(&self, name: &'static str) {
        let at = self.start.elapsed().as_secs_f64();
        eprintln!("{at:.0} s: {name} …");
        let mut record = self.record.lock();
        record.phases.push((at, name));
    }

    /// Ends, and gives what was seen.
    pub async fn finish(self) -> Record {
        self.watcher.abort();
        // It ends between two looks.
        let _ = self.watcher.await;
        std::mem::take(&mut *self.record.lock())
    }
}

impl Record {
    fn add(&mut self, at: f64, sockets: usize, memory: BTreeMap<String, f64>) {
        self.sockets.push((at, sockets as f64));
        for (name, megabytes) in memory {
            self.memory.entry(name).or_default().push((at, megabytes));
        }
    }

    /// Prints the memory of each process before, at most, and after.
    pub fn print(&self) {
        let memory: Vec<String> = self
            .memory
            .iter()
            .map(|(name, values)| {
                let values = values.iter().map(|(_, megabytes)| *megabytes);
                let first = values.clone().next().unwrap_or_default();
                let last = values.clone().next_back().unwrap_or_default();
                let most = values.fold(0.0, f64::max);
                format!("{name} {first:.1}, {most:.1}, {last:.1} MB")
            })
            .collect();
        println!("memory before, at most, after    {}", memory.join("; "));
    }

    /// The plot, as SVG.
    pub fn plot(&self) -> String {
        let memory = self.memory.iter().map(|(name, values)| Series {
            name: name.clone(),
            points: values.clone(),
        });
        let sockets = Series {
            name: "open".to_owned(),
            points: self.sockets.clone(),
        };
        Plot {
            phases: self.phases.clone(),
            panels: [
                Panel {
                    label: "resident memory, MB",
                    scale: Scale::Logarithmic,
                    series: memory.collect(),
                },
                Panel {
                    label: "sockets of the gateway",
                    scale: Scale::Linear,
                    series: vec![sockets],
                },
            ],
        }
        .to_svg()
    }
}

/// Resident memory of the clients (this process), the gateway, its functions, and the database if it
/// is ours.
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
            // Those that end the others if the gateway cannot, and the function of the start.
            _ if ["chat-local", "migrate", "sh"].contains(&name.as_str()) => continue,
            _ if functions.contains(&id) => name,
            _ => "database".to_owned(),
        };
        *memory.entry(name).or_default() += megabytes;
    }
    memory
}

/// Name and resident memory of a process, if it has not ended.
fn name_and_mb(id: Pid) -> Option<(String, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let field = |name| status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes: f64 = field("VmRSS:")?.split_whitespace().next()?.parse().ok()?;
    Some((field("Name:")?.trim().to_owned(), kilobytes / 1_024.0))
}

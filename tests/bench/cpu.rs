//! CPU time of this process and its descendants: gateway, functions, and the database if this run
//! started it.

use std::collections::BTreeMap;

use rustix::process::getpid;
use tests::process::{descendants, name_and_cpu_ms};

/// CPU time of each process since its start, by process id.
pub struct Cpu(BTreeMap<i32, (String, f64)>);

impl Cpu {
    /// Reads the CPU times.
    pub fn now() -> Self {
        let us = getpid();
        let ids = std::iter::once(us).chain(descendants(us));
        let used = ids.filter_map(|id| Some((id.as_raw_pid(), name_and_cpu_ms(id)?)));
        Self(used.collect())
    }

    /// Returns the CPU time that was used since this reading.
    pub fn used_since(&self) -> Used {
        let mut used = Used::default();
        for (id, (name, now)) in Self::now().0 {
            let then = self.0.get(&id).map_or(0.0, |(_, then)| *then);
            *used.0.entry(name).or_default() += now - then;
        }
        used
    }
}

/// CPU time of processes in milliseconds, by name.
#[derive(Default)]
pub struct Used(BTreeMap<String, f64>);

impl Used {
    /// Adds the CPU times of another interval.
    pub fn merge(&mut self, other: Self) {
        for (name, used) in other.0 {
            *self.0.entry(name).or_default() += used;
        }
    }

    /// Returns the CPU time of one of `count` operations, `send-message 0.87 ms, …`, without processes
    /// below 0.005 ms.
    pub fn each(&self, count: usize) -> String {
        let each = self
            .0
            .iter()
            .map(|(name, used)| (name, used / count as f64));
        let busy = each.filter(|(_, used)| *used > 0.005);
        let busy: Vec<String> = busy
            .map(|(name, used)| format!("{name} {used:.2} ms"))
            .collect();
        busy.join(", ")
    }
}

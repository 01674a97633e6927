//! CPU time of this process and its descendants, by role.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use rustix::process::{Pid, getpid};
use tests::process::{children, name_and_cpu_ms};

/// Programs that serve an API and run functions.
const GATEWAYS: [&str; 2] = ["chat-local", "local-gateway"];

/// Beginnings of the names of database servers.
const DATABASES: [&str; 2] = ["mongod", "secantus"];

/// The role of a process in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A process that a gateway has started. While messages are sent, only `send-message` or a sample uses
    /// CPU time.
    Functions,
    /// A gateway.
    Gateway,
    /// The old server.
    Server,
    /// The database, if this run started it.
    Database,
    /// This process.
    Client,
}

impl Role {
    /// Returns the role of a process that was started by one with the role `parent`.
    fn of(name: &str, parent: Self) -> Self {
        match parent {
            _ if DATABASES.iter().any(|server| name.starts_with(server)) => Self::Database,
            // That of the database has this name too. It only waits.
            _ if GATEWAYS.contains(&name) => Self::Gateway,
            Self::Gateway => Self::Functions,
            Self::Client if name.starts_with("python") => Self::Server,
            other => other,
        }
    }
}

impl Display for Role {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Self::Functions => "functions",
            Self::Gateway => "gateway",
            Self::Server => "server",
            Self::Database => "database",
            Self::Client => "client",
        })
    }
}

/// CPU time of each process since its start, and of this machine.
pub struct Cpu {
    /// By process id.
    processes: BTreeMap<i32, (Role, f64)>,
    machine_ms: f64,
}

impl Cpu {
    /// Reads the CPU times.
    pub fn now() -> Self {
        let mut cpu = Self {
            processes: BTreeMap::new(),
            machine_ms: machine_ms(),
        };
        cpu.read(getpid(), Role::Client);
        cpu
    }

    /// Reads the CPU times of a process and of its descendants.
    fn read(&mut self, id: Pid, role: Role) {
        if let Some((_, used)) = name_and_cpu_ms(id) {
            self.processes.insert(id.as_raw_pid(), (role, used));
        }
        for child in children(id) {
            if let Some((name, _)) = name_and_cpu_ms(child) {
                self.read(child, Role::of(&name, role));
            }
        }
    }

    /// Returns the CPU time that was used since this reading.
    pub fn used_since(&self) -> Used {
        let (mut used, now) = (Used::default(), Self::now());
        for (id, (role, now)) in now.processes {
            let then = self.processes.get(&id).map_or(0.0, |(_, then)| *then);
            *used.by_role.entry(role).or_default() += now - then;
        }
        let ours: f64 = used.by_role.values().sum();
        used.others_ms = (now.machine_ms - self.machine_ms - ours).max(0.0);
        used
    }
}

/// Returns the CPU time that this machine has used since its start, in milliseconds.
fn machine_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").expect("Linux has it");
    let fields = stat.lines().next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // All but the time without work (the fourth and the fifth), up to that of other virtual machines.
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    (ticks.iter().take(8).sum::<f64>() - idle) * 10.0
}

/// CPU time in milliseconds.
#[derive(Debug, Default)]
pub struct Used {
    by_role: BTreeMap<Role, f64>,
    /// That of all programs that have no part in the run.
    pub others_ms: f64,
}

impl Used {
    /// Adds the CPU times of another interval.
    pub fn merge(&mut self, other: Self) {
        for (role, used) in other.by_role {
            *self.by_role.entry(role).or_default() += used;
        }
        self.others_ms += other.others_ms;
    }

    /// Returns the CPU time of processes of some roles.
    pub fn of(&self, roles: &[Role]) -> f64 {
        roles.iter().filter_map(|role| self.by_role.get(role)).sum()
    }

    /// Returns the CPU time of one of `count` operations, `functions 0.87 ms, …`, without roles below
    /// 0.005 ms.
    pub fn each(&self, count: usize) -> String {
        let each = self
            .by_role
            .iter()
            .map(|(role, used)| (role, used / count as f64));
        let busy = each.filter(|(_, used)| *used > 0.005);
        let busy: Vec<String> = busy
            .map(|(role, used)| format!("{role} {used:.2} ms"))
            .collect();
        busy.join(", ")
    }
}

//! Processes that end with this one, and the kernel's figures of a process (Linux).

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use tokio::time::timeout;

/// Runs a program that gets a signal when standard input ends: when the test closes the pipe, or exits in
/// any way. The watcher holds none of the program's pipes, so that readers see their end.
const TIED: &str = r#"exec 3<&0
(read -r _ <&3; kill -"$0" $$) >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-"#;

/// Limit of open files: more than any test needs.
const ENOUGH_FILES: u64 = 65_536;

/// Returns the command of a program that gets `signal` (`INT`) when its standard input ends, so at the
/// latest when this process exits. The caller makes standard input a pipe.
pub fn tied(program: &Path, signal: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", TIED, signal]).arg(program);
    command
}

/// Runs a program without input until it exits; kills it after `limit`.
///
/// # Panics
///
/// It cannot be run, or it does not exit in time.
pub async fn output(command: &mut tokio::process::Command, limit: Duration) -> Output {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(limit, output).await;
    let program = command.as_std().get_program();
    let output = output.unwrap_or_else(|_| panic!("{program:?} does not exit within {limit:?}"));
    output.unwrap_or_else(|error| panic!("{program:?} cannot be run: {error}"))
}

/// Raises the limit of open files of this process, and of those that it starts from now on. Returns the
/// limit.
pub fn raise_file_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(ENOUGH_FILES).min(ENOUGH_FILES);
    let current = current.unwrap_or(ENOUGH_FILES);
    let raised = Rlimit {
        current: Some(wanted),
        maximum,
    };
    if current < wanted && setrlimit(Resource::Nofile, raised).is_ok() {
        wanted
    } else {
        current
    }
}

/// Limits the open files of a running process.
pub fn limit_files(id: u32, files: u64) {
    let limit = Rlimit {
        current: Some(files),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    let id = Pid::from_raw(id.cast_signed());
    prlimit(id, Resource::Nofile, limit).expect("this process started it");
}

/// Returns the resident memory of a process, in KB.
pub fn memory_kb(id: u32) -> u64 {
    status_kb(id, "VmRSS:")
}

/// Returns the largest resident memory that a process has had, in KB.
pub fn peak_memory_kb(id: u32) -> u64 {
    status_kb(id, "VmHWM:")
}

/// Returns the name of a process and the CPU time that it has used, in milliseconds; `None` if it has
/// exited. The kernel counts in hundredths of a second, and keeps 15 letters of a name.
pub fn name_and_cpu_ms(id: Pid) -> Option<(String, f64)> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some((name.to_owned(), ticks * 10.0))
}

/// Returns how many files and sockets a process has open.
pub fn open_files(id: u32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{id}/fd"));
    files.expect("the process runs").count()
}

/// Returns the processes that a process has started and that have not been waited for.
pub fn children(id: Pid) -> Vec<Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task"));
    tasks
        .into_iter()
        .flatten()
        .flatten()
        .map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default())
        .flat_map(|ids| ids.split_whitespace().map(str::parse).collect::<Vec<_>>())
        .filter_map(|id| Pid::from_raw(id.ok()?))
        .collect()
}

/// Returns the children of a process, their children, and so on.
pub fn descendants(id: Pid) -> Vec<Pid> {
    let mut found = children(id);
    for child in found.clone() {
        found.extend(descendants(child));
    }
    found
}

/// Returns the descendants of a process that run a program.
pub fn descendants_named(id: Pid, program: &str) -> Vec<Pid> {
    let is_named = |id: &Pid| name_and_cpu_ms(*id).is_some_and(|(name, _)| name == program);
    descendants(id).into_iter().filter(is_named).collect()
}

fn status_kb(id: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"));
    let status = status.expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("the kernel tells the memory of a process")
}

//! What the kernel says about a process (Linux).

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// More than any test opens.
const ENOUGH_FILES: u64 = 65_536;

/// Lets this process, and those that it starts from now on, open as many files as it may. Returns
/// how many that is.
pub fn raise_file_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(ENOUGH_FILES).min(ENOUGH_FILES);
    let current = current.unwrap_or(ENOUGH_FILES);
    let raised = Rlimit {
        current: Some(wanted),
        maximum,
    };
    match current < wanted && setrlimit(Resource::Nofile, raised).is_ok() {
        true => wanted,
        false => current,
    }
}

/// Lets a running process open no more than `files` files.
pub fn limit_files(id: u32, files: u64) {
    let limit = Rlimit {
        current: Some(files),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    let id = Pid::from_raw(id.cast_signed());
    prlimit(id, Resource::Nofile, limit).expect("it is a process of ours");
}

/// Resident memory of a process now, in KB.
pub fn memory_kb(id: u32) -> u64 {
    status_kb(id, "VmRSS:")
}

/// The most resident memory that a process has had, in KB.
pub fn peak_memory_kb(id: u32) -> u64 {
    status_kb(id, "VmHWM:")
}

/// How many files and sockets a process has open.
pub fn open_files(id: u32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{id}/fd"));
    files.expect("the process runs").count()
}

fn status_kb(id: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"));
    let status = status.expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("the kernel tells the memory of a process")
}

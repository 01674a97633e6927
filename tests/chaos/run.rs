//! The command `chaos`, for a minute: `CHAOS_SEED=N` does the same again.

use std::process::{Command, Stdio};
use std::sync::Mutex;

/// Held by the run that has the machine for itself.
static TURN: Mutex<()> = Mutex::new(());

/// What is far from what any machine does in a minute, and far from nothing.
const LEAST_MESSAGES: u64 = 100;

/// Kinds of faults, but for those of a database.
const LEAST_KINDS: usize = 19;

/// Where in its line the number of a kind begins.
const COUNT: usize = 40;

/// The figure behind a label of the report.
fn figure(printed: &str, label: &str) -> u64 {
    let line = printed.lines().find(|line| line.starts_with(label));
    let line = line.unwrap_or_else(|| panic!("{label}: {printed}"));
    let figure = line[label.len()..].split_whitespace().next();
    figure.expect("a figure").parse().expect("a number")
}

#[test]
fn the_contract_holds_for_a_minute_under_every_kind_of_fault() {
    holds_for_a_minute(&[]);
}

#[test]
fn it_holds_where_the_requests_of_a_process_share_operations() {
    holds_for_a_minute(&["--in-flight", "32"]);
}

fn holds_for_a_minute(flags: &[&str]) {
    // Another run that fails is no reason not to go on.
    let _turn = TURN.lock();
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command.args(flags);
    if let Ok(seed) = std::env::var("CHAOS_SEED") {
        command.args(["--seed", &seed]);
    }
    // How it goes is shown at once: it may be that it does not come to an end.
    let output = command.stderr(Stdio::inherit()).output().expect("it runs");
    let printed = String::from_utf8(output.stdout).expect("it is UTF-8");
    println!("{printed}");
    assert!(output.status.success(), "{}", output.status);
    assert!(figure(&printed, "messages acknowledged") >= LEAST_MESSAGES);
    assert_eq!(figure(&printed, "violations of the contract"), 0);
    let kinds = printed
        .lines()
        .skip_while(|line| !line.starts_with("faults"));
    let kinds = kinds.skip(1).take_while(|line| line.starts_with("  "));
    let is_ours = std::env::var_os("MONGODB_URI").is_none();
    let kinds: Vec<&str> = kinds
        .filter(|kind| is_ours || !kind.contains("database"))
        .collect();
    assert!(kinds.len() >= LEAST_KINDS, "{kinds:?}");
    for kind in kinds {
        let count = kind[COUNT..].split_whitespace().next();
        assert_ne!(count, Some("0"), "{kind}");
    }
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        assert!(printed.contains("with a clock off by +90s"), "{printed}");
    }
}

//! Runs the command `chaos` for a minute; `CHAOS_SEED=N` repeats the faults of a run.
//!
//! The two runs share the machine and nothing else: a run uses less than one core.

use std::process::{Command, Stdio};

use serde_json::Value;

/// Least messages of a valid run: well below any machine's rate, well above zero.
const LEAST_MESSAGES: u64 = 100;

/// Messages among which there are changes of groups: a third of those of a machine that does nothing else.
const ENOUGH_MESSAGES: u64 = 500;

/// Kinds of faults, without those of a database.
const LEAST_KINDS: usize = 19;

#[test]
fn the_contract_holds_for_a_minute_under_every_kind_of_fault() {
    holds_for_a_minute(&[]);
}

#[test]
fn it_holds_where_the_requests_of_a_process_share_operations() {
    holds_for_a_minute(&["--in-flight", "32"]);
}

fn holds_for_a_minute(flags: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command.arg("--json").args(flags);
    if let Ok(seed) = std::env::var("CHAOS_SEED") {
        command.args(["--seed", &seed]);
    }
    // Progress is shown at once: the run may hang.
    let output = command.stderr(Stdio::inherit()).output().expect("it runs");
    assert!(output.status.success(), "{}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout).expect("the report is JSON");
    println!("{report:#}");
    let acknowledged = report["messages"]["acknowledged"].as_u64();
    let acknowledged = acknowledged.expect("a count");
    assert!(acknowledged >= LEAST_MESSAGES, "{acknowledged}");
    assert_changes(&report["messages"]["changes"], acknowledged);
    assert_eq!(report["violations"], 0);
    let is_ours = std::env::var_os("MONGODB_URI").is_none();
    let faults = report["faults"].as_array().expect("a list").iter();
    let of_database = |fault: &&Value| fault["kind"].as_str().expect("text").contains("database");
    let faults: Vec<&Value> = faults
        .filter(|fault| is_ours || !of_database(fault))
        .collect();
    assert!(faults.len() >= LEAST_KINDS, "{faults:?}");
    for fault in faults {
        assert_ne!(fault["count"], 0, "{fault}");
    }
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        let clocks = &report["processes_by_clock"];
        assert!(clocks["+90s"].is_u64(), "{clocks}");
    }
}

/// Checks that there were changes of texts and of groups, as far as there was time for them.
fn assert_changes(changes: &Value, acknowledged: u64) {
    let count = |kind: &str| changes[kind].as_u64().expect("a count");
    for kind in ["edits", "deletions", "creations of groups"] {
        assert_ne!(count(kind), 0, "{kind}");
    }
    if acknowledged >= ENOUGH_MESSAGES {
        for kind in ["invitations", "leaves and removals"] {
            assert_ne!(count(kind), 0, "{kind}");
        }
    }
}

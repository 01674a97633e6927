//! The command `cost`, on figures that are given.

use std::process::Command;

/// Billed milliseconds of everything, so that nothing is measured.
const BILLED: &str = "--billed-ms=authorize=3,connect=10,disconnect=8,send=16,ping=2,history=12";

/// Runs it; gives what it prints, or what it complains of.
fn cost(flags: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_cost"))
        .args(flags)
        .output();
    let output = output.expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("it is UTF-8");
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

/// The columns of the lines below a title, up to its total.
fn columns(printed: &str, title: &str) -> Vec<[f64; 3]> {
    let mut lines = printed.lines().skip_while(|line| !line.starts_with(title));
    lines.next().expect("there is such a title");
    let mut rows = Vec::new();
    for line in lines {
        let mut numbers = line.get(30..).unwrap_or_default().split_whitespace();
        let mut number = || numbers.next().expect("a column").parse().expect("a number");
        rows.push([number(), number(), number()]);
        if line.starts_with("total") {
            return rows;
        }
    }
    panic!("it has no total: {printed}");
}

#[test]
fn totals_are_the_sums_of_their_lines() {
    let flags = [
        BILLED,
        "--database-usd-per-month",
        "57",
        "--custom-metrics",
        "3",
    ];
    let printed = cost(&flags).expect("it prints");
    for title in ["a million messages", "1000 users a month"] {
        let mut rows = columns(&printed, title);
        let total = rows.pop().expect("a total");
        assert!(rows.len() >= 5, "{printed}");
        for (column, total) in total.into_iter().enumerate() {
            let sum: f64 = rows.iter().map(|row| row[column]).sum();
            assert!(
                total > 0.0 && (sum - total).abs() < 0.001,
                "{title}: {printed}"
            );
        }
    }
    assert!(printed.contains("57.0000"), "{printed}");
}

#[test]
fn a_million_messages_cost_what_the_price_list_says() {
    let printed = cost(&[BILLED, "--memory", "256"]).expect("it prints");
    let line = |label: &str| {
        let line = printed.lines().find(|line| line.starts_with(label));
        let line = line.unwrap_or_else(|| panic!("{label}: {printed}"));
        let ours = line[30..].split_whitespace().next().expect("a column");
        ours.parse::<f64>().expect("a number")
    };
    assert_eq!(line("Lambda requests"), 0.2);
    // 16 ms at 256 MB are 0.004 GB-seconds at $0.0000133334.
    assert_eq!(line("Lambda time"), 0.0533);
    // Frame, ack, and 0.6 x 1.2 + 0.2 pushes.
    assert_eq!(line("WebSocket messages"), 2.92);
}

#[test]
fn more_users_make_the_scan_dearer_and_not_the_index() {
    let per_message = |users: &str| {
        let printed = cost(&[BILLED, "--users", users]).expect("it prints");
        *columns(&printed, "a million messages")
            .last()
            .expect("a total")
    };
    let (few, many) = (per_message("1000"), per_message("100000"));
    assert_eq!(few[0], many[0]);
    assert!(
        many[1] > 3.0 * few[1] && many[2] > 3.0 * few[2],
        "{few:?} {many:?}"
    );
}

#[test]
fn nonsense_is_refused() {
    for (flag, complaint) in [
        ("--users=0", "it is not above 0"),
        ("--users=many", "it is not a number"),
        ("--messages=NaN", "it is not a number"),
        ("--online-share=1.5", "it is not from 0 to 1"),
        ("--sockets=0.5", "it is not 1 or more"),
        ("--hours-online=25", "it is not above 0 and up to 24"),
        ("--message-bytes=16385", "it is not from 1 to 16384"),
        ("--history-messages=1001", "it is not from 1 to 1000"),
        ("--memory=64", "not in 128..=10240"),
        ("--billed-ms=send", "it is not KIND=MS"),
        ("--billed-ms=sent=3", "invalid variant"),
        ("--billed-ms=send=-3", "it is not above 0"),
        ("--database-usd-per-month=-1", "it is not 0 or more"),
        ("--nonsense", "unexpected argument"),
    ] {
        let said = cost(&[BILLED, flag]).expect_err(flag);
        assert!(said.contains(complaint), "{flag}: {said}");
    }
}

//! Runs the command `cost` with given figures.

use std::process::Command;

/// Billed milliseconds of all kinds, so that nothing is measured.
const BILLED: &str = "--billed-ms=authorize=3,connect=10,disconnect=8,send=16,deliver=70,ping=2,typing=3,mark=5,history=12,list=9";

/// Runs the command. Returns its standard output; or, if it fails, its standard error.
fn cost(flags: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_cost"))
        .args(flags)
        .output()
        .expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("it is UTF-8");
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

/// Returns the labels and dollars of the bill below a title; its total is the last.
fn bill<'a>(printed: &'a str, title: &str) -> Vec<(&'a str, f64)> {
    let mut lines = printed.lines().skip_while(|line| !line.starts_with(title));
    lines.next().expect("there is such a title");
    let mut rows = Vec::new();
    for line in lines {
        let (label, dollars) = line.split_at(30);
        rows.push((label.trim(), dollars.trim().parse().expect("a number")));
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
        let mut rows = bill(&printed, title);
        let (_, total) = rows.pop().expect("a total");
        assert!(rows.len() >= 5, "{printed}");
        let sum: f64 = rows.iter().map(|(_, dollars)| dollars).sum();
        assert!(
            total > 0.0 && (sum - total).abs() < 0.001,
            "{title}: {printed}"
        );
    }
    assert!(printed.contains("57.0000"), "{printed}");
}

#[test]
fn a_million_messages_cost_what_the_price_list_says() {
    let printed = cost(&[BILLED, "--memory", "256"]).expect("it prints");
    let rows = bill(&printed, "a million messages");
    let dollars = |label: &str| {
        let row = rows.iter().find(|(found, _)| *found == label);
        row.unwrap_or_else(|| panic!("{label}: {printed}")).1
    };
    assert_eq!(dollars("Lambda requests"), 0.2);
    // 16 ms at 256 MB are 0.004 GB-seconds at $0.0000133334.
    assert_eq!(dollars("Lambda time"), 0.0533);
    // Frame, ack, and 0.6 x 1.2 + 0.2 pushes.
    assert_eq!(dollars("WebSocket messages"), 2.92);
}

#[test]
fn a_message_to_a_group_costs_what_its_pushes_and_the_queue_do() {
    let printed = cost(&[BILLED, "--memory", "256"]).expect("it prints");
    let mut lines = printed.lines();
    lines.find(|line| line.starts_with("a million messages to a group"));
    let rows = lines.skip(1).take(3).map(|line| {
        let numbers = line.split_whitespace();
        numbers
            .map(|number| number.parse().expect("a number"))
            .collect::<Vec<f64>>()
    });
    let rows: Vec<_> = rows.collect();
    // Members, frame, ack and pushes, requests of the queue.
    for (row, [members, websocket, queue]) in rows.iter().zip([
        [10.0, 16.0, 0.0],
        [100.0, 151.0, 1.2],
        [1_000.0, 1_501.0, 4.4],
    ]) {
        assert_eq!(
            [row[0], row[2], row[3]],
            [members, websocket, queue],
            "{printed}"
        );
        let sum: f64 = row[1..6].iter().sum();
        assert!((sum - row[6]).abs() < 0.03, "{printed}");
    }
    assert_eq!(rows.len(), 3, "{printed}");
}

#[test]
fn a_message_costs_the_same_however_many_users_there_are() {
    let per_message = |users: &str| {
        let printed = cost(&[BILLED, "--users", users]).expect("it prints");
        bill(&printed, "a million messages")
            .last()
            .expect("a total")
            .1
    };
    assert_eq!(per_message("1000"), per_message("100000"));
}

#[test]
fn invalid_flags_are_rejected() {
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
        let error = cost(&[BILLED, flag]).expect_err(flag);
        assert!(error.contains(complaint), "{flag}: {error}");
    }
}

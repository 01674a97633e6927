//! The output: tables on standard output.

use crate::bill::Bill;
use crate::chat::Chat;
use crate::invocation::{Invocations, KINDS, Kind, ONE_CPU_MB, price};
use crate::prices;
use crate::usage::Usage;

/// Memory sizes in the table of sizes, in MB.
const SIZES: [u64; 5] = [128, 256, 512, 1_024, ONE_CPU_MB];

/// Numbers of users in the table of growth.
const GROWTH: [f64; 4] = [1_000.0, 10_000.0, 100_000.0, 1_000_000.0];

/// Members of the groups in the table of groups.
const GROUPS: [f64; 3] = [10.0, 100.0, 1_000.0];

/// Connections of each of these members.
const GROUP_CONNECTIONS: f64 = 1.5;

/// Prints the sources of the figures.
pub fn sources(is_measured: bool) {
    println!(
        "Prices of {} in {}, in US dollars, without free tiers and cold starts.",
        prices::DATE,
        prices::REGION
    );
    if is_measured {
        println!(
            "A model: times of this machine plus the network times of the flags, CPU time stretched to\n\
             the CPU share of the memory; one process for each event, as by default."
        );
    } else {
        println!("Billed times of the flags.");
    }
}

/// Prints times and log bytes of each kind of invocation.
pub fn invocations(chat: &Chat) {
    println!(
        "\ninvocation     wall ms   CPU ms   log bytes   billed ms at {} MB",
        chat.memory_mb
    );
    for kind in KINDS {
        let (wall, cpu) = match &chat.figures.invocations[&kind] {
            Invocations::Billed(_) => ("-".to_owned(), "-".to_owned()),
            Invocations::Measured { wall_ms, cpu_ms } => {
                let mean = wall_ms.iter().sum::<f64>() / wall_ms.len() as f64;
                (format!("{mean:.2}"), format!("{cpu_ms:.2}"))
            }
        };
        println!(
            "{:<12} {wall:>9} {cpu:>8} {:>11.0} {:>11.1}",
            kind.name(),
            chat.figures.log_bytes[&kind],
            chat.billed_ms(kind, chat.memory_mb)
        );
    }
}

/// Prints billed time and price of a send at each memory size, if sends were measured.
pub fn memory(chat: &Chat) {
    if let Invocations::Billed(_) = chat.figures.invocations[&Kind::Send] {
        return;
    }
    println!("\nsend by memory   billed ms   $ per million (request and time)");
    let mut sizes = SIZES.to_vec();
    sizes.push(chat.memory_mb);
    sizes.sort_unstable();
    sizes.dedup();
    for size in sizes {
        let billed_ms = chat.billed_ms(Kind::Send, size);
        let million = price(billed_ms, size) * 1e6;
        let in_use = if size == chat.memory_mb {
            "   in use"
        } else {
            ""
        };
        println!("{size:>8} MB {billed_ms:>15.1} {million:>15.2}{in_use}");
    }
}

/// Prints the bills of a million messages and of a month.
pub fn bills(chat: &Chat) {
    bill("a million messages, $", chat.message() * 1e6);
    let title = format!("{} users a month, $", chat.usage.users);
    bill(&title, chat.month());
}

fn bill(title: &str, bill: Bill) {
    println!("\n{title}");
    for (label, dollars) in bill.lines() {
        if dollars > 0.0 {
            row(label, dollars);
        }
    }
    row("total", bill.total());
}

/// Prints the bill of a million messages to groups.
pub fn groups(chat: &Chat) {
    println!(
        "\na million messages to a group, $, all members online with {GROUP_CONNECTIONS} connections each\n\
         members     Lambda   WebSocket   queue   logs, traces   data out       total"
    );
    for members in GROUPS {
        let bill = chat.group_message(members, GROUP_CONNECTIONS) * 1e6;
        println!(
            "{members:>7} {:>10.2} {:>11.2} {:>7.2} {:>14.2} {:>10.2} {:>11.2}",
            bill.requests + bill.time,
            bill.messages,
            bill.queue,
            bill.logs + bill.traces,
            bill.transfer,
            bill.total()
        );
    }
}

fn row(label: &str, dollars: f64) {
    println!("{label:<30}{dollars:>12.4}");
}

/// Prints the bill of 1,000 users a month, by the number of all users.
pub fn growth(chat: &Chat) {
    println!("\n1,000 users a month, $, of so many users");
    for users in GROWTH {
        let usage = &Usage {
            users,
            ..chat.usage.clone()
        };
        let month = Chat { usage, ..*chat }.month();
        println!("{users:<30}{:>12.2}", month.total() / users * 1e3);
    }
}

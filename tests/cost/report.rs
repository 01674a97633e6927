//! What is printed.

use crate::bill::Bill;
use crate::chat::Chat;
use crate::invocation::{Invocations, KINDS, Kind, ONE_CPU_MB, price};
use crate::prices;
use crate::scan::Scan;
use crate::usage::Usage;

/// Memory sizes to choose from, in MB.
const SIZES: [u64; 5] = [128, 256, 512, 1_024, ONE_CPU_MB];

/// Numbers of users that show how a bill grows.
const GROWTH: [f64; 4] = [1_000.0, 10_000.0, 100_000.0, 1_000_000.0];

/// Prints where the figures come from.
pub fn sources(is_measured: bool) {
    println!(
        "Prices of {} in {}, in US dollars, without free tiers and cold starts.",
        prices::DATE,
        prices::REGION
    );
    match is_measured {
        true => println!(
            "A model: times of this machine, with the network of the flags added, and CPU time stretched\n\
             to what comes with the memory."
        ),
        false => println!("Billed times are those of the flags."),
    }
}

/// Prints what invocations take.
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

/// Prints what a send takes and costs by the memory of its function, if it was measured.
pub fn memory(chat: &Chat) {
    if let Invocations::Billed(_) = chat.figures.invocations[&Kind::Send] {
        return;
    }
    println!("\nsend by memory   billed ms   $ per million (request and time)");
    let mut sizes = SIZES.to_vec();
    sizes.push(chat.memory_mb);
    sizes.sort_unstable();
    sizes.dedup();
    let send = |size| {
        let billed_ms = chat.billed_ms(Kind::Send, size);
        (billed_ms, price(billed_ms, size) * 1e6)
    };
    for size in &sizes {
        let (billed_ms, million) = send(*size);
        let chosen = match *size == chat.memory_mb {
            true => "   in use",
            false => "",
        };
        println!("{size:>8} MB {billed_ms:>15.1} {million:>15.2}{chosen}");
    }
    let cheapest = sizes
        .into_iter()
        .min_by(|a, b| send(*a).1.total_cmp(&send(*b).1));
    let cheapest = cheapest.expect("there are sizes");
    let ((ms, million), (cheapest_ms, cheapest_million)) = (send(chat.memory_mb), send(cheapest));
    println!(
        "The cheapest is {cheapest} MB; what is in use costs ${:.2} more and saves {:.1} ms a send.",
        million - cheapest_million,
        cheapest_ms - ms
    );
}

/// Prints the bills beside each other, and how many times as much the sample costs.
pub fn bills(chat: &Chat, scan: &Scan) {
    let same = Scan {
        same_work: true,
        ..*scan
    };
    beside(
        "a million messages, $",
        [chat.message(), scan.message(), same.message()].map(|bill| bill * 1e6),
    );
    let title = format!("{} users a month, $", chat.usage.users);
    beside(&title, [chat.month(), scan.month(), same.month()]);
    let [one_by_one, at_once] = scan.broadcast_ms().map(|ms| ms / 1e3);
    println!(
        "\nThe sample scans the table of connections for each message and pushes one by one. By itself\n\
         it has no ack, history, tokens, traces or pushes to the sender's other sockets: the last column\n\
         has. What stores messages is in neither of its columns, and in ours by\n\
         --database-usd-per-month.\n\
         As published it sends each message to all {:.0} open sockets: {one_by_one:.1} s one by one, \
         {at_once:.1} s at once,\nand ${:.2} a million messages.",
        scan.rows(),
        scan.broadcast().total() * 1e6
    );
}

fn beside(title: &str, bills: [Bill; 3]) {
    println!(
        "\n{title:<30}{:>12}{:>13}{:>13}",
        "this chat", "scan", "same work"
    );
    let lines = bills.map(|bill| bill.lines());
    for (index, (label, _)) in lines[0].iter().enumerate() {
        let dollars = lines.map(|lines| lines[index].1);
        if dollars.iter().any(|dollars| *dollars > 0.0) {
            row(label, dollars);
        }
    }
    let totals = bills.map(|bill| bill.total());
    row("total", totals);
    let [_, scan, same] = totals.map(|total| total / totals[0]);
    println!("{:<30}{:>12}{scan:>13.2}{same:>13.2}", "times ours", "");
}

fn row(label: &str, [ours, scan, same]: [f64; 3]) {
    println!("{label:<30}{ours:>12.4}{scan:>13.4}{same:>13.4}");
}

/// Prints the bill of 1,000 users a month by the number of all users.
pub fn growth(chat: &Chat, scan: &Scan) {
    println!(
        "\n{:<30}{:>12}{:>13}{:>13}   scan of a message",
        "1,000 users a month, $, of", "this chat", "scan", "same work"
    );
    for users in GROWTH {
        let usage = Usage {
            users,
            ..chat.usage.clone()
        };
        let usage = &usage;
        let chat = Chat { usage, ..*chat };
        let scan = Scan { usage, ..*scan };
        let same = Scan {
            same_work: true,
            ..scan
        };
        let months = [chat.month(), scan.month(), same.month()];
        let [ours, scanned, same] = months.map(|month| month.total() / users * 1e3);
        println!(
            "{users:<30}{ours:>12.2}{scanned:>13.2}{same:>13.2}   {:.0} rows, {:.0} ms",
            scan.rows(),
            scan.message_ms()
        );
    }
}

//! Messages to groups of different sizes, at different rates.
//!
//! - [`members`]: the members and their connections
//! - [`record`]: what became of each message
//!
//! Messages leave at fixed times, whether the ones before are acknowledged or not. All connections read.

mod members;
mod record;

use std::time::Duration;

use chat::{ConnectionId, Deadline};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use tests::Chat;

use crate::cpu::Cpu;
use crate::figures::{Report, Samples};
use crate::messages::WARM_UP;
use crate::mode::Mode;
use crate::posts::push;
use members::Members;
use record::Record;

/// Members of the groups.
const SIZES: [usize; 3] = [10, 100, 1_000];

/// Messages in a second, and how many are sent.
const RATES: [(u32, u32); 3] = [(1, 30), (5, 50), (10, 100)];

/// A frame that says nothing.
const FRAME: &str = "{}";

/// Time limit of a post of the loop.
const POST_TIMEOUT: Duration = Duration::from_secs(10);

/// Measures all sizes in one mode.
pub async fn run(mode: Mode) {
    let report = mode.report();
    report.heading(&[
        "time to ack",
        "time to the last push",
        "pushes",
        "attempts at a taken number, per message",
        "CPU time of a push",
    ]);
    for size in SIZES {
        of_size(size, mode, report).await;
    }
}

/// Measures a group, on a chat of its own: its log has the metrics of this group alone.
async fn of_size(size: usize, mode: Mode, report: Report) {
    eprintln!("a group of {size} …");
    let chat = mode.chat().parameters(&["GroupSize=1000"]);
    let chat = chat.flags(&["--log-format", "json"]).start().await;
    let members = Members::gather(&chat, size).await;
    // Until the connections no longer count as new.
    members.send(1, WARM_UP.as_secs() as u32).await;
    for (rate, count) in RATES {
        measure(&chat, &members, rate, count, report).await;
    }
    one_by_one(&chat, &members, report).await;
    drop(members);
    chat.stop().await;
}

/// Prints the row of a group and a rate.
async fn measure(chat: &Chat, members: &Members, rate: u32, count: u32, report: Report) {
    let (cpu, conflicts) = (Cpu::now(), number_conflicts(chat));
    let record = members.send(rate, count).await;
    let conflicts = number_conflicts(chat) - conflicts;
    let used = cpu.used_since();
    let (pushes, expected) = (record.pushes(), members.pushes(count));
    let cells = [
        times(&record, Record::acks),
        times(&record, Record::last_pushes),
        if pushes == expected {
            pushes.to_string()
        } else {
            format!("{pushes} of {expected}")
        },
        format!("{:.2}", conflicts as f64 / f64::from(count)),
        used.each(pushes),
    ];
    let (size, sockets) = (members.size(), members.sockets());
    let figure = format!("{size} members, {sockets} connections, {rate} messages a second");
    report.row(figure, cells.join(" | "));
}

fn times(record: &Record, of: impl Fn(&Record) -> Samples) -> String {
    let samples = of(record);
    let longest = samples.percentile_ms(100);
    format!("{}, longest {longest:.0} ms", samples.summary())
}

/// Prints how long it takes to post to all connections in a loop, as samples do it within the request.
async fn one_by_one(chat: &Chat, members: &Members, report: Report) {
    let push = push(&chat.management_endpoint());
    let ids = connection_ids(chat).await;
    assert_eq!(ids.len(), members.sockets());
    let mut rounds = Samples::default();
    for _ in 0..5 {
        let start = std::time::Instant::now();
        for id in &ids {
            let posted = push.post(id, FRAME, Deadline::after(POST_TIMEOUT)).await;
            posted.expect("posted");
        }
        rounds.add(start.elapsed());
    }
    let figure = format!("{} posts in a loop, without a chat", ids.len());
    let time = format!("{:.0} ms", rounds.median_ms());
    report.row(figure, format_args!("– | {time} | {} | – | –", ids.len()));
}

async fn connection_ids(chat: &Chat) -> Vec<ConnectionId> {
    let rows = chat.database.collection::<Document>("connections");
    let rows = rows.find(doc! {}).await.expect("found").try_collect();
    let rows: Vec<Document> = rows.await.expect("read");
    let id = |row: &Document| row.get_str("_id").expect("an id").to_owned().into();
    rows.iter().map(id).collect()
}

/// Returns the attempts of all messages so far whose number another process had taken.
fn number_conflicts(chat: &Chat) -> u64 {
    let log = chat.gateway.log();
    let lines = log.lines().filter_map(|line| line.split_once(" | "));
    let metrics =
        lines.filter_map(|(_, line)| serde_json::from_str::<serde_json::Value>(line).ok());
    metrics
        .filter_map(|line| line["NumberConflicts"].as_u64())
        .sum()
}

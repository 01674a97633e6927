//! The sends of other users before a flood of one user, and during it.
//!
//! - [`others`]: the users whose sends are measured
//! - [`flood`]: the kinds of floods
//! - [`flooder`]: the one user, with as many connections as a user may have
//!
//! The flood is as fast as the chat responds to it, so both cores of a machine are busy whatever it is. The
//! CPU time of each role is printed, that of this process and of other programs included: it shows where a
//! ratio comes from. With a busy program beside it, a ratio means nothing.

mod flood;
mod flooder;
mod others;

use std::time::{Duration, Instant};

use tests::Chat;
use tests::issuer::{Issuer, Key};

use crate::cpu::{Cpu, Role, Used};
use crate::figures::{Report, Samples};
use crate::mode::Mode;
use flood::Flood;
use flooder::Flooder;
use others::Others;

/// The largest ratio that is fair.
const GOAL: f64 = 3.0;

/// Measures all floods in one mode, each on the chat that the earlier ones have left behind.
pub async fn run(mode: Mode) {
    let issuer = Issuer::start(Key::ec("k"));
    let settings = mode.chat().issuer(&issuer).limited();
    let chat = settings.flags(&["--log", "off"]).start().await;
    let report = mode.report();
    report.heading(&[
        "rate of the flood",
        "before",
        "during",
        "p50, during / before",
        "p99, during / before",
        "CPU time during the flood",
    ]);
    let mut others = Others::connect(&chat, &issuer).await;
    start_processes(&chat, &issuer, &mut others).await;
    for flood in Flood::ALL {
        measure(flood, &chat, &issuer, &mut others, report).await;
    }
    drop(others);
    chat.stop().await;
}

/// Lets the gateway start as many processes as it ever has, by a flood that is not measured: a start takes the cores of
/// this machine from the other users, and on Lambda it takes nobody's.
async fn start_processes(chat: &Chat, issuer: &Issuer, others: &mut Others) {
    eprintln!("starts of processes …");
    let running = Flooder::prepare(Flood::Ping, chat, issuer).await.start();
    others.send().await;
    drop(running);
}

/// Prints the row of a flood.
async fn measure(flood: Flood, chat: &Chat, issuer: &Issuer, others: &mut Others, report: Report) {
    eprintln!("{flood} …");
    others.settle().await;
    let before = others.send().await;
    let flooder = Flooder::prepare(flood, chat, issuer).await;
    let (cpu, start) = (Cpu::now(), Instant::now());
    let running = flooder.start();
    let during = others.send().await;
    let (used, elapsed) = (cpu.used_since(), start.elapsed());
    let rate = running.stop(elapsed);
    let cells = [
        rate,
        before.summary(),
        during.summary(),
        ratio(&during, &before, 50),
        ratio(&during, &before, 99),
        share(elapsed, &used),
    ];
    report.row(flood, cells.join(" | "));
}

/// Returns `2.31`, or `4.87 (missed)`.
fn ratio(during: &Samples, before: &Samples, percent: u32) -> String {
    let ratio = during.percentile_ms(percent) / before.percentile_ms(percent);
    let missed = if ratio > GOAL { " (missed)" } else { "" };
    format!("{ratio:.2}{missed}")
}

/// Returns the CPU time of each role, and of programs that have no part in the run, in per cent of one core.
fn share(elapsed: Duration, used: &Used) -> String {
    let share = |name: &str, used_ms: f64| {
        let share = used_ms / elapsed.as_secs_f64() / 10.0;
        format!("{name} {share:.0} %")
    };
    let roles = [Role::Functions, Role::Gateway, Role::Database, Role::Client];
    let shares = roles.map(|role| share(&role.to_string(), used.of(&[role])));
    format!(
        "{}; others {}",
        shares.join(", "),
        share("", used.others_ms).trim_start()
    )
}

//! Pairs that chat beside a client that does not read what it is sent.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tests::client::copy::Copy;
use tests::client::{Connection, Frame, History};
use tests::{Chat, Client};
use tokio::net::TcpSocket;
use tokio::time::MissedTickBehavior;

use super::tally::{ACK_TIMEOUT, connect};
use crate::figures::{Report, Samples};
use crate::messages::{PAIRS, TIME, all_chat, connect_pairs};

/// The user who does not read, and the user who writes to that one.
const SILENT: [&str; 2] = ["silent", "insistent"];

/// Length of a message, the largest: unread ones soon fill the buffers on the way.
const LONG: usize = 16_384;

/// Time between two messages to the client that does not read.
const INTERVAL: Duration = Duration::from_millis(50);

/// Receive buffer of that client, in bytes: the kernel's default takes much longer to fill.
const RECEIVE_BUFFER: u32 = 8 * 1_024;

/// Prints the cost of a client that does not read for the others, and how it fills its gap.
///
/// # Panics
///
/// The client does not get all messages in the end.
pub async fn beside_pairs(chat: &Chat, report: Report) {
    let without = chat_in_pairs(chat, "alone").await;
    let mut silent = connect_silent(chat).await;
    let mut insistent = chat.connect(SILENT[1]).await;
    while insist(&mut insistent).await == "delivered" {}
    let mut missed = 0;
    let with = tokio::select! {
        with = chat_in_pairs(chat, "beside-silent") => with,
        () = insist_on(&mut insistent, &mut missed) => unreachable!("it goes on"),
    };
    let figure = format!("{PAIRS} pairs beside a client that does not read");
    report.row(figure, ratio(&with, &without));
    report.row("pushes that this client did not take", missed);
    let (all, pushed) = catch_up(chat, &mut silent, &mut insistent).await;
    let value = format!(
        "it has all {all}: {pushed} were pushed before the gap, the others read from the history"
    );
    report.row("when this client reads again", value);
}

async fn connect_silent(chat: &Chat) -> Connection {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(RECEIVE_BUFFER).expect("set");
    let address = chat.ws.trim_start_matches("ws://").parse();
    let stream = socket.connect(address.expect("an address")).await;
    let stream = stream.expect("accepted");
    let opened = connect(&chat.ws, SILENT[0]).open_on(stream).await;
    opened.expect("connected")
}

/// Sends one message to the client that does not read; returns the status of its ack.
async fn insist(insistent: &mut Client) -> String {
    let ack = insistent.send_message(SILENT[0], &"x".repeat(LONG)).await;
    let status = ack["status"].as_str();
    status.unwrap_or_else(|| panic!("no ack: {ack}")).to_owned()
}

async fn insist_on(insistent: &mut Client, missed: &mut usize) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        *missed += usize::from(insist(insistent).await == "stored");
    }
}

/// Messages of a page of the history.
const PAGE: usize = 100;

/// The client reads again until it gets the newest message; then it fills the gap from the history.
async fn catch_up(chat: &Chat, silent: &mut Connection, insistent: &mut Client) -> (i64, i64) {
    let mut copy = Copy::default();
    let mut newest = 0;
    let last = tokio::select! {
        () = read_on(silent, &mut copy, &mut newest) => panic!("the connection of a slow reader is closed"),
        last = deliver_at_last(insistent) => last,
    };
    while newest < last {
        read(silent, &mut copy, &mut newest)
            .await
            .expect("the connection is open");
    }
    let pushed = copy.last();
    let url = format!("{}/chat/history", chat.http);
    let history = History::new(url, None, ACK_TIMEOUT);
    while let Some(after) = copy.next_page() {
        let page = history.page(SILENT, after, PAGE).await.expect("a page");
        let page: Vec<_> = page.into_iter().map(Arc::new).collect();
        copy.add_page(&page, PAGE);
    }
    assert_eq!(copy.last(), last, "it has all of them");
    (last, pushed)
}

async fn read_on(silent: &mut Connection, copy: &mut Copy, newest: &mut i64) {
    while read(silent, copy, newest).await.is_ok() {}
}

async fn read(silent: &mut Connection, copy: &mut Copy, newest: &mut i64) -> Result<(), String> {
    if let Frame::Message(message) = Frame::parse(&silent.next().await?) {
        *newest = message.seq.max(*newest);
        copy.add(&message);
    }
    Ok(())
}

/// Sends until a message is delivered; returns its number.
async fn deliver_at_last(insistent: &mut Client) -> i64 {
    loop {
        let ack = insistent.send_message(SILENT[0], "Are you there?").await;
        if ack["status"] == "delivered" {
            return number(&ack);
        }
    }
}

fn number(frame: &Value) -> i64 {
    frame["seq"].as_i64().expect("a number")
}

/// Lets new pairs chat.
async fn chat_in_pairs(chat: &Chat, name: &str) -> Samples {
    all_chat(connect_pairs(chat, name).await).await
}

/// Returns how many messages were delivered beside that client, and without it.
fn ratio(with: &Samples, without: &Samples) -> String {
    let rate = |samples: &Samples| samples.len() as f64 / TIME.as_secs_f64();
    format!(
        "{:.0} delivered a second instead of {:.0} ({:.2} times); {} instead of {}",
        rate(with),
        rate(without),
        rate(with) / rate(without),
        with.summary(),
        without.summary()
    )
}

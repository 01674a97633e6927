//! Pairs that chat beside a client that does not read, and beside a flood of bad frames.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::client::copy::Copy;
use tests::client::{Connection, Frame, History};
use tests::{Chat, Client, process};
use tokio::net::TcpSocket;
use tokio::time::MissedTickBehavior;

use super::tally::{ACK_TIMEOUT, add, connect, get};
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

/// Connections that send bad frames.
const FLOODERS: usize = 8;

/// Bad frames under way on each of these: one that waits for its response, and as many as the gateway
/// processes at once for a connection.
const ON_THE_WAY: [usize; 2] = [1, 128];

/// Prints the cost of a client that does not read for the others, and how it fills its gap.
///
/// # Panics
///
/// The client does not get all messages in the end.
pub async fn slow_reader(chat: &Chat, report: Report) {
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

/// Prints the cost of bad frames for clients that send good ones.
///
/// # Panics
///
/// The response to a bad frame is not an error.
pub async fn flood(chat: &Chat, report: Report) {
    let without = chat_in_pairs(chat, "before-flood").await;
    for on_the_way in ON_THE_WAY {
        let (gateway, refused) = (chat.gateway.id(), AtomicUsize::new(0));
        let before = memory_mb(gateway);
        let (name, start) = (format!("beside-{on_the_way}"), Instant::now());
        let with = tokio::select! {
            with = chat_in_pairs(chat, &name) => with,
            () = send_bad_frames(chat, on_the_way, &refused) => unreachable!("it goes on"),
        };
        let rate = get(&refused) as f64 / start.elapsed().as_secs_f64();
        let figure = format!(
            "{PAIRS} pairs beside {FLOODERS} clients that send bad frames, {on_the_way} in flight each"
        );
        report.row(&figure, ratio(&with, &without));
        let value = format!(
            "{rate:.0} rejected a second; memory of the gateway {before:.1} MB before, {:.1} MB after",
            memory_mb(gateway)
        );
        report.row(format_args!("{figure}: bad frames"), value);
    }
}

fn memory_mb(id: u32) -> f64 {
    process::memory_kb(id) as f64 / 1_024.0
}

/// Sends bad frames of all kinds on all connections, with so many of each always under way, and
/// counts the responses.
async fn send_bad_frames(chat: &Chat, on_the_way: usize, refused: &AtomicUsize) {
    let too_long = "x".repeat(LONG + 1);
    let bad = [
        r#"{"action":"sendMessage","receiver_id":"#.to_owned(),
        json!({"action": "sendMessage", "receiver_id": "a", "message": too_long}).to_string(),
        json!({"action": "dance", "receiver_id": "a", "message": "m"}).to_string(),
        json!({"action": "sendMessage", "receiver_id": 7, "message": ["m"]}).to_string(),
    ];
    let floods = (0..FLOODERS).map(|number| {
        let mut bad = bad.iter().cycle();
        async move {
            let user = format!("flooder-{number}");
            let connected = connect(&chat.ws, &user).open().await;
            let mut connection = connected.expect("connected");
            for frame in bad.by_ref().take(on_the_way) {
                connection
                    .send(frame)
                    .await
                    .expect("the connection is open");
            }
            for frame in bad {
                let text = connection.next().await.expect("the connection stays open");
                let response = Frame::parse(&text);
                assert!(matches!(response, Frame::Error(_)), "{response:?}");
                add(refused);
                connection
                    .send(frame)
                    .await
                    .expect("the connection is open");
            }
        }
    });
    join_all(floods).await;
}

/// Lets new pairs chat.
async fn chat_in_pairs(chat: &Chat, name: &str) -> Samples {
    all_chat(connect_pairs(chat, name).await).await
}

/// Returns how many messages were delivered with the neighbours, and without them.
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

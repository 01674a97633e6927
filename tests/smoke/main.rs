//! Tries a deployed chat: `cargo run --bin smoke -- WEBSOCKET_URL HISTORY_URL`.
//!
//! - [`session`]: a socket that says what went wrong
//! - [`history`]: the history over HTTP

mod history;
mod session;

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::{Value, json};
use session::Session;

/// How long an answer may take; the first ones start functions.
const PATIENCE: Duration = Duration::from_secs(15);

/// Tries a deployed chat with two users of its own: connects, sends, receives, resends, reads the
/// history, disconnects. It leaves two messages, between users whose ids begin with `smoke-`.
#[derive(Parser)]
#[command(name = "smoke", version)]
struct Arguments {
    /// Output WebSocketUrl of the stack: wss://….amazonaws.com/prod
    websocket_url: String,

    /// Output HistoryUrl of the stack: https://….amazonaws.com/chat/history
    history_url: String,
}

#[tokio::main]
async fn main() {
    if let Err(error) = run(&Arguments::parse()).await {
        eprintln!("FAILED  {error:#}");
        std::process::exit(1);
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let run = format!("{:08x}", fastrand::u32(..));
    let users @ [prof, student] = &["prof", "student"].map(|name| format!("smoke-{run}-{name}"));
    let connect = |user| Session::open(&arguments.websocket_url, user);
    let mut a = step("a handshake", connect(prof)).await?;
    let mut b = step("another one", connect(student)).await?;
    let first = step(
        "a message, its push and its ack",
        message(&mut a, &mut b, student),
    )
    .await?;
    step(
        "a resend, which is recognised",
        resend(&mut a, student, &first),
    )
    .await?;
    step(
        "a frame of the old system",
        old_frame(&mut a, &mut b, prof, student),
    )
    .await?;
    step("a ping", ping(&mut a)).await?;
    step("the history", read(&arguments.history_url, users)).await?;
    step("a close", async { tokio::try_join!(a.close(), b.close()) }).await?;
    println!("ok      all of it; two messages stay between {prof} and {student}");
    Ok(())
}

/// Runs a step and says how long it took.
async fn step<T>(name: impl Display, work: impl Future<Output = Result<T>>) -> Result<T> {
    let start = Instant::now();
    let done = tokio::time::timeout(PATIENCE, work).await;
    let done = done
        .with_context(|| format!("{name}: no answer in {} s", PATIENCE.as_secs()))?
        .with_context(|| name.to_string())?;
    let millis = start.elapsed().as_secs_f64() * 1e3;
    println!("ok      {name}: {millis:.0} ms");
    Ok(done)
}

fn frame(receiver: &str) -> Value {
    json!({"action": "sendMessage", "receiver_id": receiver, "message": "At 3PM?",
           "client_message_id": "smoke-1"})
}

/// Gives the ack.
async fn message(a: &mut Session, b: &mut Session, receiver: &str) -> Result<Value> {
    a.send(&frame(receiver)).await?;
    let (ack, message) = tokio::try_join!(a.next("ack"), b.next("message"))?;
    ensure!(
        ack["seq"] == 1 && ack["status"] == "delivered" && ack["duplicate"] == false,
        "{ack}"
    );
    ensure!(
        message["message"] == "At 3PM?" && message["seq"] == 1,
        "{message}"
    );
    Ok(ack)
}

async fn resend(a: &mut Session, receiver: &str, first: &Value) -> Result<()> {
    a.send(&frame(receiver)).await?;
    let ack = a.next("ack").await?;
    let same = ["seq", "message_id", "timestamp"]
        .iter()
        .all(|key| ack[key] == first[key]);
    ensure!(same && ack["duplicate"] == true, "{ack}");
    Ok(())
}

/// The receiver of before answers, as a client of the old system does.
async fn old_frame(a: &mut Session, b: &mut Session, prof: &str, student: &str) -> Result<()> {
    b.send(&json!({"sender_id": student, "receiver_id": prof, "message": "Fine."}))
        .await?;
    let message = a.next("message").await?;
    ensure!(
        message["message"] == "Fine." && message["seq"] == 2,
        "{message}"
    );
    Ok(())
}

async fn ping(a: &mut Session) -> Result<()> {
    a.send(&json!({"action": "ping"})).await?;
    a.next("pong").await.map(drop)
}

async fn read(url: &str, [prof, student]: &[String; 2]) -> Result<()> {
    let history = history::get(url, prof, student).await?;
    let texts = history.iter().map(|message| message["message"].as_str());
    ensure!(texts.eq([Some("At 3PM?"), Some("Fine.")]), "{history:?}");
    let swapped = history::get(url, student, prof).await?;
    ensure!(
        history == swapped,
        "it depends on the order of the users: {swapped:?}"
    );
    Ok(())
}

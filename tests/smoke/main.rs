//! Tries a deployed chat: `cargo run --bin smoke -- WEBSOCKET_URL HISTORY_URL`. With Auth=jwt, it needs
//! two users and their tokens: `--users A B`, and `SMOKE_TOKENS` in the environment.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail, ensure};
use clap::Parser;
use hyper::StatusCode;
use serde_json::{Value, json};
use tests::client::{self, Connect, Connection, History, Token};
use tests::page;

/// Time limit of a step; the first ones start functions.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Messages of a page of the history: more than a run leaves.
const PAGE: usize = 100;

/// Tries a deployed chat with two users: connects, sends, receives, resends, reads the history,
/// disconnects; loads the page. It leaves two messages between them.
///
/// A deployment with Auth=open takes users of this program's own, whose ids begin with `smoke-`. One
/// with Auth=jwt needs two users of the issuer and a token of each.
#[derive(Parser)]
#[command(name = "smoke", version)]
struct Arguments {
    /// Output WebSocketUrl of the stack: wss://….amazonaws.com/prod
    websocket_url: String,

    /// Output HistoryUrl of the stack: https://….amazonaws.com/chat/history
    history_url: String,

    /// The ids of two users
    #[arg(long, num_args = 2, value_names = ["ID", "ID"], requires = "tokens")]
    users: Vec<String>,

    /// Their tokens, in the same order, with a comma between; better by the environment, which no
    /// list of processes shows
    #[arg(
        long,
        env = "SMOKE_TOKENS",
        hide_env_values = true,
        value_name = "TOKEN,TOKEN"
    )]
    #[arg(requires = "users", value_parser = tokens)]
    tokens: Option<[String; 2]>,

    /// Leave out the handshake as browsers make it: an emulator may not accept the subprotocol
    #[arg(long, requires = "tokens")]
    without_browser: bool,
}

fn tokens(text: &str) -> Result<[String; 2]> {
    let (first, second) = text.split_once(',').context("it is not two tokens")?;
    Ok([first, second].map(|token| token.trim().to_owned()))
}

/// A deployed chat.
struct Chat {
    websocket_url: String,
    history_url: String,
    /// Unlike that of any other run.
    run: String,
}

/// A user of the chat.
struct User {
    id: String,
    token: Option<String>,
}

impl User {
    /// The header in which an app sends the user's token.
    fn token(&self) -> Token<'_> {
        self.token.as_deref().map_or(Token::None, Token::Header)
    }

    async fn connect(&self, chat: &Chat) -> Result<Connection> {
        chat.connect(&self.id, self.token()).await
    }
}

#[tokio::main]
async fn main() {
    if let Err(error) = run(Arguments::parse()).await {
        eprintln!("FAILED  {error:#}");
        std::process::exit(1);
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let run = format!("{:08x}", fastrand::u32(..));
    let [prof, student] = &users(arguments.users, arguments.tokens, &run);
    let chat = &Chat {
        websocket_url: arguments.websocket_url,
        history_url: arguments.history_url,
        run,
    };
    talk(chat, prof, student).await?;
    step("the page and what it loads", load_page(chat)).await?;
    if let Some(token) = &prof.token {
        be_refused(chat, prof, student).await?;
        if !arguments.without_browser {
            step("a handshake as browsers make it", browse(chat, prof, token)).await?;
        }
    }
    println!(
        "ok      all of it; two messages stay between {} and {}",
        prof.id, student.id
    );
    Ok(())
}

/// The two users: those that are given, else two of this run's own.
fn users(given: Vec<String>, tokens: Option<[String; 2]>, run: &str) -> [User; 2] {
    let ids = <[String; 2]>::try_from(given);
    let [prof, student] =
        ids.unwrap_or_else(|_| ["prof", "student"].map(|name| format!("smoke-{run}-{name}")));
    let [first, second] = tokens.map_or([None, None], |tokens| tokens.map(Some));
    let user = |id, token| User { id, token };
    [user(prof, first), user(student, second)]
}

/// Everything that two users do.
async fn talk(chat: &Chat, prof: &User, student: &User) -> Result<()> {
    let mut a = step("a handshake", prof.connect(chat)).await?;
    let mut b = step("another one", student.connect(chat)).await?;
    let frame = &chat.frame(student);
    let first = step(
        "a message, its push and its ack",
        message(&mut a, &mut b, frame),
    )
    .await?;
    step(
        "a resend, which is recognised",
        resend(&mut a, frame, &first),
    )
    .await?;
    let seq = first["seq"].as_i64().context("a number")?;
    step(
        "a frame of the old system",
        old_frame(&mut a, &mut b, [prof, student], seq + 1),
    )
    .await?;
    step("a ping", ping(&mut a)).await?;
    step("the history", read(chat, prof, student, seq - 1)).await?;
    step("a close", async { tokio::try_join!(close(a), close(b)) }).await?;
    Ok(())
}

/// Runs a step and says how long it took.
async fn step<T>(name: impl Display, work: impl Future<Output = Result<T>>) -> Result<T> {
    let start = Instant::now();
    let done = tokio::time::timeout(TIMEOUT, work).await;
    let done = done
        .with_context(|| format!("{name}: no response in {} s", TIMEOUT.as_secs()))?
        .with_context(|| name.to_string())?;
    let millis = start.elapsed().as_secs_f64() * 1e3;
    println!("ok      {name}: {millis:.0} ms");
    Ok(done)
}

impl Chat {
    async fn connect(&self, user_id: &str, token: Token<'_>) -> Result<Connection> {
        let connect = Connect::user(&self.websocket_url, user_id).token(token);
        connect.open().await.context("the handshake fails")
    }

    /// Returns the status with which a handshake is refused.
    async fn refusal(&self, user_id: &str, token: Token<'_>) -> Result<StatusCode> {
        let connect = Connect::user(&self.websocket_url, user_id).token(token);
        refused(connect.open().await.map(drop))
    }

    /// Reads the messages of two users after a number.
    async fn history(
        &self,
        users: [&str; 2],
        after: i64,
        token: Option<&str>,
    ) -> Result<Vec<client::Message>, client::Error> {
        let token = token.map(str::to_owned);
        let history = History::new(self.history_url.clone(), token, TIMEOUT);
        history.page(users, after, PAGE).await
    }

    /// The frame of the first message.
    fn frame(&self, receiver: &User) -> Value {
        json!({"action": "sendMessage", "receiver_id": receiver.id, "message": "At 3PM?",
               "client_message_id": format!("smoke-{}", self.run)})
    }
}

/// Returns the status of a refusal.
fn refused(outcome: Result<(), client::Error>) -> Result<StatusCode> {
    match outcome {
        Ok(()) => bail!("it succeeds"),
        Err(client::Error::Rejected(status)) => Ok(status),
        Err(error) => Err(error.into()),
    }
}

/// Returns the next frame of a type. Any resent message may come before it.
async fn next(connection: &mut Connection, kind: &str) -> Result<Value> {
    loop {
        let text = connection.next().await.map_err(Error::msg)?;
        let frame: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        if frame["type"] == kind {
            return Ok(frame);
        }
        ensure!(frame["type"] == "message", "expected {kind}, got {frame}");
    }
}

async fn send(connection: &mut Connection, frame: &Value) -> Result<()> {
    let sent = connection.send(frame.to_string()).await;
    sent.map_err(Error::msg)
}

async fn close(connection: Connection) -> Result<()> {
    connection.close().await.map_err(Error::msg)
}

/// Sends a message; returns its ack.
async fn message(a: &mut Connection, b: &mut Connection, frame: &Value) -> Result<Value> {
    send(a, frame).await?;
    let (ack, message) = tokio::try_join!(next(a, "ack"), next(b, "message"))?;
    ensure!(
        ack["status"] == "delivered" && ack["duplicate"] == false,
        "{ack}"
    );
    ensure!(
        message["message"] == "At 3PM?" && message["seq"] == ack["seq"],
        "{message}"
    );
    Ok(ack)
}

async fn resend(a: &mut Connection, frame: &Value, first: &Value) -> Result<()> {
    send(a, frame).await?;
    let ack = next(a, "ack").await?;
    let same = ["seq", "message_id", "timestamp"]
        .iter()
        .all(|key| ack[key] == first[key]);
    ensure!(same && ack["duplicate"] == true, "{ack}");
    Ok(())
}

/// The receiver of before answers, as a client of the old system does.
async fn old_frame(
    a: &mut Connection,
    b: &mut Connection,
    [prof, student]: [&User; 2],
    seq: i64,
) -> Result<()> {
    let frame = json!({"sender_id": student.id, "receiver_id": prof.id, "message": "Fine."});
    send(b, &frame).await?;
    let message = next(a, "message").await?;
    ensure!(
        message["message"] == "Fine." && message["seq"] == seq,
        "{message}"
    );
    Ok(())
}

async fn ping(a: &mut Connection) -> Result<()> {
    send(a, &json!({"action": "ping"})).await?;
    next(a, "pong").await.map(drop)
}

/// Both see the same, whichever user they name first.
async fn read(chat: &Chat, prof: &User, student: &User, after: i64) -> Result<()> {
    let [a, b] = [prof, student].map(|user| user.token.as_deref());
    let history = chat.history([&prof.id, &student.id], after, a).await?;
    let texts = history.iter().map(|message| message.message.as_str());
    ensure!(texts.eq(["At 3PM?", "Fine."]), "{history:?}");
    let swapped = chat.history([&student.id, &prof.id], after, b).await?;
    ensure!(
        history == swapped,
        "it depends on the order of the users: {swapped:?}"
    );
    Ok(())
}

/// The page of the same API loads whole, and may connect to the WebSocket API.
async fn load_page(chat: &Chat) -> Result<()> {
    let api = chat.history_url.strip_suffix("chat/history");
    let api = api.context("HISTORY_URL does not end with /chat/history")?;
    let files = page::load(api).await?;
    let config: Value = serde_json::from_slice(&files[page::CONFIG].body)?;
    let socket = config["socketUrl"].as_str().context("a socketUrl")?;
    let origin = socket.split('/').take(3).collect::<Vec<_>>().join("/");
    let policy = files[""].header("content-security-policy");
    ensure!(
        policy.contains(&format!("connect-src 'self' {origin};")),
        "{policy} does not allow {socket}"
    );
    Ok(())
}

/// Nobody gets in without a token, or as somebody else.
async fn be_refused(chat: &Chat, prof: &User, student: &User) -> Result<()> {
    let handshake = |token| chat.refusal(&student.id, token);
    step("a handshake without a token, refused", async {
        handshake(Token::None).await
    })
    .await?;
    step("a handshake as somebody else, refused", async {
        let status = handshake(prof.token()).await?;
        ensure!(status == StatusCode::FORBIDDEN, "{status}");
        Ok(())
    })
    .await?;
    let history = async |users, token| refused(chat.history(users, 0, token).await.map(drop));
    step("the history without a token, refused", async {
        let status = history([&prof.id, &student.id], None).await?;
        ensure!(!status.is_success(), "{status}");
        Ok(())
    })
    .await?;
    step("the history of others, refused", async {
        let users = [student.id.as_str(), "smoke-nobody"];
        let status = history(users, prof.token.as_deref()).await?;
        ensure!(status == StatusCode::FORBIDDEN, "{status}");
        Ok(())
    })
    .await
}

/// Browsers can set no header but the subprotocol, and close a socket on which it is not accepted.
async fn browse(chat: &Chat, user: &User, token: &str) -> Result<()> {
    close(chat.connect(&user.id, Token::Subprotocol(token)).await?).await
}

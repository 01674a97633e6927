//! The user who floods the chat, with tasks that do not heed any response.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chat::UserId;
use tests::client::{Connect, Connection, Frame, Http, Token, encode};
use tests::issuer::Issuer;
use tests::{Chat, messages};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::flood::{Flood, PING};

/// Connections at once: as many as a user may have.
const CONNECTIONS: usize = 10;

/// Frames under way on each connection.
const IN_FLIGHT: usize = 16;

/// Pages of the history that are requested at once.
const PAGES: usize = 20;

/// Messages of a page, and of the conversation.
const PAGE: i64 = 1_000;

/// Buffers of a client that does not read, in bytes: the kernel's default ones take long to fill.
const BUFFER: u32 = 8 * 1_024;

/// Time after which responses count as lost, and the flood goes on.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after a handshake that was refused, so that this process is not busy with nothing else.
const REFUSED_PAUSE: Duration = Duration::from_millis(10);

/// A user, and the flood of that user.
pub struct Flooder {
    flood: Flood,
    ws: String,
    /// URL of a page of the history.
    page: String,
    user_id: String,
    token: String,
    counts: Counts,
}

/// Counters of a flood.
#[derive(Default)]
struct Counts {
    /// Frames, handshakes or pages.
    sent: AtomicUsize,
    /// Handshakes and pages that were refused, or not answered in time.
    refused: AtomicUsize,
    /// Connections that the chat has closed.
    closed: AtomicUsize,
}

fn add(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A flood under way. It ends when this is dropped.
pub struct Running {
    flooder: Arc<Flooder>,
    _tasks: JoinSet<()>,
}

impl Flooder {
    /// Returns a new user, whom no earlier flood has used up, with a conversation if the flood reads one.
    pub async fn prepare(flood: Flood, chat: &Chat, issuer: &Issuer) -> Arc<Self> {
        let user_id = format!("flooder-{flood:?}");
        if flood == Flood::Pages {
            let users = [user_id.clone(), "nobody".to_owned()].map(UserId::try_from);
            let users = users.map(|id| id.expect("a valid id"));
            messages::fill(&chat.database, &users, PAGE).await;
        }
        let query = format!("user1={}&user2=nobody&limit={PAGE}", encode(&user_id));
        Arc::new(Self {
            flood,
            ws: chat.ws.clone(),
            page: format!("{}/chat/history?{query}", chat.http),
            token: issuer.token(&user_id),
            user_id,
            counts: Counts::default(),
        })
    }

    /// Starts the flood.
    pub fn start(self: Arc<Self>) -> Running {
        let tasks = match self.flood {
            Flood::Pages => PAGES,
            _ => CONNECTIONS,
        };
        let tasks = (0..tasks).map(|_| Arc::clone(&self).flood());
        Running {
            _tasks: tasks.collect(),
            flooder: self,
        }
    }

    /// Floods the chat for ever.
    async fn flood(self: Arc<Self>) {
        let http = Http::default();
        loop {
            match self.flood {
                Flood::Pages => self.read_page(&http).await,
                Flood::Handshakes => drop(self.connect(Token::Header(&self.token)).await),
                Flood::HandshakesWithoutToken => drop(self.connect(Token::None).await),
                _ => self.send_frames().await,
            }
        }
    }

    async fn read_page(&self, http: &Http) {
        let page = http.get(&self.page, Some(&self.token), RESPONSE_TIMEOUT);
        if page.await.is_err() {
            add(&self.counts.refused);
            sleep(REFUSED_PAUSE).await;
        }
        add(&self.counts.sent);
    }

    /// Makes a handshake; returns `None` if it is refused.
    async fn connect(&self, token: Token<'_>) -> Option<Connection> {
        let connect = Connect::user(&self.ws, &self.user_id).token(token);
        let opened = match self.flood {
            Flood::DoesNotRead => connect.open_on(self.small_stream().await?).await,
            _ => connect.open().await,
        };
        if self.flood.frame().is_none() {
            add(&self.counts.sent);
        }
        if opened.is_err() {
            add(&self.counts.refused);
            sleep(REFUSED_PAUSE).await;
        }
        opened.ok()
    }

    /// Returns a TCP connection with small buffers.
    async fn small_stream(&self) -> Option<TcpStream> {
        let socket = TcpSocket::new_v4().ok()?;
        socket.set_recv_buffer_size(BUFFER).ok()?;
        socket.set_send_buffer_size(BUFFER).ok()?;
        let address = self.ws.trim_start_matches("ws://").parse().ok()?;
        socket.connect(address).await.ok()
    }

    /// Sends frames on a new connection until it ends.
    async fn send_frames(&self) {
        let Some(mut connection) = self.connect(Token::Header(&self.token)).await else {
            return;
        };
        let frame = self.flood.frame().expect("a flood of frames");
        let ended = async {
            loop {
                self.send_some(&mut connection, &frame).await?;
                if self.flood != Flood::DoesNotRead {
                    self.read_responses(&mut connection).await?;
                }
            }
        };
        let _: Result<(), String> = ended.await;
        add(&self.counts.closed);
    }

    /// Sends as many frames as may be under way. Behind messages of an old client comes a ping.
    async fn send_some(&self, connection: &mut Connection, frame: &str) -> Result<(), String> {
        for _ in 0..IN_FLIGHT {
            connection.send(frame).await?;
            add(&self.counts.sent);
        }
        match self.flood {
            Flood::Old => connection.send(PING).await,
            _ => Ok(()),
        }
    }

    /// Reads the responses to all frames under way, or the pong that comes after them.
    async fn read_responses(&self, connection: &mut Connection) -> Result<(), String> {
        let read = async {
            let mut responses = 0;
            while responses < IN_FLIGHT {
                match Frame::parse(&connection.next().await?) {
                    // Sent by another connection of the user.
                    Frame::Message(_) => {}
                    Frame::Pong if self.flood == Flood::Old => break,
                    _ => responses += 1,
                }
            }
            Ok(())
        };
        timeout(RESPONSE_TIMEOUT, read).await.unwrap_or(Ok(()))
    }
}

impl Running {
    /// Ends the flood after `elapsed`; returns `3,120 frames a second, 12 connections closed`.
    pub fn stop(self, elapsed: Duration) -> String {
        let counts = &self.flooder.counts;
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let rate = count(&counts.sent) as f64 / elapsed.as_secs_f64();
        let mut text = format!("{rate:.0} {} a second", self.flooder.flood.unit());
        for (counter, what) in [
            (&counts.refused, "refused"),
            (&counts.closed, "connections closed"),
        ] {
            if count(counter) > 0 {
                text += &format!(", {} {what}", count(counter));
            }
        }
        text
    }
}

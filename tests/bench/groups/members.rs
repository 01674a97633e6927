//! The members of a group: everybody has one connection, every second one another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use serde_json::json;
use tests::Chat;
use tests::client::{Connect, Connection};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use super::record::{Received, Record};
use crate::messages::TEXT;

/// Members who write, in turn.
const WRITERS: usize = 8;

/// Handshakes at once.
const HANDSHAKES: usize = 16;

/// Users that a frame names at most.
const USERS_OF_A_FRAME: usize = 49;

/// Pause before a message is sent again that was refused for now.
const RETRY: Duration = Duration::from_millis(100);

/// A group whose members are all connected. Each connection is a task that reads.
pub struct Members {
    group: String,
    size: usize,
    writers: Vec<mpsc::UnboundedSender<String>>,
    record: Arc<Record>,
    connections: Vec<AbortOnDropHandle<()>>,
}

impl Members {
    /// Connects the members, then makes the group of them.
    pub async fn gather(chat: &Chat, size: usize) -> Self {
        let users = (0..size).chain((0..size).step_by(2)).map(user);
        let connecting = stream::iter(users).map(async |user| connect(chat, &user).await);
        let mut connections: Vec<Connection> = connecting.buffered(HANDSHAKES).collect().await;
        let group = create(&mut connections[0], size).await;
        let record = Arc::new(Record::default());
        let mut writers = Vec::new();
        let connections = connections.into_iter().map(|connection| {
            let (writer, frames) = mpsc::unbounded_channel();
            writers.push(writer);
            let attending = attend(connection, frames, Arc::clone(&record));
            AbortOnDropHandle::new(tokio::spawn(attending))
        });
        let connections = connections.collect();
        writers.truncate(WRITERS.min(size));
        Self {
            group,
            size,
            writers,
            record,
            connections,
        }
    }

    /// Returns the number of members.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Returns the number of connections.
    pub fn sockets(&self) -> usize {
        self.connections.len()
    }

    /// Returns the number of pushes of so many messages: the connection that has sent one gets an ack in its place.
    pub fn pushes(&self, messages: u32) -> usize {
        messages as usize * (self.sockets() - 1)
    }

    /// Sends messages at a rate, and waits until all are acknowledged and pushed.
    pub async fn send(&self, rate: u32, count: u32) -> Record {
        let mut ticks = interval(Duration::from_secs(1) / rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let writers = self.writers.iter().cycle();
        for (number, writer) in (0..count).zip(writers) {
            ticks.tick().await;
            let id = format!("{number}-{:08x}", fastrand::u32(..));
            let frame = json!({
                "action": "sendMessage",
                "conversation_id": self.group,
                "message": TEXT,
                "client_message_id": id,
            });
            self.record.sent(id, Instant::now());
            writer.send(frame.to_string()).expect("it is connected");
        }
        self.record.settle(count as usize, self.pushes(count)).await;
        self.record.take()
    }
}

fn user(number: usize) -> String {
    format!("member-{number}")
}

async fn connect(chat: &Chat, user: &str) -> Connection {
    let connect = Connect::user(&chat.ws, user).header("sec-websocket-protocol", "chat.v1");
    let connection = connect.read_buffer_bytes(2 * 1024).open().await;
    connection.expect("connected")
}

/// Makes the group; returns its id.
async fn create(creator: &mut Connection, size: usize) -> String {
    let others: Vec<String> = (1..size).map(user).collect();
    let mut parts = others.chunks(USERS_OF_A_FRAME);
    let first = parts.next().unwrap_or_default();
    let create = json!({
        "action": "createGroup",
        "title": "Lecture",
        "users": first,
        "client_message_id": "create",
    });
    let group = acked(creator, create.to_string(), "create").await;
    let group = group.conversation_id.expect("an ack names it");
    for (number, users) in parts.enumerate() {
        let id = format!("invite-{number}");
        let invite = json!({
            "action": "invite",
            "conversation_id": group,
            "users": users,
            "client_message_id": id,
        });
        acked(creator, invite.to_string(), &id).await;
    }
    group
}

/// Sends a frame until it is acknowledged; returns the ack.
async fn acked(connection: &mut Connection, frame: String, id: &str) -> Received {
    loop {
        connection
            .send(frame.clone())
            .await
            .expect("it is connected");
        loop {
            let text = connection.next().await.expect("it is connected");
            let received = Received::parse(&text);
            if received.client_message_id.as_deref() != Some(id) {
                continue;
            }
            match received.kind.as_str() {
                "ack" => return received,
                "error" => break tokio::time::sleep(RETRY).await,
                _ => {}
            }
        }
    }
}

/// Reads what comes on a connection, and sends what its member writes.
async fn attend(
    mut connection: Connection,
    mut frames: mpsc::UnboundedReceiver<String>,
    record: Arc<Record>,
) {
    let mut last = String::new();
    loop {
        tokio::select! {
            received = connection.next() => {
                let received = Received::parse(&received.expect("it is connected"));
                if record.received(received, Instant::now()) {
                    // Refused for now. Nobody writes two messages at once.
                    tokio::time::sleep(RETRY).await;
                    connection.send(last.clone()).await.expect("it is connected");
                }
            }
            Some(frame) = frames.recv() => {
                last.clone_from(&frame);
                connection.send(frame).await.expect("it is connected");
            }
        }
    }
}

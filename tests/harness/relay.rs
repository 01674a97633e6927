//! A TCP relay in front of the database: it counts the commands that clients send, has faults on demand,
//! and serves a new connection at once.
//!
//! The embedded database looks for new connections every five milliseconds. A driver that starts opens
//! two, one after the other, so a process that starts quickly would spend most of its start on that. The
//! relay has open connections to the database, and hands them out.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{Document, RawDocument};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::server;

/// Connections that are open before a client asks for one.
const SPARE: usize = 8;

/// Commands by which a driver opens and keeps its connections, whether or not there are requests. It logs in
/// on each connection where the connection string has a user.
const UPKEEP: [&str; 7] = [
    "hello",
    "isMaster",
    "ping",
    "endSessions",
    "saslStart",
    "saslContinue",
    "authenticate",
];

/// Counts of commands by their names.
pub type Counts = BTreeMap<String, usize>;

/// A relay, which lasts as long as the runtime that started it.
pub struct Relay {
    /// The connection string of the database through the relay.
    pub uri: String,
    commands: Arc<Commands>,
    reply_delay: Arc<Mutex<Duration>>,
}

/// The commands on their way to the database.
#[derive(Default)]
struct Commands {
    counts: Mutex<Counts>,
    /// Faults of commands, by their names and collections.
    faults: Mutex<Vec<([&'static str; 2], Fault)>>,
}

/// What happens to a command.
#[derive(Debug)]
pub enum Fault {
    /// The server does not get it, and the connection hangs.
    Hang,
    /// The server does not get it, and this is the reply.
    Refuse(Document),
    /// The server executes it, and the connection ends before the reply.
    LoseReply,
    /// The server gets it when the sender of this sends or is dropped, whether the client still waits or not.
    Hold(oneshot::Receiver<()>),
}

impl Relay {
    /// Starts a relay in front of the server of a connection string.
    ///
    /// # Panics
    ///
    /// The server does not listen.
    pub async fn start(uri: &str) -> Self {
        let address = server::address(uri);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address").to_string();
        let relay = Self {
            uri: uri.replace(address, &own),
            commands: Arc::default(),
            reply_delay: Arc::default(),
        };
        let (sender, spare) = mpsc::channel(SPARE);
        tokio::spawn(keep_open(address.to_owned(), sender));
        let (commands, delay) = (Arc::clone(&relay.commands), Arc::clone(&relay.reply_delay));
        tokio::spawn(serve(listener, spare, commands, delay));
        relay
    }

    /// Sets the fault of the next command of this name on this collection.
    pub fn fail(&self, command: &'static str, collection: &'static str, fault: Fault) {
        let mut faults = self.commands.faults.lock();
        faults.push(([command, collection], fault));
    }

    /// Delays each reply from now on.
    pub fn delay(&self, delay: Duration) {
        *self.reply_delay.lock() = delay;
    }

    /// Returns the commands of requests since the last call.
    pub fn take(&self) -> Counts {
        let mut counts = std::mem::take(&mut *self.commands.counts.lock());
        counts.retain(|command, _| !UPKEEP.contains(&command.as_str()));
        counts
    }
}

/// Keeps connections to the server open.
async fn keep_open(server: String, spare: mpsc::Sender<TcpStream>) {
    loop {
        let stream = TcpStream::connect(&server).await.expect("it listens");
        stream.set_nodelay(true).expect("a TCP socket");
        if spare.send(stream).await.is_err() {
            return;
        }
    }
}

async fn serve(
    listener: TcpListener,
    mut spare: mpsc::Receiver<TcpStream>,
    commands: Arc<Commands>,
    reply_delay: Arc<Mutex<Duration>>,
) {
    while let (Ok((client, _)), Some(server)) = (listener.accept().await, spare.recv().await) {
        client.set_nodelay(true).expect("a TCP socket");
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let replies = Arc::new(Replies {
            client: tokio::sync::Mutex::new(to_client),
            lost: Mutex::default(),
            delay: Arc::clone(&reply_delay),
        });
        let commands = Arc::clone(&commands);
        // Either direction ends with its connection.
        tokio::spawn(forward_commands(
            from_client,
            to_server,
            Arc::clone(&replies),
            commands,
        ));
        tokio::spawn(async move { replies.forward(from_server).await });
    }
}

/// Forwards the commands of one connection until it ends.
async fn forward_commands(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    replies: Arc<Replies>,
    commands: Arc<Commands>,
) -> io::Result<()> {
    loop {
        let message = Message::read(&mut client).await?;
        match commands.take_fault(&message) {
            Some(Fault::Hang) => return std::future::pending().await,
            Some(Fault::Refuse(reply)) => {
                replies.send(&message.reply(&reply)).await?;
                continue;
            }
            Some(Fault::LoseReply) => *replies.lost.lock() = Some(message.id()),
            Some(Fault::Hold(release)) => release.await.unwrap_or_default(),
            None => {}
        }
        server.write_all(&message.0).await?;
    }
}

impl Commands {
    /// Counts a command; returns its fault, if it has one.
    fn take_fault(&self, message: &Message) -> Option<Fault> {
        let [command, collection] = message.command()?;
        let mut faults = self.faults.lock();
        let place = faults
            .iter()
            .position(|(names, _)| *names == [command.as_str(), &collection]);
        *self.counts.lock().entry(command).or_default() += 1;
        place.map(|place| faults.remove(place).1)
    }
}

/// The replies of one connection.
struct Replies {
    client: tokio::sync::Mutex<OwnedWriteHalf>,
    /// The id of the command whose reply is lost.
    lost: Mutex<Option<u32>>,
    delay: Arc<Mutex<Duration>>,
}

impl Replies {
    /// Forwards replies until the connection ends.
    async fn forward(&self, mut server: OwnedReadHalf) -> io::Result<()> {
        loop {
            let message = Message::read(&mut server).await?;
            if *self.lost.lock() == Some(message.response_to()) {
                return self.client.lock().await.shutdown().await;
            }
            let delay = *self.delay.lock();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            self.send(&message).await?;
        }
    }

    async fn send(&self, message: &Message) -> io::Result<()> {
        self.client.lock().await.write_all(&message.0).await
    }
}

/// A message of the [wire protocol]: its length, its id, the id of the command that it replies to, and the
/// kind of what follows.
///
/// [wire protocol]: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
struct Message(Vec<u8>);

/// The kind of message that has a command or a reply.
const OP_MSG: u32 = 2013;

/// Offset of the body of an `OP_MSG`: it lies behind the header, flags and the kind of the section.
const BODY: usize = 21;

impl Message {
    async fn read(stream: &mut OwnedReadHalf) -> io::Result<Self> {
        let length = stream.read_u32_le().await?;
        let mut bytes = vec![0; length as usize];
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        stream.read_exact(&mut bytes[4..]).await?;
        Ok(Self(bytes))
    }

    fn number(&self, offset: usize) -> u32 {
        let bytes = self.0[offset..offset + 4].try_into();
        u32::from_le_bytes(bytes.expect("four bytes"))
    }

    fn id(&self) -> u32 {
        self.number(4)
    }

    fn response_to(&self) -> u32 {
        self.number(8)
    }

    /// Returns the command of an `OP_MSG` and its collection, which are the first field of its body.
    fn command(&self) -> Option<[String; 2]> {
        if self.number(12) != OP_MSG {
            return None;
        }
        let body = self.0.get(BODY..)?.get(..self.number(BODY) as usize)?;
        let field = RawDocument::from_bytes(body).ok()?.iter().next()?;
        let (command, collection) = field.ok()?;
        let collection = collection.as_str().unwrap_or_default();
        Some([command.to_string(), collection.to_owned()])
    }

    /// Returns an `OP_MSG` that replies to this message.
    fn reply(&self, body: &Document) -> Self {
        Self::new(self.id(), body)
    }

    /// Returns an `OP_MSG` in response to the message with an id; a command is in response to 0.
    fn new(response_to: u32, body: &Document) -> Self {
        let body = body.to_vec().expect("a document");
        let length = (BODY + body.len()) as u32;
        let header = [length, 0, response_to, OP_MSG, 0];
        let mut bytes: Vec<u8> = header.into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.push(0);
        bytes.extend(body);
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;
    use crate::in_time;

    /// Starts a server that replies to each command; returns its connection string.
    async fn server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut commands, mut replies) = stream.into_split();
                    while let Ok(command) = Message::read(&mut commands).await {
                        let reply = command.reply(&doc! {"ok": 1});
                        let _ = replies.write_all(&reply.0).await;
                    }
                });
            }
        });
        format!("mongodb://{address}/")
    }

    #[tokio::test]
    async fn the_commands_of_a_login_are_not_counted_as_requests() {
        let relay = Relay::start(&server().await).await;
        let stream = TcpStream::connect(server::address(&relay.uri)).await;
        let (mut replies, mut commands) = stream.expect("accepted").into_split();
        for command in [
            doc! {"hello": 1},
            doc! {"saslStart": 1, "mechanism": "SCRAM-SHA-256"},
            doc! {"saslContinue": 1, "conversationId": 1},
            doc! {"authenticate": 1, "mechanism": "MONGODB-X509"},
            doc! {"find": "chat_messages", "filter": {}},
        ] {
            let command = Message::new(0, &command);
            commands.write_all(&command.0).await.expect("sent");
            let reply = in_time("the reply to a command", Message::read(&mut replies));
            reply.await.expect("a reply");
        }
        assert_eq!(relay.take(), [("find".to_owned(), 1)].into());
    }
}

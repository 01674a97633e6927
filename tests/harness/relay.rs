//! A TCP relay in front of the database: it counts the commands that clients send, can hold them up, and
//! serves a new connection at once.
//!
//! The embedded database looks for new connections every five milliseconds. A driver that starts opens
//! two, one after the other, so a process that starts quickly would spend most of its start on that. The
//! relay has open connections to the database, and hands them out.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::server;

/// Connections that are open before a client asks for one.
const SPARE: usize = 8;

/// Commands by which a driver keeps its connections, whether or not there are requests.
const UPKEEP: [&str; 4] = ["hello", "isMaster", "ping", "endSessions"];

/// Counts of commands by their names.
pub type Counts = BTreeMap<String, usize>;

/// A relay, which lasts as long as the runtime that started it.
pub struct Relay {
    /// The connection string of the database through the relay.
    pub uri: String,
    commands: Arc<Commands>,
}

/// The commands on their way to the database.
#[derive(Default)]
struct Commands {
    counts: Mutex<Counts>,
    /// The command that never arrives, and lets its connection hang.
    held: Mutex<Option<&'static str>>,
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
        };
        let (sender, spare) = mpsc::channel(SPARE);
        tokio::spawn(keep_open(address.to_owned(), sender));
        tokio::spawn(serve(listener, spare, Arc::clone(&relay.commands)));
        relay
    }

    /// Lets commands of this name hang from now on.
    pub fn hold(&self, command: &'static str) {
        *self.commands.held.lock() = Some(command);
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
) {
    while let (Ok((client, _)), Some(server)) = (listener.accept().await, spare.recv().await) {
        client.set_nodelay(true).expect("a TCP socket");
        let (from_client, mut to_client) = client.into_split();
        let (mut from_server, to_server) = server.into_split();
        // Either direction ends with its connection.
        tokio::spawn(forward(from_client, to_server, Arc::clone(&commands)));
        tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
    }
}

/// Forwards messages of the [wire protocol] until the connection ends, and counts their commands.
///
/// [wire protocol]: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
async fn forward(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    commands: Arc<Commands>,
) -> io::Result<()> {
    loop {
        let length = client.read_u32_le().await?;
        let mut message = vec![0; length as usize];
        message[..4].copy_from_slice(&length.to_le_bytes());
        client.read_exact(&mut message[4..]).await?;
        if let Some(command) = command(&message) {
            if *commands.held.lock() == Some(command.as_str()) {
                return std::future::pending().await;
            }
            *commands.counts.lock().entry(command).or_default() += 1;
        }
        server.write_all(&message).await?;
    }
}

/// Returns the first key of an `OP_MSG`'s body: it lies behind the four numbers of the header, flags, the
/// kind of the section, the length of the document and the type of the value.
fn command(message: &[u8]) -> Option<String> {
    const OP_MSG: [u8; 4] = 2013_u32.to_le_bytes();
    if message.get(12..16)? != OP_MSG {
        return None;
    }
    let name = message.get(26..)?;
    let end = name.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&name[..end]).into_owned())
}

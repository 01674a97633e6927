//! A way to the database on which a new connection is served at once.
//!
//! The embedded database looks for new connections every five milliseconds. A driver that starts opens
//! two, one after the other, so most of the start of a quick process is spent on that. The relay has
//! connections open already and hands them out, as if the database had been waiting for its clients.

use tests::server;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Connections that are open before somebody asks for one.
const SPARE: usize = 8;

/// Starts one in front of the server of `uri`; it goes on for as long as this process does. Gives its
/// connection string.
pub async fn start(uri: &str) -> String {
    let server = server::address(uri).to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let own = listener.local_addr().expect("an address").to_string();
    let relayed = uri.replace(&server, &own);
    let (sender, mut spare) = mpsc::channel(SPARE);
    tokio::spawn(async move {
        loop {
            let connection = connect(&server).await;
            if sender.send(connection).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let (Ok((mut client, _)), Some(mut server)) =
            (listener.accept().await, spare.recv().await)
        {
            client.set_nodelay(true).expect("a TCP socket");
            tokio::spawn(async move {
                // Its end is that of the function, which is killed.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    relayed
}

async fn connect(server: &str) -> TcpStream {
    let stream = TcpStream::connect(server).await.expect("it listens");
    stream.set_nodelay(true).expect("a TCP socket");
    stream
}

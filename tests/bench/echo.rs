//! A WebSocket echo server in a process of its own, to compare the gateway with.

use std::process::Stdio;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// The argument that makes this program an echo server.
pub const ARGUMENT: &str = "echo-server";

/// A running echo server. It ends when this is dropped.
pub struct Echo {
    /// Its address.
    pub url: String,
    _child: Child,
}

impl Echo {
    /// Starts the server.
    pub async fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let stdout = child.stdout.take().expect("its output is a pipe");
        let url = BufReader::new(stdout).lines().next_line().await;
        Self {
            url: url.expect("it is read").expect("it prints its address"),
            _child: child,
        }
    }
}

/// Serves until standard input ends, that is, until the parent process ends.
pub async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("ws://{}", listener.local_addr().expect("an address"));
    let clients = async {
        loop {
            let (stream, _) = listener.accept().await.expect("a client");
            tokio::spawn(echo(stream));
        }
    };
    let mut input = [0];
    let mut stdin = tokio::io::stdin();
    tokio::select! {
        () = clients => {}
        _ = stdin.read(&mut input) => {}
    }
    // Standard input is read by a thread that cannot be stopped.
    std::process::exit(0);
}

async fn echo(stream: TcpStream) {
    stream.set_nodelay(true).expect("a TCP socket");
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    while let Some(Ok(frame)) = socket.next().await {
        if socket.send(frame).await.is_err() {
            return;
        }
    }
}

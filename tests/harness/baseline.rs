//! Programs that the chat is compared with: the server that it replaces, and functions in other languages.
//! Their sources are in `tests/baseline`.

use std::path::Path;
use std::process::Stdio;

use anyhow::Result;
use local_gateway::process::ports::free_port;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;

use crate::client::encode;
use crate::{Client, node, process, server, tools, until};

/// The sources.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline");

/// A running server of the old kind. It is killed when it is dropped, and ends with this process.
pub struct OldServer {
    /// Base URL for HTTP callers: `http://127.0.0.1:…`.
    pub http: String,
    child: Child,
}

impl OldServer {
    /// Starts the server on a free port, on a database.
    ///
    /// # Panics
    ///
    /// The server is not ready in time.
    pub async fn start(uri: &str, database: &str) -> Self {
        let python = blocking(tools::baseline_python).await;
        let port = free_port().expect("a port");
        let mut command = Command::from(process::tied(&python, "TERM"));
        let child = command
            .arg(format!("{FOLDER}/server.py"))
            .env("MONGODB_URI", uri)
            .env("MONGODB_DATABASE", database)
            .env("PORT", port.to_string())
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut old = Self {
            http: format!("http://127.0.0.1:{port}"),
            child,
        };
        until(async || old.listens(port).await).await;
        old
    }

    async fn listens(&mut self, port: u16) -> bool {
        let exited = self.child.try_wait().expect("it can be waited for");
        assert!(exited.is_none(), "the old server exited: {exited:?}");
        TcpStream::connect(("127.0.0.1", port)).await.is_ok()
    }

    /// Connects a client as `user_id`.
    pub async fn connect(&self, user_id: &str) -> Client {
        let base = self.http.replace("http:", "ws:");
        let url = format!("{base}/ws/chat/{}", encode(user_id));
        Client::connect(&url).await.expect("the handshake succeeds")
    }
}

/// Returns the command of the minimal function in Python, in the runtime that Lambda has for it.
pub async fn python_function() -> Command {
    let mut command = Command::new(blocking(tools::baseline_python).await);
    // `-B`: no byte code is written beside the sources.
    command.args(["-B", "-m", "awslambdaric", "handler.handler"]);
    command.current_dir(FOLDER);
    command
}

/// Returns the command of the minimal function for Node, bundled into one file.
///
/// # Errors
///
/// Node or the package index is missing; the error says what to do.
pub async fn node_function() -> Result<Command> {
    let (node, bundle) = blocking(|| {
        let node = node::program()?;
        let bundle = server::scratch_folder().join("handler.mjs");
        node::bundle(&Path::new(FOLDER).join("handler.mjs"), &bundle)?;
        anyhow::Ok((node, bundle))
    })
    .await?;
    let mut command = Command::new(node);
    // The SDK warns of versions of Node that will lose their support.
    command.args(["--no-warnings", "runtime.mjs"]).arg(bundle);
    command.current_dir(FOLDER);
    Ok(command)
}

/// Runs a call that may install something, on a thread for blocking work.
async fn blocking<T: Send + 'static>(install: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(install).await.expect("no panic")
}

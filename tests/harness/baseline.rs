//! Programs that the chat is compared with: the server that it replaces, and the chat as a sample in Node or
//! Python has it. Their sources are in `tests/baseline`.

use std::fmt::{self, Display, Formatter};
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Result;
use local_gateway::process::ports::free_port;
use mongodb::bson::{Document, doc};
use mongodb::{Database, IndexModel};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;

use crate::client::encode;
use crate::launch::Launch;
use crate::{Client, LocalGateway, node, process, server, tools, until};

/// The sources.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline");

/// The runtime for Node of the local gateway.
const NODE_RUNTIME: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../infra/gateway/src/process/bootstrap.mjs"
);

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

/// A language of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Node, with the AWS SDK and the MongoDB driver bundled into one file.
    Node,
    /// Python, with boto3 and PyMongo.
    Python,
}

impl Display for Language {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Self::Node => "Node",
            Self::Python => "Python",
        })
    }
}

/// The function of a sample, ready to run.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The command: the program and its arguments.
    words: Vec<PathBuf>,
    /// The files and folders that a deployment uploads. boto3 comes with Lambda's runtime for Python.
    pub package: Vec<PathBuf>,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 2] = [Self::Node, Self::Python];

    /// Installs the packages, and bundles them for Node.
    ///
    /// # Errors
    ///
    /// Node or its package index is missing; the error says what to do.
    pub async fn sample(self) -> Result<Sample> {
        blocking(move || match self {
            Self::Node => node_function(),
            Self::Python => Ok(python_function()),
        })
        .await
    }
}

fn node_function() -> Result<Sample> {
    let sample = PathBuf::from(FOLDER).join("sample.mjs");
    let bundle = server::scratch_folder().join("sample.mjs");
    node::bundle(&sample, &bundle)?;
    Ok(Sample {
        words: vec![
            node::program()?,
            // The SDK warns of versions of Node that will lose their support.
            "--no-warnings".into(),
            PathBuf::from(NODE_RUNTIME),
            bundle.with_extension("handler"),
        ],
        package: vec![bundle],
    })
}

fn python_function() -> Sample {
    // `-B`: no byte code is written beside the sources.
    let arguments = ["-B", "-m", "awslambdaric", "sample.handler"];
    let packages = tools::baseline_packages();
    let package = ["pymongo", "bson", "gridfs", "dns"].map(|name| packages.join(name));
    let mut sample = Sample {
        words: vec![tools::baseline_python()],
        package: vec![PathBuf::from(FOLDER).join("sample.py")],
    };
    sample.words.extend(arguments.map(PathBuf::from));
    sample.package.extend(package);
    sample
}

impl Sample {
    /// Returns the command that runs one process.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).current_dir(FOLDER);
        command
    }

    /// Starts the sample on a database, behind the local gateway, with further flags of it. Makes the
    /// indexes.
    ///
    /// # Errors
    ///
    /// The database or the gateway does not start.
    pub async fn start(&self, uri: &str, database: &str, flags: &[&str]) -> Result<LocalGateway> {
        make_indexes(&server::database(uri, database).await?).await?;
        Launch::template(Path::new(FOLDER).join("template.yaml"))
            .binaries(self.binaries()?)
            .parameter(&format!("MongodbUri={uri}"))
            .parameter(&format!("MongodbDatabase={database}"))
            .flags(flags)
            .start()
            .await
    }

    /// Returns a folder in which the program `sample` runs the function.
    fn binaries(&self) -> Result<PathBuf> {
        let folder = server::scratch_folder().join(format!("sample-{:08x}", fastrand::u32(..)));
        std::fs::create_dir_all(&folder)?;
        let words = self
            .words
            .iter()
            .map(|word| format!("'{}'", word.display()));
        let words = words.collect::<Vec<_>>().join(" ");
        let mut script = File::create(folder.join("sample"))?;
        writeln!(script, "#!/bin/sh\nexec {words}")?;
        script.set_permissions(Permissions::from_mode(0o755))?;
        Ok(folder)
    }
}

/// Makes the indexes of a sample: for the history of a conversation, and for a user's connections.
async fn make_indexes(database: &Database) -> Result<()> {
    for (collection, keys) in [
        ("chat_messages", doc! {"conversation_id": 1, "timestamp": 1}),
        ("connections", doc! {"user_id": 1}),
    ] {
        let index = IndexModel::builder().keys(keys).build();
        let collection = database.collection::<Document>(collection);
        collection.create_index(index).await?;
    }
    Ok(())
}

/// Runs a call that may install something, on a thread for blocking work.
async fn blocking<T: Send + 'static>(install: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(install).await.expect("no panic")
}

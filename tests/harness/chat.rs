//! The whole chat: the local gateway on the chat's template, and a database for it on the run's server.

use std::path::Path;

use mongodb::Database;
use rustix::process::Pid;

use crate::client::{Client, HttpResponse, encode, get, history_url};
use crate::gateway::LocalGateway;
use crate::issuer::Issuer;
use crate::launch::{Host, Launch};
use crate::{TIMEOUT, management, server};

/// A running chat.
pub struct Chat {
    /// Origin for WebSocket clients: `ws://127.0.0.1:…`.
    pub ws: String,
    /// Origin for HTTP callers: `http://127.0.0.1:…`.
    pub http: String,
    /// Its database, for tests to read and to prepare.
    pub database: Database,
    /// The connection string of the database's server.
    pub uri: String,
    /// Its process.
    pub gateway: LocalGateway,
}

/// The settings of a chat that has not been started yet.
#[derive(Debug, Clone)]
#[must_use = "nothing is started before `start`"]
pub struct Settings {
    launch: Launch,
    /// Connection string and name; without them, a database of its own on the run's server.
    database: Option<(String, String)>,
}

impl Settings {
    /// Adds flags of `cargo local`.
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.launch = self.launch.flags(flags);
        self
    }

    /// Sets parameters of the template: `Name=value`.
    pub fn parameters(mut self, parameters: &[impl AsRef<str>]) -> Self {
        for parameter in parameters {
            self.launch = self.launch.parameter(parameter.as_ref());
        }
        self
    }

    /// Serves a copy of the template in which texts are replaced: see [`Launch::edited`].
    pub fn edited(mut self, edits: &[(&str, &str)]) -> Self {
        self.launch = self.launch.edited(edits);
        self
    }

    /// Leaves the limits of a user as a deployment has them.
    pub fn limited(mut self) -> Self {
        self.launch = self.launch.limited();
        self
    }

    /// Runs the functions on this host, not on the one that the environment asks for.
    pub fn host(mut self, host: Host) -> Self {
        self.launch = self.launch.host(host);
        self
    }

    /// Runs the functions of a folder, not those that were built with the tests.
    pub fn binaries(mut self, folder: &Path) -> Self {
        self.launch = self.launch.binaries(folder);
        self
    }

    /// Accepts tokens of this issuer alone.
    pub fn issuer(self, issuer: &Issuer) -> Self {
        self.parameters(&issuer.parameters())
    }

    /// Uses the database `name` of the server at `uri`.
    pub fn database(mut self, uri: &str, name: &str) -> Self {
        self.database = Some((uri.to_owned(), name.to_owned()));
        self
    }

    /// Starts the chat.
    ///
    /// # Panics
    ///
    /// It does not start; the message is its log.
    pub async fn start(self) -> Chat {
        let (uri, name) = match self.database {
            Some(database) => database,
            None => (server::uri().await.to_owned(), server::database_name()),
        };
        let gateway = self.launch.database(&uri, &name).start().await;
        let gateway = gateway.expect("the chat starts");
        Chat {
            ws: origin(gateway.ws.as_deref()),
            http: origin(gateway.http.as_deref()),
            database: server::database(&uri, &name).await.expect("a database"),
            uri,
            gateway,
        }
    }
}

/// Returns a URL without its path.
fn origin(url: Option<&str>) -> String {
    let parts = url.expect("the chat has both APIs").split('/').take(3);
    parts.collect::<Vec<_>>().join("/")
}

impl Chat {
    /// Starts a chat on a database of its own, with the usual settings.
    pub async fn start() -> Self {
        Self::with().start().await
    }

    /// Returns the usual settings, to be changed.
    pub fn with() -> Settings {
        Settings {
            launch: Launch::chat(),
            database: None,
        }
    }

    /// Returns the base URL of its `@connections` API, as functions get it.
    pub fn management_endpoint(&self) -> String {
        format!("{}/prod", self.ws.replace("ws:", "http:"))
    }

    /// Returns a client of its `@connections` API.
    pub fn management(&self) -> aws_sdk_apigatewaymanagement::Client {
        let credentials = management::credentials("local", "local", None);
        management::client(&self.management_endpoint(), "us-east-1", credentials)
    }

    /// Connects a client as `user_id`.
    pub async fn connect(&self, user_id: &str) -> Client {
        let url = format!("{}/?user_id={}", self.ws, encode(user_id));
        let connected = Client::connect(&url).await;
        connected.expect("the handshake succeeds")
    }

    /// Connects a modern client as `user_id`: it offers the subprotocol.
    pub async fn connect_modern(&self, user_id: &str) -> Client {
        let url = format!("{}/?user_id={}", self.ws, encode(user_id));
        let offer = [("sec-websocket-protocol", "chat.v1")];
        let connected = Client::connect_with(&url, &offer).await;
        connected.expect("the handshake succeeds").0
    }

    /// Requests the history of two users, with further `parameters` (`&limit=10`).
    pub async fn history(&self, user1: &str, user2: &str, parameters: &str) -> HttpResponse {
        let url = format!("{}/chat/history", self.http);
        get(&history_url(&url, [user1, user2], parameters)).await
    }

    /// Returns the process id of the gateway.
    pub fn pid(&self) -> Pid {
        self.gateway.pid()
    }

    /// Shuts everything down as Ctrl-C does and drops the database; returns the log.
    pub async fn stop(self) -> String {
        let database = self.database.clone();
        let log = self.shutdown().await;
        // A test may have stopped the server already.
        let _ = tokio::time::timeout(TIMEOUT, database.drop()).await;
        log
    }

    /// Shuts everything down as Ctrl-C does, and keeps the database; returns the log.
    ///
    /// # Panics
    ///
    /// The gateway does not exit in time, or not with success.
    pub async fn shutdown(self) -> String {
        let stopped = self.gateway.stop().await;
        let (status, log) = stopped.expect("the gateway exits in time");
        assert!(status.success(), "{status}: {log}");
        log
    }
}

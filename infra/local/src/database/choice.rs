//! Chooses the database: `MONGODB_URI`, or a server of our own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chat::store::StoreConfig;
use clap::Args;
use local_gateway::process::supervise::this_program;

use super::own::{Database, ping, uri};
use super::server::Server;
use crate::running::{self, Announcement, RunningChat};

/// Flags of the database.
#[derive(Args)]
#[command(next_help_heading = "The chat")]
#[group(skip)]
pub struct Flags {
    /// Name of the database
    #[arg(long, default_value = StoreConfig::DEFAULT_DATABASE, value_name = "NAME")]
    database: String,

    /// Where our own database keeps its data [default: .local in the workspace of the template]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,

    /// Start with an empty database; the one behind MONGODB_URI is never touched
    #[arg(long)]
    fresh: bool,
}

/// A database that is chosen and not yet started.
pub struct Choice {
    flags: Flags,
    uri: String,
    /// The port that is kept free for a server of our own; `None` for the one behind `MONGODB_URI`.
    port: Option<TcpListener>,
}

/// A database that responds.
pub struct ChatDatabase {
    own: Option<Own>,
}

/// A server of our own, with the file that says where it is.
struct Own {
    database: Database,
    name: String,
    data: PathBuf,
    announcement: Option<Announcement>,
}

impl Choice {
    /// Chooses `MONGODB_URI` if it is set, else a server of our own.
    ///
    /// # Errors
    ///
    /// There is no free port.
    pub fn new(flags: Flags) -> Result<Self> {
        if let Some(uri) = std::env::var("MONGODB_URI")
            .ok()
            .filter(|uri| !uri.is_empty())
        {
            return Ok(Self {
                flags,
                uri,
                port: None,
            });
        }
        let port = TcpListener::bind("127.0.0.1:0").context("no free port")?;
        Ok(Self {
            flags,
            uri: uri(port.local_addr()?.port()),
            port: Some(port),
        })
    }

    /// Returns the parameters of the chat's template.
    pub fn parameters(&self) -> [(String, String); 2] {
        [
            ("MongodbUri".to_owned(), self.uri.clone()),
            ("MongodbDatabase".to_owned(), self.flags.database.clone()),
        ]
    }

    /// Starts the database if it is a server of our own, which is installed if need be, and waits
    /// until it responds. `home` is the folder of the template's workspace.
    ///
    /// # Errors
    ///
    /// The server cannot be installed, does not start, or does not respond; or `MONGODB_URI` is malformed.
    pub async fn start(self, home: &Path) -> Result<ChatDatabase> {
        let Some(port) = self.port else {
            tracing::info!("database: MONGODB_URI");
            ping(&self.uri).await?;
            return Ok(ChatDatabase { own: None });
        };
        let server = Server::find_or_install().await?;
        let data = self.flags.data.unwrap_or_else(|| home.join(running::DATA));
        std::fs::create_dir_all(&data)
            .with_context(|| format!("cannot make {}", data.display()))?;
        let folder = data.canonicalize()?.join(server.folder_name());
        tracing::info!("database: {} in {}", server.name(), folder.display());
        let number = port.local_addr()?.port();
        drop(port);
        let fresh = self.flags.fresh;
        let database = Database::start(&server, &this_program()?, &folder, number, fresh).await?;
        let own = Own {
            database,
            name: self.flags.database,
            data,
            announcement: None,
        };
        Ok(ChatDatabase { own: Some(own) })
    }
}

impl ChatDatabase {
    /// Lets `chat-admin` find the chat, if the database is a server of our own. Nobody else knows its port.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn announce(&mut self, management_endpoint: String) -> Result<()> {
        if let Some(own) = &mut self.own {
            let chat = RunningChat {
                uri: own.database.uri.clone(),
                database: own.name.clone(),
                management_endpoint,
            };
            own.announcement = Some(chat.announce(&own.data)?);
        }
        Ok(())
    }

    /// Waits until a server of our own has ended by itself.
    pub async fn wait(&mut self) -> anyhow::Error {
        match &mut self.own {
            Some(own) => own.database.wait().await,
            // The server behind MONGODB_URI is not ours to watch.
            None => std::future::pending().await,
        }
    }

    /// Shuts a server of our own down.
    ///
    /// # Errors
    ///
    /// It cannot be waited for.
    pub async fn shutdown(self) -> Result<()> {
        match self.own {
            Some(mut own) => {
                drop(own.announcement);
                own.database.shutdown().await
            }
            None => Ok(()),
        }
    }
}

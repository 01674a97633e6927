//! Which database the chat has: `MONGODB_URI`, or a server of our own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chat::store::StoreConfig;
use clap::Args;
use local_gateway::process::supervise::this_program;

use super::{Database, Server, ping, uri};

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

    /// Start with an empty database (of our own; one behind MONGODB_URI is never touched)
    #[arg(long)]
    fresh: bool,
}

/// A database that is chosen and not yet started.
pub struct Choice {
    flags: Flags,
    uri: String,
    /// The server of our own; `None` for that behind `MONGODB_URI`.
    own: Option<Own>,
}

/// A server of our own, and the port that is kept free for it until it starts.
struct Own {
    server: Option<Server>,
    port: TcpListener,
}

/// A database that answers.
pub struct ChatDatabase {
    own: Option<Database>,
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
                own: None,
            });
        }
        let port = TcpListener::bind("127.0.0.1:0").context("no free port")?;
        Ok(Self {
            flags,
            uri: uri(port.local_addr()?.port()),
            own: Some(Own { server: None, port }),
        })
    }

    /// Returns the parameters of the chat's template.
    pub fn parameters(&self) -> [(String, String); 2] {
        [
            ("MongodbUri".to_owned(), self.uri.clone()),
            ("MongodbDatabase".to_owned(), self.flags.database.clone()),
        ]
    }

    /// Finds the server of our own, and installs it if need be.
    ///
    /// # Errors
    ///
    /// There is none and none can be installed.
    pub fn install(&mut self) -> Result<()> {
        if let Some(own) = &mut self.own {
            own.server = Some(Server::find_or_install()?);
        }
        Ok(())
    }

    /// Starts the database if it is ours, and waits until it answers. `home` is the folder of the
    /// template's workspace.
    ///
    /// # Errors
    ///
    /// It does not start, or does not answer.
    pub async fn start(self, home: &Path) -> Result<ChatDatabase> {
        let Some(Own { server, port }) = self.own else {
            tracing::info!("database: MONGODB_URI");
            let answers = ping(&self.uri).await;
            answers.context("the database behind MONGODB_URI does not answer")?;
            return Ok(ChatDatabase { own: None });
        };
        let server = server.context("the database is not installed")?;
        let data = self.flags.data.unwrap_or_else(|| home.join(".local"));
        std::fs::create_dir_all(&data)
            .with_context(|| format!("cannot make {}", data.display()))?;
        let folder = data.canonicalize()?.join(server.folder_name());
        tracing::info!("database: {} in {}", server.name(), folder.display());
        let number = port.local_addr()?.port();
        drop(port);
        let fresh = self.flags.fresh;
        let own = Database::start(&server, &this_program()?, &folder, number, fresh).await?;
        Ok(ChatDatabase { own: Some(own) })
    }
}

impl ChatDatabase {
    /// Waits until a server of ours has ended by itself.
    pub async fn ended(&mut self) -> anyhow::Error {
        match &mut self.own {
            Some(database) => database.ended().await,
            // One that is not ours is not ours to watch.
            None => std::future::pending().await,
        }
    }

    /// Stops a server of ours.
    ///
    /// # Errors
    ///
    /// It cannot be waited for.
    pub async fn stop(self) -> Result<()> {
        match self.own {
            Some(mut database) => database.stop().await,
            None => Ok(()),
        }
    }
}
